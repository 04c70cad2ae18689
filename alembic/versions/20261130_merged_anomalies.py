"""Anomalies that late samples show to be part of another one, or none."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("anomalies", sa.Column("merged_into_id", sa.Uuid(), nullable=True))
    op.add_column("anomalies", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))
    op.create_foreign_key("fk_anomalies_merged_into_id", "anomalies", "anomalies", ["merged_into_id"], ["id"])
    is_merged = sa.text("merged_into_id IS NOT NULL")
    op.create_index("ix_anomalies_merged", "anomalies", ["merged_into_id"], postgresql_where=is_merged)


def downgrade() -> None:
    op.drop_index("ix_anomalies_merged", "anomalies")
    op.drop_constraint("fk_anomalies_merged_into_id", "anomalies", type_="foreignkey")
    op.drop_column("anomalies", "withdrawn_at")
    op.drop_column("anomalies", "merged_into_id")
