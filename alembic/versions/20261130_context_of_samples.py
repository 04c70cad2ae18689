"""MODCOD, symbol rate and beam of links, position and heading of sites: what samples may say, and nobody scores.

New columns are null in all rows that there are, so no table is rewritten.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SAMPLES = {
    "link_samples": {"modcod": sa.DOUBLE_PRECISION, "symbol_rate_ksps": sa.REAL, "beam": sa.DOUBLE_PRECISION},
    "site_samples": {"latitude_deg": sa.REAL, "longitude_deg": sa.REAL, "heading_deg": sa.REAL},
}


def upgrade() -> None:
    for table, columns in SAMPLES.items():
        for name, type in columns.items():
            op.add_column(table, sa.Column(name, type(), nullable=True))
    op.add_column("networks", sa.Column("symbol_rate_ksps", sa.Float(), nullable=True))
    op.add_column("links", sa.Column("beam", sa.String(100), nullable=True))


def downgrade() -> None:
    op.drop_column("links", "beam")
    op.drop_column("networks", "symbol_rate_ksps")
    for table, columns in SAMPLES.items():
        for name in columns:
            op.drop_column(table, name)
