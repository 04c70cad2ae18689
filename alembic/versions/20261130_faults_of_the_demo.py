"""The demo's faults without their direction and variant: nothing reads these columns, as `specification` has both."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("demo_faults", "variant")
    op.drop_column("demo_faults", "direction")


def downgrade() -> None:
    direction = sa.Enum("IB", "OB", name="direction", native_enum=False, length=32)
    op.add_column("demo_faults", sa.Column("direction", direction))
    op.add_column("demo_faults", sa.Column("variant", sa.String(length=40)))
    op.execute(
        "UPDATE demo_faults SET direction = specification->>'direction', variant = specification->>'variant'",
    )
