"""The outcome model: how likely an action ends a simulated fault: what ranking learns from until some are recorded.

For an action `a`, a fault of which only the simulation knows the truth, an operator and a target:

    logit p = logit c(a, truth) + AGAINST or PARTLY + WATCHED (w - 1/2) + HANDS (s - 1/2) (e - 3) / 2
              - JOURNEYS log2 n + ENDED + operator(a, truth) + target(a)

- c: the playbook's chance under the true cause, or of the metric truly at fault; `FLOOR` where the playbook does not
  name the action for that: now and then the wrong thing helps. Under a wrong diagnosis that is all there is.
- AGAINST: the action works on a direction that is fine; PARTLY: on one of two that are hit.
- w: the share of the anomaly's score in the metrics that the action moves: what it does not touch, it does not mend.
- s severity, e effort 1 to 5: a restart or a setting mends mild faults, hands and parts mend hard ones.
- n links: a journey to one remote does not mend many; only for actions that need one, of a fault that hit several.
- ENDED: of a fault that is over, nothing that is changed takes away any more; looking into it still finds out why.
- operator, target: normal offsets, for fleets, vendors and crews differ, and so do single installations. They cannot
  be seen, only inferred from earlier outcomes, which are binomial with chances from the same offsets.

If the alarm was false, everything has the chance `FLOOR`. Outcomes are drawn from p, independently of each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Self

import numpy as np

from ml.catalogue.metrics import Metric
from ml.catalogue.root_causes import RootCause
from ml.numerics.arrays import Floats
from ml.recommendation.case import Candidate, Past, Situation
from ml.recommendation.playbook.actions import Action, Effort
from ml.recommendation.playbook.catalogue import ACTIONS, FOR_CAUSE, FOR_METRIC

FLOOR: Final = 0.03
AGAINST: Final = -2.5
PARTLY: Final = -0.4
WATCHED: Final = 1.5
HANDS: Final = 1.2
JOURNEYS: Final = 0.5
ENDED: Final = -0.7
OPERATORS_DIFFER: Final = 0.8  # nats, standard deviation
TARGETS_DIFFER: Final = 0.6
NAMED_RIGHT: Final = 0.93  # of earlier faults: the others' outcomes count for the wrong cause
NEW: Final = 0.3  # of the operators have recorded nothing yet
RECORDED: Final = 8.0  # outcomes of the playbook's first action for a cause, on average, with the others
HERE: Final = (0.4, 1.6)  # Beta: which share of them was at this target

# What an action that solved the fault was worth: solved is solved, but who is back in service in minutes is better off
# than who waits for a crew. Steeper, repairs at the remote would hardly ever be recommended.
GRADES: Final[dict[Effort, float]] = {
    Effort.LOOK: 3.0,
    Effort.REMOTE: 3.0,
    Effort.CALL: 2.5,
    Effort.HUB: 2.5,
    Effort.VISIT: 2.0,
}
EFFORT_WORTH: Final = np.array([0, *(GRADES[effort] for effort in Effort)]) / max(GRADES.values())  # of a solution


@dataclass(frozen=True)
class Truth:
    """What is wrong, as only the simulation knows: a cause, or a metric of a single target, or nothing (not `real`)."""

    cause: RootCause | None = None
    metric: Metric | None = None
    real: bool = True


@dataclass(frozen=True)
class Operator:
    """What works better and worse than the playbook says. recorded: outcomes so far, of a cause's first action."""

    offsets: Mapping[tuple[str, RootCause | None], float]  # nats; of no cause: by the readings alone
    recorded: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Self:
        keys = [(action, cause) for action in sorted(ACTIONS) for cause in (*RootCause, None)]
        offsets = rng.normal(0.0, OPERATORS_DIFFER, len(keys)).tolist()
        recorded = 0.0 if rng.random() < NEW else float(rng.exponential(RECORDED))
        return cls(dict(zip(keys, offsets, strict=True)), recorded)


def chances(
    truth: Truth, situation: Situation, candidates: Sequence[Candidate], operator: Operator, target: Floats
) -> Floats:
    """True chances (candidates,) to end the fault; `target` (candidates,): its offsets, nats."""
    if not truth.real:
        return np.full(len(candidates), FLOOR)
    actions = [candidate.action for candidate in candidates]
    offsets = [operator.offsets[action.key, truth.cause] for action in actions]
    fits = [suits(action, situation) for action in actions]
    return _logistic(_remedy(actions, truth, situation) + np.array(fits) + np.array(offsets) + target)


def suits(action: Action, situation: Situation) -> float:
    """How much better, in nats, the action does in this situation than in any with the same fault."""
    hit = situation.directions
    gain = HANDS * (situation.severity - 0.5) * (action.effort - 3) / 2
    if action.direction and hit:
        gain += AGAINST if action.direction not in hit else PARTLY * (len(hit) > 1)
    if situation.shares:
        gain += WATCHED * (sum(situation.shares.get(metric, 0.0) for metric in action.watch) - 0.5)
    if action.effort is Effort.VISIT:
        gain -= JOURNEYS * float(np.log2(max(1, situation.links)))
    if not situation.lasts and action.effort is not Effort.LOOK:
        gain += ENDED
    return gain


def pasts(
    candidates: Sequence[Candidate], operator: Operator, target: Floats, rng: np.random.Generator
) -> tuple[Past, ...]:
    """What the operator recorded of these actions before: more of what the playbook tries first."""
    mean = operator.recorded / (1.0 + np.array([one.order for one in candidates]) / 3.0)
    tried = rng.poisson(mean)
    here = rng.binomial(tried, rng.beta(*HERE))
    offsets = np.array([operator.offsets[one.action.key, one.cause] for one in candidates])
    usual = _logit(np.array([one.chance for one in candidates])) + offsets
    solved_here = rng.binomial(here, _diluted(usual + target))
    solved = solved_here + rng.binomial(tried - here, _diluted(usual))
    counts = np.column_stack([solved, tried - solved, solved_here, here - solved_here]).tolist()
    return tuple(Past(*map(int, one)) for one in counts)


@cache
def chances_for(cause: RootCause) -> Mapping[str, float]:
    """The playbook's chances for a cause, by the action's key."""
    return {remedy.action.key: remedy.chance for remedy in FOR_CAUSE.get(cause, ())}


def _remedy(actions: Sequence[Action], truth: Truth, situation: Situation) -> Floats:
    if truth.cause is not None:
        known = chances_for(truth.cause)
    else:
        of_metric = FOR_METRIC.get((situation.kind, truth.metric), ()) if situation.kind and truth.metric else ()
        known = {remedy.action.key: remedy.chance for remedy in of_metric}
    return _logit(np.array([known.get(action.key, FLOOR) for action in actions]))


def _diluted(logits: Floats) -> Floats:
    result: Floats = NAMED_RIGHT * _logistic(logits) + (1.0 - NAMED_RIGHT) * FLOOR
    return result


def _logit(chance: Floats) -> Floats:
    inside = np.clip(chance, 0.01, 0.99)
    result: Floats = np.log(inside / (1.0 - inside))
    return result


def _logistic(logits: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-logits))
    return result
