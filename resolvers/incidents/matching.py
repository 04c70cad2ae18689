"""Which incident an anomaly belongs to: by the patterns that an analysis found, else by its place. Pure.

What people were told stays as far as it can. An anomaly leaves its incident only if the incident's own pattern does not
explain it and another one surely does. Incidents are merged only if one pattern surely explains all of both.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence

from resolvers.incidents.evidence import LiveAnomaly
from resolvers.incidents.patterns import (
    PatternFit,
    estimate_onset,
    find_best,
    find_leaving,
    find_merges,
    find_owners,
    find_returns,
    is_better,
)
from resolvers.incidents.places import place_unexplained
from resolvers.incidents.plan import Change, LiveIncident, Plan
from resolvers.store.tables.analysis_documents import Pattern
from resolvers.store.tables.incidents import IncidentKind


def make_plan(new: Sequence[LiveAnomaly], live: Sequence[LiveIncident], patterns: Sequence[Pattern]) -> Plan:
    """Returns where new anomalies go, and what changes for the incidents that are looked at again.

    live: all that an anomaly may belong to. Those without `due_at` are settled: they only gain anomalies.
    """
    quiet, new = [each for each in new if each.collector], [each for each in new if not each.collector]
    silences, live = _split_by_kind(live)
    unsettled = [entry for entry in live if entry.incident.due_at is not None and not entry.is_over]
    everything = [*new, *(member for entry in unsettled for member in entry.members)]
    fits = [PatternFit(pattern, estimate_onset(everything, pattern)) for pattern in patterns]
    owners = find_owners(fits, live)
    joining = defaultdict[int, list[LiveAnomaly]](list)
    for number, again, earlier in find_returns(fits, owners, unsettled, live):
        joining[number] += again.members
        unsettled.remove(again)
        owners[number] = earlier
    unexplained = list[LiveAnomaly]()
    for anomaly in new:
        best = find_best(anomaly, fits)
        (joining[best] if best is not None else unexplained).append(anomaly)
    for anomaly, best in find_leaving(unsettled, fits, owners):
        joining[best].append(anomaly)
    by_id = {entry.id: entry for entry in live}
    changes = list[Change]()
    for number, fit in enumerate(fits):
        owner = by_id.get(owners[number]) if number in owners else None
        if joining[number] or owner is not None:
            pattern = fit.pattern if is_better(fit, owner) else None
            changes.append(Change(owner.id if owner else None, tuple(joining[number]), pattern))
    placed = place_unexplained(unexplained, changes, live)
    return Plan((*_group_by_collector(quiet, silences), *placed), find_merges(fits, owners, unsettled))


def _split_by_kind(live: Sequence[LiveIncident]) -> tuple[list[LiveIncident], list[LiveIncident]]:
    """Returns the incidents of quiet collectors, which nothing explains, and those of faults."""
    silences = [entry for entry in live if entry.incident.kind is IncidentKind.NO_TELEMETRY]
    return silences, [entry for entry in live if entry.incident.kind is not IncidentKind.NO_TELEMETRY]


def _group_by_collector(quiet: Sequence[LiveAnomaly], live: Sequence[LiveIncident]) -> list[Change]:
    """Returns one incident for each collector that went quiet: no fault of the fleet is known of."""
    groups = defaultdict[Hashable, list[LiveAnomaly]](list)
    for anomaly in quiet:
        groups[anomaly.collector].append(anomaly)
    going_on = {member.collector: entry.id for entry in live if not entry.is_over for member in entry.members}
    return [Change(going_on.get(members[0].collector), tuple(members)) for members in groups.values()]
