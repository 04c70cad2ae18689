"""What the scorecard compares: the faults that were injected, and what anomalies and incidents told of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause

GRACE: Final = timedelta(minutes=15)

Target = tuple[TargetKind, int]


@dataclass(frozen=True)
class Culprit:
    """transponder: None unless a satellite's."""

    kind: CulpritKind
    id: int
    transponder: str | None = None


@dataclass(frozen=True)
class Fault:
    """A fault that was injected.

    culprits: the true one, and those with exactly the same links. targets: those that show it.
    """

    number: int
    cause: RootCause
    culprits: tuple[Culprit, ...]
    started_at: datetime
    ended_at: datetime
    targets: frozenset[Target]

    def shows_in(self, alarm: "Alarm") -> bool:
        """Returns whether the anomaly shows the fault."""
        in_time = alarm.started_at <= self.ended_at + GRACE and alarm.last_seen_at >= self.started_at
        return in_time and alarm.target in self.targets


@dataclass(frozen=True)
class Alarm:
    """An anomaly. incident: the surviving one."""

    target: Target
    started_at: datetime
    last_seen_at: datetime
    detected_at: datetime
    incident: UUID | None


@dataclass(frozen=True)
class Statement:
    """What an incident said from `at` on. anomalies: how many it had."""

    at: datetime
    cause: RootCause | None
    culprit: Culprit | None
    confidence: float | None
    anomalies: int
    action: str | None = None
    action_cause: RootCause | None = None
    action_target: Culprit | None = None


@dataclass(frozen=True)
class Told:
    """An incident that was announced, and what it said, in order."""

    id: UUID
    announced_at: datetime
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Watch:
    """What was watched: for how long in the fleet's time, how many false alarms a day the sensitivity allows.

    real_seconds: of a span of the fleet's time.
    """

    days: float
    budget_per_day: float
    speeds: tuple["Pace", ...] = ()

    def real_seconds(self, start: datetime, end: datetime) -> float:
        """Returns the real seconds between two of the fleet's times."""
        return sum(pace.real_seconds(start, end) for pace in self.speeds) if self.speeds else _seconds(end - start)


@dataclass(frozen=True)
class Pace:
    """A stretch of the fleet's time during which its clock ran so fast."""

    start: datetime
    end: datetime
    speed: float

    def real_seconds(self, start: datetime, end: datetime) -> float:
        """Returns the real seconds of the part of a span that lies in this stretch."""
        return max(0.0, _seconds(min(end, self.end) - max(start, self.start))) / self.speed


def _seconds(span: timedelta) -> float:
    return span.total_seconds()
