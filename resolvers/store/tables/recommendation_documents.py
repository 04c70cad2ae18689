"""The JSON that recommendations keep of their fault case and of the action's track record."""

from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from ml.catalogue.metrics import Direction, Metric, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.recommendation.case import FaultCase, TrackRecord

Json = dict[str, Any]


class FaultCaseJson(TypeDecorator[FaultCase]):
    """A fault case as JSON, with the fields' names. A new field needs a default for rows stored before it."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: FaultCase | None, dialect: Dialect) -> Json | None:
        return None if value is None else {**vars(value), "shares": dict(value.shares)}

    def process_result_value(self, value: Json | None, dialect: Dialect) -> FaultCase | None:
        return None if value is None else _to_case(value)


class TrackRecordJson(TypeDecorator[TrackRecord]):
    """A track record as JSON, with the fields' names."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: TrackRecord | None, dialect: Dialect) -> Json | None:
        return None if value is None else vars(value)

    def process_result_value(self, value: Json | None, dialect: Dialect) -> TrackRecord | None:
        return None if value is None else TrackRecord(**value)


def _to_case(stored: Json) -> FaultCase:
    return FaultCase(
        **{
            **stored,
            "scope": CulpritKind(stored["scope"]),
            "causes": tuple((RootCause(cause), probability) for cause, probability in stored["causes"]),
            "kind": None if stored["kind"] is None else TargetKind(stored["kind"]),
            "shares": {Metric(metric): share for metric, share in stored["shares"].items()},
            "directions": tuple(map(Direction, stored["directions"])),
        }
    )
