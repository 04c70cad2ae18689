"""The table of recommendations: what was proposed, for what, and what became of it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.recommendation.case import Outcome, Past, Priority, Situation
from resolvers.store.postgres.column_types import enum
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Table
from resolvers.store.tables.recommendation_documents import PastCounts, Situations


class Recommendation(Table):
    """An action proposed for one fault, told for that case. Once superseded it stays as it was.

    `subject_id`: the anomaly, detection or analysis that it was asked for. `situation` and `past`: what the ranking
    knew then, for a training to learn from once the outcome is known. `basis`: of all that the subject was then, so
    that asking again about the same changes nothing.
    """

    __tablename__ = "recommendations"
    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "anomaly_id", "created_at", "id"),
        Index(None, "analysis_id", "rank_score"),
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
    subject_id: Mapped[UUID]
    anomaly_id: Mapped[UUID | None] = mapped_column(ForeignKey("anomalies.id"))
    analysis_id: Mapped[UUID | None] = mapped_column(ForeignKey("correlation_analyses.id"))
    action: Mapped[str] = mapped_column(String(60))  # a key of the playbook
    root_cause: Mapped[RootCause | None] = mapped_column(enum(RootCause))  # null: because of the readings alone
    target_kind: Mapped[CulpritKind | None] = mapped_column(enum(CulpritKind))  # what it is to be done to, or about
    target_id: Mapped[int | None] = mapped_column(BigInteger)
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(ARRAY(String(20)))
    priority: Mapped[Priority] = mapped_column(enum(Priority))
    rank_score: Mapped[float]
    model_version: Mapped[str] = mapped_column(String(100))  # of the ranking
    situation: Mapped[Situation] = mapped_column(Situations)
    past: Mapped[Past] = mapped_column(PastCounts)
    basis: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    requested_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # null: the server itself
    superseded_at: Mapped[datetime | None]
    outcome: Mapped[Outcome] = mapped_column(enum(Outcome), default=Outcome.PENDING)
    outcome_note: Mapped[str | None] = mapped_column(Text)
    outcome_at: Mapped[datetime | None]
