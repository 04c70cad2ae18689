"""Analyses of root causes, and which of them explains an anomaly."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    scopes = ("NETWORK", "HUB_ANTENNA", "SATELLITE", "LINK")
    kinds = ("NETWORK", "SITE", "LINK")
    op.create_table(
        "correlation_analyses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Enum(*scopes, name="analysisscope", native_enum=False, length=32), nullable=False),
        sa.Column("satellite_id", sa.Integer(), nullable=True),
        sa.Column("target_kind", sa.Enum(*kinds, name="targetkind", native_enum=False, length=32), nullable=True),
        sa.Column("target_id", sa.Integer(), nullable=True),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("requested_by_id", sa.Integer(), nullable=True),
        sa.Column("patterns", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("correlation_score", sa.Double(), nullable=False),
        sa.Column("links_analyzed", sa.Integer(), nullable=False),
        sa.Column("links_compared", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.Column("model_version", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(["satellite_id"], ["satellites.id"], name="fk_correlation_analyses_satellite_id"),
        sa.ForeignKeyConstraint(["requested_by_id"], ["users.id"], name="fk_correlation_analyses_requested_by_id"),
        sa.PrimaryKeyConstraint("id", name="pk_correlation_analyses"),
    )
    op.create_index("ix_correlation_analyses_scope_id", "correlation_analyses", ["scope", "id"])
    op.create_index("ix_correlation_analyses_created_at", "correlation_analyses", ["created_at"])
    op.add_column("anomalies", sa.Column("analysis_id", sa.Uuid(), nullable=True))
    op.create_foreign_key("fk_anomalies_analysis_id", "anomalies", "correlation_analyses", ["analysis_id"], ["id"])


def downgrade() -> None:
    op.drop_column("anomalies", "analysis_id")
    op.drop_table("correlation_analyses")
