"""The tables of the demo: when its clock started, what it broke, and what was said of it when. Empty elsewhere."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Double, ForeignKey, Identity, Index, Integer, String
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ml.catalogue.root_causes import CulpritKind, RootCause
from resolvers.store.postgres.column_types import enum
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Table


class DemoRun(Table):
    """A start of the demo's server: the newest one says what time it is for the fleet."""

    __tablename__ = "demo_runs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    started_at: Mapped[datetime]  # real time
    fleet_started_at: Mapped[datetime]  # the fleet's time at that moment
    speed: Mapped[float] = mapped_column(Double)
    seed: Mapped[int] = mapped_column(BigInteger)
    fault_seconds: Mapped[float] = mapped_column(Double)  # real ones, from one fault to the next on average
    step_seconds: Mapped[int]  # of the fleet's time, from one sample of a stream to the next


class DemoFault(Table):
    """A fault that the demo has announced: the truth that incidents are compared with. Times are the fleet's."""

    __tablename__ = "demo_faults"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # from 0, in the order of their starts
    cause: Mapped[RootCause] = mapped_column(enum(RootCause))
    culprit_kind: Mapped[CulpritKind] = mapped_column(enum(CulpritKind))
    culprit_id: Mapped[int] = mapped_column(BigInteger)
    culprit_transponder: Mapped[str | None] = mapped_column(String(100))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    links: Mapped[list[int]] = mapped_column(ARRAY(Integer))  # ids of those that it degrades notably
    specification: Mapped[dict[str, Any]] = mapped_column(JSONB)  # what the simulation needs to go on after a restart


class IncidentSighting(Table):
    """What an incident of the demo said from a time on: a row whenever that has changed."""

    __tablename__ = "incident_sightings"
    __table_args__ = (Index(None, "incident_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    incident_id: Mapped[UUID] = mapped_column(ForeignKey("incidents.id", ondelete="CASCADE"))
    at: Mapped[datetime]  # the fleet's time
    root_cause: Mapped[RootCause | None] = mapped_column(enum(RootCause))
    culprit_kind: Mapped[CulpritKind | None] = mapped_column(enum(CulpritKind))
    culprit_id: Mapped[int | None] = mapped_column(BigInteger)
    culprit_transponder: Mapped[str | None] = mapped_column(String(100))
    confidence: Mapped[float | None] = mapped_column(Double)
    anomalies: Mapped[int]  # how many belonged to it
    # Its best recommendation.
    action: Mapped[str | None] = mapped_column(String(60))
    action_cause: Mapped[RootCause | None] = mapped_column(enum(RootCause))
    action_target_kind: Mapped[CulpritKind | None] = mapped_column(enum(CulpritKind))
    action_target_id: Mapped[int | None] = mapped_column(BigInteger)
