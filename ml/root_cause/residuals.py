"""Residuals: how far each stream is from its reference levels, on one grid of times."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.metrics import Metric
from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools, Floats32, Integers
from ml.root_cause.directions import repeat_for_directions
from ml.root_cause.outages import detect_lock_loss, detect_outages
from ml.root_cause.reference import GRADE_DB, ReferenceLevels, estimate_reference
from ml.root_cause.report import Request
from ml.root_cause.resampling import PLACE, Grid, resample

LOST_DB: Final = 12.0  # the fade that a receiver without lock counts as
FULL_PCT, FILLING_PCT = 84.0, 10.0  # a carrier is full from this utilisation, and begins to fill so far below
BUSY: Final = 1.8  # times the usual utilisation: more than the hour of the day makes of it
MOST_DEVIATIONS: Final = 10.0
CRITICAL_GRADE: Final = 7.0
LEAST_MBPS: Final = 0.01  # added before logarithms


@dataclass(frozen=True)
class Residuals:
    """Readings relative to reference levels, shape (streams, times) unless said otherwise; NaN = not known.

    at: epoch ms, `step_ms` apart, shape (times,).
    esno, level, power: change of Es/N0, received level and transmit power, dB. For streams without Es/N0 the level, or
    the scaled grade, takes its place.
    noise: rise of noise and interference at the receiver, dB.
    outage: no sign of life in either direction.
    unlocked: the receiver has no lock, so that `esno` is nominal, and nothing follows from its ratio to others.
    congestion: excess of latency, loss and discards in robust deviations, 0 to 10.
    busy: much more is carried than usual, by utilisation.
    throughput: natural logarithm of the ratio to the reference.
    loss: packet loss above the reference, percentage points.
    grade: as reported.
    sigma: standard deviation of healthy Es/N0, dB, shape (streams,).
    reference_esno: dB, shape (streams,).
    low_frequency_noise: how far a healthy signal fell below its median in the history, dB, shape (streams,).
    known: there is a sample in the window, shape (streams,). alarmed: it is known to misbehave, shape (streams,).
    """

    at: Integers
    step_ms: int
    esno: Floats32
    level: Floats32
    power: Floats32
    noise: Floats32
    outage: Bools
    unlocked: Bools
    congestion: Floats32
    busy: Bools
    throughput: Floats32
    loss: Floats32
    grade: Floats32
    sigma: Floats32
    reference_esno: Floats32
    low_frequency_noise: Floats32
    known: Bools
    alarmed: Bools


def compute_residuals(topology: Topology, request: Request) -> Residuals:
    """Returns readings relative to each stream's reference levels.

    A window that is degraded throughout is recognised by its history, or by `request.reference`.
    """
    grid = resample(topology, request)
    reference = estimate_reference(grid, request.reference)
    outage = detect_outages(topology, grid, reference.change(grid, Metric.ESNO_DB), alarmed=request.alarmed)
    esno, unlocked = _signal(grid, reference, outage)
    level = reference.change(grid, Metric.RX_LEVEL_DBM)
    return Residuals(
        at=grid.at,
        step_ms=grid.step_ms,
        esno=esno,
        level=level,
        power=reference.change(grid, Metric.TX_POWER_DBM),
        noise=estimate_noise_rise(reference.of(Metric.ESNO_DB)[:, None], esno, level),
        outage=outage,
        unlocked=unlocked,
        congestion=_congestion(grid, reference),
        busy=grid.reading(Metric.UTILIZATION_PCT) > BUSY * reference.of(Metric.UTILIZATION_PCT)[:, None],
        throughput=_throughput(grid, reference),
        loss=reference.change(grid, Metric.PACKET_LOSS_PCT),
        grade=grid.reading(Metric.GRADE),
        sigma=reference.noise,
        reference_esno=reference.of(Metric.ESNO_DB),
        low_frequency_noise=reference.low_frequency_noise,
        known=np.logical_or.reduce(grid.present, axis=1),
        alarmed=repeat_for_directions(topology.in_scope & request.alarmed),
    )


def _signal(grid: Grid, reference: ReferenceLevels, outage: Bools) -> tuple[Floats32, Bools]:
    """Returns the change of Es/N0, or of what takes its place, dB, and where there is no lock, (streams, times)."""
    esno, level = reference.change(grid, Metric.ESNO_DB), reference.change(grid, Metric.RX_LEVEL_DBM)
    measures_esno = np.isfinite(reference.of(Metric.ESNO_DB))[:, None]
    unlocked = detect_lock_loss(grid, grid.present & measures_esno & np.isnan(esno) & ~outage)
    esno = np.where(unlocked, np.float32(-LOST_DB), np.where(outage, np.nan, esno))
    stand_in = np.where(np.isnan(level), np.float32(GRADE_DB) * reference.change(grid, Metric.GRADE), level)
    return np.where(measures_esno, esno, stand_in), unlocked


def estimate_noise_rise(reference_esno: Floats32, esno: Floats32, level: Floats32) -> Floats32:
    """Returns the rise of noise plus interference in dB, from changes of Es/N0 and level in dB.

    The level is signal plus noise plus interference: with c = Es/N0 as a ratio, N'/N = L'/L (c + 1) / (c' + 1). For
    receivers that report the wanted carrier alone, level minus Es/N0 is right instead. The result is the smaller of
    the two, and 0 if their signs differ. All arrays broadcast to (streams, times).
    """
    before, now = 10.0 ** (reference_esno / 10.0), 10.0 ** ((reference_esno + esno) / 10.0)
    carrier = level - esno
    total = level + 10.0 * np.log10((before + 1.0) / (now + 1.0))
    result: Floats32 = np.where(carrier * total <= 0, 0.0, np.where(np.abs(carrier) < np.abs(total), carrier, total))
    return np.where(np.isnan(carrier), np.nan, result).astype(np.float32)


def _throughput(grid: Grid, reference: ReferenceLevels) -> Floats32:
    """Returns the natural logarithm of the throughput over its reference, shape (streams, times)."""
    now, before = grid.reading(Metric.THROUGHPUT_MBPS), reference.of(Metric.THROUGHPUT_MBPS)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats32 = np.log((now + LEAST_MBPS) / (before + LEAST_MBPS))
    return result


def _congestion(grid: Grid, reference: ReferenceLevels) -> Floats32:
    """Returns the second largest excess of latency, loss and discards while the carrier is full, (streams, times).

    In robust deviations. A single metric may rise for many reasons; a queue raises at least two. Unknown utilisation
    counts as full.
    """
    places = [PLACE[metric] for metric in (Metric.LATENCY_MS, Metric.PACKET_LOSS_PCT, Metric.DISCARDS)]
    excess = (grid.window[..., places] - reference.centre[:, None, places]) / (reference.spread[:, None, places])
    known = ~np.isnan(excess)
    ordered = np.sort(np.where(known, np.clip(excess, 0.0, MOST_DEVIATIONS), 0.0), axis=2)
    used = np.nan_to_num(grid.reading(Metric.UTILIZATION_PCT), nan=100.0)
    full = np.clip((used - (FULL_PCT - FILLING_PCT)) / FILLING_PCT, 0.0, 1.0)
    return np.where(known.sum(axis=2) >= 2, ordered[..., 1] * full, np.nan).astype(np.float32)
