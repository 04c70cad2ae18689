"""What is known of a model's version in columns, what it measured, who promoted it, and sensitivities."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DESCRIBED = {
    "size_bytes": sa.Integer(),
    "algorithm": sa.String(),
    "features": sa.ARRAY(sa.String()),
    "hyperparameters": postgresql.JSONB(astext_type=sa.Text()),
    "seed": sa.BigInteger(),
    "training_samples": sa.Integer(),
}


def upgrade() -> None:
    _describe_versions()
    op.create_table(
        "model_metrics",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["model_versions.id"], name="fk_model_metrics_version_id"),
        sa.PrimaryKeyConstraint("id", name="pk_model_metrics"),
    )
    op.create_index(
        "ix_model_metrics_version_id_name_dataset_id", "model_metrics", ["version_id", "name", "dataset", "id"]
    )
    actions = sa.Enum("IMPORTED", "PROMOTED", "ROLLED_BACK", name="modelaction", native_enum=False, length=32)
    op.create_table(
        "promotions",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("action", actions, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("by_id", sa.Integer(), nullable=True),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["version_id"], ["model_versions.id"], name="fk_promotions_version_id"),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name="fk_promotions_by_id"),
        sa.PrimaryKeyConstraint("id", name="pk_promotions"),
    )
    op.create_index("ix_promotions_model_id", "promotions", ["model", "id"])
    op.create_index("ix_promotions_version_id", "promotions", ["version_id"])
    # Until now every version was promoted as soon as it was trained.
    op.execute(
        "INSERT INTO promotions (model, version_id, action, at, forced)"
        " SELECT model, id, 'PROMOTED', trained_at, false FROM model_versions ORDER BY id"
    )
    op.create_table(
        "sensitivities",
        sa.Column(
            "kind", sa.Enum("NETWORK", "SITE", "LINK", name="targetkind", native_enum=False, length=32), nullable=False
        ),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("set_by_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["set_by_id"], ["users.id"], name="fk_sensitivities_set_by_id"),
        sa.PrimaryKeyConstraint("kind", name="pk_sensitivities"),
    )


def _describe_versions() -> None:
    """New columns, filled for the versions that are there from their `details` and artefacts."""
    for name, of in DESCRIBED.items():
        op.add_column("model_versions", sa.Column(name, of, nullable=True))
    op.execute(
        "UPDATE model_versions SET size_bytes = octet_length(artefact),"
        " algorithm = coalesce(details->>'algorithm', 'unknown'),"
        " features = ARRAY(SELECT jsonb_array_elements_text(coalesce(details->'features', '[]'))),"
        " hyperparameters = coalesce(details->'hyperparameters', '{}'),"
        " seed = coalesce((details->>'seed')::bigint, 1),"
        " training_samples = coalesce((details->'trained_on'->>'rows')::integer, 0),"
        " details = details - ARRAY['algorithm', 'features', 'hyperparameters', 'seed']"
    )
    for name in DESCRIBED:
        op.alter_column("model_versions", name, nullable=False)
    op.add_column("model_versions", sa.Column("trained_by_id", sa.Integer(), nullable=True))
    op.add_column("model_versions", sa.Column("parent_id", sa.Integer(), nullable=True))
    op.create_foreign_key("fk_model_versions_trained_by_id", "model_versions", "users", ["trained_by_id"], ["id"])
    op.create_foreign_key("fk_model_versions_parent_id", "model_versions", "model_versions", ["parent_id"], ["id"])


def downgrade() -> None:
    for table in ("sensitivities", "promotions", "model_metrics"):
        op.drop_table(table)
    op.execute(
        "UPDATE model_versions SET details = details || jsonb_build_object('algorithm', algorithm,"
        " 'features', to_jsonb(features), 'hyperparameters', hyperparameters, 'seed', seed)"
    )
    for name in ("parent_id", "trained_by_id", *reversed(DESCRIBED)):
        op.drop_column("model_versions", name)
