"""Incidents; silent and historical anomalies; recommendations for incidents; and how long streams have learned."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KINDS = ("FAULT", "NO_TELEMETRY", "FORECAST")
STATUSES = ("OPEN", "ACKNOWLEDGED", "MITIGATED", "RESOLVED")
CATEGORIES = ("DEVIATION", "SILENCE")
COLLECTORS = ("NETWORK", "HUB", "ALL")
PURPOSES = ("REPAIR", "NARROW_DOWN")
REASONS = ("CHANGED", "JOINED", "ENDED", "RESOLVED", "MERGED")
CULPRITS = ("SATELLITE", "SITE", "NETWORK", "LINK")
CAUSES = (
    "EQUIPMENT_FAILURE",
    "ANTENNA_ALIGNMENT",
    "SATELLITE_INTERFERENCE",
    "ANTENNA_MISALIGNMENT",
    "RAIN_FADE",
    "SUN_TRANSIT",
    "CONGESTION",
    "REMOTE_EQUIPMENT",
    "POWER_OUTAGE",
    "BLOCKAGE",
    "UNKNOWN",
)
IS_OPEN = sa.text("ended_at IS NULL")
ONE_OPEN = ["target_id", "kind", "direction"]


def upgrade() -> None:
    _create_incidents()
    op.create_table(
        "incident_links",
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("link_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name="fk_incident_links_incident_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name="fk_incident_links_link_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("incident_id", "link_id", name="pk_incident_links"),
    )
    op.create_index("ix_incident_links_link_id", "incident_links", ["link_id"])
    _extend_anomalies()
    op.add_column("streams", sa.Column("learned_seconds", sa.REAL()))
    op.add_column("profiles", sa.Column("due_samples", sa.BigInteger()))
    _watch_silence()
    op.add_column("audit_entries", sa.Column("details", sa.Text()))
    _extend_recommendations()


def _extend_recommendations() -> None:
    op.add_column("recommendations", sa.Column("incident_id", sa.Uuid()))
    op.add_column("recommendations", _enum("purpose", "purpose", *PURPOSES, nullable=False, server_default="REPAIR"))
    op.add_column("recommendations", _enum("superseded_because", "supersededreason", *REASONS))
    op.execute("UPDATE recommendations SET superseded_because = 'CHANGED' WHERE superseded_at IS NOT NULL")
    # What the server recommended for single anomalies and analyses: incidents get their own.
    op.execute(
        "UPDATE recommendations SET superseded_at = now(), superseded_because = 'JOINED'"
        " WHERE superseded_at IS NULL AND requested_by_id IS NULL AND outcome = 'PENDING'"
    )
    pending = sa.text("superseded_at IS NULL AND outcome = 'PENDING' AND anomaly_id IS NOT NULL")
    op.create_index("ix_recommendations_of_anomalies", "recommendations", ["anomaly_id"], postgresql_where=pending)
    op.create_foreign_key("fk_recommendations_incident_id", "recommendations", "incidents", ["incident_id"], ["id"])
    op.create_index(
        "ix_recommendations_incident_id_rank_score_id", "recommendations", ["incident_id", "rank_score", "id"]
    )
    _create_demo()


def _create_demo() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "demo_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("started_at", time, nullable=False),
        sa.Column("fleet_started_at", time, nullable=False),
        sa.Column("speed", sa.Double(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("fault_seconds", sa.Double(), nullable=False),
        sa.Column("step_seconds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_demo_runs"),
    )
    op.create_table(
        "demo_faults",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        _enum("cause", "rootcause", *CAUSES, nullable=False),
        _enum("culprit_kind", "culpritkind", *CULPRITS, nullable=False),
        sa.Column("culprit_id", sa.BigInteger(), nullable=False),
        sa.Column("culprit_transponder", sa.String(length=100)),
        _enum("direction", "direction", "IB", "OB"),
        sa.Column("variant", sa.String(length=40)),
        sa.Column("started_at", time, nullable=False),
        sa.Column("ended_at", time, nullable=False),
        sa.Column("links", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("specification", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_demo_faults"),
    )
    op.create_table(
        "incident_sightings",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("at", time, nullable=False),
        _enum("root_cause", "rootcause", *CAUSES),
        _enum("culprit_kind", "culpritkind", *CULPRITS),
        sa.Column("culprit_id", sa.BigInteger()),
        sa.Column("culprit_transponder", sa.String(length=100)),
        sa.Column("confidence", sa.Double()),
        sa.Column("anomalies", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=60)),
        _enum("action_cause", "rootcause", *CAUSES),
        _enum("action_target_kind", "culpritkind", *CULPRITS),
        sa.Column("action_target_id", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name="fk_incident_sightings_incident_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_incident_sightings"),
    )
    op.create_index("ix_incident_sightings_incident_id_id", "incident_sightings", ["incident_id", "id"])


def _create_incidents() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "incidents",
        sa.Column("id", sa.Uuid(), nullable=False),
        _enum("kind", "incidentkind", *KINDS, nullable=False),
        _enum("status", "incidentstatus", *STATUSES, nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        _enum("root_cause", "rootcause", *CAUSES),
        _enum("culprit_kind", "culpritkind", *CULPRITS),
        sa.Column("culprit_id", sa.BigInteger()),
        sa.Column("culprit_transponder", sa.String(length=100)),
        sa.Column("confidence", sa.Double()),
        sa.Column("pattern", postgresql.JSONB(astext_type=sa.Text())),
        sa.Column("analysis_id", sa.Uuid()),
        sa.Column("started_at", time, nullable=False),
        sa.Column("detected_at", time, server_default=sa.text("now()"), nullable=False),
        sa.Column("announced_at", time),
        sa.Column("last_changed_at", time, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", time),
        sa.Column("advised_for", sa.Text()),
        sa.Column("due_at", time),
        sa.Column("owner_id", sa.Integer()),
        sa.Column("snoozed_until", time),
        sa.Column("merged_into_id", sa.Uuid()),
        sa.Column("affected_link_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reopened_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_historical", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("status = 'RESOLVED' OR merged_into_id IS NULL", name="ck_incidents_merged_is_resolved"),
        sa.ForeignKeyConstraint(["analysis_id"], ["correlation_analyses.id"], name="fk_incidents_analysis_id"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_incidents_owner_id"),
        sa.ForeignKeyConstraint(["merged_into_id"], ["incidents.id"], name="fk_incidents_merged_into_id"),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
    )
    worst = [sa.text("severity DESC"), sa.text("affected_link_count DESC"), "started_at", "id"]
    op.create_index("ix_incidents_worst", "incidents", worst)
    op.create_index("ix_incidents_started_at_id", "incidents", ["started_at", "id"])
    op.create_index("ix_incidents_last_changed_at_id", "incidents", ["last_changed_at", "id"])
    op.create_index("ix_incidents_owner_id", "incidents", ["owner_id"])
    op.create_index("ix_incidents_unresolved", "incidents", ["id"], postgresql_where=sa.text("status <> 'RESOLVED'"))
    advised = sa.text("advised_for IS NOT NULL")
    op.create_index("ix_incidents_advised", "incidents", ["id"], postgresql_where=advised)
    op.create_index("ix_incidents_due", "incidents", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))


def _extend_anomalies() -> None:
    op.add_column(
        "anomalies", _enum("category", "anomalycategory", *CATEGORIES, nullable=False, server_default="DEVIATION")
    )
    op.add_column("anomalies", sa.Column("incident_id", sa.Uuid()))
    op.add_column(
        "anomalies", sa.Column("is_historical", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_foreign_key("fk_anomalies_incident_id", "anomalies", "incidents", ["incident_id"], ["id"])
    op.create_index("ix_anomalies_incident_id_started_at_id", "anomalies", ["incident_id", "started_at", "id"])
    without = sa.text("incident_id IS NULL")
    op.create_index("ix_anomalies_without_incident", "anomalies", ["detected_at"], postgresql_where=without)
    op.drop_index("uq_anomalies_one_open", "anomalies")
    _create_one_open([*ONE_OPEN, "category"])


def _watch_silence() -> None:
    op.add_column("anomalies", _enum("collector_kind", "collectorkind", *COLLECTORS))
    op.add_column("anomalies", sa.Column("collector_id", sa.Integer()))
    op.add_column("streams", sa.Column("heard_at", sa.DateTime(timezone=True)))
    op.add_column("streams", sa.Column("gaps", sa.ARRAY(sa.REAL())))
    op.add_column("streams", sa.Column("silence_id", sa.Uuid()))
    silent = sa.text("silence_id IS NOT NULL")
    op.create_index("ix_streams_silent", "streams", ["kind", "target_id"], postgresql_where=silent)
    op.create_table(
        "silence_watch",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("watched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_silence_watch"),
    )


def _create_one_open(columns: list[str]) -> None:
    op.create_index(
        "uq_anomalies_one_open",
        "anomalies",
        columns,
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=IS_OPEN,
    )


def _enum(column: str, name: str, *values: str, **given: object) -> sa.Column[str]:
    kind = sa.Enum(*values, name=name, native_enum=False, length=32)
    return sa.Column(column, kind, **given)  # type: ignore[arg-type]


def downgrade() -> None:
    op.drop_column("profiles", "due_samples")
    op.drop_column("streams", "learned_seconds")
    for table in ("incident_sightings", "demo_faults", "demo_runs"):
        op.drop_table(table)
    op.drop_table("silence_watch")
    op.drop_index("ix_streams_silent", "streams")
    for column in ("heard_at", "gaps", "silence_id"):
        op.drop_column("streams", column)
    for column in ("collector_kind", "collector_id"):
        op.drop_column("anomalies", column)
    op.drop_index("ix_recommendations_incident_id_rank_score_id", "recommendations")
    op.drop_constraint("fk_recommendations_incident_id", "recommendations")
    op.drop_index("ix_recommendations_of_anomalies", "recommendations")
    for column in ("incident_id", "purpose", "superseded_because"):
        op.drop_column("recommendations", column)
    op.drop_column("audit_entries", "details")
    op.execute("DELETE FROM anomalies WHERE category = 'SILENCE'")
    op.drop_index("uq_anomalies_one_open", "anomalies")
    _create_one_open(ONE_OPEN)
    op.drop_index("ix_anomalies_without_incident", "anomalies")
    op.drop_index("ix_anomalies_incident_id_started_at_id", "anomalies")
    op.drop_constraint("fk_anomalies_incident_id", "anomalies")
    for column in ("category", "incident_id", "is_historical"):
        op.drop_column("anomalies", column)
    op.drop_table("incident_links")
    op.drop_table("incidents")
