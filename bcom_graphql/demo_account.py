"""The demo's account: an ADMIN whose password everybody knows, so it lives only as long as the demo does."""

from typing import Final

import structlog
from sqlalchemy import exists, select

from resolvers.accounts import users
from resolvers.base.access import SYSTEM
from resolvers.base.errors import Conflict
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.store.tables.core import Link, User

EMAIL: Final = "noc@example.com"
PASSWORD: Final = "demo-password"  # noqa: S105  printed at the start, and in docs/tutorial.md

logger = structlog.get_logger(__name__)


async def move_in(services: Services) -> None:
    """Makes the account, or lets it in again. Raises Conflict where the database is not the demo's."""
    async with services.database.read() as session:
        known = await session.scalar(select(User).filter_by(email=EMAIL))
        is_used = await users.has_users(session) or await session.scalar(select(exists(select(Link))))
    if known is None and is_used:
        raise Conflict(
            "This database is in use already, and not by the demo: it would get an ADMIN with a password that everybody"
            " knows. Point DATABASE_URL (or DATA_FOLDER) to an empty one, or leave out --demo."
        )
    if known is None:
        await users.add_user(Context(services, SYSTEM), EMAIL, PASSWORD, "Demo operator", Role.ADMIN)
    elif not known.is_active:
        await users.update_user(Context(services, SYSTEM), known.id, None, Role.ADMIN, is_active=True)


async def move_out(services: Services) -> None:
    """Deactivates the account where it still has the demo's password, ends its sessions and revokes its keys."""
    context = Context(services, SYSTEM)
    async with services.database.read() as session:
        known = await session.scalar(select(User).filter_by(email=EMAIL, is_active=True))
    if known is None or not await services.passwords.match(PASSWORD, known.password_hash):
        return
    async with services.database.write() as session:
        user = await session.get_one(User, known.id, with_for_update=True)
        await users.deactivate(context, session, user)
    logger.warning(
        "the demo's account is deactivated, as everybody knows its password; its sessions are ended and its API keys"
        " revoked",
        email=EMAIL,
    )
