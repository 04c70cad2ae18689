"""From where each sign-in came, as a keyed hash; and e-mail addresses in one spelling each."""

import sqlalchemy as sa
from alembic import op

from resolvers.accounts.addresses import normalise

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sign_ins", sa.Column("network", sa.LargeBinary()))
    op.create_index("ix_sign_ins_user_id_network", "sign_ins", ["user_id", "network"])
    op.drop_index("ix_sign_ins_user_id", "sign_ins")
    _normalise_addresses()


def _normalise_addresses() -> None:
    """Where that is possible and free: never two accounts in one. Others are still found as they were typed."""
    connection = op.get_bind()
    taken = set(connection.scalars(sa.text("SELECT email FROM users")))
    for email in sorted(email for email in taken if not email.isascii()):
        try:
            normal = normalise(email)
        except ValueError:
            continue
        if normal not in taken:
            change = sa.text("UPDATE users SET email = :normal WHERE email = :email")
            connection.execute(change, {"normal": normal, "email": email})
            taken.add(normal)


def downgrade() -> None:
    op.create_index("ix_sign_ins_user_id", "sign_ins", ["user_id"])
    op.drop_index("ix_sign_ins_user_id_network", "sign_ins")
    op.drop_column("sign_ins", "network")
