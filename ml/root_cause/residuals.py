"""How far each stream is from its own usual, on one grid of times: signal, level, power, silence and queues."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.metrics import Metric
from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools, Floats32, Integers
from ml.root_cause.outages import detect_lock_loss, detect_outages
from ml.root_cause.reference import GRADE_DB, ReferenceLevels, estimate_reference
from ml.root_cause.report import Request
from ml.root_cause.resampling import PLACE, Grid, resample

LOST_DB: Final = 12.0  # what a receiver without lock counts as having lost
FULL_PCT, FILLING_PCT = 84.0, 10.0  # a carrier used to this is full; by so much below not at all
MOST_DEVIATIONS: Final = 10.0
CRITICAL_GRADE: Final = 7.0
LEAST_MBPS: Final = 0.01  # added before logarithms


@dataclass(frozen=True)
class Residuals:
    """(streams, times) each unless said otherwise; NaN = not known. The grid: at (times,), epoch ms, `step_ms` apart.

    esno, level, power: dB above the stream's own usual; where Es/N0 is never known, level or grade stand in for it.
    noise: dB by which noise and interference at the receiver rose. dark: no sign of life in either direction. queue:
    how far latency, loss and discards are above their usual, in robust deviations, 0 to 10. throughput: natural
    logarithm of what is carried over what is usual. loss: percentage points above the usual. grade: as reported.
    sigma (streams,): standard deviation of healthy Es/N0, dB; usual_esno (streams,): dB; wander (streams,): how far a
    healthy signal strayed below its middle in the history, dB; known (streams,): there is a sample in the window.
    """

    at: Integers
    step_ms: int
    esno: Floats32
    level: Floats32
    power: Floats32
    noise: Floats32
    outage: Bools
    congestion: Floats32
    throughput: Floats32
    loss: Floats32
    grade: Floats32
    sigma: Floats32
    reference_esno: Floats32
    low_frequency_noise: Floats32
    known: Bools


def compute_residuals(topology: Topology, request: Request) -> Residuals:
    """Readings against each stream's own usual: its best sustained Es/N0, and what else was read at such times.

    A window that is odd from beginning to end is known by the history before it, or by `request.usual`.
    """
    grid = resample(topology, request)
    reference = estimate_reference(grid, request.reference)
    outage = detect_outages(topology, grid, reference.change(grid, Metric.ESNO_DB))
    esno, level = _signal(grid, reference, outage), reference.change(grid, Metric.RX_LEVEL_DBM)
    return Residuals(
        at=grid.at,
        step_ms=grid.step_ms,
        esno=esno,
        level=level,
        power=reference.change(grid, Metric.TX_POWER_DBM),
        noise=estimate_noise_rise(reference.of(Metric.ESNO_DB)[:, None], esno, level),
        outage=outage,
        congestion=_congestion(grid, reference),
        throughput=_carried(grid, reference),
        loss=reference.change(grid, Metric.PACKET_LOSS_PCT),
        grade=grid.reading(Metric.GRADE),
        sigma=reference.noise,
        reference_esno=reference.of(Metric.ESNO_DB),
        low_frequency_noise=reference.low_frequency_noise,
        known=np.logical_or.reduce(grid.present, axis=1),
    )


def _signal(grid: Grid, reference: ReferenceLevels, outage: Bools) -> Floats32:
    """What Es/N0, or what stands in for it, is above its usual, dB."""
    esno, level = reference.change(grid, Metric.ESNO_DB), reference.change(grid, Metric.RX_LEVEL_DBM)
    measures_esno = np.isfinite(reference.of(Metric.ESNO_DB))[:, None]
    unlocked = detect_lock_loss(grid, grid.present & measures_esno & np.isnan(esno) & ~outage)
    esno = np.where(unlocked, np.float32(-LOST_DB), np.where(outage, np.nan, esno))
    stand_in = np.where(np.isnan(level), np.float32(GRADE_DB) * reference.change(grid, Metric.GRADE), level)
    result: Floats32 = np.where(measures_esno, esno, stand_in)
    return result


def estimate_noise_rise(reference_esno: Floats32, esno: Floats32, level: Floats32) -> Floats32:
    """By how many dB noise plus interference rose, from the changes of Es/N0 and of the level, dB.

    The level is signal plus noise plus interference: with c = Es/N0 as a ratio, N'/N = L'/L (c + 1) / (c' + 1). Where
    a receiver reports the wanted carrier alone that is too little, and level minus Es/N0 is right: between the two
    anything is possible, so what lies between says 0.
    """
    before, now = 10.0 ** (reference_esno / 10.0), 10.0 ** ((reference_esno + esno) / 10.0)
    carrier = level - esno
    total = level + 10.0 * np.log10((before + 1.0) / (now + 1.0))
    result: Floats32 = np.where(carrier * total <= 0, 0.0, np.where(np.abs(carrier) < np.abs(total), carrier, total))
    return np.where(np.isnan(carrier), np.nan, result).astype(np.float32)


def _carried(grid: Grid, reference: ReferenceLevels) -> Floats32:
    """Natural logarithm of the throughput over what is usual."""
    now, before = grid.reading(Metric.THROUGHPUT_MBPS), reference.of(Metric.THROUGHPUT_MBPS)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats32 = np.log((now + LEAST_MBPS) / (before + LEAST_MBPS))
    return result


def _congestion(grid: Grid, reference: ReferenceLevels) -> Floats32:
    """The second largest excess of latency, loss and discards, in robust deviations, where the carrier is full.

    One of them alone has many reasons. A queue fills where the carrier is used to `FULL_PCT`, if that is known.
    """
    places = [PLACE[metric] for metric in (Metric.LATENCY_MS, Metric.PACKET_LOSS_PCT, Metric.DISCARDS)]
    excess = (grid.window[..., places] - reference.centre[:, None, places]) / (reference.spread[:, None, places])
    known = ~np.isnan(excess)
    ordered = np.sort(np.where(known, np.clip(excess, 0.0, MOST_DEVIATIONS), 0.0), axis=2)
    used = np.nan_to_num(grid.reading(Metric.UTILIZATION_PCT), nan=100.0)
    full = np.clip((used - (FULL_PCT - FILLING_PCT)) / FILLING_PCT, 0.0, 1.0)
    return np.where(known.sum(axis=2) >= 2, ordered[..., 1] * full, np.nan).astype(np.float32)
