"""Fault cases: what is known when somebody asks what to do, and what became of what was done before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ml.catalogue.metrics import Direction, Metric, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.recommendation.playbook.actions import Action

ActionForCause = tuple[str, RootCause | None]  # an action's key; None: because of the readings alone


class Priority(StrEnum):
    """How soon somebody should look at a recommendation."""

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
class FaultCase:
    """One fault: a pattern of an analysis, an anomaly, or a detection."""

    scope: CulpritKind  # what kind of thing is at fault, or affected
    severity: float  # 0 to 1
    confidence: float  # 0 to 1, that it is a fault at all, or this one
    causes: tuple[tuple[RootCause, float], ...] = ()  # with probabilities, likeliest first; empty without an analysis
    kind: TargetKind | None = None  # what the readings were measured on
    shares: Mapping[Metric, float] = field(default_factory=dict)  # of the anomaly's score, by metric, 0 to 1
    links: int = 1  # affected
    directions: tuple[Direction, ...] = ()  # affected; empty where the fault is not of a link
    minutes: float = 0.0  # since it began
    lasts: bool = True  # it has not ended
    mobile: bool | None = None  # whether the remote moves; None: not known, or several remotes

    @property
    def leading(self) -> Metric | None:
        """The metric with the largest share."""
        return max(self.shares, key=lambda metric: self.shares[metric], default=None)


@dataclass(frozen=True)
class TrackRecord:
    """How often an action has solved one cause, and how often it did not help; `_here`: at the same targets."""

    solved: int = 0
    failed: int = 0
    solved_here: int = 0
    failed_here: int = 0


@dataclass(frozen=True)
class Candidate:
    """An action that may help."""

    action: Action
    cause: RootCause | None  # that it is meant for; None: because of the readings alone
    chance: float  # that it helps, as the playbook says
    probability: float  # of the cause
    order: int  # its place in the playbook's list, from 0


@dataclass(frozen=True)
class RankedAction:
    """A candidate with its score, 0 to 1, and how soon somebody should look at it."""

    candidate: Candidate
    score: float
    priority: Priority
