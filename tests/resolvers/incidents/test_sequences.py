"""Whatever two operators do at the same time, incidents stay in order, and their timelines tell all of it."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from ml.catalogue.metrics import Direction, TargetKind
from ml.detection.episodes import Severity
from resolvers.base.access import Caller
from resolvers.base.errors import ClientError
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.incidents import regrouping, workflow
from resolvers.incidents.summary import refresh_summaries
from resolvers.incidents.workflow import Outcome
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Anomaly, AnomalyStatus, AuditEntry, Event, User
from resolvers.store.tables.incidents import Incident, IncidentLink, IncidentStatus
from tests.helpers.support import NOW, ago

INCIDENTS, OF_EACH = 4, 3
Step = tuple[str, int, int, int]
Told = Counter[tuple[UUID, str]]

SINGLE: Final = ("acknowledge", "assign", "comment", "snooze", "mitigate", "resolve", "reopen")
STEPS = st.lists(
    st.tuples(
        st.sampled_from([*SINGLE, "merge", "split", "bulk"]), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)
    ),
    max_size=8,
)
ACTIONS: Final = {
    "acknowledge": "ACKNOWLEDGED",
    "assign": "ASSIGNED",
    "comment": "COMMENTED",
    "snooze": "SNOOZED",
    "mitigate": "MITIGATED",
    "resolve": "RESOLVED",
    "reopen": "REOPENED",
    "bulk": "RESOLVED",
}


class Operator:
    """Does what the steps say, and remembers what should have been told of it."""

    def __init__(self, services: Services, user: int, incidents: list[UUID], anomalies: list[UUID]) -> None:
        self.services, self.user = services, user
        self.incidents, self.anomalies = incidents, anomalies
        self.told: Told = Counter()

    async def follow(self, steps: list[Step]) -> None:
        for name, *numbers in steps:
            first, second, third = (self.incidents[number % len(self.incidents)] for number in numbers)
            try:
                await self._do(name, first, second, third, numbers)
            except ClientError:
                continue

    async def _do(self, name: str, first: UUID, second: UUID, third: UUID, numbers: list[int]) -> None:
        context = Context(self.services, Caller(self.user, Role.OPERATOR))
        if name == "merge":
            survivor = await regrouping.merge(context, first, [second, third], None)
            self.told.update((id, "MERGED") for id in {survivor.id, second, third})
        elif name == "split":
            chosen = [self.anomalies[number % len(self.anomalies)] for number in numbers[1:]]
            other = await regrouping.split(context, first, chosen, None)
            self.incidents.append(other.id)
            self.told.update([(first, "SPLIT"), (other.id, "OPENED"), (other.id, "SPLIT")])
        else:
            outcomes = await self._act(context, name, [first, second] if name == "bulk" else [first])
            done = {outcome.id for outcome in outcomes if isinstance(outcome, Incident)}
            self.told.update((id, ACTIONS[name]) for id in done)

    async def _act(self, context: Context, name: str, ids: list[UUID]) -> list[Outcome]:
        given: dict[str, tuple[Any, ...]] = {
            "assign": (self.user, None),
            "comment": ("Umbrella",),
            "snooze": (context.now + timedelta(hours=1), None),
        }
        act = getattr(workflow, "resolve" if name == "bulk" else name)
        outcomes: list[Outcome] = await act(context, ids, *given.get(name, (None,)))
        return outcomes


async def begin(services: Services) -> tuple[list[UUID], list[UUID], list[int]]:
    """Incidents with anomalies, and two operators; nothing else."""
    incidents = [uuid7() for _ in range(INCIDENTS)]
    anomalies = [uuid7() for _ in range(INCIDENTS * OF_EACH)]
    async with services.database.write() as session:
        for table in (Event, Anomaly, IncidentLink, Incident):
            await session.execute(delete(table))
        users = list(await session.scalars(select(User).limit(2)))
        if not users:
            users = [User(email=f"{name}@example.com", role=Role.OPERATOR, password_hash="") for name in ("ada", "bob")]
            session.add_all(users)
        times = {"started_at": NOW, "detected_at": NOW, "announced_at": NOW, "last_changed_at": NOW}
        rows = [Incident(id=id, severity=Severity.LOW, title=str(id), **times) for id in incidents]
        session.add_all(rows)
        await session.flush()
        session.add_all(make_anomaly(id, number, incidents[number % INCIDENTS]) for number, id in enumerate(anomalies))
        await refresh_summaries(session, rows)
    return incidents, anomalies, [user.id for user in users]


def make_anomaly(id: UUID, number: int, incident: UUID) -> Anomaly:
    return Anomaly(
        id=id,
        kind=TargetKind.LINK,
        target_id=number + 1,
        direction=Direction.OB,
        status=AnomalyStatus.OPEN,
        severity=list(Severity)[number % 4],
        score=0.5,
        confidence=0.5,
        model_version="1.0.0",
        started_at=ago(minutes=number),
        last_seen_at=NOW,
        contributions=[],
        incident_id=incident,
    )


def replay(actions: list[str]) -> IncidentStatus:
    """The status that a timeline leads to. Fails for what is not allowed."""
    status = IncidentStatus.OPEN
    for action in actions:
        if action == "REOPENED":
            assert status is IncidentStatus.RESOLVED
            status = IncidentStatus.OPEN  # or ACKNOWLEDGED, where it has an owner
            continue
        assert status is not IncidentStatus.RESOLVED or action in {"MERGED", "COMMENTED"}
        if action == "ACKNOWLEDGED":
            assert status is IncidentStatus.OPEN
        if action == "MITIGATED":
            assert status is not IncidentStatus.MITIGATED
        if action in {"ACKNOWLEDGED", "MITIGATED", "RESOLVED"}:
            status = IncidentStatus(action)
    return status


def check_status(row: Incident, actions: list[str]) -> None:
    replayed = replay(actions)
    if row.merged_into_id is not None:
        assert (row.status, actions[-1]) == (IncidentStatus.RESOLVED, "MERGED")
    elif replayed is IncidentStatus.OPEN and "REOPENED" in actions:
        assert row.status in {IncidentStatus.OPEN, IncidentStatus.ACKNOWLEDGED}
    else:
        assert row.status is replayed


async def check(services: Services, told: Told) -> None:
    async with services.database.read() as session:
        incidents = {row.id: row for row in await session.scalars(select(Incident))}
        anomalies = list(await session.scalars(select(Anomaly)))
        ordered = select(AuditEntry).order_by(AuditEntry.id)
        entries = [entry for entry in await session.scalars(ordered) if entry.subject_id in incidents]
        events = list(await session.scalars(select(Event).where(Event.topic == "incident")))
    assert Counter((entry.subject_id, entry.action) for entry in entries) == told
    assert Counter((UUID(event.subject), event.change) for event in events) == told
    assert len(anomalies) == INCIDENTS * OF_EACH
    for anomaly in anomalies:
        assert anomaly.incident_id is not None
        assert incidents[anomaly.incident_id].merged_into_id is None
    for row in incidents.values():
        if row.merged_into_id is not None:
            assert incidents[row.merged_into_id].merged_into_id is None
        own = [anomaly for anomaly in anomalies if anomaly.incident_id == row.id]
        assert bool(own) == (row.merged_into_id is None)
        if own:
            assert row.started_at == min(anomaly.started_at for anomaly in own)
            assert (row.ended_at is None) == any(anomaly.ended_at is None for anomaly in own)
        if row.status is IncidentStatus.RESOLVED:
            assert all(anomaly.status is AnomalyStatus.RESOLVED for anomaly in own)
        check_status(row, [entry.action for entry in entries if entry.subject_id == row.id])


@given(ones=STEPS, others=STEPS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_two_operators_do_incidents_stay_in_order(
    services: Services, ones: list[Step], others: list[Step]
) -> None:
    incidents, anomalies, users = await begin(services)
    first, second = (Operator(services, user, incidents, anomalies) for user in users)

    await asyncio.gather(first.follow(ones), second.follow(others))

    await check(services, first.told + second.told)
