"""Which anomalies are of one fault: by the patterns that an analysis found, else by what they share."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ml.catalogue.metrics import TargetKind
from resolvers.incidents.evidence import LiveAnomaly
from resolvers.store.tables.analysis_documents import Pattern

EARLIER: Final = timedelta(minutes=5)  # that an anomaly may begin before the fault: an onset is not known to the minute
LATER: Final = timedelta(minutes=15)  # or after its end: detection notices the return to normal, too
NETWORK_SHARE: Final = 0.5  # of a network's anomalous links, in one pattern: its network-level anomaly has that reason


@dataclass(frozen=True)
class Part:
    """Anomalies of one fault. pattern: what explains them, None if nothing does."""

    members: tuple[LiveAnomaly, ...]
    pattern: Pattern | None = None

    @property
    def started_at(self) -> datetime:
        return min(member.started_at for member in self.members)


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


def partition(anomalies: Sequence[LiveAnomaly], patterns: Sequence[Pattern]) -> list[Part]:
    """Returns the anomalies by fault: of each pattern those that it explains, and the others by their place."""
    explained = defaultdict[int, list[LiveAnomaly]](list)
    others = list[LiveAnomaly]()
    onsets = [_estimate_onset(anomalies, pattern) for pattern in patterns]
    for anomaly in anomalies:
        fitting = [(_misfit(anomaly, pattern, onsets[number]), number) for number, pattern in enumerate(patterns)]
        misfit, best = min(fitting, default=(None, -1), key=lambda pair: (pair[0] is None, pair[0] or 0.0, pair[1]))
        if misfit is None:
            others.append(anomaly)
        else:
            explained[best].append(anomaly)
    parts = [Part(tuple(members), patterns[number]) for number, members in sorted(explained.items())]
    return [*parts, *_group_by_place(others)]


def _estimate_onset(anomalies: Sequence[LiveAnomaly], pattern: Pattern) -> datetime:
    """Returns when the fault began: with the pattern, or earlier if most of its anomalies began earlier."""
    starts = sorted(anomaly.started_at for anomaly in anomalies if not anomaly.links.isdisjoint(pattern.links))
    return min(pattern.started_at, starts[len(starts) // 2]) if starts else pattern.started_at


def _misfit(anomaly: LiveAnomaly, pattern: Pattern, onset: datetime) -> float | None:
    """Returns how badly the pattern explains the anomaly, in minutes; None if it does not explain it at all."""
    if anomaly.started_at < onset - EARLIER or not _touches(anomaly, pattern):
        return None
    if pattern.ended_at is not None and anomaly.started_at > pattern.ended_at + LATER:
        return None
    apart = abs((anomaly.started_at - onset).total_seconds()) / 60.0
    is_named = anomaly.kind is not TargetKind.LINK or not anomaly.links.isdisjoint(pattern.links)
    wrong_direction = anomaly.direction is not None and anomaly.direction not in pattern.directions
    return apart + (0.0 if is_named else 60.0) + (15.0 if wrong_direction else 0.0)


def _touches(anomaly: LiveAnomaly, pattern: Pattern) -> bool:
    if not anomaly.links.isdisjoint(pattern.links):
        return True
    return pattern.culprit is not None and anomaly.depends_on(pattern.culprit)


def _group_by_place(anomalies: Iterable[LiveAnomaly]) -> list[Part]:
    """Returns anomalies that nothing explains by remote, or by target where it is at no remote of its own."""
    places = defaultdict[Hashable, list[LiveAnomaly]](list)
    for anomaly in anomalies:
        is_remote = anomaly.kind is TargetKind.LINK and anomaly.site is not None
        places[("site", anomaly.site) if is_remote else _own_place(anomaly)].append(anomaly)
    return [Part(tuple(members)) for members in places.values()]


def _own_place(anomaly: LiveAnomaly) -> Hashable:
    return ("site", anomaly.target_id) if anomaly.kind is TargetKind.SITE else anomaly.target


def links_of(anomalies: Collection[LiveAnomaly]) -> list[int]:
    """Returns the links of these anomalies, ascending."""
    return sorted({link for anomaly in anomalies for link in anomaly.links})
