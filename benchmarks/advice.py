"""From which certainty on a repair costs less than asking first: why `ml.recommendation.advice.CERTAIN` is as it is.

    python -m benchmarks.advice

Nothing but the playbook is used: its chances, minutes and efforts, for each cause and what it is mistaken for. Two
crews meet the same fault, of which the likeliest cause is right with a certainty. One tries the repairs against that
cause, best first, and then those against the other cause. The other crew first asks what tells the two causes apart,
best first, until an answer tells, now and then wrongly (`MISLEADS`); then it tries the repairs against what it was told
first, or goes on like the first crew. A repair ends the fault with the playbook's chance for the true cause, by `FLOOR`
where the playbook has none. Who is through with both lists calls for help, which takes `ESCALATION` minutes. Effort
counts each thing that is tried, from 1 (a look) to 5 (a journey).
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from ml.catalogue.root_causes import NAMED, RootCause
from ml.numerics.arrays import Floats
from ml.recommendation.advice import CERTAIN, MOST_QUESTIONS, Diagnosis, list_advice
from ml.recommendation.case import Candidate, FaultCase
from ml.recommendation.playbook.loading import default_playbook
from ml.recommendation.ranking import MOST
from ml.recommendation.success_model import EFFORT_WORTH, FLOOR
from ml.recommendation.synthetic_incidents import CAUSE_PROFILES

ESCALATION: Final = 480.0
MISLEADS: Final = 0.1  # of the answers that tell: an estimate
CERTAINTIES: Final = tuple(np.round(np.arange(0.30, 0.96, 0.05), 2).tolist())
PLAYBOOK: Final = default_playbook()


def list_pairs() -> Iterator[tuple[RootCause, RootCause]]:
    """Yields each cause with what it is mistaken for."""
    for cause in NAMED:
        yield from ((cause, rival) for rival in CAUSE_PROFILES[cause].mistaken_for)


def sort_best_first(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    return sorted(candidates, key=lambda one: -one.chance * EFFORT_WORTH[one.action.effort])[:most]


def list_repairs(cause: RootCause) -> list[Candidate]:
    scope = CAUSE_PROFILES[cause].scopes[0]
    return sort_best_first(list_advice(FaultCase(scope, 0.6, 1.0), Diagnosis(cause, 1.0), PLAYBOOK), MOST)


def list_questions(cause: RootCause, rival: RootCause) -> list[Candidate]:
    scope = CAUSE_PROFILES[cause].scopes[0]
    asked = list_advice(FaultCase(scope, 0.6, 0.0), Diagnosis(cause, 0.0, rival), PLAYBOOK)
    return sort_best_first(asked, MOST_QUESTIONS)


def try_repairs(repairs: Sequence[Candidate], truth: RootCause) -> Floats:
    """Returns the expected minutes until the fault is over, and the effort."""
    chances = PLAYBOOK.cause_chances(truth)
    lasts, cost = 1.0, np.zeros(2)
    for one in repairs:
        cost += lasts * np.array([one.action.minutes, one.action.effort])
        lasts *= 1.0 - chances.get(one.action.key, FLOOR)
    return cost + lasts * np.array([ESCALATION, 5.0])


def ask_first(questions: Sequence[Candidate], told: Floats, not_told: Floats) -> Floats:
    """Returns the same of who asks first. told: of who was told a cause; not_told: of who does not."""
    open_, cost = 1.0, np.zeros(2)
    for one in questions:
        cost += open_ * (np.array([one.action.minutes, one.action.effort]) + one.chance * told)
        open_ *= 1.0 - one.chance
    return cost + open_ * not_told


def compare(cause: RootCause, rival: RootCause, certainty: float) -> Floats:
    """Returns minutes and effort of who repairs at once, and of who asks first, shape (2, 2)."""
    own, others, questions = list_repairs(cause), list_repairs(rival), list_questions(cause, rival)
    result = np.zeros((2, 2))
    for truth, right, probability in ((cause, own, certainty), (rival, others, 1.0 - certainty)):
        at_once = try_repairs([*own, *others], truth)
        wrong = others if right is own else own
        told = (1.0 - MISLEADS) * try_repairs([*right, *wrong], truth)
        told += MISLEADS * try_repairs([*wrong, *right], truth)
        result += probability * np.array([at_once, ask_first(questions, told, at_once)])
    return result


def main() -> None:
    pairs = list(list_pairs())
    print(f"{len(pairs)} pairs of causes; `CERTAIN` is {CERTAIN:.2f}.\n")
    print(
        "| Certainty | Repair: minutes, effort | Ask first: minutes, effort | Asking is quicker | takes less effort |"
    )
    print("|---|---|---|---|---|")
    for certainty in CERTAINTIES:
        measured = np.array([compare(cause, rival, certainty) for cause, rival in pairs])
        (minutes, effort), (asked_minutes, asked_effort) = measured.mean(axis=0)
        sooner, less = (measured[:, 1] < measured[:, 0]).mean(axis=0)
        print(
            f"| {certainty:.2f} | {minutes:.0f}, {effort:.1f} | {asked_minutes:.0f}, {asked_effort:.1f}"
            f" | {sooner:.0%} | {less:.0%} |"
        )


if __name__ == "__main__":
    main()
