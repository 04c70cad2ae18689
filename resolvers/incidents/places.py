"""Where anomalies belong that no pattern explains: to what goes on at their place."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import RootCause
from ml.detection.episodes import Severity
from resolvers.incidents.evidence import LiveAnomaly
from resolvers.incidents.plan import EARLIER, TOGETHER, Change, LiveIncident
from resolvers.store.tables.incidents import IncidentStatus

AFTERWARDS: Final = timedelta(minutes=15)  # in which links still recover from a fault that is over
MANY: Final = 3  # anomalies of one network that begin together, from which chance is no explanation


def place_unexplained(
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
    is_wide = _is_wide(entry)
    if _queues_again(anomaly, entry):
        return True
    if is_wide and _began_after_its_end(anomaly, entry):
        return False
    if any(member.target == anomaly.target or _ends_with(member, anomaly) for member in entry.members):
        # Of a wide incident that is over, one link that misbehaves again is no return.
        return entry.incident.status is not IncidentStatus.RESOLVED or not is_wide
    return not entry.is_over and _goes_on_around(anomaly, entry)


def _is_wide(entry: LiveIncident) -> bool:
    """Returns whether its fault is of several remotes. What only went on beside a known fault does not count."""
    pattern = entry.incident.pattern if entry.incident.root_cause is not None else None
    own = [member for member in entry.members if not member.is_aggregate]
    hit = [member for member in own if pattern is not None and not member.links.isdisjoint(pattern.links)]
    return len({member.site for member in hit or own}) > 1


def _goes_on_around(anomaly: LiveAnomaly, entry: LiveIncident) -> bool:
    """Returns whether the anomaly depends on the incident's culprit, echoes its anomalies, or swells a cluster."""
    if entry.culprit is not None and entry.incident.root_cause is not None and anomaly.depends_on(entry.culprit):
        return entry.incident.started_at <= anomaly.started_at + EARLIER
    if any(echoes(anomaly, member) or echoes(member, anomaly) for member in entry.members):
        return True
    if entry.incident.root_cause is not None and _is_mild(anomaly):
        return any(_is_below(anomaly, member) for member in entry.open_members)
    is_unexplained_cluster = entry.culprit is None and len({member.target for member in entry.members}) >= MANY - 1
    near = [member for member in entry.members if member.network == anomaly.network is not None]
    return is_unexplained_cluster and any(abs(m.started_at - anomaly.started_at) <= TOGETHER for m in near)


def _is_mild(anomaly: LiveAnomaly) -> bool:
    """Returns whether a network or hub finds its own figures a little odd: a known fault below it explains as much."""
    return anomaly.is_aggregate and anomaly.severity.rank < Severity.HIGH.rank


def _began_after_its_end(anomaly: LiveAnomaly, entry: LiveIncident) -> bool:
    """Returns whether the incident's fault was over for a while when the anomaly began, though its incident goes on."""
    ended_at = entry.incident.pattern.ended_at if entry.incident.pattern else None
    return ended_at is not None and anomaly.started_at > ended_at + AFTERWARDS


def _queues_again(anomaly: LiveAnomaly, entry: LiveIncident) -> bool:
    """Returns whether another link of a congested network queues now: load comes and goes, and takes turns."""
    pattern = entry.incident.pattern
    if entry.incident.root_cause is not RootCause.CONGESTION or pattern is None or pattern.culprit is None:
        return False
    return anomaly.depends_on(pattern.culprit) and anomaly.direction in (None, *pattern.directions)


def _ends_with(member: LiveAnomaly, anomaly: LiveAnomaly) -> bool:
    """Returns whether both are of one remote: of its links or itself."""
    return member.site == anomaly.site is not None and not member.is_aggregate and not anomaly.is_aggregate


def echoes(aggregate: LiveAnomaly, anomaly: LiveAnomaly) -> bool:
    """Returns whether a network's or hub's anomaly began with one of a link or remote below it."""
    if not aggregate.is_aggregate or anomaly.target == aggregate.target:
        return False
    return _is_below(aggregate, anomaly) and abs(aggregate.started_at - anomaly.started_at) <= TOGETHER


def _is_below(aggregate: LiveAnomaly, anomaly: LiveAnomaly) -> bool:
    """Returns whether the anomaly's target is a part of the network, or depends on the hub."""
    if aggregate.kind is TargetKind.NETWORK:
        return anomaly.network == aggregate.network
    return anomaly.hub == aggregate.site


def _echoes_any(aggregate: LiveAnomaly, anomalies: Iterable[LiveAnomaly]) -> bool:
    return aggregate.is_aggregate and any(echoes(aggregate, anomaly) for anomaly in anomalies)


def _echoes_all(aggregates: Iterable[LiveAnomaly], anomaly: LiveAnomaly) -> bool:
    """Returns whether all of a group are hubs' or networks' figures that show what another one shows."""
    return all(echoes(aggregate, anomaly) for aggregate in aggregates)


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
    return join_echoes(list(groups.values()))


def _own_place(anomaly: LiveAnomaly) -> Hashable:
    return ("site", anomaly.site) if anomaly.site is not None and not anomaly.is_aggregate else anomaly.target


def join_echoes(groups: list[list[LiveAnomaly]]) -> list[list[LiveAnomaly]]:
    """Returns the groups with lone aggregates in the group whose members they echo."""
    merged = [group for group in groups if not (len(group) == 1 and group[0].is_aggregate)]
    for group in groups:
        if len(group) == 1 and group[0].is_aggregate:
            host = next(
                (other for other in merged if _echoes_any(group[0], other) or _echoes_all(other, group[0])), None
            )
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
