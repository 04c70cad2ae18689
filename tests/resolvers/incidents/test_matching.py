"""Which incident an anomaly belongs to: by patterns, by place, and what stays as people were told."""

from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from ml.catalogue.metrics import Direction, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from ml.detection.silence import CollectorKind
from resolvers.incidents.evidence import LiveAnomaly
from resolvers.incidents.matching import make_plan
from resolvers.incidents.places import find_neighbourhoods
from resolvers.incidents.plan import LiveIncident, Plan
from resolvers.store.tables.analysis_documents import Culprit, Pattern
from resolvers.store.tables.core import AnomalyCategory
from resolvers.store.tables.incidents import Incident, IncidentKind, IncidentStatus
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


def live(*members: LiveAnomaly, of: Pattern | None = None, ended: bool = False) -> LiveIncident:
    """An announced incident of these anomalies."""
    id = uuid4()
    incident = Incident(
        id=id,
        kind=IncidentKind.FAULT,
        status=IncidentStatus.RESOLVED if ended else IncidentStatus.OPEN,
        started_at=min(member.started_at for member in members),
        announced_at=ago(minutes=4),
        ended_at=ago(minutes=1) if ended else None,
        pattern=of,
        root_cause=of and of.cause,
        due_at=ago(),
    )
    return LiveIncident(incident, tuple(replace(member, incident_id=id) for member in members))


def targets(plan: Plan) -> list[tuple[UUID | None, list[int]]]:
    """Where anomalies go: the incident and the targets."""
    return [(each.incident, sorted(member.target_id for member in each.members)) for each in plan.changes]


REMOTE = Culprit(CulpritKind.LINK, 1)


def test_anomalies_that_share_nothing_are_no_neighbours() -> None:
    near = [anomaly(1), anomaly(2)]
    far = anomaly(3, network=2)

    found = find_neighbourhoods([*near, far])

    assert sorted(len(each) for each in found) == [1, 2]


def test_a_pattern_s_links_are_one_incident_and_the_others_go_by_their_remote() -> None:
    hit, both_ways = [anomaly(1), anomaly(2)], [anomaly(3), anomaly(3, direction=Direction.IB)]

    plan = make_plan([*hit, *both_ways], [], [pattern(1, 2, culprit=REMOTE)])

    assert targets(plan) == [(None, [1, 2]), (None, [3, 3])]
    assert [change.pattern is None for change in plan.changes] == [False, True]


def test_what_was_over_long_before_explains_nothing() -> None:
    over = pattern(1, started=ago(hours=14), ended_at=ago(hours=13))

    [change] = make_plan([anomaly(1)], [], [over]).changes

    assert change.pattern is None


def test_the_pattern_that_began_with_the_anomaly_explains_it() -> None:
    drizzle, failure = pattern(1, 2, started=ago(hours=3)), pattern(1, 2, started=ago(minutes=5))

    plan = make_plan([anomaly(1), anomaly(2)], [], [drizzle, failure])

    assert [change.pattern for change in plan.changes] == [failure]


def test_what_befalls_links_shows_in_their_network_s_figures() -> None:
    network_level = anomaly(1, kind=TargetKind.NETWORK, target_id=1, links=frozenset(), site=None)

    plan = make_plan([anomaly(1), network_level], [], [pattern(1, culprit=REMOTE)])

    assert targets(plan) == [(None, [1, 1])]


def test_a_network_s_own_figures_are_of_the_fault_of_all_its_links_whenever_they_became_odd() -> None:
    figures = {"kind": TargetKind.NETWORK, "target_id": 1, "links": frozenset(), "site": None}
    entry = live(anomaly(1, started=ago(hours=1), **figures))
    news = [anomaly(1), anomaly(2), anomaly(3)]

    of_network = make_plan(news, [entry], [pattern(1, 2, 3)])
    of_remote = make_plan(news[:1], [entry], [pattern(1, culprit=REMOTE)])

    assert targets(of_network) == [(entry.id, [1, 2, 3])]
    assert targets(of_remote) == [(None, [1])]


def test_many_that_begin_together_in_a_network_are_one_incident_though_nothing_explains_them() -> None:
    few, many = [anomaly(1), anomaly(2)], [anomaly(3, network=2), anomaly(4, network=2), anomaly(5, network=2)]

    assert targets(make_plan([*few, *many], [], [])) == [(None, [1]), (None, [2]), (None, [3, 4, 5])]


def test_a_late_anomaly_of_the_same_culprit_joins_its_incident() -> None:
    entry = live(anomaly(1), anomaly(2), of=pattern(1, 2))

    plan = make_plan([anomaly(3)], [entry], [pattern(1, 2, 3)])

    assert targets(plan) == [(entry.id, [3])]


def test_a_fault_that_comes_back_is_the_same_incident() -> None:
    entry = live(anomaly(1), of=pattern(1, culprit=REMOTE), ended=True)

    assert targets(make_plan([anomaly(1)], [entry], [pattern(1, culprit=REMOTE)])) == [(entry.id, [1])]
    assert targets(make_plan([anomaly(1)], [entry], [])) == [(entry.id, [1])]


def test_one_link_of_a_wide_incident_that_is_over_does_not_bring_it_back() -> None:
    entry = live(anomaly(1), anomaly(2), of=pattern(1, 2), ended=True)

    assert targets(make_plan([anomaly(1)], [entry], [])) == [(None, [1])]


def test_another_fault_on_the_same_links_is_another_incident() -> None:
    entry = live(anomaly(1), of=pattern(1, culprit=REMOTE), ended=True)

    plan = make_plan([anomaly(1), anomaly(2)], [entry], [pattern(1, 2)])

    assert targets(plan) == [(None, [1, 2])]


def test_two_incidents_that_are_one_fault_are_merged_into_the_one_that_it_explains_most_of() -> None:
    small, large = live(anomaly(1)), live(anomaly(2), anomaly(3))

    plan = make_plan([], [small, large], [pattern(1, 2, 3)])

    assert [(change.incident, change.pattern is not None) for change in plan.changes] == [(large.id, True)]
    assert plan.merges == {small.id: large.id}


def test_two_faults_that_looked_like_one_are_split() -> None:
    hub, remote = pattern(1, 2), pattern(3, culprit=Culprit(CulpritKind.LINK, 3), started=ago(minutes=40))
    entry = live(anomaly(1), anomaly(2), anomaly(3, network=2, started=ago(minutes=40)))

    plan = make_plan([], [entry], [hub, remote])

    assert targets(plan) == [(entry.id, []), (None, [3])]


def test_a_doubtful_pattern_splits_nothing() -> None:
    doubtful = pattern(3, started=ago(minutes=40), confidence=0.3, culprit=Culprit(CulpritKind.LINK, 3))
    entry = live(anomaly(1), anomaly(2), anomaly(3, network=2, started=ago(minutes=40)))

    assert targets(make_plan([], [entry], [pattern(1, 2), doubtful])) == [(entry.id, [])]


def test_a_pattern_of_unknown_cause_neither_splits_an_incident_nor_takes_its_cause_away() -> None:
    entry = live(anomaly(1), anomaly(2), anomaly(3, network=2, started=ago(minutes=40)), of=pattern(1, 2))
    nameless = {"cause": RootCause.UNKNOWN, "confidence": 0.98}
    other = replace(pattern(3, started=ago(minutes=40), **nameless), culprit=None)
    instead = replace(pattern(1, 2, **nameless), culprit=None)

    split, renamed = make_plan([], [entry], [pattern(1, 2), other]), make_plan([], [entry], [instead])

    assert targets(split) == [(entry.id, [])]
    assert [change.pattern for change in renamed.changes] == [None]


def test_what_its_own_pattern_explains_stays() -> None:
    remote = pattern(2, culprit=Culprit(CulpritKind.LINK, 2), confidence=1.0)
    entry = live(anomaly(1), anomaly(2), of=pattern(1, 2))

    assert targets(make_plan([], [entry], [pattern(1, 2), remote])) == [(entry.id, [])]


def test_an_incident_that_is_over_keeps_its_anomalies() -> None:
    entry = live(anomaly(1), anomaly(2), of=pattern(1, 2), ended=True)

    assert make_plan([], [entry], [pattern(1, 2, culprit=REMOTE)]).changes == ()


def test_a_wider_fault_of_the_same_links_an_hour_later_is_another_though_some_of_the_first_linger() -> None:
    lingering = [anomaly(link, started=ago(minutes=70), direction=Direction.IB) for link in (1, 2, 3)]
    entry = live(*lingering, of=pattern(1, 2, 3, started=ago(minutes=70), directions=(Direction.IB,)))
    jammed = pattern(*range(1, 9), culprit=Culprit(CulpritKind.SATELLITE, SATELLITE, "KU-1"))

    plan = make_plan([anomaly(1), anomaly(4)], [entry], [jammed])

    assert targets(plan) == [(None, [1, 4])]


def test_a_lone_oddity_that_a_wide_fault_covers_goes_with_it() -> None:
    odd, wide = live(anomaly(1, started=ago(minutes=20))), live(anomaly(2), anomaly(3), of=pattern(1, 2, 3))

    assert make_plan([], [odd, wide], [pattern(1, 2, 3)]).merges == {odd.id: wide.id}


def test_what_somebody_works_on_or_is_explained_or_of_another_direction_stays_beside_a_wide_fault() -> None:
    taken, other_way = (live(anomaly(1, started=ago(minutes=20))) for _ in range(2))
    taken.incident.status = IncidentStatus.ACKNOWLEDGED
    other_way = live(anomaly(2, started=ago(minutes=20), direction=Direction.IB))
    explained = live(anomaly(3, started=ago(minutes=20)), of=pattern(3, culprit=Culprit(CulpritKind.LINK, 3)))
    wide = live(anomaly(4), anomaly(5), of=pattern(1, 2, 3, 4, 5))

    assert make_plan([], [taken, other_way, explained, wide], [pattern(1, 2, 3, 4, 5)]).merges == {}


def test_another_link_of_a_congested_network_brings_its_incident_back() -> None:
    full = pattern(1, 2, cause=RootCause.CONGESTION)
    entry = live(anomaly(1), anomaly(2), of=full, ended=True)

    assert targets(make_plan([anomaly(3)], [entry], [])) == [(entry.id, [3])]
    assert targets(make_plan([anomaly(3, direction=Direction.IB)], [entry], [])) == [(None, [3])]
    assert targets(make_plan([anomaly(3, network=2)], [entry], [])) == [(None, [3])]


def test_what_begins_long_after_the_end_of_a_wide_fault_does_not_join_its_incident_that_goes_on() -> None:
    over = pattern(1, 2, 3, started=ago(minutes=70), ended_at=ago(minutes=40))
    entry = live(*(anomaly(link, started=ago(minutes=70)) for link in (1, 2, 3)), of=over)

    late, at_once = anomaly(1), anomaly(1, started=ago(minutes=30))

    assert targets(make_plan([late], [entry], [])) == [(None, [1])]
    assert targets(make_plan([at_once], [entry], [])) == [(entry.id, [1])]


def test_a_vessel_that_is_hidden_again_brings_its_incident_back_though_its_hub_showed_it_too() -> None:
    hub = replace(anomaly(1, kind=TargetKind.SITE, target_id=HUB, site=HUB, links=frozenset()), network=None)
    blocked = pattern(1, culprit=Culprit(CulpritKind.SITE, 1001), cause=RootCause.BLOCKAGE, ended_at=ago(minutes=30))
    entry = live(anomaly(1, started=ago(minutes=50)), replace(hub, started_at=ago(minutes=50)), of=blocked, ended=True)

    assert targets(make_plan([anomaly(1)], [entry], [])) == [(entry.id, [1])]


def test_a_network_and_its_hub_that_show_the_same_are_one_incident() -> None:
    whole = {"direction": None, "links": frozenset(), "transponder": None}
    network = anomaly(1, kind=TargetKind.NETWORK, target_id=1, site=None, hub=HUB, **whole)
    hub = replace(anomaly(1, kind=TargetKind.SITE, target_id=HUB, site=HUB, hub=HUB, **whole), network=None)

    for order in ([network, hub], [hub, network]):
        assert [len(change.members) for change in make_plan(order, [], []).changes] == [2]


def test_a_settled_incident_gains_anomalies_and_loses_none() -> None:
    entry = live(anomaly(1), anomaly(2), of=pattern(1, 2))
    entry.incident.due_at = None

    plan = make_plan([anomaly(4)], [entry], [pattern(1, 2, 4), pattern(2, culprit=Culprit(CulpritKind.LINK, 2))])

    assert targets(plan) == [(entry.id, [4])]


def test_what_a_quiet_collector_explains_nothing_else_does() -> None:
    silence = live(anomaly(1, collector=(CollectorKind.NETWORK, 1)), anomaly(2, collector=(CollectorKind.NETWORK, 1)))
    silence.incident.kind = IncidentKind.NO_TELEMETRY

    plan = make_plan([anomaly(3), anomaly(4, collector=(CollectorKind.NETWORK, 1))], [silence], [pattern(1, 2, 3)])

    assert targets(plan) == [(silence.id, [4]), (None, [3])]


LINKS = st.integers(1, 6)


@given(
    new=st.lists(LINKS, max_size=6),
    incidents=st.lists(st.lists(LINKS, min_size=1, max_size=4), max_size=3),
    patterns=st.lists(st.tuples(st.sets(LINKS, min_size=1), st.floats(0, 1), st.integers(0, 90)), max_size=3),
)
def test_whatever_is_found_each_anomaly_goes_to_one_incident_and_no_merge_leads_to_one_that_ended(
    new: list[int], incidents: list[list[int]], patterns: list[tuple[set[int], float, int]]
) -> None:
    entries = [live(*(anomaly(link) for link in links)) for links in incidents]
    members = [anomaly(link) for link in new] + [member for entry in entries for member in entry.members]
    found = [
        pattern(
            *sorted(links), confidence=sure, started=ago(minutes=minutes), culprit=Culprit(CulpritKind.LINK, min(links))
        )
        for links, sure, minutes in patterns
    ]

    fresh = [member for member in members if member.incident_id is None]
    plan = make_plan(fresh, entries, found)

    placed = [member.id for change in plan.changes for member in change.members]
    assert len(placed) == len(set(placed))
    assert {member.id for member in fresh} <= set(placed)
    assert not set(plan.merges) & set(plan.merges.values())
    assert not set(plan.merges) & {change.incident for change in plan.changes}
    assert all(change.members or change.incident for change in plan.changes)


# ---------------------------------------------------------------- what comes back, and what is told last

BLOCKED = {"cause": RootCause.BLOCKAGE, "culprit": REMOTE}


def over(*members: LiveAnomaly, of: Pattern, minutes: float) -> LiveIncident:
    """An incident that ended so long ago."""
    entry = live(*members, of=of, ended=True)
    entry.incident.ended_at, entry.incident.due_at = ago(minutes=minutes), None
    return entry


def test_a_fault_that_is_known_again_only_later_goes_on_in_its_own_incident() -> None:
    first = pattern(1, **BLOCKED, started=ago(minutes=60), ended_at=ago(minutes=35))
    before = over(anomaly(1, started=ago(minutes=60)), of=first, minutes=30)
    again = live(anomaly(1, started=ago(minutes=3)))

    plan = make_plan([], [before, again], [pattern(1, **BLOCKED, started=ago(minutes=3))])

    assert targets(plan) == [(before.id, [1])]
    assert plan.changes[0].members == again.members
    assert not plan.merges


def test_nor_if_somebody_works_on_it_already_or_it_is_not_sure() -> None:
    first = pattern(1, **BLOCKED, started=ago(minutes=60), ended_at=ago(minutes=35))
    before = over(anomaly(1, started=ago(minutes=60)), of=first, minutes=30)
    again, taken = live(anomaly(1, started=ago(minutes=3))), live(anomaly(1, started=ago(minutes=3)))
    taken.incident.owner_id = 1

    unsure = make_plan([], [before, again], [pattern(1, **BLOCKED, started=ago(minutes=3), confidence=0.5)])
    owned = make_plan([], [before, taken], [pattern(1, **BLOCKED, started=ago(minutes=3))])

    assert targets(unsure) == [(again.id, [])]
    assert targets(owned) == [(taken.id, [])]


def test_what_happened_beside_a_lone_remote_s_fault_does_not_keep_it_from_coming_back() -> None:
    """A mild oddity of another link had joined, as the network's own figures were odd, too."""
    first = pattern(1, **BLOCKED, started=ago(minutes=60), ended_at=ago(minutes=35))
    before = over(anomaly(1, started=ago(minutes=60)), anomaly(2, started=ago(minutes=58)), of=first, minutes=30)

    plan = make_plan([anomaly(1, started=ago(minutes=2))], [before], [])

    assert targets(plan) == [(before.id, [1])]


def own_figures(network: int, severity: Severity) -> LiveAnomaly:
    values = {"kind": TargetKind.NETWORK, "target_id": network, "direction": None, "links": frozenset[int]()}
    return anomaly(0, network=network, started=ago(minutes=2), site=None, hub=None, severity=severity, **values)


def test_a_mild_oddity_of_a_network_is_of_the_known_fault_that_lasts_in_it() -> None:
    fault = live(anomaly(1, started=ago(minutes=60)), of=pattern(1, culprit=REMOTE, started=ago(minutes=60)))
    unknown = live(anomaly(2, started=ago(minutes=60), network=2))

    mild = make_plan([own_figures(1, Severity.LOW)], [fault, unknown], [])
    severe = make_plan([own_figures(1, Severity.HIGH)], [fault, unknown], [])
    elsewhere = make_plan([own_figures(2, Severity.LOW)], [fault, unknown], [])

    assert [change.incident for change in mild.changes] == [fault.id]
    assert [change.incident for change in severe.changes] == [None]
    assert [change.incident for change in elsewhere.changes] == [None]


def test_a_sure_explanation_is_not_given_up_for_an_unsure_one_when_the_fault_fades() -> None:
    hub, remote = Culprit(CulpritKind.SITE, HUB + 1), Culprit(CulpritKind.SITE, 1001)
    known = pattern(1, 2, 3, culprit=hub, cause=RootCause.ANTENNA_ALIGNMENT, started=ago(minutes=30))
    entry = live(*(anomaly(link, started=ago(minutes=30)) for link in (1, 2, 3)), of=known)
    entry.incident.confidence = 0.95
    rain = {"culprit": remote, "cause": RootCause.RAIN_FADE, "started": ago(minutes=30)}

    [unsure] = make_plan([], [entry], [pattern(1, 2, 3, **rain, confidence=0.5)]).changes
    [sure] = make_plan([], [entry], [pattern(1, 2, 3, **rain, confidence=0.8)]).changes

    assert unsure.pattern is None
    assert sure.pattern is not None
