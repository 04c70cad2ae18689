"""Which incident each part becomes: an existing one, or a new one; and which incidents turn out to be one fault."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from resolvers.incidents.evidence import LiveAnomaly
from resolvers.incidents.partition import Part
from resolvers.store.tables.analysis_documents import Culprit, Pattern
from resolvers.store.tables.incidents import Incident

SURE: Final = 0.6  # the confidence of a pattern for which what people were told already is changed
ONSETS_APART: Final = timedelta(minutes=10)  # of two faults of one incident, at least, to split it for good reason


@dataclass(frozen=True)
class Assignment:
    """A part, and the incident that it goes to. incident: None for a new one."""

    part: Part
    incident: UUID | None


@dataclass(frozen=True)
class Plan:
    """What to do. merges: by the incident that ends, the one that goes on in its place."""

    assignments: tuple[Assignment, ...]
    merges: Mapping[UUID, UUID] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveIncident:
    """An incident that the parts may belong to, with its members."""

    incident: Incident
    members: tuple[LiveAnomaly, ...]

    @property
    def culprit(self) -> Culprit | None:
        return self.incident.pattern.culprit if self.incident.pattern else None


def reconcile(parts: Sequence[Part], live: Sequence[LiveIncident]) -> Plan:
    """Returns where each part goes, so that what people know by its name stays, and one fault is one incident."""
    by_id = {entry.incident.id: entry for entry in live}
    taken: dict[UUID, Part] = {}
    assignments = list[Assignment]()
    for part in sorted(parts, key=lambda part: (part.pattern is None, -len(part.members), part.started_at)):
        incident = _choose_incident(part, by_id)
        if incident is not None and incident in taken and not _belong_together(part, taken[incident]):
            incident = None
        if incident is not None:
            taken.setdefault(incident, part)
        assignments.append(Assignment(part, incident))
    return Plan(tuple(assignments), _find_merges(assignments, by_id))


def _choose_incident(part: Part, by_id: Mapping[UUID, LiveIncident]) -> UUID | None:
    """Returns the incident that most of the part belongs to already, else one with the same culprit or targets."""
    counts = Counter(member.incident_id for member in part.members if member.incident_id in by_id)
    if counts:
        most = max(counts.values())
        return min((key for key, count in counts.items() if count == most and key), key=lambda key: _age(by_id[key]))
    matching = [entry for entry in by_id.values() if _matches(part, entry)]
    return min(matching, key=lambda entry: (_is_over(entry), _distance(part, entry))).incident.id if matching else None


def _age(entry: LiveIncident) -> tuple[bool, datetime, UUID]:
    return entry.incident.announced_at is None, entry.incident.started_at, entry.incident.id


def _is_over(entry: LiveIncident) -> bool:
    return entry.incident.ended_at is not None


def _distance(part: Part, entry: LiveIncident) -> float:
    return abs((part.started_at - entry.incident.started_at).total_seconds())


def _matches(part: Part, entry: LiveIncident) -> bool:
    """Returns whether the part goes on with an incident: the same culprit, or no better reason and the same place."""
    if part.pattern is not None and part.pattern.culprit is not None and entry.culprit is not None:
        return part.pattern.culprit == entry.culprit
    places = {member.target for member in entry.members} | {("site", m.site) for m in entry.members if m.links}
    own = {member.target for member in part.members} | {("site", m.site) for m in part.members if m.links}
    return not places.isdisjoint(own) or (part.pattern is None and _is_covered(part, entry))


def _is_covered(part: Part, entry: LiveIncident) -> bool:
    """Returns whether the incident's culprit, while at fault, accounts for the part."""
    return (
        not _is_over(entry)
        and entry.culprit is not None
        and entry.incident.started_at <= part.started_at + timedelta(minutes=5)
        and all(member.depends_on(entry.culprit) for member in part.members)
    )


def _belong_together(part: Part, main: Part) -> bool:
    """Returns whether a smaller part of an incident stays with its main part, for want of a good reason to part."""
    if part.pattern is None or main.pattern is None:
        return True
    if _same(part.pattern, main.pattern):
        return True
    apart = abs(part.pattern.started_at - main.pattern.started_at)
    return min(part.pattern.confidence, main.pattern.confidence) < SURE or apart < ONSETS_APART


def _same(left: Pattern, right: Pattern) -> bool:
    return left.culprit == right.culprit and left.cause is right.cause


def _find_merges(assignments: Sequence[Assignment], by_id: Mapping[UUID, LiveIncident]) -> dict[UUID, UUID]:
    """Returns the incidents that have lost all their members to another one."""
    gone: dict[UUID, UUID] = {}
    kept = {assignment.incident for assignment in assignments}
    moved_to: dict[UUID, Counter[UUID]] = {}
    for assignment in assignments:
        for member in assignment.part.members:
            own = member.incident_id
            if own in by_id and own is not None and assignment.incident and own != assignment.incident:
                moved_to.setdefault(own, Counter())[assignment.incident] += 1
    for id, counts in moved_to.items():
        if id not in kept and counts.total() == len(by_id[id].members):
            gone[id] = counts.most_common(1)[0][0]
    return gone
