"""People, topology, samples, detection, events, models."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("topic", sa.String(length=40), nullable=False),
        sa.Column("change", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=False),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_table(
        "link_samples",
        sa.Column("link_id", sa.Integer(), nullable=False),
        sa.Column("direction", sa.String(length=2), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("throughput_mbps", sa.REAL(), nullable=True),
        sa.Column("utilization_pct", sa.REAL(), nullable=True),
        sa.Column("errors", sa.REAL(), nullable=True),
        sa.Column("discards", sa.REAL(), nullable=True),
        sa.Column("uptime_pct", sa.REAL(), nullable=True),
        sa.Column("esno_db", sa.REAL(), nullable=True),
        sa.Column("rx_level_dbm", sa.REAL(), nullable=True),
        sa.Column("tx_power_dbm", sa.REAL(), nullable=True),
        sa.Column("latency_ms", sa.REAL(), nullable=True),
        sa.Column("jitter_ms", sa.REAL(), nullable=True),
        sa.Column("packet_loss_pct", sa.REAL(), nullable=True),
        sa.Column("grade", sa.REAL(), nullable=True),
        sa.PrimaryKeyConstraint("link_id", "direction", "at", name="pk_link_samples"),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_table(
        "model_versions",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=100), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("artefact", sa.LargeBinary(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("trained_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model_versions"),
    )
    op.create_index("ix_model_versions_model_version", "model_versions", ["model", "version"], unique=True)
    op.create_table(
        "network_samples",
        sa.Column("network_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bandwidth_mbps", sa.REAL(), nullable=True),
        sa.Column("packet_loss_pct", sa.REAL(), nullable=True),
        sa.Column("latency_ms", sa.REAL(), nullable=True),
        sa.Column("error_rate", sa.REAL(), nullable=True),
        sa.Column("connections", sa.REAL(), nullable=True),
        sa.PrimaryKeyConstraint("network_id", "at", name="pk_network_samples"),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_table(
        "satellites",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("longitude", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_satellites"),
        sa.UniqueConstraint("name", name="uq_satellites_name"),
    )
    op.create_table(
        "site_samples",
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("response_time_ms", sa.REAL(), nullable=True),
        sa.Column("error_rate", sa.REAL(), nullable=True),
        sa.Column("uptime_pct", sa.REAL(), nullable=True),
        sa.Column("cpu_pct", sa.REAL(), nullable=True),
        sa.Column("memory_pct", sa.REAL(), nullable=True),
        sa.Column("request_count", sa.REAL(), nullable=True),
        sa.Column("error_count", sa.REAL(), nullable=True),
        sa.PrimaryKeyConstraint("site_id", "at", name="pk_site_samples"),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_table(
        "sites",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.Enum("HUB", "REMOTE", name="siterole", native_enum=False, length=32), nullable=False),
        sa.Column("latitude", sa.Double(), nullable=True),
        sa.Column("longitude", sa.Double(), nullable=True),
        sa.Column("antenna_diameter_m", sa.Double(), nullable=True),
        sa.Column("mobile", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sites"),
        sa.UniqueConstraint("number", name="uq_sites_number"),
    )
    op.create_table(
        "streams",
        sa.Column("target_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "kind", sa.Enum("NETWORK", "SITE", "LINK", name="targetkind", native_enum=False, length=32), nullable=False
        ),
        sa.Column("direction", sa.String(length=2), nullable=False),
        sa.Column("samples", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("learned_samples", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("centre", sa.ARRAY(sa.REAL()), nullable=True),
        sa.Column("spread", sa.ARRAY(sa.REAL()), nullable=True),
        sa.Column("anomaly_id", sa.Uuid(), nullable=True),
        sa.Column("alarms", sa.Integer(), server_default="0", nullable=False),
        sa.Column("quiets", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("alarming_since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("target_id", "kind", "direction", name="pk_streams"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("full_name", sa.String(length=200), nullable=True),
        sa.Column(
            "role", sa.Enum("VIEWER", "OPERATOR", "ADMIN", name="role", native_enum=False, length=32), nullable=False
        ),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
    )
    op.create_table(
        "anomalies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind", sa.Enum("NETWORK", "SITE", "LINK", name="targetkind", native_enum=False, length=32), nullable=False
        ),
        sa.Column("target_id", sa.Integer(), nullable=False),
        sa.Column("direction", sa.Enum("IB", "OB", name="direction", native_enum=False, length=32), nullable=True),
        sa.Column(
            "status",
            sa.Enum("OPEN", "ACKNOWLEDGED", "RESOLVED", name="anomalystatus", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("model_version", sa.String(length=100), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("detected_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("contributions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("acknowledged_by_id", sa.Integer(), nullable=True),
        sa.Column(
            "feedback",
            sa.Enum("TRUE_ALARM", "FALSE_ALARM", name="verdict", native_enum=False, length=32),
            nullable=True,
        ),
        sa.CheckConstraint("(status = 'RESOLVED') = (ended_at IS NOT NULL)", name="ck_anomalies_resolved_is_ended"),
        sa.ForeignKeyConstraint(["acknowledged_by_id"], ["users.id"], name="fk_anomalies_acknowledged_by_id"),
        sa.PrimaryKeyConstraint("id", name="pk_anomalies"),
    )
    op.create_index(
        "ix_anomalies_kind_target_id_started_at", "anomalies", ["kind", "target_id", "started_at"], unique=False
    )
    op.create_index("ix_anomalies_severity_started_at_id", "anomalies", ["severity", "started_at", "id"], unique=False)
    op.create_index("ix_anomalies_started_at_id", "anomalies", ["started_at", "id"], unique=False)
    op.create_index(
        "uq_anomalies_one_open",
        "anomalies",
        ["target_id", "kind", "direction"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column(
            "role", sa.Enum("VIEWER", "OPERATOR", "ADMIN", name="role", native_enum=False, length=32), nullable=False
        ),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_api_keys_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("hash", name="uq_api_keys_hash"),
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"], unique=False)
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("by_id", sa.Integer(), nullable=True),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name="fk_audit_entries_by_id"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_subject_id_id", "audit_entries", ["subject_id", "id"], unique=False)
    op.create_table(
        "champions",
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["model_versions.id"], name="fk_champions_version_id"),
        sa.PrimaryKeyConstraint("model", name="pk_champions"),
    )
    op.create_table(
        "networks",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("hub_id", sa.Integer(), nullable=False),
        sa.Column("satellite_id", sa.Integer(), nullable=False),
        sa.Column("transponder", sa.String(length=100), nullable=True),
        sa.Column("band", sa.Enum("C", "KU", "KA", name="band", native_enum=False, length=32), nullable=False),
        sa.ForeignKeyConstraint(["hub_id"], ["sites.id"], name="fk_networks_hub_id"),
        sa.ForeignKeyConstraint(["satellite_id"], ["satellites.id"], name="fk_networks_satellite_id"),
        sa.PrimaryKeyConstraint("id", name="pk_networks"),
        sa.UniqueConstraint("number", name="uq_networks_number"),
    )
    op.create_index("ix_networks_hub_id", "networks", ["hub_id"], unique=False)
    op.create_index("ix_networks_satellite_id", "networks", ["satellite_id"], unique=False)
    op.create_table(
        "sign_ins",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sign_ins_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_sign_ins"),
    )
    op.create_index("ix_sign_ins_user_id", "sign_ins", ["user_id"], unique=False)
    op.create_table(
        "detections",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind", sa.Enum("NETWORK", "SITE", "LINK", name="targetkind", native_enum=False, length=32), nullable=False
        ),
        sa.Column("target_id", sa.Integer(), nullable=True),
        sa.Column("direction", sa.Enum("IB", "OB", name="direction", native_enum=False, length=32), nullable=True),
        sa.Column("measurements", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("is_anomaly", sa.Boolean(), nullable=False),
        sa.Column("anomaly_score", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("contributions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("model_version", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("requested_by_id", sa.Integer(), nullable=True),
        sa.Column("anomaly_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["anomaly_id"], ["anomalies.id"], name="fk_detections_anomaly_id"),
        sa.ForeignKeyConstraint(["requested_by_id"], ["users.id"], name="fk_detections_requested_by_id"),
        sa.PrimaryKeyConstraint("id", name="pk_detections"),
    )
    op.create_index("ix_detections_kind_id", "detections", ["kind", "id"], unique=False)
    op.create_table(
        "links",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("network_id", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_links_network_id"),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name="fk_links_site_id"),
        sa.PrimaryKeyConstraint("id", name="pk_links"),
        sa.UniqueConstraint("number", name="uq_links_number"),
    )
    op.create_index("ix_links_network_id", "links", ["network_id"], unique=False)
    op.create_index("ix_links_site_id", "links", ["site_id"], unique=False)
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("sign_in_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["sign_in_id"], ["sign_ins.id"], name="fk_refresh_tokens_sign_in_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_refresh_tokens"),
    )
    op.create_index("ix_refresh_tokens_sign_in_id", "refresh_tokens", ["sign_in_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_refresh_tokens_sign_in_id", table_name="refresh_tokens")
    op.drop_table("refresh_tokens")
    op.drop_index("ix_links_site_id", table_name="links")
    op.drop_index("ix_links_network_id", table_name="links")
    op.drop_table("links")
    op.drop_index("ix_detections_kind_id", table_name="detections")
    op.drop_table("detections")
    op.drop_index("ix_sign_ins_user_id", table_name="sign_ins")
    op.drop_table("sign_ins")
    op.drop_index("ix_networks_satellite_id", table_name="networks")
    op.drop_index("ix_networks_hub_id", table_name="networks")
    op.drop_table("networks")
    op.drop_table("champions")
    op.drop_index("ix_audit_entries_subject_id_id", table_name="audit_entries")
    op.drop_table("audit_entries")
    op.drop_index("ix_api_keys_user_id", table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_index(
        "uq_anomalies_one_open",
        table_name="anomalies",
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.drop_index("ix_anomalies_started_at_id", table_name="anomalies")
    op.drop_index("ix_anomalies_severity_started_at_id", table_name="anomalies")
    op.drop_index("ix_anomalies_kind_target_id_started_at", table_name="anomalies")
    op.drop_table("anomalies")
    op.drop_table("users")
    op.drop_table("streams")
    op.drop_table("sites")
    op.drop_table("site_samples")
    op.drop_table("satellites")
    op.drop_table("network_samples")
    op.drop_index("ix_model_versions_model_version", table_name="model_versions")
    op.drop_table("model_versions")
    op.drop_table("link_samples")
    op.drop_table("events")
