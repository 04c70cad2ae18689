"""The demo's scorecard."""

from datetime import datetime
from typing import Final, Self

import strawberry

from resolvers.demo import fault_scores, observations
from resolvers.demo.evidence import Judgement
from schema.batched_fields import NO_ROW, RowKey, polymorphic_relation
from schema.directives import list_size
from schema.enums import RootCause
from schema.root_causes.types import CULPRITS, Culprit

LISTED_FAULTS: Final = 50


def get_culprit_key(culprit: observations.Culprit | None) -> RowKey:
    """Returns the row of a culprit."""
    return NO_ROW if culprit is None else (CULPRITS[culprit.kind], culprit.id)


@strawberry.type(description="What the server made of one fault of the demo. Times are the fleet's.")
class DemoFault:
    number: int = strawberry.field(description="From 0, in the order of their starts.")
    root_cause: RootCause
    started_at: datetime
    ended_at: datetime
    noticed: bool = strawberry.field(description="An anomaly shows it.")
    noticed_after_seconds: float | None = strawberry.field(
        description="Of the fleet's time, from its start to the first anomaly. Null if it was not noticed."
    )
    incidents: int = strawberry.field(description="How many incidents were told of it. One is right.")
    told_after_seconds: float | None = strawberry.field(
        description="Real ones, from the incident's second anomaly (or its only one) until it was told. Null if never."
    )
    said_root_cause: RootCause | None = strawberry.field(description="What its incident said last.")
    confidence: float | None = strawberry.field(description="What its incident said last.")
    right_in_time: bool = strawberry.field(
        description="Cause and culprit were right 60 real seconds after the last anomaly joined the incident."
    )
    right: bool = strawberry.field(description="Cause and culprit were right in the end.")
    advice_right: bool = strawberry.field(
        description="The best recommendation was for the true cause, and about the true culprit."
    )
    action: str | None = strawberry.field(description="The best recommendation. Null if there was none.")
    true_culprit: strawberry.Private[observations.Culprit]
    said: strawberry.Private[observations.Culprit | None]

    culprit = polymorphic_relation(
        Culprit | None, lambda fault: get_culprit_key(fault.true_culprit), description="What was at fault."
    )
    said_culprit = polymorphic_relation(
        Culprit | None, lambda fault: get_culprit_key(fault.said), description="What its incident said last."
    )

    @classmethod
    def from_score(cls, fault: fault_scores.FaultScore) -> Self:
        return cls(
            number=fault.number,
            root_cause=fault.cause,
            started_at=fault.started_at,
            ended_at=fault.ended_at,
            noticed=fault.noticed,
            noticed_after_seconds=fault.noticed_after_seconds,
            incidents=fault.incidents,
            told_after_seconds=fault.told_after_real_seconds,
            said_root_cause=fault.said_cause,
            confidence=fault.confidence,
            right_in_time=fault.cause_right_in_time and fault.culprit_right_in_time,
            right=fault.cause_right and fault.culprit_right,
            advice_right=fault.advice_right,
            action=fault.action,
            true_culprit=fault.culprit,
            said=fault.said_culprit,
        )


@strawberry.type(
    description="How well incidents told of the demo's faults that are over. Counts are of faults, unless they say"
    " otherwise. The demo's clock may run faster than the real one: `speed`."
)
class DemoScorecard:
    seed: int = strawberry.field(description="What fleet, noise and faults are drawn from.")
    speed: float = strawberry.field(description="Seconds of the fleet's time in a real one, at present.")
    fleet_time: datetime = strawberry.field(description="What time it is for the fleet. Never ahead of the real time.")
    watched_days: float = strawberry.field(description="Of the fleet's time.")
    fault_count: int = strawberry.field(description="Faults that are over.")
    ongoing_count: int = strawberry.field(description="Faults that go on, and are not judged yet.")
    noticed: int = strawberry.field(description="At least one anomaly shows them.")
    noticed_after_seconds: float | None = strawberry.field(
        description="Median, of the fleet's time, from a fault's start to its first anomaly."
    )
    exactly_one_incident: int
    incidents_per_fault: float | None = strawberry.field(description="Of the faults that were told of.")
    right_in_time: int = strawberry.field(
        description="Cause and culprit were right 60 real seconds after the last anomaly joined the incident."
    )
    right: int = strawberry.field(description="Cause and culprit were right in the end.")
    advice_right: int = strawberry.field(
        description="The best recommendation was for the true cause, and about the true culprit."
    )
    told_after_seconds: float | None = strawberry.field(
        description="Median, real ones, from an incident's second anomaly (or its only one) until it was told."
    )
    slowest_told_after_seconds: float | None
    calibration_error: float | None = strawberry.field(
        description="Expected calibration error of the incidents' confidence, over ten bins."
    )
    incident_count: int = strawberry.field(description="Incidents that were told, merged ones as one.")
    false_incidents: int = strawberry.field(description="Incidents that show no fault.")
    false_incidents_to_budget: float | None = strawberry.field(
        description="Their number, as a multiple of the false alarms that the sensitivities allow."
    )
    scores: strawberry.Private[tuple[fault_scores.FaultScore, ...]]

    @strawberry.field(
        description=f"The newest {LISTED_FAULTS} faults that are over, newest first.",
        directives=[list_size(LISTED_FAULTS)],
    )
    def faults(self) -> list[DemoFault]:
        return [DemoFault.from_score(fault) for fault in reversed(self.scores[-LISTED_FAULTS:])]

    @classmethod
    def from_judgement(cls, judged: Judgement) -> Self:
        card = judged.card
        return cls(
            seed=judged.seed,
            speed=judged.speed,
            fleet_time=judged.fleet_time,
            watched_days=card.watched_days,
            fault_count=card.faults,
            ongoing_count=card.ongoing,
            noticed=card.noticed,
            noticed_after_seconds=card.noticed_after_seconds,
            exactly_one_incident=card.exactly_one_incident,
            incidents_per_fault=card.incidents_per_fault,
            right_in_time=card.right_in_time,
            right=card.right,
            advice_right=card.advice_right,
            told_after_seconds=card.told_after_real_seconds,
            slowest_told_after_seconds=card.slowest_told_after_real_seconds,
            calibration_error=card.calibration_error,
            incident_count=card.incidents,
            false_incidents=card.false_incidents,
            false_incidents_to_budget=card.false_incidents_to_budget,
            scores=card.each,
        )
