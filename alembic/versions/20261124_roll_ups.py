"""Roll-ups of samples, which hours of each stream they do not tell the truth of yet, and what was stored just now."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


METRICS = {
    "network": ("bandwidth_mbps", "packet_loss_pct", "latency_ms", "error_rate", "connections"),
    "site": (
        "response_time_ms",
        "error_rate",
        "uptime_pct",
        "cpu_pct",
        "memory_pct",
        "request_count",
        "error_count",
    ),
    "link": (
        "throughput_mbps",
        "utilization_pct",
        "errors",
        "discards",
        "uptime_pct",
        "esno_db",
        "rx_level_dbm",
        "tx_power_dbm",
        "latency_ms",
        "jitter_ms",
        "packet_loss_pct",
        "grade",
    ),
}


class Xid8(sa.types.UserDefinedType[int]):
    def get_col_spec(self, **_: object) -> str:
        return "xid8"


PARTS = (
    ("n", sa.Integer()),
    ("mean", sa.REAL()),
    ("min", sa.REAL()),
    ("max", sa.REAL()),
    ("quantiles", sa.ARRAY(sa.REAL())),
)


def upgrade() -> None:
    for kind, metrics in METRICS.items():
        direction = [sa.Column("direction", sa.String(length=2), nullable=False)] if kind == "link" else []
        op.create_table(
            f"{kind}_rollups",
            sa.Column(f"{kind}_id", sa.Integer(), nullable=False),
            *direction,
            sa.Column("seconds", sa.Integer(), nullable=False),
            sa.Column("at", sa.DateTime(timezone=True), nullable=False),
            *(sa.Column(f"{metric}_{part}", of, nullable=True) for metric in metrics for part, of in PARTS),
            sa.PrimaryKeyConstraint(
                f"{kind}_id", *(column.name for column in direction), "seconds", "at", name=f"pk_{kind}_rollups"
            ),
            postgresql_partition_by="RANGE (at)",
        )
    op.add_column("streams", sa.Column("unrolled", postgresql.TSTZMULTIRANGE(), nullable=True))
    op.execute("ALTER TABLE streams SET (fillfactor = 50)")
    op.execute(
        "UPDATE streams SET centre = array_replace(centre, NULL, 'NaN'), spread = array_replace(spread, NULL, 'NaN')"
    )
    op.create_table(
        "stored_batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("transaction_id", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("links", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("directions", sa.ARRAY(sa.String(length=2)), nullable=False),
        sa.Column("samples", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("times", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stored_batches"),
    )
    op.create_index("ix_stored_batches_transaction_id", "stored_batches", ["transaction_id"])
    op.create_index("ix_stored_batches_stored_at", "stored_batches", ["stored_at"])
    # What was stored before there were roll-ups; hours in which nothing was stored cost nothing.
    op.execute(
        "UPDATE streams SET unrolled = tstzmultirange(tstzrange("
        "date_trunc('hour', first, 'UTC'), date_trunc('hour', last_at, 'UTC') + interval '1 hour'))"
        " FROM (SELECT link_id AS target, 'LINK' AS kind, direction AS way, min(at) AS first FROM link_samples"
        " GROUP BY 1, 3 UNION ALL SELECT network_id, 'NETWORK', '', min(at) FROM network_samples GROUP BY 1"
        " UNION ALL SELECT site_id, 'SITE', '', min(at) FROM site_samples GROUP BY 1) AS stored"
        " WHERE target_id = stored.target AND streams.kind = stored.kind AND streams.direction = stored.way"
    )


def downgrade() -> None:
    op.drop_table("stored_batches")
    op.execute("ALTER TABLE streams RESET (fillfactor)")
    op.drop_column("streams", "unrolled")
    for kind in reversed(METRICS):
        op.drop_table(f"{kind}_rollups")
