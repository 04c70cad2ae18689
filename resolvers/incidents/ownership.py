"""Incidents of owners who cannot work on them any more: whoever was deactivated, or only reads now.

What is due follows from rows alone, so that it makes no difference who changed the user, or whether a process ran then.
"""

from typing import Final

from sqlalchemy import ColumnElement, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.accounts.users import name_user
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.incidents.changes import IncidentChange, publish_changes, record_change
from resolvers.incidents.conflicts import lock_incidents
from resolvers.store.tables.core import User
from resolvers.store.tables.incidents import Incident, IncidentStatus


async def release_incidents(context: Context) -> int:
    """Takes unresolved incidents from owners who cannot work on them any more, and tells so; returns how many.

    What was acknowledged is open again, as nobody is on it.
    """
    async with context.database.write() as session:
        owners = {user.id: user for user in await _find_unable(session)}
        released = [row for row in await _lock_unresolved(session, list(owners)) if row.owner_id in owners]
        for incident in released:
            owner = owners[incident.owner_id or 0]
            incident.owner_id = None
            if incident.status is IncidentStatus.ACKNOWLEDGED:
                incident.status = IncidentStatus.OPEN
            details = f"To nobody: {name_user(owner)} {'only reads now' if owner.is_active else 'is deactivated'}."
            record_change(session, incident, IncidentChange.ASSIGNED, context.now, details=details)
        await session.flush()
        await publish_changes(session, [(IncidentChange.ASSIGNED, incident) for incident in released])
    return len(released)


# Written out, not bound: only so does PostgreSQL see that the partial index holds them.
_IS_UNRESOLVED: Final[ColumnElement[bool]] = literal_column("incidents.status <> 'RESOLVED'")


async def _find_unable(session: AsyncSession) -> list[User]:
    """Returns the owners of unresolved incidents who cannot work on them."""
    cannot = or_(User.is_active.is_(False), User.role == Role.VIEWER)
    owners = select(Incident.owner_id).where(_IS_UNRESOLVED, Incident.owner_id.is_not(None))
    return list(await session.scalars(select(User).where(cannot, User.id.in_(owners))))


async def _lock_unresolved(session: AsyncSession, owners: list[int]) -> list[Incident]:
    """Returns the unresolved incidents of these owners, locked; some may have been given to somebody else meanwhile."""
    if not owners:
        return []
    ids = await session.scalars(select(Incident.id).where(_IS_UNRESOLVED, Incident.owner_id.in_(owners)))
    rows = (await lock_incidents(session, ids)).values()
    return [row for row in rows if row.status is not IncidentStatus.RESOLVED]
