"""Which anomalies are of one fault: by patterns, by place, and what stays of the incidents that people know."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from ml.catalogue.metrics import Direction, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from resolvers.incidents.evidence import LiveAnomaly
from resolvers.incidents.partition import find_neighbourhoods, partition
from resolvers.incidents.reconciliation import LiveIncident, Plan, reconcile
from resolvers.store.tables.analysis_documents import Culprit, Pattern
from resolvers.store.tables.core import AnomalyCategory
from resolvers.store.tables.incidents import Incident, IncidentStatus
from tests.helpers.support import ago

HUB, SATELLITE = 900, 1
_order = count(1)


def anomaly(link: int, *, network: int = 1, started: datetime | None = None, **given: Any) -> LiveAnomaly:
    """Of a link, which ends at a remote of its own."""
    at = started or ago(minutes=5)
    values = {
        "id": UUID(int=next(_order)),
        "kind": TargetKind.LINK,
        "target_id": link,
        "direction": Direction.OB,
        "category": AnomalyCategory.DEVIATION,
        "severity": Severity.HIGH,
        "started_at": at,
        "last_seen_at": at,
        "ended_at": None,
        "detected_at": at,
        "incident_id": None,
        "is_historical": False,
        "links": frozenset([link]),
        "site": 1000 + link,
        "network": network,
        "hub": HUB + network,
        "transponder": (SATELLITE, f"KU-{network}"),
    }
    return LiveAnomaly(**(values | given))


def pattern(*links: int, culprit: Culprit | None = None, started: datetime | None = None, **given: Any) -> Pattern:
    values = {
        "cause": RootCause.EQUIPMENT_FAILURE,
        "culprit": culprit or Culprit(CulpritKind.NETWORK, 1),
        "description": "Something.",
        "severity": 0.8,
        "confidence": 0.9,
        "started_at": started or ago(minutes=5),
        "ended_at": None,
        "links": links,
        "directions": (Direction.OB,),
        "evidence": (),
        "hypotheses": (),
    }
    return Pattern(**(values | given))


def known(*members: LiveAnomaly, of: Pattern | None = None, ended: bool = False) -> LiveIncident:
    """An announced incident of these anomalies."""
    id = uuid4()
    incident = Incident(
        id=id,
        status=IncidentStatus.RESOLVED if ended else IncidentStatus.OPEN,
        started_at=min(member.started_at for member in members),
        announced_at=ago(minutes=4),
        ended_at=ago(minutes=1) if ended else None,
        pattern=of,
    )
    return LiveIncident(incident, tuple(replace(member, incident_id=id) for member in members))


def targets(plan: Plan) -> list[tuple[UUID | None, list[int]]]:
    """Where each part goes: the incident and the targets."""
    return [(each.incident, sorted(member.target_id for member in each.part.members)) for each in plan.assignments]


def test_anomalies_that_share_nothing_are_no_neighbours() -> None:
    near = [anomaly(1), anomaly(2)]
    far = anomaly(3, network=2)

    found = find_neighbourhoods([*near, far])

    assert sorted(len(each) for each in found) == [1, 2]


def test_a_pattern_s_links_are_one_part_and_the_others_go_by_their_remote() -> None:
    hit, both_ways = [anomaly(1), anomaly(2)], [anomaly(3), anomaly(3, direction=Direction.IB)]

    parts = partition([*hit, *both_ways], [pattern(1, 2, culprit=Culprit(CulpritKind.LINK, 1))])

    assert [len(part.members) for part in parts] == [2, 2]
    assert [part.pattern is None for part in parts] == [False, True]


def test_what_was_over_long_before_explains_nothing() -> None:
    over = pattern(1, started=ago(hours=14), ended_at=ago(hours=13))

    [part] = partition([anomaly(1)], [over])

    assert part.pattern is None


def test_the_pattern_that_began_with_the_anomaly_explains_it() -> None:
    drizzle, failure = pattern(1, 2, started=ago(hours=3)), pattern(1, 2, started=ago(minutes=5))

    parts = partition([anomaly(1), anomaly(2)], [drizzle, failure])

    assert [part.pattern for part in parts] == [failure]


def test_what_the_culprit_feeds_is_explained_by_it_without_being_named() -> None:
    network_level = anomaly(1, kind=TargetKind.NETWORK, target_id=1, links=frozenset(), site=None)

    [part] = partition([anomaly(1), network_level], [pattern(1, 2)])

    assert len(part.members) == 2


def test_a_late_anomaly_of_the_same_culprit_joins_its_incident() -> None:
    entry = known(anomaly(1), anomaly(2), of=pattern(1, 2))

    plan = reconcile(partition([anomaly(3)], [pattern(1, 2, 3)]), [entry])

    assert targets(plan) == [(entry.incident.id, [3])]


def test_a_fault_that_comes_back_is_the_same_incident() -> None:
    entry = known(anomaly(1), of=pattern(1, culprit=Culprit(CulpritKind.LINK, 1)), ended=True)

    plan = reconcile(partition([anomaly(1)], [pattern(1, culprit=Culprit(CulpritKind.LINK, 1))]), [entry])

    assert targets(plan) == [(entry.incident.id, [1])]


def test_another_fault_on_the_same_links_is_another_incident() -> None:
    entry = known(anomaly(1), of=pattern(1, culprit=Culprit(CulpritKind.LINK, 1)), ended=True)

    plan = reconcile(partition([anomaly(1), anomaly(2)], [pattern(1, 2)]), [entry])

    assert targets(plan) == [(None, [1, 2])]


def test_two_incidents_that_are_one_fault_are_merged_into_the_older() -> None:
    younger = known(anomaly(1))
    older = known(anomaly(2, started=ago(minutes=9)))

    plan = reconcile(
        partition([*younger.members, *older.members], [pattern(1, 2, started=ago(minutes=9))]), [younger, older]
    )

    assert targets(plan) == [(older.incident.id, [1, 2])]
    assert plan.merges == {younger.incident.id: older.incident.id}


def test_two_faults_that_looked_like_one_are_split() -> None:
    hub, remote = pattern(1, 2), pattern(3, culprit=Culprit(CulpritKind.LINK, 3), started=ago(minutes=40))
    entry = known(anomaly(1), anomaly(2), anomaly(3, started=ago(minutes=40)))

    plan = reconcile(partition(entry.members, [hub, remote]), [entry])

    assert targets(plan) == [(entry.incident.id, [1, 2]), (None, [3])]


def test_a_doubtful_pattern_splits_nothing() -> None:
    hub, doubtful = pattern(1, 2), pattern(3, started=ago(minutes=40), confidence=0.3)
    entry = known(anomaly(1), anomaly(2), anomaly(3, started=ago(minutes=40)))

    plan = reconcile(partition(entry.members, [hub, doubtful]), [entry])

    assert {incident for incident, _ in targets(plan)} == {entry.incident.id}


LINKS = st.integers(1, 6)


@given(
    new=st.lists(LINKS, max_size=6),
    incidents=st.lists(st.lists(LINKS, min_size=1, max_size=4), max_size=3),
    patterns=st.lists(st.tuples(st.sets(LINKS, min_size=1), st.floats(0, 1), st.integers(0, 90)), max_size=3),
)
def test_whatever_is_found_each_anomaly_goes_to_one_incident_and_no_merge_leads_to_one_that_ended(
    new: list[int], incidents: list[list[int]], patterns: list[tuple[set[int], float, int]]
) -> None:
    entries = [known(*(anomaly(link) for link in links)) for links in incidents]
    members = [anomaly(link) for link in new] + [member for entry in entries for member in entry.members]
    found = [
        pattern(
            *sorted(links), confidence=sure, started=ago(minutes=minutes), culprit=Culprit(CulpritKind.LINK, min(links))
        )
        for links, sure, minutes in patterns
    ]

    plan = reconcile(partition(members, found), entries)

    placed = [member.id for each in plan.assignments for member in each.part.members]
    assert sorted(placed, key=str) == sorted((member.id for member in members), key=str)
    assert not set(plan.merges) & set(plan.merges.values())
    assert not set(plan.merges) & {each.incident for each in plan.assignments}


def test_a_moment_is_no_reason_to_split(  # the same onset: one fault that shows in two ways
) -> None:
    at = ago(minutes=5)
    hub, remote = (
        pattern(1, 2, started=at),
        pattern(3, culprit=Culprit(CulpritKind.LINK, 3), started=at + timedelta(minutes=1)),
    )
    entry = known(anomaly(1), anomaly(2), anomaly(3))

    plan = reconcile(partition(entry.members, [hub, remote]), [entry])

    assert {incident for incident, _ in targets(plan)} == {entry.incident.id}
