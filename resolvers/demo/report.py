"""The scorecard in words, and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from resolvers.demo.evidence import Judgement
from resolvers.demo.fault_scores import FaultScore
from resolvers.demo.observations import Culprit
from resolvers.demo.scorecard import Scorecard


def to_json(judged: Judgement) -> dict[str, Any]:
    """Returns the scorecard as plain values; times and enumerations stay as they are."""
    return {"seed": judged.seed, "speed": judged.speed, "fleet_time": judged.fleet_time, **asdict(judged.card)}


def describe_judgement(judged: Judgement) -> Iterator[str]:
    """Yields the scorecard line by line, and by which clock."""
    pace = "as fast as the real one" if judged.speed == 1.0 else f"{judged.speed:g} times as fast as the real one"
    yield f"Demo with seed {judged.seed}. The fleet's clock: {judged.fleet_time:%Y-%m-%d %H:%M:%S} UTC, {pace}."
    yield from describe(judged.card)


def describe(card: Scorecard) -> Iterator[str]:
    """Yields the scorecard line by line, with one for every fault."""
    if card.each:
        yield "  #  cause                   lasted    noticed  incidents  cause  culprit  advice"
        yield from (_describe_fault(one) for one in card.each)
    yield f"{card.faults} faults are over, {card.ongoing} go on; watched for {card.watched_days:.2f} days of the fleet"
    yield _share("noticed", card.noticed, card.faults)
    yield _line("  after a median of", _seconds(card.noticed_after_seconds, card.noticed_after_real_seconds))
    yield _share("exactly one incident", card.exactly_one_incident, card.faults, "wanted ≥ .95")
    yield _line("incidents per fault told of", _number(card.incidents_per_fault), "wanted ≤ 1.05")
    yield _share("cause and culprit right in time", card.right_in_time, card.faults, "wanted ≥ .90")
    yield _share("  cause", card.cause_right_in_time, card.faults)
    yield _share("  culprit", card.culprit_right_in_time, card.faults)
    yield _share("cause and culprit right at the end", card.right, card.faults)
    yield _share("advice right", card.advice_right, card.faults, "wanted ≥ .90")
    yield _line(
        "told after its second anomaly", _seconds(card.told_after_seconds, card.told_after_real_seconds), "median"
    )
    slowest = card.slowest_told_after_real_seconds
    yield _line("  the slowest", "–" if slowest is None else f"{slowest:.0f} s real", "wanted ≤ 30 s")
    yield _line(
        "calibration error of confidence", _number(card.calibration_error), f"over {card.calibrated_over}, wanted ≤ .05"
    )
    yield _line(
        "false incidents", f"{card.false_incidents} of {card.incidents}", f"{card.false_alarms} false anomalies"
    )
    budget = card.false_incidents_to_budget
    yield _line(
        "  against the budget", _number(budget), f"of {card.budget_per_day:.1f} a day for all targets, wanted ≤ 1.30"
    )
    yield "In time: 60 real seconds after the last anomaly joined. Shares are of all faults that are over."


def _describe_fault(fault: FaultScore) -> str:
    minutes = (fault.ended_at - fault.started_at).total_seconds() / 60.0
    noticed = "never" if fault.noticed_after_seconds is None else f"{fault.noticed_after_seconds / 60.0:.1f} min"
    advice = "right" if fault.advice_right else f"{fault.action or '–'}"
    said = "right" if fault.cause_right else f"{fault.said_cause or '–'}"
    culprit = "right" if fault.culprit_right else name(fault.said_culprit)
    head = f"{fault.number:3d}  {fault.cause:22s}  {minutes:5.0f} min {noticed:>9s}  {fault.incidents:9d}"
    return f"{head}  {said}  {culprit} (is {name(fault.culprit)})  {advice}"


def name(culprit: Culprit | None) -> str:
    """Returns a culprit's kind and id."""
    if culprit is None:
        return "–"
    return f"{culprit.kind} {culprit.id}" + (f" {culprit.transponder}" if culprit.transponder else "")


def _share(what: str, count: int, of: int, wanted: str = "") -> str:
    return _line(what, f"{count}/{of}" + (f" = {count / of:.2f}" if of else ""), wanted)


def _seconds(fleet: float | None, real: float | None) -> str:
    return "–" if fleet is None or real is None else f"{fleet:.0f} s of the fleet, {real:.0f} s real"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _line(what: str, value: str, note: str = "") -> str:
    return f"{what:36s} {value}" + (f"   ({note})" if note else "")
