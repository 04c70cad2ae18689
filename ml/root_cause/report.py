"""An analysis's input and output: readings of links in, degradation patterns out."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from ml.catalogue.metrics import Direction, Metric
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.numerics.arrays import Floats

# The metrics that an analysis reads, in the order of its arrays.
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
HISTORY_HOURS: Final = 12.0  # before the window, thinned, to learn reference levels from


@dataclass(frozen=True)
class Request:
    """Samples of links in a window, and of its history.

    frame: columns `link` (the topology's keys), `direction` ('IB', 'OB'), `at` (epoch ms) and those of `READ` (null =
    not measured), rows in any order. Samples before `start_ms` are history, thinned or not.
    reference: reference levels known from elsewhere, shape (2 x links, len(READ)), all links inbound, then all
    outbound; NaN = unknown. step_ms: between the samples of a stream, None to measure it. alarmed: that the links in
    scope misbehave is known already, so that less of a fade is needed to believe it.
    """

    frame: pl.DataFrame
    start_ms: int
    end_ms: int
    reference: Floats | None = None
    step_ms: int | None = None
    alarmed: bool = False


@dataclass(frozen=True)
class Culprit:
    """Who is at fault. index: into the topology's satellites, sites, networks or links. key: the caller's."""

    kind: CulpritKind
    index: int
    key: int
    name: str


@dataclass(frozen=True)
class Evidence:
    """A sentence for or against the pattern's cause. weight: its log-likelihood ratio's size, nats."""

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
    """Links that degraded together, and why.

    severity: 0 to 1. confidence: the calibrated probability that cause and culprit are right. started_ms, ended_ms:
    epoch ms, `ended_ms` None if it lasts at the window's end. links: the caller's keys, worst first. hypotheses: best
    first, their probabilities sum to 1; the first is the pattern's cause and culprit. impact: the share of the scope's
    degradation that it explains, times the confidence, 0 to 1; among the patterns that last, or those that ended.
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
    impact: float = 0.0


@dataclass(frozen=True)
class Analysis:
    """Patterns that touch the scope: what lasts first, then by impact; none if nothing degraded.

    correlation: how strongly the degradations moved together, 0 to 1. links: how many of the scope have samples.
    """

    patterns: tuple[Pattern, ...]
    correlation: float
    links: int
