"""What the correlator works with: live incidents, and a plan of what changes for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from resolvers.incidents.evidence import LiveAnomaly
from resolvers.store.tables.analysis_documents import Culprit, Pattern
from resolvers.store.tables.incidents import Incident

EARLIER: Final = timedelta(minutes=5)  # that an anomaly may begin before its fault: an onset is not known to the minute
TOGETHER: Final = timedelta(minutes=10)  # between the onsets of anomalies of one fault


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
