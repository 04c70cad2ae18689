"""What became of one fault: whether and when it was noticed and told, and what the incident said in the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from ml.catalogue.root_causes import RootCause
from resolvers.demo.observations import Alarm, Culprit, Fault, Statement, Told, Watch

ASKED_AFTER_SECONDS: Final = 60.0  # real ones after the last anomaly joined: by then the cause should be known


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


def score_fault(
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
        *is_right(fault, in_time),
        *is_right(fault, last),
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


def is_right(fault: Fault, statement: Statement | None) -> tuple[bool, bool]:
    """Returns whether the cause is right, and the culprit."""
    if statement is None:
        return False, False
    return statement.cause is fault.cause, statement.culprit in fault.culprits


def _is_about(fault: Fault, target: Culprit | None) -> bool:
    """Returns whether advice is about the culprit; it names no transponder."""
    return target is not None and any((one.kind, one.id) == (target.kind, target.id) for one in fault.culprits)


def _delay(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())


def _real_delay(watch: Watch, start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else watch.real_seconds(start, end)
