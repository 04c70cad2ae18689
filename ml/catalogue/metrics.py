"""The catalogue of metrics: unit, plausible range, good direction, and the smallest spread that matters."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np

from ml.numerics.arrays import Floats


class TargetKind(StrEnum):
    """What a sample was measured on."""

    NETWORK = "NETWORK"
    SITE = "SITE"
    LINK = "LINK"


class Direction(StrEnum):
    """IB: remote to hub, measured at the hub. OB: hub to remote, measured at the remote."""

    IB = "IB"
    OB = "OB"


class Metric(StrEnum):
    """The names of all metrics; which kind has which is in `CATALOGUE`."""

    BANDWIDTH_MBPS = "BANDWIDTH_MBPS"
    PACKET_LOSS_PCT = "PACKET_LOSS_PCT"
    LATENCY_MS = "LATENCY_MS"
    ERROR_RATE = "ERROR_RATE"
    CONNECTIONS = "CONNECTIONS"
    RESPONSE_TIME_MS = "RESPONSE_TIME_MS"
    UPTIME_PCT = "UPTIME_PCT"
    CPU_PCT = "CPU_PCT"
    MEMORY_PCT = "MEMORY_PCT"
    REQUEST_COUNT = "REQUEST_COUNT"
    ERROR_COUNT = "ERROR_COUNT"
    THROUGHPUT_MBPS = "THROUGHPUT_MBPS"
    UTILIZATION_PCT = "UTILIZATION_PCT"
    ERRORS = "ERRORS"
    DISCARDS = "DISCARDS"
    ESNO_DB = "ESNO_DB"
    RX_LEVEL_DBM = "RX_LEVEL_DBM"
    TX_POWER_DBM = "TX_POWER_DBM"
    JITTER_MS = "JITTER_MS"
    GRADE = "GRADE"
    MODCOD = "MODCOD"
    SYMBOL_RATE_KSPS = "SYMBOL_RATE_KSPS"
    BEAM = "BEAM"
    LATITUDE_DEG = "LATITUDE_DEG"
    LONGITUDE_DEG = "LONGITUDE_DEG"
    HEADING_DEG = "HEADING_DEG"

    @property
    def column(self) -> str:
        """The metric's name in tables, frames and, in camel case, in GraphQL inputs."""
        return self.value.lower()


class Good(StrEnum):
    """The direction in which a metric improves: such a deviation is no fault."""

    HIGH = "HIGH"
    LOW = "LOW"
    NEITHER = "NEITHER"


@dataclass(frozen=True)
class MetricSpec:
    """One metric of one kind of target."""

    metric: Metric
    meaning: str
    unit: str
    low: float
    high: float
    good: Good
    least_spread: float  # smaller movements mean nothing, in the metric's unit
    usual: float  # the healthy value of a target without history
    usual_spread: float  # robust standard deviation of healthy values between targets
    whole: bool = False  # counts are whole numbers
    core: bool = False  # one of the five metrics that `detect*Anomaly` takes
    circular: bool = False  # degrees around a circle: the mean of 359 and 1 is 0

    @property
    def column(self) -> str:
        return self.metric.column

    @property
    def described(self) -> str:
        """A sentence for API descriptions, for example 'Packets lost, % (0 to 100).'"""
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.meaning}{unit} ({self.low:,.0f} to {self.high:,.0f})."

    def format_value(self, value: float) -> str:
        """Returns a reading with its unit, rounded to what is meaningful: '11.8 dB', '640 ms', '3'."""
        digits = 0 if self.whole or self.least_spread >= 1 else 1 if self.least_spread >= 0.1 else 3
        return f"{value + 0.0:.{digits}f} {self.unit}".rstrip()


@dataclass(frozen=True)
class Kind:
    """The metrics of one kind of target.

    specs: those that detectors score, in the order of every readings matrix.
    context_specs: those that are recorded and read, but not scored: they say how and where something was measured. A
        model's input does not depend on them, so that models stay as they are where there are more.
    """

    kind: TargetKind
    specs: tuple[MetricSpec, ...]
    context_specs: tuple[MetricSpec, ...] = ()

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(spec.column for spec in self.specs)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        return tuple(spec.metric for spec in self.specs)

    @cached_property
    def recorded_specs(self) -> tuple[MetricSpec, ...]:
        """All that samples may have."""
        return self.specs + self.context_specs

    @cached_property
    def recorded_columns(self) -> tuple[str, ...]:
        return tuple(spec.column for spec in self.recorded_specs)

    @cached_property
    def recorded_metrics(self) -> tuple[Metric, ...]:
        return tuple(spec.metric for spec in self.recorded_specs)

    def list_given(self, columns: Collection[str]) -> list[str]:
        """Returns the scored columns, and of the others those among these."""
        return [*self.columns, *(spec.column for spec in self.context_specs if spec.column in columns)]

    @cached_property
    def core_specs(self) -> tuple[MetricSpec, ...]:
        """The five metrics that detection on request takes."""
        return tuple(spec for spec in self.specs if spec.core)

    def spec(self, metric: Metric) -> MetricSpec:
        """Raises KeyError for a metric that this kind does not have."""
        return self._by_metric[metric]

    @cached_property
    def _by_metric(self) -> dict[Metric, MetricSpec]:
        return {spec.metric: spec for spec in self.recorded_specs}

    @cached_property
    def least_spread(self) -> Floats:
        return np.array([spec.least_spread for spec in self.specs])

    @cached_property
    def usual(self) -> Floats:
        return np.array([spec.usual for spec in self.specs])

    @cached_property
    def usual_spread(self) -> Floats:
        return np.array([spec.usual_spread for spec in self.specs])

    @cached_property
    def harmless_sign(self) -> Floats:
        """The sign of an improvement, 0 if neither direction is one, shape (metrics,)."""
        signs = {Good.HIGH: 1.0, Good.LOW: -1.0, Good.NEITHER: 0.0}
        return np.array([signs[spec.good] for spec in self.specs])


M, G = Metric, Good
CATALOGUE: Final[dict[TargetKind, Kind]] = {
    kind.kind: kind
    for kind in (
        Kind(
            TargetKind.NETWORK,
            (
                MetricSpec(M.BANDWIDTH_MBPS, "Bandwidth in use", "Mbit/s", 0, 1e6, G.NEITHER, 0.5, 100, 300, core=True),
                MetricSpec(M.PACKET_LOSS_PCT, "Packets lost", "%", 0, 100, G.LOW, 0.1, 0.2, 0.2, core=True),
                MetricSpec(M.LATENCY_MS, "Round trip", "ms", 0, 60_000, G.LOW, 5, 620, 30, core=True),
                MetricSpec(
                    M.ERROR_RATE,
                    "Erroneous frames, a fraction of all",
                    "",
                    0,
                    1,
                    G.LOW,
                    0.001,
                    0.002,
                    0.002,
                    core=True,
                ),
                MetricSpec(M.CONNECTIONS, "Remotes in service", "", 0, 1e9, G.HIGH, 0.5, 20, 15, whole=True, core=True),
            ),
        ),
        Kind(
            TargetKind.SITE,
            (
                MetricSpec(M.RESPONSE_TIME_MS, "Response time", "ms", 0, 600_000, G.LOW, 5, 640, 60, core=True),
                MetricSpec(
                    M.ERROR_RATE, "Failed requests, a fraction of all", "", 0, 1, G.LOW, 0.001, 0.003, 0.003, core=True
                ),
                MetricSpec(M.UPTIME_PCT, "Time in service", "%", 0, 100, G.HIGH, 0.5, 100, 0.5, core=True),
                MetricSpec(M.CPU_PCT, "Processor load", "%", 0, 100, G.LOW, 3, 35, 12, core=True),
                MetricSpec(M.MEMORY_PCT, "Memory in use", "%", 0, 100, G.LOW, 2, 50, 10, core=True),
                MetricSpec(M.REQUEST_COUNT, "Requests in the interval", "", 0, 1e9, G.NEITHER, 5, 400, 250, whole=True),
                MetricSpec(M.ERROR_COUNT, "Failed requests in the interval", "", 0, 1e9, G.LOW, 2, 1, 2, whole=True),
            ),
            (
                MetricSpec(
                    M.LATITUDE_DEG, "Where it is, north of the equator", "deg", -90, 90, G.NEITHER, 0.001, 0, 30
                ),
                MetricSpec(
                    M.LONGITUDE_DEG,
                    "Where it is, east of Greenwich",
                    "deg",
                    -180,
                    180,
                    G.NEITHER,
                    0.001,
                    0,
                    90,
                    circular=True,
                ),
                MetricSpec(
                    M.HEADING_DEG,
                    "Where its bow points, clockwise from true north",
                    "deg",
                    -180,
                    360,
                    G.NEITHER,
                    1,
                    180,
                    90,
                    circular=True,
                ),
            ),
        ),
        Kind(
            TargetKind.LINK,
            (
                MetricSpec(M.THROUGHPUT_MBPS, "Throughput", "Mbit/s", 0, 1e5, G.NEITHER, 0.2, 10, 40, core=True),
                MetricSpec(
                    M.UTILIZATION_PCT, "Share of the capacity in use", "%", 0, 100, G.NEITHER, 2, 45, 20, core=True
                ),
                MetricSpec(
                    M.ERRORS, "Erroneous frames in the interval", "", 0, 1e9, G.LOW, 2, 2, 5, whole=True, core=True
                ),
                MetricSpec(
                    M.DISCARDS, "Discarded frames in the interval", "", 0, 1e9, G.LOW, 2, 2, 5, whole=True, core=True
                ),
                MetricSpec(M.UPTIME_PCT, "Time in service", "%", 0, 100, G.HIGH, 0.5, 100, 0.5, core=True),
                MetricSpec(M.ESNO_DB, "Es/N0 at this direction's receiver", "dB", -20, 40, G.HIGH, 0.25, 12, 1.5),
                MetricSpec(M.RX_LEVEL_DBM, "Power into the receiver", "dBm", -150, 10, G.NEITHER, 0.3, -45, 8),
                MetricSpec(M.TX_POWER_DBM, "Transmit power", "dBm", -60, 70, G.NEITHER, 0.25, 33, 5),
                MetricSpec(M.LATENCY_MS, "Round trip", "ms", 0, 60_000, G.LOW, 5, 620, 30),
                MetricSpec(M.JITTER_MS, "Jitter", "ms", 0, 60_000, G.LOW, 1, 12, 5),
                MetricSpec(M.PACKET_LOSS_PCT, "Packets lost", "%", 0, 100, G.LOW, 0.1, 0.2, 0.2),
                MetricSpec(M.GRADE, "Quality grade; below 7 is critical", "", 0, 10, G.HIGH, 0.15, 9.2, 0.4),
            ),
            (
                MetricSpec(
                    M.MODCOD,
                    "Modulation and code rate: the MODCOD of DVB-S2, 1 to 28, or the PLS code of DVB-S2X, 132 to 249",
                    "",
                    0,
                    255,
                    G.NEITHER,
                    1,
                    18,
                    6,
                    whole=True,
                ),
                MetricSpec(M.SYMBOL_RATE_KSPS, "Symbol rate of its carrier", "ksps", 0, 1e7, G.NEITHER, 1, 5000, 5000),
                MetricSpec(M.BEAM, "The number of the satellite's beam", "", 0, 1e6, G.NEITHER, 1, 1, 10, whole=True),
            ),
        ),
    )
}

# The best and the worst value that the grade distinguishes: Es/N0 in dB, loss in %, latency in ms, uptime in %.
# 8 to 16 dB of Es/N0 are healthy, 6 dB are red; a round trip over a geostationary satellite takes at least 560 ms.
GRADE_SCALES: Final[dict[Metric, tuple[float, float]]] = {
    M.ESNO_DB: (9.0, 3.0),
    M.PACKET_LOSS_PCT: (0.0, 10.0),
    M.LATENCY_MS: (700.0, 2000.0),
    M.UPTIME_PCT: (100.0, 50.0),
}


def grade(readings: Floats) -> Floats:
    """Returns the quality of links from 0 (down) to 10 (perfect), shape (rows,).

    It is ten times the product of four satisfactions, each falling linearly from 1 to 0 over `GRADE_SCALES`, so one
    bad aspect makes a bad link. NaN if none of the four was measured.

    readings: in catalogue order, NaN = not measured, shape (rows, 12).
    """
    link = CATALOGUE[TargetKind.LINK]
    product = np.ones(len(readings))
    measured = np.zeros(len(readings), dtype=bool)
    for metric, (best, worst) in GRADE_SCALES.items():
        values = readings[:, link.metrics.index(metric)]
        is_measured = ~np.isnan(values)
        satisfaction = np.clip((values - worst) / (best - worst), 0.0, 1.0)
        product[is_measured] *= satisfaction[is_measured]
        measured |= is_measured
    result: Floats = np.where(measured, 10.0 * product, np.nan)
    return result
