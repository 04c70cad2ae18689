"""Recommendations; and audit entries that nobody can change any more."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

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
CULPRITS = ("SATELLITE", "SITE", "NETWORK", "LINK")
PRIORITIES = ("LOW", "MEDIUM", "HIGH")
OUTCOMES = ("PENDING", "ACCEPTED", "SOLVED", "DID_NOT_HELP", "REJECTED")
TRIED = "outcome IN ('SOLVED', 'DID_NOT_HELP')"


def upgrade() -> None:
    op.create_table(
        "recommendations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("anomaly_id", sa.Uuid(), nullable=True),
        sa.Column("analysis_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(length=60), nullable=False),
        _enum("root_cause", "rootcause", *CAUSES, nullable=True),
        _enum("target_kind", "culpritkind", *CULPRITS, nullable=True),
        sa.Column("target_id", sa.BigInteger(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.String(length=20)), nullable=False),
        _enum("priority", "priority", *PRIORITIES),
        sa.Column("rank_score", sa.Double(), nullable=False),
        sa.Column("model_version", sa.String(length=100), nullable=False),
        sa.Column("situation", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("past", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("basis", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("requested_by_id", sa.Integer(), nullable=True),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        _enum("outcome", "outcome", *OUTCOMES),
        sa.Column("outcome_note", sa.Text(), nullable=True),
        sa.Column("outcome_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["anomaly_id"], ["anomalies.id"], name="fk_recommendations_anomaly_id"),
        sa.ForeignKeyConstraint(["analysis_id"], ["correlation_analyses.id"], name="fk_recommendations_analysis_id"),
        sa.ForeignKeyConstraint(["requested_by_id"], ["users.id"], name="fk_recommendations_requested_by_id"),
        sa.PrimaryKeyConstraint("id", name="pk_recommendations"),
    )
    op.create_index("ix_recommendations_created_at_id", "recommendations", ["created_at", "id"])
    op.create_index(
        "ix_recommendations_anomaly_id_created_at_id", "recommendations", ["anomaly_id", "created_at", "id"]
    )
    op.create_index("ix_recommendations_analysis_id_rank_score", "recommendations", ["analysis_id", "rank_score"])
    op.create_index("ix_recommendations_tags", "recommendations", ["tags"], postgresql_using="gin")
    op.create_index(
        "uq_recommendations_one_of_each",
        "recommendations",
        ["subject_id", "action", "target_kind", "target_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("superseded_at IS NULL"),
    )
    op.create_index(
        "ix_recommendations_tried",
        "recommendations",
        ["action", "root_cause", "target_kind", "target_id", "outcome"],
        postgresql_where=sa.text(TRIED),
    )
    op.execute(
        """CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE EXCEPTION 'entries of % are only ever added', TG_TABLE_NAME; END $$"""
    )
    op.execute(
        """CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
           FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"""
    )


def _enum(name: str, of: str, *values: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.Enum(*values, name=of, native_enum=False, length=32), nullable=nullable)


def downgrade() -> None:
    op.execute("DROP TRIGGER append_only ON audit_entries")
    op.execute("DROP FUNCTION refuse_change()")
    op.drop_table("recommendations")
