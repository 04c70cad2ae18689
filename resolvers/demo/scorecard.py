"""The scorecard: how well incidents told of the demo's faults. Pure: rows in, figures out.

What counts as right:

- A **fault** is over. Those that go on are left out.
- An anomaly **shows** a fault if its target is one of the links that the fault degrades notably, or a site or network
  of theirs, and it goes on within the fault's time or 15 minutes after.
- An incident **is about** the fault that most of its anomalies show. Merged incidents count as the one that survives;
  those that nobody was told of do not count.
- The **culprit** is right if it is the fault's, or has exactly the same links: the site of a lone link, the only
  network of a hub. Of a rain cell it is the site in its middle.
- The **advice** is right if the incident's best recommendation is for the true cause and about the true culprit.
- What was never noticed is wrong in every way.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Final
from uuid import UUID

import numpy as np

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.numerics.scores import calibration_error

GRACE: Final = timedelta(minutes=15)
ASKED_AFTER_SECONDS: Final = 60.0  # real ones after the last anomaly joined: by then the cause should be known
LINK_WEIGHT, OTHER_WEIGHT = 1.0, 0.01  # sites and networks decide only between incidents without links

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


@dataclass(frozen=True)
class FaultScore:
    """What became of one fault. Delays are None where nothing was told.

    noticed_after_seconds: until the first anomaly that shows it.
    told_after_seconds: from the incident's second anomaly (its only one) to the announcement.

    Both are of the fleet's time; those with `real` are of the real one.
    """

    number: int
    cause: RootCause
    culprit: Culprit
    started_at: datetime
    ended_at: datetime
    noticed: bool
    noticed_after_seconds: float | None
    noticed_after_real_seconds: float | None
    incidents: int
    told_after_seconds: float | None
    told_after_real_seconds: float | None
    said_cause: RootCause | None
    said_culprit: Culprit | None
    confidence: float | None
    cause_right_in_time: bool
    culprit_right_in_time: bool
    cause_right: bool
    culprit_right: bool
    action: str | None
    advice_right: bool


@dataclass(frozen=True)
class Scorecard:
    """Shares are of all faults that are over; NaN-free: None where there is nothing to say.

    in_time: as of 60 real seconds after the last anomaly joined the incident; the others: at the end.
    """

    faults: int
    ongoing: int
    noticed: int
    exactly_one_incident: int
    incidents_per_fault: float | None
    cause_right_in_time: int
    culprit_right_in_time: int
    right_in_time: int
    cause_right: int
    culprit_right: int
    right: int
    advice_right: int
    noticed_after_seconds: float | None
    noticed_after_real_seconds: float | None
    told_after_seconds: float | None
    told_after_real_seconds: float | None
    slowest_told_after_real_seconds: float | None
    calibration_error: float | None
    calibrated_over: int
    incidents: int
    false_incidents: int
    false_alarms: int
    watched_days: float
    false_incidents_per_day: float | None
    budget_per_day: float
    false_incidents_to_budget: float | None
    each: tuple[FaultScore, ...] = field(default=(), repr=False)


def score(
    faults: Sequence[Fault], alarms: Sequence[Alarm], incidents: Sequence[Told], watch: Watch, now: datetime
) -> Scorecard:
    """Returns how well the incidents told of the faults."""
    told = {incident.id: incident for incident in incidents}
    subjects = {id: _find_subject(faults, own) for id, own in _by_incident(alarms, told).items()}
    over = [fault for fault in faults if fault.ended_at <= now]
    each = tuple(_score_fault(fault, alarms, told, subjects, watch) for fault in over)
    false = [id for id, subject in subjects.items() if subject is None]
    return _sum_up(each, len(faults) - len(over), told, subjects, false, alarms, faults, watch)


def _by_incident(alarms: Iterable[Alarm], told: Mapping[UUID, Told]) -> dict[UUID, list[Alarm]]:
    """Returns the anomalies of each announced incident; none for one that has lost them all."""
    own: dict[UUID, list[Alarm]] = {id: [] for id in told}
    for alarm in alarms:
        if alarm.incident in own:
            own[alarm.incident].append(alarm)
    return {id: found for id, found in own.items() if found}


def _find_subject(faults: Sequence[Fault], alarms: Sequence[Alarm]) -> Fault | None:
    """Returns the fault that most of an incident's anomalies show, None if none shows any."""
    weights = Counter[int]()
    for place, fault in enumerate(faults):
        shown = [alarm for alarm in alarms if fault.shows_in(alarm)]
        weights[place] = round(sum(1000 * _weight(alarm) for alarm in shown))
    best = weights.most_common(1)
    return faults[best[0][0]] if best and best[0][1] > 0 else None


def _weight(alarm: Alarm) -> float:
    return LINK_WEIGHT if alarm.target[0] is TargetKind.LINK else OTHER_WEIGHT


def _score_fault(
    fault: Fault,
    alarms: Sequence[Alarm],
    told: Mapping[UUID, Told],
    subjects: Mapping[UUID, Fault | None],
    watch: Watch,
) -> FaultScore:
    shown = [alarm for alarm in alarms if fault.shows_in(alarm)]
    own = [told[id] for id, subject in subjects.items() if subject is fault]
    main = max(own, key=lambda incident: sum(alarm.incident == incident.id for alarm in shown), default=None)
    # One that was open before tells nothing of this fault, unless it is all there is.
    fresh = [alarm for alarm in shown if alarm.started_at >= fault.started_at] or shown
    first = min((alarm.detected_at for alarm in fresh), default=None)
    in_time, last, advice = _find_statements(main, watch) if main else (None, None, None)
    second = _find_second(main, alarms) if main else None
    announced = main.announced_at if main else None
    return FaultScore(
        fault.number,
        fault.cause,
        fault.culprits[0],
        fault.started_at,
        fault.ended_at,
        first is not None,
        _delay(fault.started_at, first),
        _real_delay(watch, fault.started_at, first),
        len(own),
        _delay(second, announced),
        _real_delay(watch, second, announced),
        last.cause if last else None,
        last.culprit if last else None,
        last.confidence if last else None,
        *_is_right(fault, in_time),
        *_is_right(fault, last),
        advice.action if advice else None,
        advice is not None and advice.action_cause is fault.cause and _is_about(fault, advice.action_target),
    )


def _find_statements(incident: Told, watch: Watch) -> tuple[Statement | None, Statement | None, Statement | None]:
    """Returns what it said a minute after its last anomaly joined, what it said last, and its last advice."""
    statements = incident.statements
    most, joined_at = 0, incident.announced_at
    for statement in statements:
        if statement.anomalies > most:
            most, joined_at = statement.anomalies, statement.at
    in_time = [one for one in statements if watch.real_seconds(joined_at, one.at) <= ASKED_AFTER_SECONDS]
    advice = [one for one in statements if one.action is not None]
    return (in_time[-1] if in_time else None, statements[-1] if statements else None, advice[-1] if advice else None)


def _find_second(incident: Told, alarms: Sequence[Alarm]) -> datetime | None:
    """Returns when its second anomaly was detected, or its only one."""
    detected = sorted(alarm.detected_at for alarm in alarms if alarm.incident == incident.id)
    return detected[:2][-1] if detected else None


def _is_right(fault: Fault, statement: Statement | None) -> tuple[bool, bool]:
    """Returns whether the cause is right, and the culprit."""
    if statement is None:
        return False, False
    return statement.cause is fault.cause, statement.culprit in fault.culprits


def _is_about(fault: Fault, target: Culprit | None) -> bool:
    """Returns whether advice is about the culprit; it names no transponder."""
    return target is not None and any((one.kind, one.id) == (target.kind, target.id) for one in fault.culprits)


def _sum_up(
    each: tuple[FaultScore, ...],
    ongoing: int,
    told: Mapping[UUID, Told],
    subjects: Mapping[UUID, Fault | None],
    false: Sequence[UUID],
    alarms: Sequence[Alarm],
    faults: Sequence[Fault],
    watch: Watch,
) -> Scorecard:
    confidences = [_judge_confidence(told[id], subject) for id, subject in subjects.items()]
    stated = [one for one in confidences if one is not None]
    error = calibration_error(np.array([c for c, _ in stated]), np.array([r for _, r in stated])) if stated else None
    with_incidents = [one for one in each if one.incidents]
    per_day = len(false) / watch.days if watch.days > 0 else None
    false_alarms = sum(not any(fault.shows_in(alarm) for fault in faults) for alarm in alarms)
    told_after = [one.told_after_real_seconds for one in each if one.told_after_real_seconds is not None]
    return Scorecard(
        faults=len(each),
        ongoing=ongoing,
        noticed=sum(one.noticed for one in each),
        exactly_one_incident=sum(one.incidents == 1 for one in each),
        incidents_per_fault=sum(one.incidents for one in each) / len(with_incidents) if with_incidents else None,
        cause_right_in_time=sum(one.cause_right_in_time for one in each),
        culprit_right_in_time=sum(one.culprit_right_in_time for one in each),
        right_in_time=sum(one.cause_right_in_time and one.culprit_right_in_time for one in each),
        cause_right=sum(one.cause_right for one in each),
        culprit_right=sum(one.culprit_right for one in each),
        right=sum(one.cause_right and one.culprit_right for one in each),
        advice_right=sum(one.advice_right for one in each),
        noticed_after_seconds=_median(one.noticed_after_seconds for one in each),
        noticed_after_real_seconds=_median(one.noticed_after_real_seconds for one in each),
        told_after_seconds=_median(one.told_after_seconds for one in each),
        told_after_real_seconds=_median(told_after),
        slowest_told_after_real_seconds=max(told_after, default=None),
        calibration_error=error,
        calibrated_over=len(stated),
        incidents=len(subjects),
        false_incidents=len(false),
        false_alarms=false_alarms,
        watched_days=watch.days,
        false_incidents_per_day=per_day,
        budget_per_day=watch.budget_per_day,
        false_incidents_to_budget=per_day / watch.budget_per_day
        if per_day is not None and watch.budget_per_day
        else None,
        each=each,
    )


def _judge_confidence(incident: Told, subject: Fault | None) -> tuple[float, bool] | None:
    """Returns an incident's last confidence, and whether cause and culprit are right; None if it names no cause."""
    last = incident.statements[-1] if incident.statements else None
    if last is None or last.cause is None or last.confidence is None:
        return None
    return last.confidence, subject is not None and all(_is_right(subject, last))


def _delay(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max(0.0, _seconds(end - start))


def _real_delay(watch: Watch, start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else watch.real_seconds(start, end)


def _seconds(span: timedelta) -> float:
    return span.total_seconds()


def _median(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return median(present) if present else None
