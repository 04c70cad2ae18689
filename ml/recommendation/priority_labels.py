"""The rater model: how soon an operator wants to look at an action, which priority learns from at first.

    u = (SEVERITY s + SPREAD min(1, log2 n / 6) + LASTING l) (1/2 + c/2) (HOPELESS + (1 - HOPELESS) √p) + SAFE
    label: HIGH from `HIGH_FROM`, MEDIUM from `MEDIUM_FROM`, each with the rater's leniency and some noise

Urgent is what is grave (severity s), hits many (links n: 64 are as bad as any) and lasts (l), as far as one is sure of
it (confidence c) and as the action helps (true chance p: whoever works there knows roughly what does). What keeps
people from harm (SAFE, from the action's tag) is urgent beyond that, while the fault lasts.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Floats
from ml.recommendation.case import Situation
from ml.recommendation.playbook.actions import Tag
from ml.recommendation.synthetic_incidents import PER_OPERATOR, Incident

SEVERITY: Final = 0.5
SPREAD: Final = 0.3
LASTING: Final = 0.2
SURELY_MANY: Final = 6  # log2 of links
HOPELESS: Final = 0.3
SAFE: Final = 0.1
LENIENCY: Final = 0.03  # standard deviation between raters, of each of whom there is one at an operator
NOISE: Final = 0.03
MEDIUM_FROM: Final = 0.22
HIGH_FROM: Final = 0.38

RULE_MEDIUM_FROM: Final = 0.4  # of the severity: the plain rule
RULE_HIGH_FROM: Final = 0.7


def urgency(incident: Incident) -> Floats:
    """(candidates,), 0 to about 1."""
    situation = incident.situation
    spread = min(1.0, float(np.log2(max(1, situation.links))) / SURELY_MANY)
    grave = SEVERITY * situation.severity + SPREAD * spread + LASTING * situation.lasts
    helps = HOPELESS + (1.0 - HOPELESS) * np.sqrt(incident.chances)
    safe = [SAFE * (Tag.SAFETY in one.action.tags and situation.lasts) for one in incident.candidates]
    result: Floats = grave * (0.5 + 0.5 * situation.confidence) * helps + np.array(safe)
    return result


def rated(incidents: list[Incident], seed: int) -> list[NDArray[np.int64]]:
    """By incident (candidates,): what a rater of that operator says, from 0 (LOW) to 2 (HIGH)."""
    rng = np.random.default_rng(seed)
    lenient = rng.normal(0.0, LENIENCY, len(incidents) // PER_OPERATOR + 1)
    labels = []
    for number, incident in enumerate(incidents):
        felt = urgency(incident) + lenient[number // PER_OPERATOR]
        felt += rng.normal(0.0, NOISE, len(felt))
        labels.append(np.searchsorted([MEDIUM_FROM, HIGH_FROM], felt, side="right").astype(np.int64))
    return labels


def by_rule(situation: Situation) -> int:
    """What the plain rule says, by severity alone; numbers as of `rated`."""
    return int(np.searchsorted([RULE_MEDIUM_FROM, RULE_HIGH_FROM], situation.severity, side="right"))
