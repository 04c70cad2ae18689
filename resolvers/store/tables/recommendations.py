"""The table of recommendations: what was proposed, for what, and what became of it."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.recommendation.case import FaultCase, Outcome, Priority, TrackRecord
from ml.recommendation.playbook.actions import Purpose
from resolvers.store.postgres.column_types import enum
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Table
from resolvers.store.tables.recommendation_documents import FaultCaseJson, TrackRecordJson


class SupersededReason(StrEnum):
    """Why a recommendation is no longer current."""

    CHANGED = "CHANGED"  # what is known of the fault
    JOINED = "JOINED"  # its anomaly joined an incident, which has recommendations of its own
    ENDED = "ENDED"  # the incident
    RESOLVED = "RESOLVED"  # the incident, by a person
    MERGED = "MERGED"  # the incident, into another one


class Recommendation(Table):
    """An action proposed for one fault, described for its case. A superseded row no longer changes."""

    __tablename__ = "recommendations"
    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "anomaly_id", "created_at", "id"),
        Index(None, "analysis_id", "rank_score"),
        Index(None, "incident_id", "rank_score", "id"),
        Index(
            "ix_recommendations_of_anomalies",
            "anomaly_id",
            postgresql_where=text("superseded_at IS NULL AND outcome = 'PENDING' AND anomaly_id IS NOT NULL"),
        ),
        Index("ix_recommendations_tags", "tags", postgresql_using="gin"),
        Index(
            "uq_recommendations_one_of_each",
            "subject_id",
            "action",
            "target_kind",
            "target_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("superseded_at IS NULL"),
        ),
        Index(
            "ix_recommendations_tried",
            "action",
            "root_cause",
            "target_kind",
            "target_id",
            "outcome",
            postgresql_where=text("outcome IN ('SOLVED', 'DID_NOT_HELP')"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    subject_id: Mapped[UUID]  # the incident, anomaly, detection or analysis that it was asked for
    anomaly_id: Mapped[UUID | None] = mapped_column(ForeignKey("anomalies.id"))
    analysis_id: Mapped[UUID | None] = mapped_column(ForeignKey("correlation_analyses.id"))
    incident_id: Mapped[UUID | None] = mapped_column(ForeignKey("incidents.id"))
    action: Mapped[str] = mapped_column(String(60))  # a key of the playbook
    root_cause: Mapped[RootCause | None] = mapped_column(enum(RootCause))  # null: because of the readings alone
    target_kind: Mapped[CulpritKind | None] = mapped_column(enum(CulpritKind))  # what to do it to, or what it is about
    target_id: Mapped[int | None] = mapped_column(BigInteger)
    purpose: Mapped[Purpose] = mapped_column(enum(Purpose), default=Purpose.REPAIR, server_default="REPAIR")
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(ARRAY(String(20)))
    priority: Mapped[Priority] = mapped_column(enum(Priority))
    rank_score: Mapped[float]
    model_version: Mapped[str] = mapped_column(String(100))  # of the ranking
    # What the ranking knew at that time. A training learns from it once the outcome is recorded.
    situation: Mapped[FaultCase] = mapped_column(FaultCaseJson)
    past: Mapped[TrackRecord] = mapped_column(TrackRecordJson)
    basis: Mapped[bytes]  # a hash of the subject's state, so that asking again about the same state changes nothing
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    requested_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # null: the server
    superseded_at: Mapped[datetime | None]
    superseded_because: Mapped[SupersededReason | None] = mapped_column(enum(SupersededReason))
    outcome: Mapped[Outcome] = mapped_column(enum(Outcome), default=Outcome.PENDING)
    outcome_note: Mapped[str | None] = mapped_column(Text)
    outcome_at: Mapped[datetime | None]
