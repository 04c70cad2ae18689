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
from datetime import datetime
from statistics import median
from uuid import UUID

import numpy as np

from ml.catalogue.metrics import TargetKind
from ml.numerics.scores import calibration_error
from resolvers.demo.fault_scores import FaultScore, is_right, score_fault
from resolvers.demo.observations import Alarm, Fault, Told, Watch

LINK_WEIGHT, OTHER_WEIGHT = 1.0, 0.01  # sites and networks decide only between incidents without links


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
    each = tuple(score_fault(fault, alarms, told, subjects, watch) for fault in over)
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
    return last.confidence, subject is not None and all(is_right(subject, last))


def _median(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return median(present) if present else None
