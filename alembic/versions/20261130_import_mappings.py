"""Saved mappings of files' columns."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "import_mappings",
        sa.Column(
            "kind", sa.Enum("NETWORK", "SITE", "LINK", name="targetkind", native_enum=False, length=32), nullable=False
        ),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("columns", JSONB, nullable=False),
        sa.Column("decimal", sa.String(1)),
        sa.Column("time_zone", sa.String(100)),
        sa.Column("time_unit", sa.String(2)),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_import_mappings"),
    )


def downgrade() -> None:
    op.drop_table("import_mappings")
