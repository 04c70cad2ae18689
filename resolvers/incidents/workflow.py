"""What people do about incidents: they acknowledge, assign, comment, snooze, mitigate, resolve and reopen them.

Each act takes many incidents in one transaction, and returns for each the incident or why it could not be done.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.accounts.users import name_user
from resolvers.base.errors import ClientError, InvalidInput, NotFound
from resolvers.base.roles import Role
from resolvers.base.texts import is_blank
from resolvers.context import Context
from resolvers.incidents.anomalies import reopen_lasting, resolve_open
from resolvers.incidents.changes import IncidentChange, publish_changes, record_change
from resolvers.incidents.conflicts import find_conflicts, lock_incidents
from resolvers.incidents.summary import refresh_summaries
from resolvers.store.tables.core import User
from resolvers.store.tables.incidents import Incident, IncidentStatus

LARGEST_BULK: Final = 200  # incidents of one act
LONGEST_SNOOZE: Final = timedelta(days=366)  # a mistyped year would hide an incident for good
ANY_STATUS: Final = frozenset(IncidentStatus)
UNRESOLVED: Final = ANY_STATUS - {IncidentStatus.RESOLVED}

Outcome: TypeAlias = Incident | ClientError
FollowUp: TypeAlias = Callable[[AsyncSession, Sequence[Incident]], Awaitable[None]]


@dataclass(frozen=True)
class Act:
    """What is done to an incident.

    allowed: the statuses in which it may be done. apply: changes the row. follow_up: changes what belongs to the rows.
    """

    change: IncidentChange
    allowed: frozenset[IncidentStatus]
    apply: Callable[[Incident], None]
    follow_up: FollowUp | None = None
    note: str | None = None
    details: str | None = None


async def acknowledge(context: Context, ids: Sequence[UUID], note: str | None) -> list[Outcome]:
    """Tells colleagues that the caller is on it: makes the caller the owner."""
    caller = context.require(Role.OPERATOR, "acknowledge incidents")

    def take(incident: Incident) -> None:
        incident.status, incident.owner_id = IncidentStatus.ACKNOWLEDGED, caller.author_id

    allowed = frozenset({IncidentStatus.OPEN})
    return await _do(context, caller.author_id, ids, Act(IncidentChange.ACKNOWLEDGED, allowed, take, note=note))


async def assign(context: Context, ids: Sequence[UUID], owner_id: int | None, note: str | None) -> list[Outcome]:
    """Gives incidents to somebody, or with None to nobody. Raises InvalidInput for who cannot work on them."""
    caller = context.require(Role.OPERATOR, "assign incidents")

    def give(incident: Incident) -> None:
        incident.owner_id = owner_id

    async with context.database.write() as session:
        details = "To nobody." if owner_id is None else f"To {await _find_owner(session, owner_id)}."
        act = Act(IncidentChange.ASSIGNED, UNRESOLVED, give, note=note, details=details)
        return await _do_within(session, context.now, caller.author_id, ids, act)


async def _find_owner(session: AsyncSession, owner_id: int) -> str:
    """Returns the name of a user who may work on incidents, and keeps them from changing meanwhile."""
    owner = await session.get(User, owner_id, with_for_update={"read": True})
    if owner is None:
        raise InvalidInput("There is no such user.", ["owner"])
    if not owner.is_active:
        raise InvalidInput(f"{name_user(owner)} is deactivated. Assign it to somebody else.", ["owner"])
    if owner.role.rank < Role.OPERATOR.rank:
        raise InvalidInput(f"{name_user(owner)} only reads. Assign it to an operator or an admin.", ["owner"])
    return name_user(owner)


async def comment(context: Context, ids: Sequence[UUID], note: str) -> list[Outcome]:
    """Adds a comment to the timeline, of resolved incidents too. Raises InvalidInput for an empty one."""
    caller = context.require(Role.OPERATOR, "comment on incidents")
    if is_blank(note):
        raise InvalidInput("A comment must not be empty.", ["note"])
    return await _do(
        context, caller.author_id, ids, Act(IncidentChange.COMMENTED, ANY_STATUS, lambda _: None, note=note)
    )


async def snooze(context: Context, ids: Sequence[UUID], until: datetime | None, note: str | None) -> list[Outcome]:
    """Snoozes incidents until a time or until they get worse; None wakes them up.

    Raises InvalidInput for a time that has passed, or is more than a year ahead.
    """
    caller = context.require(Role.OPERATOR, "snooze incidents")
    if until is not None and until <= context.now:
        raise InvalidInput("This time has passed. Snooze until a later one, or wake it up with null.", ["until"])
    if until is not None and until > context.now + LONGEST_SNOOZE:
        raise InvalidInput("Snooze it for a year at most. To be done with it, resolve it.", ["until"])

    def sleep(incident: Incident) -> None:
        incident.snoozed_until = until

    details = "Woken up." if until is None else f"Until {until:%Y-%m-%d %H:%M} UTC."
    act = Act(IncidentChange.SNOOZED, UNRESOLVED, sleep, note=note, details=details)
    return await _do(context, caller.author_id, ids, act)


async def mitigate(context: Context, ids: Sequence[UUID], note: str | None) -> list[Outcome]:
    """Says that incidents hurt less, but are not solved yet."""
    caller = context.require(Role.OPERATOR, "mitigate incidents")

    def soften(incident: Incident) -> None:
        incident.status = IncidentStatus.MITIGATED

    allowed = UNRESOLVED - {IncidentStatus.MITIGATED}
    return await _do(context, caller.author_id, ids, Act(IncidentChange.MITIGATED, allowed, soften, note=note))


async def resolve(context: Context, ids: Sequence[UUID], note: str | None) -> list[Outcome]:
    """Ends incidents with their anomalies; these do not come back while what they were about only lasts."""
    caller = context.require(Role.OPERATOR, "resolve incidents")

    def end(incident: Incident) -> None:
        incident.status, incident.snoozed_until, incident.due_at = IncidentStatus.RESOLVED, None, None
        incident.ended_at = incident.ended_at or context.now

    async def end_anomalies(session: AsyncSession, incidents: Sequence[Incident]) -> None:
        await resolve_open(session, [incident.id for incident in incidents], context.now, caller.author_id)
        await refresh_summaries(session, incidents)

    act = Act(IncidentChange.RESOLVED, UNRESOLVED, end, end_anomalies, note)
    return await _do(context, caller.author_id, ids, act)


async def reopen(context: Context, ids: Sequence[UUID], note: str | None) -> list[Outcome]:
    """Takes resolved incidents up again, with those of their anomalies that still last."""
    caller = context.require(Role.OPERATOR, "reopen incidents")

    def take_up(incident: Incident) -> None:
        incident.status = IncidentStatus.OPEN if incident.owner_id is None else IncidentStatus.ACKNOWLEDGED
        incident.reopened_count += 1
        incident.is_historical, incident.announced_at = False, incident.announced_at or context.now

    async def reopen_anomalies(session: AsyncSession, incidents: Sequence[Incident]) -> None:
        await reopen_lasting(session, [incident.id for incident in incidents], context.now, caller.author_id)
        await refresh_summaries(session, incidents)

    allowed = frozenset({IncidentStatus.RESOLVED})
    act = Act(IncidentChange.REOPENED, allowed, take_up, reopen_anomalies, note)
    return await _do(context, caller.author_id, ids, act)


# ---------------------------------------------------------------- doing it


async def _do(context: Context, by: int | None, ids: Sequence[UUID], act: Act) -> list[Outcome]:
    async with context.database.write() as session:
        return await _do_within(session, context.now, by, ids, act)


async def _do_within(
    session: AsyncSession, now: datetime, by: int | None, ids: Sequence[UUID], act: Act
) -> list[Outcome]:
    rows = await lock_incidents(session, ids)
    conflicts = await find_conflicts(session, list(rows.values()), act.allowed, by)
    changed = [row for id, row in rows.items() if id not in conflicts]
    for row in changed:
        act.apply(row)
    if act.follow_up and changed:
        await act.follow_up(session, changed)
    for row in changed:
        record_change(session, row, act.change, now, by, act.note, act.details)
    await session.flush()
    await publish_changes(session, [(act.change, row) for row in changed])
    return [conflicts.get(id) or rows.get(id) or NotFound("incident") for id in ids]


def get_only(outcomes: Sequence[Outcome]) -> Incident:
    """Returns the incident of an act on a single one. Raises NotFound, Conflict."""
    [outcome] = outcomes
    if isinstance(outcome, ClientError):
        raise outcome
    return outcome
