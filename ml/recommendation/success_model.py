"""The success model: how likely an action ends a simulated fault.

The ranking learns from it until outcomes are recorded.

For an action `a`, a fault whose truth only the simulation knows, an operator and a target:

    logit p = logit c(a, truth) + context_logit(a, case) + operator(a, truth) + target(a)

    context_logit = WRONG_DIRECTION or ONE_OF_TWO + WATCHED (w - 1/2) + HANDS (s - 1/2) (e - 3) / 2
                    - JOURNEYS log2 n + ENDED

- c: the playbook's chance under the true cause, or for the metric truly at fault; `FLOOR` where the playbook does not
  list the action for it: now and then the wrong action helps. Under a wrong diagnosis that is all there is.
- WRONG_DIRECTION: the action helps a direction that is healthy; ONE_OF_TWO: one of two that are affected.
- w: the share of the anomaly's score in the metrics that the action watches: what it does not touch, it does not mend.
- s severity, e effort 1 to 5: a restart or a setting mends mild faults, hands and parts mend severe ones.
- n links: a journey to one remote does not mend many. Only for actions that need one, of a fault that affects several.
- ENDED: once a fault is over, no change takes it away; looking into it still finds out why.
- operator, target: normal offsets, since fleets, vendors and crews differ, and so do single installations. They cannot
  be observed, only inferred from earlier outcomes, which are binomial with chances from the same offsets.

After a false alarm, everything has the chance `FLOOR`. Outcomes are drawn from p, independently of each other.
The form and its constants are our own estimates, not fitted to data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from ml.catalogue.metrics import Metric
from ml.catalogue.root_causes import RootCause
from ml.numerics.arrays import Floats
from ml.recommendation.case import ActionForCause, Candidate, FaultCase, TrackRecord
from ml.recommendation.playbook.actions import Action, Effort
from ml.recommendation.playbook.catalogue import Playbook

FLOOR: Final = 0.03  # chance of an action that the playbook does not list
WRONG_DIRECTION: Final = -2.5  # nats, as all that is added to a logit
ONE_OF_TWO: Final = -0.4
WATCHED: Final = 1.5
HANDS: Final = 1.2
JOURNEYS: Final = 0.5
ENDED: Final = -0.7
OPERATOR_SPREAD: Final = 0.8  # nats, standard deviation between operators
TARGET_SPREAD: Final = 0.6  # nats, standard deviation between targets
DIAGNOSIS_RIGHT: Final = 0.93  # share of earlier faults; outcomes of the others count for the wrong cause
NEW_OPERATORS: Final = 0.3  # share of the operators that have recorded nothing yet
MEAN_OUTCOMES: Final = 8.0  # recorded of the playbook's first action for a cause, by the other operators
SHARE_HERE: Final = (0.4, 1.6)  # Beta: which share of the outcomes was at this target

# What an action that solved the fault was worth: a solution is a solution, but an operator who is back in service in
# minutes is better off than one who waits for a crew. If this were steeper, repairs at the remote would hardly ever be
# recommended.
GRADES: Final[dict[Effort, float]] = {
    Effort.LOOK: 3.0,
    Effort.REMOTE: 3.0,
    Effort.CALL: 2.5,
    Effort.HUB: 2.5,
    Effort.VISIT: 2.0,
}
EFFORT_WORTH: Final = np.array([0, *(GRADES[effort] for effort in Effort)]) / max(GRADES.values())  # by effort, 0 to 1


@dataclass(frozen=True)
class Truth:
    """What is wrong, as only the simulation knows: a cause, or a metric of one target, or nothing (not `real`)."""

    cause: RootCause | None = None
    metric: Metric | None = None
    real: bool = True


@dataclass(frozen=True)
class Operator:
    """A simulated operator, where actions work better or worse than the playbook says."""

    offsets: Mapping[ActionForCause, float]  # nats
    recorded: float  # mean number of outcomes so far, of the playbook's first action for a cause

    @classmethod
    def draw(cls, rng: np.random.Generator, playbook: Playbook) -> Self:
        """Returns a random operator."""
        keys = [(action, cause) for action in sorted(playbook.repairs) for cause in (*RootCause, None)]
        offsets = rng.normal(0.0, OPERATOR_SPREAD, len(keys)).tolist()
        recorded = 0.0 if rng.random() < NEW_OPERATORS else float(rng.exponential(MEAN_OUTCOMES))
        return cls(dict(zip(keys, offsets, strict=True)), recorded)


def compute_chances(
    truth: Truth,
    case: FaultCase,
    candidates: Sequence[Candidate],
    operator: Operator,
    target_offsets: Floats,
    playbook: Playbook,
) -> Floats:
    """Returns the true chances that each candidate ends the fault, shape (candidates,).

    target_offsets: how much better each candidate works at this target, in nats, shape (candidates,).
    """
    if not truth.real:
        return np.full(len(candidates), FLOOR)
    actions = [candidate.action for candidate in candidates]
    offsets = [operator.offsets[action.key, truth.cause] for action in actions]
    contexts = [context_logit(action, case) for action in actions]
    listed = _playbook_logits(actions, truth, case, playbook)
    return _logistic(listed + np.array(contexts) + np.array(offsets) + target_offsets)


def context_logit(action: Action, case: FaultCase) -> float:
    """Returns how much better, in nats, the action does in this case than in an average one with the same fault."""
    affected = case.directions
    logit = HANDS * (case.severity - 0.5) * (action.effort - 3) / 2
    if action.direction and affected:
        logit += WRONG_DIRECTION if action.direction not in affected else ONE_OF_TWO * (len(affected) > 1)
    if case.shares:
        logit += WATCHED * (sum(case.shares.get(metric, 0.0) for metric in action.watch) - 0.5)
    if action.effort is Effort.VISIT:
        logit -= JOURNEYS * float(np.log2(max(1, case.links)))
    if not case.lasts and action.effort is not Effort.LOOK:
        logit += ENDED
    return logit


def draw_track_records(
    candidates: Sequence[Candidate], operator: Operator, target_offsets: Floats, rng: np.random.Generator
) -> tuple[TrackRecord, ...]:
    """Returns random outcomes that the operator recorded before; more of what the playbook tries first."""
    mean = operator.recorded / (1.0 + np.array([candidate.order for candidate in candidates]) / 3.0)
    tried = rng.poisson(mean)
    here = rng.binomial(tried, rng.beta(*SHARE_HERE))
    offsets = np.array([operator.offsets[candidate.action.key, candidate.cause] for candidate in candidates])
    logits = _logit(np.array([candidate.chance for candidate in candidates])) + offsets
    solved_here = rng.binomial(here, _dilute(logits + target_offsets))
    solved = solved_here + rng.binomial(tried - here, _dilute(logits))
    counts = np.column_stack([solved, tried - solved, solved_here, here - solved_here]).tolist()
    return tuple(TrackRecord(*map(int, row)) for row in counts)


def _playbook_logits(actions: Sequence[Action], truth: Truth, case: FaultCase, playbook: Playbook) -> Floats:
    chances: Mapping[str, float] = {}
    if truth.cause is not None:
        chances = playbook.cause_chances(truth.cause)
    elif case.kind and truth.metric:
        chances = playbook.metric_chances(case.kind, truth.metric)
    return _logit(np.array([chances.get(action.key, FLOOR) for action in actions]))


def _dilute(logits: Floats) -> Floats:
    """Returns the chances that outcomes show, of which some were recorded for a wrong diagnosis."""
    result: Floats = DIAGNOSIS_RIGHT * _logistic(logits) + (1.0 - DIAGNOSIS_RIGHT) * FLOOR
    return result


def _logit(chance: Floats) -> Floats:
    inside = np.clip(chance, 0.01, 0.99)
    result: Floats = np.log(inside / (1.0 - inside))
    return result


def _logistic(logits: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-logits))
    return result
