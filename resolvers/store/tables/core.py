"""The tables of people, topology, detection and events."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSTZMULTIRANGE
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ml.catalogue.metrics import Direction, TargetKind
from ml.detection.episodes import Severity
from ml.detection.silence import CollectorKind
from resolvers.base.roles import Role
from resolvers.store.postgres.column_types import SeverityRank, UtcDateTime, Xid8, enum
from resolvers.store.postgres.identifiers import uuid7


class SiteRole(StrEnum):
    HUB = "HUB"
    REMOTE = "REMOTE"


class Band(StrEnum):
    C = "C"
    KU = "KU"
    KA = "KA"


class AnomalyStatus(StrEnum):
    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"


class AnomalyCategory(StrEnum):
    """DEVIATION: what was measured is not as usual. SILENCE: nothing is measured any more."""

    DEVIATION = "DEVIATION"
    SILENCE = "SILENCE"


class Verdict(StrEnum):
    TRUE_ALARM = "TRUE_ALARM"
    FALSE_ALARM = "FALSE_ALARM"


ENUMS = (Role, SiteRole, Band, TargetKind, Direction, AnomalyStatus, AnomalyCategory, CollectorKind, Verdict)


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        Severity: SeverityRank,
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        bytes: LargeBinary,
        **{kind: enum(kind) for kind in ENUMS},
    }


# ---------------------------------------------------------------- people


class User(Table):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)  # in its one spelling: see `accounts/addresses.py`
    full_name: Mapped[str | None] = mapped_column(String(200))
    role: Mapped[Role]
    is_active: Mapped[bool] = mapped_column(default=True)
    password_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class SignIn(Table):
    """A family of refresh tokens: one device, from signing in to signing out."""

    __tablename__ = "sign_ins"
    __table_args__ = (Index("ix_sign_ins_user_id_network", "user_id", "network"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    network: Mapped[bytes | None]  # where it came from, as a keyed hash; None for the server's own
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]


class RefreshToken(Table):
    __tablename__ = "refresh_tokens"

    hash: Mapped[bytes] = mapped_column(primary_key=True)  # sha256 of the token, which itself is kept nowhere
    sign_in_id: Mapped[UUID] = mapped_column(ForeignKey("sign_ins.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class ApiKey(Table):
    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role]
    hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


# ---------------------------------------------------------------- topology


class Satellite(Table):
    __tablename__ = "satellites"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    longitude: Mapped[float | None]


class Site(Table):
    __tablename__ = "sites"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[SiteRole]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    antenna_diameter_m: Mapped[float | None]
    mobile: Mapped[bool] = mapped_column(default=False)


class Network(Table):
    __tablename__ = "networks"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(String(200))
    hub_id: Mapped[int] = mapped_column(ForeignKey("sites.id"), index=True)
    satellite_id: Mapped[int] = mapped_column(ForeignKey("satellites.id"), index=True)
    transponder: Mapped[str | None] = mapped_column(String(100))
    band: Mapped[Band]
    symbol_rate_ksps: Mapped[float | None]


class Link(Table):
    __tablename__ = "links"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(String(200))
    network_id: Mapped[int] = mapped_column(ForeignKey("networks.id"), index=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.id"), index=True)
    beam: Mapped[str | None] = mapped_column(String(100))


# ---------------------------------------------------------------- detection


class Stream(Table):
    """One target's samples in one direction: what is usual there, where its episode stands, what is not rolled up yet.

    Writers lock their streams in key order before they store samples, so that two batches about the same targets
    queue up instead of deadlocking, and nobody else stores samples of a stream meanwhile. Distributes by `target_id`,
    like the samples.
    """

    __tablename__ = "streams"
    __table_args__ = (
        Index("ix_streams_silent", "kind", "target_id", postgresql_where=text("silence_id IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "50"}},  # every batch updates every row of it: in place
    )

    target_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[TargetKind] = mapped_column(primary_key=True)
    direction: Mapped[str] = mapped_column(String(2), primary_key=True, default="")  # '' for networks and sites

    samples: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    last_at: Mapped[datetime | None]
    learned_samples: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    learned_seconds: Mapped[float | None] = mapped_column(REAL)  # that they span; null = as of one each five minutes
    centre: Mapped[list[float] | None] = mapped_column(ARRAY(REAL))  # per metric, in catalogue order; NaN = unknown
    spread: Mapped[list[float] | None] = mapped_column(ARRAY(REAL))
    unrolled: Mapped[Any | None] = mapped_column(TSTZMULTIRANGE)  # hours that roll-ups do not tell the truth of yet
    memory: Mapped[bytes | None]  # behind its newest sample, or the last before pending alarms: a `Memory`
    profile: Mapped[int] = mapped_column(default=0, server_default="0")  # the number of its `Profile`, 0 = it has none

    anomaly_id: Mapped[UUID | None]  # the open episode
    alarms: Mapped[int] = mapped_column(default=0, server_default="0")
    quiets: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    alarming_since: Mapped[datetime | None]

    heard_at: Mapped[datetime | None]  # when its newest sample came
    gaps: Mapped[list[float] | None] = mapped_column(ARRAY(REAL))  # newest seconds between samples that came in time
    silence_id: Mapped[UUID | None]  # the anomaly that tells that it fell silent; kept until its next sample


class SilenceWatch(Table):
    """One row: when somebody last looked for silent targets, and since when that goes on without a break."""

    __tablename__ = "silence_watch"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    watched_at: Mapped[datetime]  # by the database's clock
    resumed_at: Mapped[datetime]  # by the clock that samples are compared with: nobody was heard before


class Profile(Table):
    """What is ordinary for one stream, learned from history: see `ml.detection.profiles`. Learning numbers it anew."""

    __tablename__ = "profiles"

    target_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[TargetKind] = mapped_column(primary_key=True)
    direction: Mapped[str] = mapped_column(String(2), primary_key=True)
    number: Mapped[int]
    samples: Mapped[int] = mapped_column(BigInteger)  # that the stream had then
    due_samples: Mapped[int | None] = mapped_column(BigInteger)  # with which it learns again
    model_version: Mapped[str] = mapped_column(String(100))
    learned_at: Mapped[datetime] = mapped_column(server_default=func.now())
    content: Mapped[bytes | None]  # null where its history did not suffice


class StoredBatch(Table):
    """Which samples of links a transaction stored, for whoever follows them live: see `live_samples.py`.

    Kept for minutes. Arrays with an entry per stream, but `times` with one per sample, stream after stream.
    """

    __tablename__ = "stored_batches"
    __table_args__ = (Index(None, "transaction_id"), Index(None, "stored_at"))

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    transaction_id: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    stored_at: Mapped[datetime] = mapped_column(server_default=func.now())
    links: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    directions: Mapped[list[str]] = mapped_column(ARRAY(String(2)))
    samples: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    times: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))  # epoch ms


class Anomaly(Table):
    """A stretch of time during which a target misbehaved."""

    __tablename__ = "anomalies"
    __table_args__ = (
        Index(None, "started_at", "id"),
        Index(None, "severity", "started_at", "id"),
        Index(None, "kind", "target_id", "started_at"),
        Index(
            "uq_anomalies_one_open",
            "target_id",
            "kind",
            "direction",
            "category",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(None, "incident_id", "started_at", "id"),
        Index("ix_anomalies_without_incident", "detected_at", postgresql_where=text("incident_id IS NULL")),
        Index("ix_anomalies_merged", "merged_into_id", postgresql_where=text("merged_into_id IS NOT NULL")),
        CheckConstraint("(status = 'RESOLVED') = (ended_at IS NOT NULL)", "resolved_is_ended"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    kind: Mapped[TargetKind]
    target_id: Mapped[int]
    direction: Mapped[Direction | None]
    category: Mapped[AnomalyCategory] = mapped_column(default=AnomalyCategory.DEVIATION, server_default="DEVIATION")
    status: Mapped[AnomalyStatus] = mapped_column(default=AnomalyStatus.OPEN)
    severity: Mapped[Severity]
    score: Mapped[float]
    confidence: Mapped[float]
    model_version: Mapped[str] = mapped_column(String(100))
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]  # null while it lasts
    detected_at: Mapped[datetime] = mapped_column(server_default=func.now())
    contributions: Mapped[list[dict[str, Any]]]
    acknowledged_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    feedback: Mapped[Verdict | None]
    analysis_id: Mapped[UUID | None] = mapped_column(ForeignKey("correlation_analyses.id"))  # that explains it
    # Null until the incident worker has seen it: every anomaly belongs to exactly one incident.
    incident_id: Mapped[UUID | None] = mapped_column(ForeignKey("incidents.id"))
    is_historical: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # of imported history
    # Late samples showed that it is part of another one, or that it was none. Lists leave both out.
    merged_into_id: Mapped[UUID | None] = mapped_column(ForeignKey("anomalies.id"))
    withdrawn_at: Mapped[datetime | None]
    # Of a silence: the collector that went quiet as a whole; its key is a network's or a hub's id.
    collector_kind: Mapped[CollectorKind | None]
    collector_id: Mapped[int | None]


class Detection(Table):
    """The verdict on one set of measurements that somebody asked for."""

    __tablename__ = "detections"
    __table_args__ = (Index(None, "kind", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    kind: Mapped[TargetKind]
    target_id: Mapped[int | None]
    direction: Mapped[Direction | None]
    measurements: Mapped[dict[str, Any]]
    is_anomaly: Mapped[bool]
    anomaly_score: Mapped[float]
    confidence: Mapped[float]
    contributions: Mapped[list[dict[str, Any]]]
    model_version: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    requested_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    anomaly_id: Mapped[UUID | None] = mapped_column(ForeignKey("anomalies.id"))


class AuditEntry(Table):
    """Append-only: who did what to an anomaly, and what they noted."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index(None, "subject_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    subject_id: Mapped[UUID]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # null: the server itself
    action: Mapped[str] = mapped_column(String(40))
    note: Mapped[str | None]  # of who did it
    details: Mapped[str | None] = mapped_column(Text)  # what exactly was done, where the action does not say it


class Event(Table):
    """The log that subscriptions read. Ids are given in commit order, see `log.append`."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    topic: Mapped[str] = mapped_column(String(40))
    change: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(40))
    facts: Mapped[dict[str, Any]]  # what filters match on, as it was then
