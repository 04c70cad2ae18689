"""The tables of incidents: one row for each fault, whatever number of anomalies it makes."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from resolvers.store.postgres.column_types import enum
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.analysis_documents import OnePattern, Pattern
from resolvers.store.tables.core import Table


class IncidentKind(StrEnum):
    """FAULT: something degraded. NO_TELEMETRY: a collector, or all behind it, is silent. FORECAST: something will."""

    FAULT = "FAULT"
    NO_TELEMETRY = "NO_TELEMETRY"
    FORECAST = "FORECAST"


# Without an anomaly, for which an incident may only draw breath, as interference and blockage do: then it is over.
LINGERS: Final = timedelta(minutes=3)


class IncidentStatus(StrEnum):
    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    MITIGATED = "MITIGATED"
    RESOLVED = "RESOLVED"


class Incident(Table):
    """One fault: what it is, who is at fault, since when, who works on it. Its anomalies point to it."""

    __tablename__ = "incidents"
    __table_args__ = (
        Index("ix_incidents_worst", text("severity DESC"), text("affected_link_count DESC"), "started_at", "id"),
        Index(None, "started_at", "id"),
        Index(None, "last_changed_at", "id"),
        Index(None, "owner_id"),
        Index("ix_incidents_unresolved", "id", postgresql_where=text("status <> 'RESOLVED'")),
        Index("ix_incidents_advised", "id", postgresql_where=text("advised_for IS NOT NULL")),
        Index("ix_incidents_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        CheckConstraint("status = 'RESOLVED' OR merged_into_id IS NULL", "merged_is_resolved"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    kind: Mapped[IncidentKind] = mapped_column(enum(IncidentKind), default=IncidentKind.FAULT)
    status: Mapped[IncidentStatus] = mapped_column(enum(IncidentStatus), default=IncidentStatus.OPEN)
    severity: Mapped[Severity]
    title: Mapped[str] = mapped_column(Text)

    # What explains it; null while nothing is known with enough confidence.
    root_cause: Mapped[RootCause | None] = mapped_column(enum(RootCause))
    culprit_kind: Mapped[CulpritKind | None] = mapped_column(enum(CulpritKind))
    culprit_id: Mapped[int | None] = mapped_column(BigInteger)
    culprit_transponder: Mapped[str | None] = mapped_column(String(100))
    confidence: Mapped[float | None]
    pattern: Mapped[Pattern | None] = mapped_column(OnePattern)  # with every hypothesis and the evidence
    analysis_id: Mapped[UUID | None] = mapped_column(ForeignKey("correlation_analyses.id"))  # that found the pattern

    started_at: Mapped[datetime]
    detected_at: Mapped[datetime] = mapped_column(server_default=func.now())
    announced_at: Mapped[datetime | None]  # when people were told of it; null: not yet
    last_changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]  # null while any of its anomalies lasts
    advised_for: Mapped[str | None] = mapped_column(Text)  # the state that its recommendations are for; null: none are
    due_at: Mapped[datetime | None]  # when it is analysed next; null: nothing new to be learned

    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    snoozed_until: Mapped[datetime | None]
    merged_into_id: Mapped[UUID | None] = mapped_column(ForeignKey("incidents.id"))
    affected_link_count: Mapped[int] = mapped_column(default=0, server_default="0")
    reopened_count: Mapped[int] = mapped_column(default=0, server_default="0")
    is_historical: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # told to nobody


class IncidentLink(Table):
    """A link that an incident affects."""

    __tablename__ = "incident_links"
    __table_args__ = (Index(None, "link_id"),)

    incident_id: Mapped[UUID] = mapped_column(ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True)
    link_id: Mapped[int] = mapped_column(ForeignKey("links.id", ondelete="CASCADE"), primary_key=True)
