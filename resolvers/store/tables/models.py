"""The tables of models: versions, what they measured, who promoted them, trainings, and how sensitive detection is."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, ForeignKey, Identity, Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from ml.catalogue.metrics import TargetKind
from resolvers.store.postgres.column_types import enum
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Table


class ModelStage(StrEnum):
    CANDIDATE = "CANDIDATE"
    CHAMPION = "CHAMPION"
    ARCHIVED = "ARCHIVED"


class ModelAction(StrEnum):
    IMPORTED = "IMPORTED"
    PROMOTED = "PROMOTED"
    ROLLED_BACK = "ROLLED_BACK"


class TrainingStatus(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class ModelVersion(Table):
    """An immutable artefact, `.npz` bytes, and what is known of it."""

    __tablename__ = "model_versions"
    __table_args__ = (Index(None, "model", "version", unique=True),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    model: Mapped[str] = mapped_column(String(100))
    version: Mapped[str] = mapped_column(String(100))
    sha256: Mapped[bytes]
    size_bytes: Mapped[int]
    artefact: Mapped[bytes] = mapped_column(deferred=True)
    algorithm: Mapped[str]
    features: Mapped[list[str]] = mapped_column(ARRAY(String))
    hyperparameters: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    training_samples: Mapped[int]
    details: Mapped[dict[str, Any]]  # what it was trained and calibrated on
    trained_at: Mapped[datetime] = mapped_column(server_default=func.now())
    trained_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # null: the server, or elsewhere
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))  # the champion then


class ModelMetric(Table):
    """Append-only: what a version was measured at, on data that its training did not see."""

    __tablename__ = "model_metrics"
    __table_args__ = (Index(None, "version_id", "name", "dataset", "id"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    name: Mapped[str] = mapped_column(String(100))
    value: Mapped[float]
    samples: Mapped[int]
    dataset: Mapped[str]
    measured_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Champion(Table):
    """Which version serves: promotion moves this one pointer."""

    __tablename__ = "champions"

    model: Mapped[str] = mapped_column(String(100), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    since: Mapped[datetime] = mapped_column(server_default=func.now())


class Promotion(Table):
    """Append-only: who did what to a model; replayed, it tells which champions came before the present one."""

    __tablename__ = "promotions"
    __table_args__ = (Index(None, "model", "id"), Index(None, "version_id"))

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    model: Mapped[str] = mapped_column(String(100))
    version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    action: Mapped[ModelAction] = mapped_column(enum(ModelAction))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # null: the server itself
    forced: Mapped[bool] = mapped_column(default=False)
    note: Mapped[str | None]


class TrainingRun(Table):
    """Somebody's wish for a new version, and what becomes of it. Of a model, at most one is unfinished."""

    __tablename__ = "training_runs"
    __table_args__ = (
        Index(
            "uq_training_runs_one_unfinished",
            "model",
            unique=True,
            postgresql_where=text("status IN ('QUEUED', 'RUNNING')"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    model: Mapped[str] = mapped_column(String(100))
    version_name: Mapped[str] = mapped_column(String(100))  # of the version that is to be
    seed: Mapped[int] = mapped_column(BigInteger)
    window_start: Mapped[datetime | None]  # null: the simulator, not the fleet's history
    window_end: Mapped[datetime | None]
    status: Mapped[TrainingStatus] = mapped_column(enum(TrainingStatus), default=TrainingStatus.QUEUED)
    progress: Mapped[float] = mapped_column(default=0.0)  # to 1
    message: Mapped[str]
    started_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # null: the server or its command line
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))  # once it succeeded


class Sensitivity(Table):
    """How many false alarms a kind of target may raise, where it is not the usual."""

    __tablename__ = "sensitivities"

    kind: Mapped[TargetKind] = mapped_column(primary_key=True)
    value: Mapped[float]
    set_at: Mapped[datetime] = mapped_column(server_default=func.now())
    set_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # null: the server itself
