"""Which incident an anomaly belongs to: by the patterns that an analysis found, else by its place. Pure.

What people were told stays as far as it can. An anomaly leaves its incident only if the incident's own pattern does not
explain it and another one surely does. Incidents are merged only if one pattern surely explains all of both.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from ml.catalogue.metrics import TargetKind
from resolvers.incidents.evidence import LiveAnomaly
from resolvers.store.tables.analysis_documents import Culprit, Pattern
from resolvers.store.tables.incidents import Incident, IncidentStatus

EARLIER: Final = timedelta(minutes=5)  # that an anomaly may begin before its fault: an onset is not known to the minute
LATER: Final = timedelta(minutes=3)  # or after its end: detection notices the return to normal, too
TOGETHER: Final = timedelta(minutes=10)  # between the onsets of anomalies of one fault
MANY: Final = 3  # anomalies of one network that begin together, from which chance is no explanation
SURE: Final = 0.6  # the confidence of a pattern for which what people were told already is changed
MOST: Final = 0.5  # of an incident's open anomalies, which a pattern must explain to be its explanation
ALIKE: Final = 0.6  # links that two patterns have in common, of those of either, from which they are one fault's


@dataclass(frozen=True)
class LiveIncident:
    """An incident that new anomalies may belong to, with its anomalies."""

    incident: Incident
    members: tuple[LiveAnomaly, ...]

    @property
    def id(self) -> UUID:
        return self.incident.id

    @property
    def culprit(self) -> Culprit | None:
        return self.incident.pattern.culprit if self.incident.pattern else None

    @property
    def is_over(self) -> bool:
        return self.incident.ended_at is not None

    @property
    def open_members(self) -> tuple[LiveAnomaly, ...]:
        return tuple(member for member in self.members if member.ended_at is None)

    @property
    def sites(self) -> frozenset[int | None]:
        return frozenset(member.site for member in self.members)


@dataclass(frozen=True)
class Change:
    """Anomalies that go to an incident, a new one if it is None; and what explains the incident from now on."""

    incident: UUID | None
    members: tuple[LiveAnomaly, ...]
    pattern: Pattern | None = None


@dataclass(frozen=True)
class Plan:
    """What to do. merges: by the incident that ends, the one that goes on in its place."""

    changes: tuple[Change, ...]
    merges: Mapping[UUID, UUID] = field(default_factory=dict)


def make_plan(new: Sequence[LiveAnomaly], live: Sequence[LiveIncident], patterns: Sequence[Pattern]) -> Plan:
    """Returns where new anomalies go, and what changes for the incidents that are looked at again.

    live: all that an anomaly may belong to. Those without `due_at` are settled: they only gain anomalies.
    """
    quiet, new = [each for each in new if each.collector], [each for each in new if not each.collector]
    unsettled = [entry for entry in live if entry.incident.due_at is not None and not entry.is_over]
    everything = [*new, *(member for entry in unsettled for member in entry.members)]
    fits = [_Fit(pattern, _estimate_onset(everything, pattern)) for pattern in patterns]
    owners = _find_owners(fits, live)
    joining = defaultdict[int, list[LiveAnomaly]](list)
    unexplained = list[LiveAnomaly]()
    for anomaly in new:
        best = _find_best(anomaly, fits)
        (joining[best] if best is not None else unexplained).append(anomaly)
    for anomaly, best in _find_leaving(unsettled, fits, owners):
        joining[best].append(anomaly)
    by_id = {entry.id: entry for entry in live}
    changes = list[Change]()
    for number, fit in enumerate(fits):
        owner = by_id.get(owners[number]) if number in owners else None
        if joining[number] or owner is not None:
            pattern = fit.pattern if _is_better(fit, owner) else None
            changes.append(Change(owner.id if owner else None, tuple(joining[number]), pattern))
    placed = _place_unexplained(unexplained, changes, live)
    return Plan((*_group_by_collector(quiet, live), *placed), _find_merges(fits, owners, unsettled))


def _group_by_collector(quiet: Sequence[LiveAnomaly], live: Sequence[LiveIncident]) -> list[Change]:
    """Returns one incident for each collector that went quiet: no fault of the fleet is known of."""
    groups = defaultdict[Hashable, list[LiveAnomaly]](list)
    for anomaly in quiet:
        groups[anomaly.collector].append(anomaly)
    going_on = {member.collector: entry.id for entry in live if not entry.is_over for member in entry.members}
    return [Change(going_on.get(members[0].collector), tuple(members)) for members in groups.values()]


# ---------------------------------------------------------------- by patterns


@dataclass(frozen=True)
class _Fit:
    """A pattern, and when its fault began."""

    pattern: Pattern
    onset: datetime

    def measure(self, anomaly: LiveAnomaly) -> float | None:
        """Returns how badly the pattern explains the anomaly, in minutes; None if it does not explain it at all."""
        pattern = self.pattern
        is_named = not anomaly.links.isdisjoint(pattern.links)
        if not is_named and not (pattern.culprit is not None and anomaly.depends_on(pattern.culprit)):
            return None
        if anomaly.started_at < self.onset - EARLIER:
            return None
        if pattern.ended_at is not None and anomaly.started_at > pattern.ended_at + LATER:
            return None
        apart = abs((anomaly.started_at - self.onset).total_seconds()) / 60.0
        wrong_direction = anomaly.direction is not None and anomaly.direction not in pattern.directions
        return apart + (0.0 if is_named or anomaly.is_aggregate else 60.0) + (15.0 if wrong_direction else 0.0)


def _estimate_onset(anomalies: Iterable[LiveAnomaly], pattern: Pattern) -> datetime:
    """Returns when the fault began: with the pattern, or earlier if most of its anomalies began earlier."""
    starts = sorted(anomaly.started_at for anomaly in anomalies if not anomaly.links.isdisjoint(pattern.links))
    return min(pattern.started_at, starts[len(starts) // 2]) if starts else pattern.started_at


def _find_best(anomaly: LiveAnomaly, fits: Sequence[_Fit]) -> int | None:
    """Returns the number of the pattern that explains the anomaly best."""
    measured = [(misfit, number) for number, fit in enumerate(fits) if (misfit := fit.measure(anomaly)) is not None]
    return min(measured)[1] if measured else None


def _find_owners(fits: Sequence[_Fit], live: Sequence[LiveIncident]) -> dict[int, UUID]:
    """Returns the incident that each pattern is the explanation of, of those that have one. No incident has two."""
    pairs = [
        (score, -number, entry.id)
        for number, fit in enumerate(fits)
        for entry in live
        if (score := _rate_owner(fit, entry)) is not None
    ]
    owners: dict[int, UUID] = {}
    for _, number, id in sorted(pairs, key=lambda pair: pair[:2], reverse=True):
        if -number not in owners and id not in owners.values():
            owners[-number] = id
    return owners


def _rate_owner(fit: _Fit, entry: LiveIncident) -> tuple[bool, bool, int, float] | None:
    """Returns how well a pattern suits an incident, larger is better; None if it is not of the incident's fault.

    It is if they have the same culprit, if it explains most of what lasts and began when the incident did, or if it
    hits the same links while the incident lasts.
    """
    is_same = fit.pattern.culprit is not None and fit.pattern.culprit == entry.culprit
    share = _explained_share(fit, entry)
    apart = abs((fit.onset - entry.incident.started_at).total_seconds())
    began_together = apart <= TOGETHER.total_seconds()
    is_explanation = share >= MOST and (began_together or entry.culprit is None)
    if not is_same and (entry.is_over or not (is_explanation or _is_alike(fit.pattern, entry))):
        return None
    return not entry.is_over, is_same, round(share * len(entry.open_members)), -apart


def _is_alike(pattern: Pattern, entry: LiveIncident) -> bool:
    """Returns whether the pattern hits the links of what explains the incident."""
    if entry.incident.pattern is None:
        return False
    own, hit = set(entry.incident.pattern.links), set(pattern.links)
    return len(own & hit) >= ALIKE * len(own | hit)


def _is_better(fit: _Fit, entry: LiveIncident | None) -> bool:
    """Returns whether the pattern explains the incident from now on.

    What is known of it from its beginning is not given up for what looks like a later fault of the same links.
    """
    if entry is None or entry.incident.root_cause is None or entry.culprit == fit.pattern.culprit:
        return True
    return fit.onset <= entry.incident.started_at + TOGETHER


def _explained_share(fit: _Fit, entry: LiveIncident) -> float:
    members = entry.open_members or entry.members
    members = tuple(member for member in members if not member.is_aggregate) or members
    return sum(fit.measure(member) is not None for member in members) / len(members) if members else 0.0


def _find_leaving(
    unsettled: Sequence[LiveIncident], fits: Sequence[_Fit], owners: Mapping[int, UUID]
) -> list[tuple[LiveAnomaly, int]]:
    """Returns the anomalies that their own incident's pattern does not explain, but another one surely does."""
    leaving = list[tuple[LiveAnomaly, int]]()
    own_pattern = {id: number for number, id in owners.items()}
    for entry in unsettled:
        own = own_pattern.get(entry.id)
        if own is None:
            continue
        for member in entry.open_members:
            best = _find_best(member, fits)
            if best is None or best == own or fits[own].measure(member) is not None:
                continue
            if min(fits[best].pattern.confidence, fits[own].pattern.confidence) >= SURE:
                leaving.append((member, best))
    return leaving


def _find_merges(
    fits: Sequence[_Fit], owners: Mapping[int, UUID], unsettled: Sequence[LiveIncident]
) -> dict[UUID, UUID]:
    """Returns the incidents that are wholly explained by the pattern of another one."""
    merges: dict[UUID, UUID] = {}
    for entry in unsettled:
        if entry.id in owners.values():
            continue
        for number, fit in enumerate(fits):
            survivor = owners.get(number)
            if survivor is None or fit.pattern.confidence < SURE or _explained_share(fit, entry) < 1.0:
                continue
            apart = abs(fit.onset - entry.incident.started_at)
            if fit.pattern.culprit == entry.culprit or entry.culprit is None or apart <= TOGETHER:
                merges.setdefault(entry.id, survivor)
    return merges


# ---------------------------------------------------------------- by place


def _place_unexplained(
    anomalies: Sequence[LiveAnomaly], explained: Sequence[Change], live: Sequence[LiveIncident]
) -> list[Change]:
    """Returns the changes, with the anomalies that nothing explains: to their place's incident, or a new one."""
    joining = defaultdict[UUID, list[LiveAnomaly]](list)
    changes, alone = list(explained), list[LiveAnomaly]()
    for anomaly in anomalies:
        home = _find_home(anomaly, live)
        echo = next((number for number, each in enumerate(changes) if _echoes_any(anomaly, each.members)), None)
        if home is not None:
            joining[home].append(anomaly)
        elif echo is not None:
            changes[echo] = Change(changes[echo].incident, (*changes[echo].members, anomaly), changes[echo].pattern)
        else:
            alone.append(anomaly)
    for number, change in enumerate(changes):
        if change.incident is not None and change.incident in joining:
            changes[number] = Change(change.incident, (*change.members, *joining.pop(change.incident)), change.pattern)
    changes += [Change(id, tuple(members)) for id, members in joining.items()]
    return [*changes, *(Change(None, tuple(members)) for members in _group(alone))]


def _find_home(anomaly: LiveAnomaly, live: Sequence[LiveIncident]) -> UUID | None:
    """Returns the incident of the anomaly's place: what goes on there, or what was the matter there and comes back."""
    fitting = [entry for entry in live if _is_at_home(anomaly, entry)]
    return (
        min(fitting, key=lambda entry: (entry.is_over, -entry.incident.started_at.timestamp())).id if fitting else None
    )


def _is_at_home(anomaly: LiveAnomaly, entry: LiveIncident) -> bool:
    if any(member.target == anomaly.target or _ends_with(member, anomaly) for member in entry.members):
        # Of a wide incident that is over, one link that misbehaves again is no return.
        return entry.incident.status is not IncidentStatus.RESOLVED or len(entry.sites) == 1
    if entry.is_over:
        return False
    started_at = entry.incident.started_at
    if entry.culprit is not None and entry.incident.root_cause is not None and anomaly.depends_on(entry.culprit):
        return started_at <= anomaly.started_at + EARLIER
    if any(echoes(anomaly, member) or echoes(member, anomaly) for member in entry.members):
        return True
    is_unexplained_cluster = entry.culprit is None and len({member.target for member in entry.members}) >= MANY - 1
    near = [member for member in entry.members if member.network == anomaly.network is not None]
    return is_unexplained_cluster and any(abs(m.started_at - anomaly.started_at) <= TOGETHER for m in near)


def _ends_with(member: LiveAnomaly, anomaly: LiveAnomaly) -> bool:
    """Returns whether both are of one remote: of its links or itself."""
    return member.site == anomaly.site is not None and not member.is_aggregate and not anomaly.is_aggregate


def echoes(aggregate: LiveAnomaly, anomaly: LiveAnomaly) -> bool:
    """Returns whether a network's or hub's anomaly began with one of a link or remote below it."""
    if not aggregate.is_aggregate or anomaly.target == aggregate.target:
        return False
    is_network = aggregate.kind is TargetKind.NETWORK
    is_below = anomaly.network == aggregate.network if is_network else anomaly.hub == aggregate.site
    return is_below and abs(aggregate.started_at - anomaly.started_at) <= TOGETHER


def _echoes_any(aggregate: LiveAnomaly, anomalies: Iterable[LiveAnomaly]) -> bool:
    return aggregate.is_aggregate and any(echoes(aggregate, anomaly) for anomaly in anomalies)


def _group(anomalies: Sequence[LiveAnomaly]) -> list[list[LiveAnomaly]]:
    """Returns anomalies that nothing explains: by network where many began together, else by remote or target."""
    by_network = defaultdict[Hashable, list[LiveAnomaly]](list)
    for anomaly in anomalies:
        by_network[anomaly.network].append(anomaly)
    groups = defaultdict[Hashable, list[LiveAnomaly]](list)
    for network, members in by_network.items():
        is_many = network is not None and len({member.target for member in members}) >= MANY
        for member in members:
            groups[("network", network) if is_many else _own_place(member)].append(member)
    return _add_aggregates(list(groups.values()))


def _own_place(anomaly: LiveAnomaly) -> Hashable:
    return ("site", anomaly.site) if anomaly.site is not None and not anomaly.is_aggregate else anomaly.target


def _add_aggregates(groups: list[list[LiveAnomaly]]) -> list[list[LiveAnomaly]]:
    """Returns the groups with lone aggregates in the group whose members they echo."""
    merged = [group for group in groups if not (len(group) == 1 and group[0].is_aggregate)]
    for group in groups:
        if len(group) == 1 and group[0].is_aggregate:
            host = next((other for other in merged if _echoes_any(group[0], other)), None)
            if host is None:
                merged.append(group)
            else:
                host.append(group[0])
    return merged


def find_neighbourhoods(anomalies: Sequence[LiveAnomaly]) -> list[list[LiveAnomaly]]:
    """Returns the anomalies in sets that share no site, hub, network or transponder with one another."""
    parent: dict[Hashable, Hashable] = {}

    def find(key: Hashable) -> Hashable:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for anomaly in anomalies:
        own = find(("target", anomaly.target))
        for group in anomaly.groups:
            parent[find(group)] = own
            own = find(own)
    sets = defaultdict[Hashable, list[LiveAnomaly]](list)
    for anomaly in anomalies:
        sets[find(("target", anomaly.target))].append(anomaly)
    return list(sets.values())


def links_of(anomalies: Iterable[LiveAnomaly]) -> list[int]:
    """Returns the links of these anomalies, ascending."""
    return sorted({link for anomaly in anomalies for link in anomaly.links})
