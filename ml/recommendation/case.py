"""Situations: what is known when somebody asks what to do, and what became of what was done before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ml.catalogue.metrics import Direction, Metric, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.recommendation.playbook.actions import Action


class Priority(StrEnum):
    """How soon a recommendation wants to be looked at."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class Outcome(StrEnum):
    """What became of a recommendation. Only SOLVED and DID_NOT_HELP say whether the action works."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    SOLVED = "SOLVED"
    DID_NOT_HELP = "DID_NOT_HELP"
    REJECTED = "REJECTED"


@dataclass(frozen=True)
class Situation:
    """One fault: of a pattern of an analysis, of an anomaly, or of a detection.

    causes: what may be at fault with its probability, likeliest first; empty where no analysis was made. kind: what
    the readings are of, which says with `shares` (of the score, by metric, 0 to 1) what it is where no cause is known.
    """

    scope: CulpritKind  # what kind of thing is at fault, or hit
    severity: float  # 0 to 1
    confidence: float  # 0 to 1, that it is a fault at all, or this one
    causes: tuple[tuple[RootCause, float], ...] = ()
    kind: TargetKind | None = None
    shares: Mapping[Metric, float] = field(default_factory=dict)
    links: int = 1  # affected
    directions: tuple[Direction, ...] = ()  # affected; empty where it is of no link
    minutes: float = 0.0  # since it began
    lasts: bool = True  # it has not ended
    mobile: bool | None = None  # whether the remote moves; None where it is not known, or about several

    @property
    def leading(self) -> Metric | None:
        """The metric with the largest share."""
        return max(self.shares, key=lambda metric: self.shares[metric], default=None)


@dataclass(frozen=True)
class Past:
    """Outcomes of one action for one cause: how often it solved it and did not, and how often of the same target."""

    solved: int = 0
    failed: int = 0
    solved_here: int = 0
    failed_here: int = 0


@dataclass(frozen=True)
class Candidate:
    """An action that may help; `cause` None: because of the readings alone.

    chance: as the playbook says; probability: of the cause; order: its place in the playbook's list, from 0.
    """

    action: Action
    cause: RootCause | None
    chance: float
    probability: float
    order: int


@dataclass(frozen=True)
class Ranked:
    """A candidate with its score, 0 to 1, and how soon it wants to be looked at."""

    candidate: Candidate
    score: float
    priority: Priority
