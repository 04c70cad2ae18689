"""What an analysis of root causes takes and says: readings of a plant's links in, degradation patterns out."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from ml.catalogue.metrics import Direction, Metric
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.numerics.arrays import Floats

# The metrics that an analysis reads, in this order.
READ: Final = (
    Metric.ESNO_DB,
    Metric.RX_LEVEL_DBM,
    Metric.TX_POWER_DBM,
    Metric.THROUGHPUT_MBPS,
    Metric.UTILIZATION_PCT,
    Metric.LATENCY_MS,
    Metric.PACKET_LOSS_PCT,
    Metric.DISCARDS,
    Metric.UPTIME_PCT,
    Metric.GRADE,
)
HISTORY_HOURS: Final = 12.0  # before the window, thinned: what is usual


@dataclass(frozen=True)
class Request:
    """Samples of links in a window, and some from before it.

    frame: columns `link` (the plant's keys), `direction` ('IB', 'OB'), `at` (epoch ms) and those of `READ` (null = not
    measured), in any order; samples before `start_ms` are history that tells what is usual, thinned or not.
    usual: what else is known to be usual, (2 x links, len(READ)), all links inbound, then all outbound; NaN = unknown.
    """

    frame: pl.DataFrame
    start_ms: int
    end_ms: int
    reference: Floats | None = None


@dataclass(frozen=True)
class Culprit:
    """The thing at fault. `index` into the plant's satellites, sites, networks or links, `key` the caller's."""

    kind: CulpritKind
    index: int
    key: int
    name: str


@dataclass(frozen=True)
class Evidence:
    """A sentence for or against what the pattern says, with its weight: the size of its log-likelihood ratio, nats."""

    statement: str
    supports: bool
    weight: float


@dataclass(frozen=True)
class Hypothesis:
    cause: RootCause
    culprit: Culprit | None
    probability: float


@dataclass(frozen=True)
class Pattern:
    """Links that degraded together, and why. Times in epoch ms; `ended_ms` is None while it lasts at the window's end.

    links: the caller's keys of those affected, worst first. severity 0 to 1; confidence: calibrated, 0 to 1.
    hypotheses: best first, probabilities sum to 1, the first is what the pattern says.
    """

    cause: RootCause
    culprit: Culprit | None
    description: str
    severity: float
    confidence: float
    started_ms: int
    ended_ms: int | None
    links: tuple[int, ...]
    directions: tuple[Direction, ...]
    evidence: tuple[Evidence, ...]
    hypotheses: tuple[Hypothesis, ...]


@dataclass(frozen=True)
class Analysis:
    """Patterns that touch the scope, most confident first; none where nothing degraded.

    correlation: 0 to 1, how strongly the degradations moved together.
    """

    patterns: tuple[Pattern, ...]
    correlation: float
    links: int  # of the scope, with samples
