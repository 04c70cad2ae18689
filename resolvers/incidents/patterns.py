"""Which anomalies and which incidents the patterns of an analysis explain."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from ml.catalogue.root_causes import RootCause
from resolvers.incidents.evidence import LiveAnomaly
from resolvers.incidents.plan import EARLIER, TOGETHER, LiveIncident
from resolvers.store.tables.analysis_documents import Pattern
from resolvers.store.tables.incidents import IncidentStatus

LATER: Final = timedelta(minutes=3)  # or after its end: detection notices the return to normal, too
SURE: Final = 0.6  # the confidence of a pattern for which what people were told already is changed
MOST: Final = 0.5  # of an incident's open anomalies, which a pattern must explain to be its explanation
WIDE: Final = 3  # links of a pattern that hides what was the matter with one of them before
ALIKE: Final = 0.6  # links that two patterns have in common, of those of either, from which they are one fault's


@dataclass(frozen=True)
class PatternFit:
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


def estimate_onset(anomalies: Iterable[LiveAnomaly], pattern: Pattern) -> datetime:
    """Returns when the fault began: with the pattern, or a little earlier if most of its anomalies did.

    What began long before is of an earlier fault of the same links.
    """
    its_own = (anomaly for anomaly in anomalies if not anomaly.links.isdisjoint(pattern.links))
    starts = sorted(each.started_at for each in its_own if each.started_at >= pattern.started_at - TOGETHER)
    return min(pattern.started_at, starts[len(starts) // 2]) if starts else pattern.started_at


def find_best(anomaly: LiveAnomaly, fits: Sequence[PatternFit]) -> int | None:
    """Returns the number of the pattern that explains the anomaly best."""
    measured = [(misfit, number) for number, fit in enumerate(fits) if (misfit := fit.measure(anomaly)) is not None]
    return min(measured)[1] if measured else None


def find_owners(fits: Sequence[PatternFit], live: Sequence[LiveIncident]) -> dict[int, UUID]:
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


def _rate_owner(fit: PatternFit, entry: LiveIncident) -> tuple[bool, bool, int, float] | None:
    """Returns how well a pattern suits an incident, larger is better; None if it is not of the incident's fault.

    It is if they have the same culprit, if it explains most of what lasts and began when the incident did, if it hits
    the same links while the incident lasts, or if that is nothing but figures of what the culprit affects as a whole.
    """
    is_same = fit.pattern.culprit is not None and fit.pattern.culprit == entry.culprit
    share = _explained_share(fit, entry)
    apart = abs((fit.onset - entry.incident.started_at).total_seconds())
    began_together = apart <= TOGETHER.total_seconds()
    is_explanation = share >= MOST and (began_together or entry.culprit is None)
    is_its_own = is_explanation or _is_alike(fit.pattern, entry) or _is_seen_from_afar(fit.pattern, entry)
    if not is_same and (entry.is_over or not is_its_own):
        return None
    return not entry.is_over, is_same, round(share * len(entry.open_members)), -apart


def _is_alike(pattern: Pattern, entry: LiveIncident) -> bool:
    """Returns whether the pattern hits the links of what explains the incident."""
    if entry.incident.pattern is None:
        return False
    own, hit = set(entry.incident.pattern.links), set(pattern.links)
    return len(own & hit) >= ALIKE * len(own | hit)


def _is_seen_from_afar(pattern: Pattern, entry: LiveIncident) -> bool:
    """Returns whether only the figures of a network or hub that the pattern is about are odd, whenever that began.

    Else what a network says of itself would stay an incident of its own beside that of all its links.
    """
    culprit, is_known = pattern.culprit, entry.incident.root_cause is not None
    if culprit is None or is_known or pattern.ended_at is not None or pattern.confidence < SURE:
        return False
    return all(member.is_aggregate and member.depends_on(culprit) for member in entry.members)


def is_better(fit: PatternFit, entry: LiveIncident | None) -> bool:
    """Returns whether the pattern explains the incident from now on.

    What is known of it from its beginning is not given up for what looks like a later fault of the same links, nor for
    an unknown cause, nor for another explanation that is less sure: what fades when a fault ends looks like many.
    """
    if entry is None or entry.incident.root_cause is None:
        return True
    pattern, has_same_culprit = fit.pattern, entry.culprit == fit.pattern.culprit
    if has_same_culprit and pattern.cause is entry.incident.root_cause:
        return True
    if pattern.cause is RootCause.UNKNOWN or pattern.confidence < min(SURE, entry.incident.confidence or 0.0):
        return False
    return has_same_culprit or fit.onset <= entry.incident.started_at + TOGETHER


def find_returns(
    fits: Sequence[PatternFit],
    owners: Mapping[int, UUID],
    unsettled: Sequence[LiveIncident],
    live: Sequence[LiveIncident],
) -> list[tuple[int, LiveIncident, UUID]]:
    """Returns by pattern the incident that it explains, and the one that is over whose fault it surely names again.

    A cause may be known only after its anomalies got an incident of their own. Nobody works on that one yet.
    """
    by_id = {entry.id: entry for entry in unsettled}
    returns = list[tuple[int, LiveIncident, UUID]]()
    for number, id in owners.items():
        entry, pattern = by_id.get(id), fits[number].pattern
        earlier = [other.incident for other in live if entry is not None and _comes_back(pattern, entry, other)]
        if entry is not None and earlier:
            returns.append((number, entry, max(earlier, key=lambda incident: (incident.ended_at, incident.id)).id))
    return returns


def _comes_back(pattern: Pattern, entry: LiveIncident, earlier: LiveIncident) -> bool:
    """Returns whether the fault of an earlier incident is that of a later one, which nobody works on."""
    incident, ended_at = entry.incident, earlier.incident.ended_at
    is_untouched = incident.status is IncidentStatus.OPEN and incident.owner_id is None and not entry.is_over
    is_later = ended_at is not None and ended_at <= incident.started_at
    is_same = (earlier.incident.root_cause, earlier.culprit) == (pattern.cause, pattern.culprit)
    return is_untouched and is_later and is_same and _is_sure(pattern)


def _explained_share(fit: PatternFit, entry: LiveIncident) -> float:
    members = entry.open_members or entry.members
    members = tuple(member for member in members if not member.is_aggregate) or members
    return sum(fit.measure(member) is not None for member in members) / len(members) if members else 0.0


def _is_sure(pattern: Pattern) -> bool:
    """Returns whether the pattern names a cause and a culprit surely."""
    return pattern.cause is not RootCause.UNKNOWN and pattern.confidence >= SURE


def find_leaving(
    unsettled: Sequence[LiveIncident], fits: Sequence[PatternFit], owners: Mapping[int, UUID]
) -> list[tuple[LiveAnomaly, int]]:
    """Returns the anomalies that their own incident's pattern does not explain, but another one surely does."""
    leaving = list[tuple[LiveAnomaly, int]]()
    own_pattern = {id: number for number, id in owners.items()}
    for entry in unsettled:
        own = own_pattern.get(entry.id)
        if own is None:
            continue
        for member in entry.open_members:
            best = find_best(member, fits)
            if best is None or best == own or fits[own].measure(member) is not None:
                continue
            if _is_sure(fits[best].pattern) and _is_sure(fits[own].pattern):
                leaving.append((member, best))
    return leaving


def _is_hidden_by(fit: PatternFit, entry: LiveIncident) -> bool:
    """Returns whether a wide fault hits all that lasts of an incident that nobody explains or works on.

    It began before, and nobody can tell any more what it was.
    """
    if entry.incident.root_cause is not None or entry.incident.status is not IncidentStatus.OPEN:
        return False
    hit, directions = set(fit.pattern.links), {None, *fit.pattern.directions}
    lasting = entry.open_members
    is_hit = all(member.links and member.links <= hit and member.direction in directions for member in lasting)
    return bool(lasting) and is_hit and len(hit) >= WIDE


def find_merges(
    fits: Sequence[PatternFit], owners: Mapping[int, UUID], unsettled: Sequence[LiveIncident]
) -> dict[UUID, UUID]:
    """Returns the incidents that are wholly explained by the pattern of another one."""
    merges: dict[UUID, UUID] = {}
    for entry in unsettled:
        if entry.id in owners.values():
            continue
        for number, fit in enumerate(fits):
            survivor = owners.get(number)
            if survivor is None or fit.pattern.confidence < SURE:
                continue
            if _is_hidden_by(fit, entry):
                merges.setdefault(entry.id, survivor)
            if _explained_share(fit, entry) < 1.0:
                continue
            apart = abs(fit.onset - entry.incident.started_at)
            if fit.pattern.culprit == entry.culprit or entry.culprit is None or apart <= TOGETHER:
                merges.setdefault(entry.id, survivor)
    return merges
