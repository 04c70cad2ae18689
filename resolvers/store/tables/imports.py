"""The table of what was said of files for good."""

from datetime import datetime
from typing import Any

from sqlalchemy import String, func
from sqlalchemy.orm import Mapped, mapped_column

from ml.catalogue.metrics import TargetKind
from resolvers.store.tables.core import Table


class ImportMapping(Table):
    """Which columns of files are which of ours, under a name."""

    __tablename__ = "import_mappings"

    kind: Mapped[TargetKind] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    columns: Mapped[list[dict[str, Any]]]  # `heading` in the file and `field` of ours
    decimal: Mapped[str | None] = mapped_column(String(1))
    time_zone: Mapped[str | None] = mapped_column(String(100))
    time_unit: Mapped[str | None] = mapped_column(String(2))  # s, ms, us or ns
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
