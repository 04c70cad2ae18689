"""Priority labels: how soon a simulated operator wants to look at an action. The priority model learns from them first.

    u = (SEVERITY s + SPREAD min(1, log2 n / 6) + LASTING l) (1/2 + c/2) (HOPELESS + (1 - HOPELESS) √p) + SAFE
    label: HIGH from `HIGH_FROM`, MEDIUM from `MEDIUM_FROM`, each with the rater's leniency and some noise

A fault is urgent if it is severe (s), affects many links (n: 64 are as bad as any) and lasts (l), as far as its finder
is sure of it (confidence c), and as far as the action helps (true chance p: who works there knows roughly what does).
What keeps people from harm (SAFE, from the action's tag) is urgent beyond that, while the fault lasts.
The form and its constants are our own estimates, not fitted to data.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Floats
from ml.recommendation.case import FaultCase
from ml.recommendation.playbook.actions import Tag
from ml.recommendation.synthetic_incidents import PER_OPERATOR, Incident

SEVERITY: Final = 0.5
SPREAD: Final = 0.3
LASTING: Final = 0.2
SURELY_MANY: Final = 6  # log2 of links
HOPELESS: Final = 0.3
SAFE: Final = 0.1
LENIENCY: Final = 0.03  # standard deviation between raters; each operator has one
NOISE: Final = 0.03
MEDIUM_FROM: Final = 0.22
HIGH_FROM: Final = 0.38

RULE_MEDIUM_FROM: Final = 0.4  # of the severity: the plain rule
RULE_HIGH_FROM: Final = 0.7


def compute_urgency(incident: Incident) -> Floats:
    """Returns how urgent each candidate is, 0 to about 1, shape (candidates,)."""
    case = incident.case
    spread = min(1.0, float(np.log2(max(1, case.links))) / SURELY_MANY)
    impact = SEVERITY * case.severity + SPREAD * spread + LASTING * case.lasts
    helps = HOPELESS + (1.0 - HOPELESS) * np.sqrt(incident.chances)
    safe = [SAFE * (Tag.SAFETY in candidate.action.tags and case.lasts) for candidate in incident.candidates]
    result: Floats = impact * (0.5 + 0.5 * case.confidence) * helps + np.array(safe)
    return result


def label_priorities(incidents: list[Incident], seed: int) -> list[NDArray[np.int64]]:
    """Returns what a rater of each incident's operator says, from 0 (LOW) to 2 (HIGH), each of shape (candidates,)."""
    rng = np.random.default_rng(seed)
    leniencies = rng.normal(0.0, LENIENCY, len(incidents) // PER_OPERATOR + 1)
    labels = []
    for number, incident in enumerate(incidents):
        felt = compute_urgency(incident) + leniencies[number // PER_OPERATOR]
        felt += rng.normal(0.0, NOISE, len(felt))
        labels.append(np.searchsorted([MEDIUM_FROM, HIGH_FROM], felt, side="right").astype(np.int64))
    return labels


def label_by_severity(case: FaultCase) -> int:
    """Returns what the plain rule says, from the severity alone, from 0 (LOW) to 2 (HIGH)."""
    return int(np.searchsorted([RULE_MEDIUM_FROM, RULE_HIGH_FROM], case.severity, side="right"))
