"""Trainings in the background: what was asked for, how far they are, what became of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    statuses = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED")
    op.create_table(
        "training_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("version_name", sa.String(length=100), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("window_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Enum(*statuses, name="trainingstatus", native_enum=False, length=32), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("started_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["started_by_id"], ["users.id"], name="fk_training_runs_started_by_id"),
        sa.ForeignKeyConstraint(["version_id"], ["model_versions.id"], name="fk_training_runs_version_id"),
        sa.PrimaryKeyConstraint("id", name="pk_training_runs"),
    )
    op.create_index(
        "uq_training_runs_one_unfinished",
        "training_runs",
        ["model"],
        unique=True,
        postgresql_where=sa.text("status IN ('QUEUED', 'RUNNING')"),
    )


def downgrade() -> None:
    op.drop_table("training_runs")
