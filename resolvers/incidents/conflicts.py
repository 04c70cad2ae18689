"""Locks incidents that somebody acts on, and says why an act is not possible: what happened first, and who did it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from resolvers.accounts.users import name_user
from resolvers.base.errors import Conflict
from resolvers.incidents.changes import IncidentChange
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.core import AuditEntry, User
from resolvers.store.tables.incidents import Incident, IncidentStatus

LED_TO: Final = {
    IncidentStatus.ACKNOWLEDGED: IncidentChange.ACKNOWLEDGED,
    IncidentStatus.MITIGATED: IncidentChange.MITIGATED,
    IncidentStatus.RESOLVED: IncidentChange.RESOLVED,
}


async def lock_incidents(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, Incident]:
    """Returns the incidents that there are, by id and in this order, locked until the transaction ends.

    Anomalies are locked after their incident. Rows that only refer to an incident may be written meanwhile.
    """
    query = select(Incident).where(is_among(Incident.id, set(ids))).order_by(Incident.id)
    rows = await session.scalars(query.with_for_update(key_share=True))
    return {row.id: row for row in rows}


async def find_conflicts(
    session: AsyncSession, rows: Sequence[Incident], allowed: Collection[IncidentStatus], by: int | None
) -> dict[UUID, Conflict]:
    """Returns why those that were merged, or have another status than allowed, cannot be acted upon. by: who asks."""
    merged = [row for row in rows if row.merged_into_id is not None]
    others = [row for row in rows if row.merged_into_id is None and row.status not in allowed]
    survivors = await _find_survivors(session, [row.id for row in merged]) if merged else {}
    actors = await _find_actors(session, others, by) if others else {}
    return {row.id: _tell_of_survivor(survivors[row.id]) for row in merged} | {
        row.id: Conflict(_describe(row.status, actors.get(row.id))) for row in others
    }


async def check_status(
    session: AsyncSession, rows: Sequence[Incident], allowed: Collection[IncidentStatus], by: int | None
) -> None:
    """Raises Conflict where one of them cannot be acted upon, see `find_conflicts`."""
    for conflict in (await find_conflicts(session, rows, allowed, by)).values():
        raise conflict


def _tell_of_survivor(survivor: Incident) -> Conflict:
    message = f"This incident was merged into “{survivor.title}”. Act on that one instead."
    return Conflict(message, instead=(Incident.__name__, survivor.id))


def _describe(status: IncidentStatus, actor: str | None) -> str:
    if status is IncidentStatus.OPEN:
        return "This incident is not resolved."
    by = f" by {actor}" if actor else ""
    then = " Reopen it first." if status is IncidentStatus.RESOLVED else ""
    return f"This incident is already {status.lower()}{by}.{then}"


async def _find_survivors(session: AsyncSession, ids: Sequence[UUID]) -> Mapping[UUID, Incident]:
    """Returns what each incident was merged into: a survivor was merged nowhere itself."""
    survivor = aliased(Incident)
    query = select(Incident.id, survivor).join(survivor, survivor.id == Incident.merged_into_id)
    rows = await session.execute(query.where(is_among(Incident.id, ids)))
    return {id: row for id, row in rows.all()}  # noqa: C416  a row is no pair to the type checker


async def _find_actors(session: AsyncSession, rows: Sequence[Incident], by: int | None) -> dict[UUID, str]:
    """Returns who brought each incident into its status, if it was a person."""
    actions = {row.id: LED_TO[row.status] for row in rows if row.status in LED_TO}
    query: Any = (
        select(AuditEntry, User)
        .join(User, User.id == AuditEntry.by_id, isouter=True)
        .where(is_among(AuditEntry.subject_id, actions), AuditEntry.action.in_(set(actions.values())))
        .order_by(AuditEntry.at, AuditEntry.id)
    )
    latest = {
        entry.subject_id: user
        for entry, user in (await session.execute(query)).all()
        if entry.action == actions[entry.subject_id]
    }
    return {id: "you" if user.id == by else name_user(user) for id, user in latest.items() if user is not None}
