"""Column types of our own."""

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import DateTime, Dialect, Enum, SmallInteger
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import TypeDecorator, UserDefinedType

from ml.detection.episodes import Severity


class UtcDateTime(TypeDecorator[datetime]):
    """timestamptz that always comes back in UTC, whatever the session's time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)


class SeverityRank(TypeDecorator[Severity]):
    """Kept as its rank, so that the database compares and orders by it."""

    impl = SmallInteger
    cache_ok = True

    @property
    def python_type(self) -> type[Severity]:
        return Severity

    def process_bind_param(self, value: Severity | None, dialect: Dialect) -> int | None:
        return None if value is None else value.rank

    def process_result_value(self, value: int | None, dialect: Dialect) -> Severity | None:
        return None if value is None else list(Severity)[value]


class Xid8(UserDefinedType[int]):
    """A transaction's number; set and compared by the database only."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


ischema_names["xid8"] = Xid8  # for Alembic, which reads the tables back


def enum(python_type: type[StrEnum]) -> Enum:
    """Kept as text: adding a value then needs no migration."""
    return Enum(python_type, native_enum=False, length=32, validate_strings=True)
