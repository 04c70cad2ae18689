"""What each stream is like, learned from its history, and what is remembered of its newest samples."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("streams", sa.Column("memory", sa.LargeBinary()))
    op.add_column("streams", sa.Column("profile", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "profiles",
        sa.Column("target_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "kind", sa.Enum("NETWORK", "SITE", "LINK", name="targetkind", native_enum=False, length=32), nullable=False
        ),
        sa.Column("direction", sa.String(2), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("model_version", sa.String(100), nullable=False),
        sa.Column("learned_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("content", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("target_id", "kind", "direction", name="pk_profiles"),
    )
    # Detectors from before cannot be loaded any more; without a champion the next start trains one.
    op.execute("DELETE FROM champions WHERE model IN ('anomaly_network', 'anomaly_site', 'anomaly_link')")


def downgrade() -> None:
    op.drop_table("profiles")
    op.drop_column("streams", "profile")
    op.drop_column("streams", "memory")
