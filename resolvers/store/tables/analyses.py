"""The table of analyses of root causes."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, func
from sqlalchemy.orm import Mapped, mapped_column

from ml.catalogue.metrics import TargetKind
from resolvers.store.postgres.column_types import enum
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.analysis_documents import Pattern, Patterns
from resolvers.store.tables.core import Table


class AnalysisScope(StrEnum):
    NETWORK = "NETWORK"
    HUB_ANTENNA = "HUB_ANTENNA"
    SATELLITE = "SATELLITE"
    LINK = "LINK"


class CorrelationAnalysis(Table):
    """What degraded together in a window, and why: of all links of a satellite, or of a target."""

    __tablename__ = "correlation_analyses"
    __table_args__ = (Index(None, "scope", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    scope: Mapped[AnalysisScope] = mapped_column(enum(AnalysisScope))
    satellite_id: Mapped[int | None] = mapped_column(ForeignKey("satellites.id"))  # else a target
    target_kind: Mapped[TargetKind | None]
    target_id: Mapped[int | None]
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    requested_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # null: the server itself
    patterns: Mapped[tuple[Pattern, ...]] = mapped_column(Patterns)  # what lasts first, then by impact
    correlation_score: Mapped[float]
    links_analyzed: Mapped[int]  # of what was asked about, with samples in the window
    links_compared: Mapped[int]  # around it, with samples in the window
    duration_ms: Mapped[float]
    model_version: Mapped[str] = mapped_column(String(100))
