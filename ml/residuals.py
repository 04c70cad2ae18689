"""How far each link direction is from its own usual, on one grid of times: signal, level, power, silence and queues."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.findings import READ, Request
from ml.metrics import CATALOGUE, Metric, TargetKind
from ml.plant import Bools, Plant

Cells = NDArray[np.float32]  # (streams, times) unless said otherwise

HISTORY_COLUMNS: Final = 48  # of the history before the window
THINNED_COLUMNS: Final = 96  # of the window, to find out what is usual
MOST_CELLS: Final = 3_000_000  # streams times times; longer windows get a coarser grid
CADENCE_ROWS, CADENCE_STREAMS = 40, 9  # looked at to find the cadence
MOST_COLUMNS: Final = 4400
USUAL_GAP_DB: Final = 1.5  # as much as a window lies below what was usual before, it is the window that is odd
LOST_DB: Final = 12.0  # what a receiver without lock counts as having lost
DARK_SAMPLES: Final = 3  # in a row without a reading: fewer get lost now and then
SILENT_MINUTES: Final = 75.0  # without any sample, in both directions: collectors pause for as long as that
LEAST_SILENT_MINUTES: Final = 25.0
EXCEPTIONS: Final = 2  # links that may be silent for long without it being usual
BLOCKS: Final = 3  # silences of a mobile site that are no accident, however short
SHARED_SILENCE: Final = 0.6  # of a network's links
COLLECTOR_SHARE: Final = 0.95  # of all streams silent at once: nobody was listening
WARNING_DB: Final = 2.0
LEAST_NOISE_DB: Final = 0.08
FULL_PCT: Final = 84.0
CRITICAL_GRADE: Final = 7.0

_PLACE: Final = {metric: place for place, metric in enumerate(READ)}
_LEAST: Final = np.array([CATALOGUE[TargetKind.LINK].spec(metric).least_spread for metric in READ], dtype=np.float32)


@dataclass(frozen=True)
class Residuals:
    """(streams, times) each, all links inbound first, then all outbound; NaN = not known.

    esno, level, power: dB above (below: negative) the stream's own usual. noise: dB by which noise and interference
    at the receiver rose. lost: a sample came, but the receiver had no lock. dark: no sign of life in either direction.
    queue: how far latency, loss and discards are above their usual, in robust deviations, 0 to 10. grade: as reported.
    sigma (streams,): standard deviation of the healthy Es/N0; rf (streams,): Es/N0 is known, else level or grade
    stand in for it.
    """

    at: NDArray[np.int64]
    step_ms: int
    esno: Cells
    level: Cells
    power: Cells
    noise: Cells
    lost: Bools
    dark: Bools
    queue: Cells
    throughput: Cells  # natural logarithm of what is carried over what is usual
    latency: Cells  # ms above the usual
    loss: Cells  # percentage points above the usual
    grade: Cells
    sigma: Cells
    usual_esno: Cells  # (streams,)
    wander: Cells  # (streams,) how far healthy Es/N0 strayed below its middle in the history, dB
    rf: Bools
    known: Bools  # (streams,) at least one sample in the window


def residuals(plant: Plant, request: Request) -> Residuals:
    """Readings against each stream's own usual: its best sustained Es/N0, and what else was read at such times.

    A window that is odd from beginning to end is known by the history before it, or by `request.usual`.
    """
    stream, at = _streams(plant, request.frame), request.frame["at"].to_numpy()
    inside = (at >= request.start_ms) & (at < request.end_ms) & (stream >= 0)
    step = _step_ms(stream[inside], at[inside])
    columns = -(-(request.end_ms - request.start_ms) // step)
    streams = 2 * len(plant.links)
    coarser = max(1, -(-columns // min(MOST_COLUMNS, max(48, MOST_CELLS // max(1, streams)))))
    step, columns = step * coarser, -(-columns // coarser)
    values = request.frame.select(metric.column for metric in READ).to_numpy().astype(np.float32, copy=False)
    window = _grid(stream[inside], (at[inside] - request.start_ms) // step, values[inside], streams, columns)
    before = (at < request.start_ms) & (stream >= 0)
    history = _history(request, stream[before], at[before], values[before], streams)
    usual = _usual(np.concatenate([history, window[:, :: max(1, columns // THINNED_COLUMNS)]], axis=1), history, request)
    times = request.start_ms + step * np.arange(columns, dtype=np.int64)
    return _against(plant, window, usual, times, int(step))


def _step_ms(stream: NDArray[np.int64], at: NDArray[np.int64]) -> int:
    """The cadence: the median gap of a few streams' samples, in whole seconds."""
    gaps = [np.diff(np.unique(at[stream == one])) for one in np.unique(stream[:: max(1, len(stream) // CADENCE_ROWS)])]
    middle = [float(np.median(gap)) for gap in gaps[:CADENCE_STREAMS] if len(gap)]
    step = round(float(np.median(middle)) / 1000.0) * 1000 if middle else 300_000
    return int(np.clip(step, 1000, 3_600_000))


def _streams(plant: Plant, frame: pl.DataFrame) -> NDArray[np.int64]:
    """Each row's stream: the link's place, outbound behind all inbound; -1 for other links."""
    order = np.argsort(plant.links)
    keys, sorted_keys = frame["link"].to_numpy().astype(np.int64), plant.links[order]
    place = np.clip(np.searchsorted(sorted_keys, keys), 0, len(order) - 1)
    outbound = (frame["direction"] == "OB").to_numpy()
    found: NDArray[np.int64] = np.where(sorted_keys[place] == keys, order[place] + outbound * len(order), -1)
    return found


def _grid(
    stream: NDArray[np.int64], column: NDArray[np.int64], values: Cells, streams: int, columns: int
) -> NDArray[np.float32]:
    """(streams, columns, metrics), NaN where nothing was measured; of several samples in a cell any."""
    grid = np.full((streams * columns, values.shape[1]), np.nan, dtype=np.float32)
    grid[stream * columns + column] = values
    return grid.reshape(streams, columns, values.shape[1])


def _history(
    request: Request, stream: NDArray[np.int64], at: NDArray[np.int64], values: Cells, streams: int
) -> NDArray[np.float32]:
    if not len(at):
        return np.full((streams, 0, values.shape[1]), np.nan, dtype=np.float32)
    first = int(at.min())
    column = (at - first) * HISTORY_COLUMNS // max(1, request.start_ms - first)
    return _grid(stream, np.minimum(column, HISTORY_COLUMNS - 1), values, streams, HISTORY_COLUMNS)


# ---------------------------------------------------------------- what is usual


@dataclass(frozen=True)
class _Usual:
    """(streams, metrics): the middle of healthy samples, and their robust deviation."""

    centre: Cells
    spread: Cells
    noise: Cells  # (streams,) standard deviation of healthy Es/N0
    wander: Cells


def _usual(pooled: NDArray[np.float32], history: NDArray[np.float32], request: Request) -> _Usual:
    """From samples at which the signal was as good as it ever was for long."""
    signal = _signal(pooled)
    best = _quantile(signal, 0.8)
    quiet = np.maximum(_wobble(signal), LEAST_NOISE_DB)
    healthy = signal >= (best - 4.0 * quiet - 0.3)[:, None]
    healthy |= np.isnan(signal) & ~np.isfinite(best)[:, None]  # nothing to tell by: all that there is
    chosen = np.where(healthy[..., None], pooled, np.nan)
    centre, low, high = (_quantile(chosen.transpose(0, 2, 1), at) for at in (0.5, 0.25, 0.75))
    spread = np.maximum((high - low) / 1.35, _LEAST).astype(np.float32)
    noise = np.maximum((high - low)[:, _PLACE[Metric.ESNO_DB]] / 1.35, LEAST_NOISE_DB)
    if request.usual is not None:
        centre = _remembered(centre, request.usual.astype(np.float32))
    wander = np.nan_to_num(_quantile(_signal(history), 0.5) - _quantile(_signal(history), 0.06), nan=0.5)
    return _Usual(centre, spread, np.nan_to_num(noise, nan=0.5).astype(np.float32), wander.astype(np.float32))


def _remembered(centre: Cells, usual: Cells) -> Cells:
    """What was usual before, where the pooled samples lie well below it, or know nothing."""
    place = _PLACE[Metric.ESNO_DB]
    fallen = ~(centre[:, place] >= usual[:, place] - USUAL_GAP_DB) & np.isfinite(usual[:, place])
    result: Cells = np.where((fallen[:, None] | np.isnan(centre)) & np.isfinite(usual), usual, centre)
    return result


def _signal(values: NDArray[np.float32]) -> Cells:
    """What tells best how good a link is: Es/N0, else the level, else the grade as if it were dB; per stream."""
    esno, level, grade = (values[..., _PLACE[metric]] for metric in (Metric.ESNO_DB, Metric.RX_LEVEL_DBM, Metric.GRADE))
    knows_esno, knows_level = (~np.isnan(one).all(axis=1)[:, None] for one in (esno, level))
    result: Cells = np.where(knows_esno, esno, np.where(knows_level, level, 0.6 * grade))
    return result


def _quantile(values: Cells, at: float) -> Cells:
    """Along the last axis, NaN left out; NaN where there is nothing."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = values.shape[-1] - np.isnan(ordered).sum(axis=-1)
    if not values.shape[-1]:
        return np.full(values.shape[:-1], np.nan, dtype=np.float32)
    place = np.clip(np.round(at * (count - 1)), 0, None).astype(np.int64)
    result: Cells = np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0]
    return result


def _wobble(signal: Cells) -> Cells:
    """The standard deviation that the differences of neighbours suggest."""
    result: Cells = _quantile(np.abs(np.diff(signal, axis=1)), 0.5) * np.float32(1.4826 / np.sqrt(2.0))
    return np.nan_to_num(result, nan=0.3)


# ---------------------------------------------------------------- against it


def _against(
    plant: Plant, window: NDArray[np.float32], usual: _Usual, at: NDArray[np.int64], step_ms: int
) -> Residuals:
    def reading(metric: Metric) -> Cells:
        return window[..., _PLACE[metric]]

    def change(metric: Metric) -> Cells:
        return reading(metric) - usual.centre[:, _PLACE[metric], None]

    present = ~np.isnan(window).all(axis=2)
    dead = present & ~(reading(Metric.UPTIME_PCT) > 0.0) & ~np.isnan(reading(Metric.UPTIME_PCT))
    rf = np.isfinite(usual.centre[:, _PLACE[Metric.ESNO_DB]])
    esno, level = change(Metric.ESNO_DB), change(Metric.RX_LEVEL_DBM)
    warned = _warned(esno, dead | ~present)
    dark = _dark(plant, ~present, dead, warned, step_ms)
    lost = _lost(window, present & rf[:, None] & np.isnan(esno) & ~dark)
    esno = np.where(dark, np.nan, esno)
    esno = np.where(lost, np.float32(-LOST_DB), esno)
    stand_in = np.where(np.isnan(level), np.float32(0.6) * change(Metric.GRADE), level)
    esno = np.where(rf[:, None], esno, stand_in)
    with np.errstate(divide="ignore", invalid="ignore"):
        carried = np.log(
            (reading(Metric.THROUGHPUT_MBPS) + 0.01) / (usual.centre[:, _PLACE[Metric.THROUGHPUT_MBPS], None] + 0.01)
        )
    return Residuals(
        at=at,
        step_ms=step_ms,
        esno=esno,
        level=level,
        power=change(Metric.TX_POWER_DBM),
        noise=noise_rise(usual.centre[:, _PLACE[Metric.ESNO_DB], None], esno, level),
        lost=lost,
        dark=dark,
        queue=_queue(window, usual),
        throughput=carried,
        latency=change(Metric.LATENCY_MS),
        loss=change(Metric.PACKET_LOSS_PCT),
        grade=reading(Metric.GRADE),
        sigma=usual.noise,
        wander=usual.wander,
        usual_esno=usual.centre[:, _PLACE[Metric.ESNO_DB]],
        rf=rf,
        known=present.any(axis=1),
    )


def noise_rise(usual_esno: Cells, esno: Cells, level: Cells) -> Cells:
    """dB by which noise plus interference rose, from the changes of Es/N0 and of the level.

    The level is signal plus noise plus interference: with c = Es/N0 as a ratio, N'/N = L'/L (c + 1) / (c' + 1). Where
    a receiver reports the wanted carrier alone that is too little, and level minus Es/N0 is right: between the two
    anything is possible, so what lies between says 0.
    """
    before, now = 10.0 ** (usual_esno / 10.0), 10.0 ** ((usual_esno + esno) / 10.0)
    carrier = level - esno
    total = level + 10.0 * np.log10((before + 1.0) / (now + 1.0))
    result: Cells = np.where(carrier * total <= 0, 0.0, np.where(np.abs(carrier) < np.abs(total), carrier, total))
    return np.where(np.isnan(carrier), np.nan, result).astype(np.float32)


def _warned(esno: Cells, dead: Bools) -> Bools:
    """Deaths that a fade preceded: by `WARNING_DB` at the last two samples before."""
    one, two = (np.pad(esno, ((0, 0), (back, 0)), constant_values=np.nan)[:, :-back] for back in (1, 2))
    again = np.zeros_like(dead)
    for back in range(1, 7):
        again[:, back:] |= dead[:, :-back]
    started = dead & ~again & (np.minimum(one, two) < -WARNING_DB) & (np.maximum(one, two) < -1.0)
    warned = started
    for _ in range(dead.shape[1]):
        grown = warned | (dead & np.pad(warned, ((0, 0), (1, 0)))[:, :-1])
        if (grown == warned).all():
            break
        warned = grown
    return warned


def _lost(window: NDArray[np.float32], unread: Bools) -> Bools:
    """Where Es/N0 is missing because there is none to measure: other readings say so, or it goes on for a while."""
    uptime, loss = (window[..., _PLACE[metric]] for metric in (Metric.UPTIME_PCT, Metric.PACKET_LOSS_PCT))
    return unread & ((uptime < 50.0) | (loss > 50.0) | runs_of(unread, DARK_SAMPLES))


def _dark(plant: Plant, silent: Bools, dead: Bools, warned: Bools, step_ms: int) -> Bools:
    """Without sign of life: both directions say so, or nothing is said for too long to be an accident.

    Silence that many of a network's links share in a direction need not last as long. Where all are silent, nobody was
    listening. What fades before it dies has not lost its electricity.
    """
    links = len(silent) // 2
    both = (silent | dead)[:links] & (silent | dead)[links:]
    said = runs_of(both & (dead[:links] | dead[links:]) & ~(warned[:links] | warned[links:]), 2)
    quiet = silent & ~(silent.mean(axis=0) >= COLLECTOR_SHARE)
    member = (plant.network[None] == np.arange(len(plant.networks.keys))[:, None]).astype(np.float32)
    count = member.sum(axis=1, keepdims=True)
    shared = np.concatenate(
        [((member @ way >= SHARED_SILENCE * count) & (count >= 3))[plant.network] for way in (quiet[:links], quiet[links:])]  # noqa: PLR2004, E501
    )
    patience = _samples(SILENT_MINUTES, step_ms)
    long = _outlasting(both & quiet[:links] & quiet[links:], step_ms)
    often = runs_of(both, 4)
    times = (np.diff(np.pad(often, ((0, 0), (1, 0))).astype(np.int8), axis=1) == 1).sum(axis=1)
    long |= often & (plant.sites.mobile[plant.site] & (times >= BLOCKS))[:, None]
    dark = np.tile(said | long, (2, 1)) | runs_of(quiet & shared, DARK_SAMPLES + 1) | runs_of(quiet, 2 * patience)
    dark &= ~np.tile(warned[:links] | warned[links:], (2, 1))
    return _continued(dark, silent | (dead & np.tile(both, (2, 1))), patience)


def _samples(minutes: float, step_ms: int) -> int:
    return max(DARK_SAMPLES, round(minutes * 60_000.0 / step_ms))


def _outlasting(quiet: Bools, step_ms: int) -> Bools:
    """Silences of links (links, times) that last clearly longer than what is usual among the others."""
    length = np.zeros(quiet.shape, dtype=np.int64)
    for column in range(quiet.shape[1]):
        length[:, column] = (length[:, column - 1] + 1) * quiet[:, column] if column else quiet[:, column]
    longest = np.sort(length.max(axis=1, initial=0))
    least, most = (_samples(minutes, step_ms) for minutes in (LEAST_SILENT_MINUTES, SILENT_MINUTES))
    usual = int(longest[-1 - EXCEPTIONS]) if len(longest) >= 4 * EXCEPTIONS else most
    return runs_of(quiet, int(np.clip(1.5 * usual + 2, least, most)))


def _continued(dark: Bools, both: Bools, most: int) -> Bools:
    """With the silence right before and behind it."""
    for _ in range(most):
        grown = dark | (both & (np.pad(dark, ((0, 0), (1, 0)))[:, :-1] | np.pad(dark, ((0, 0), (0, 1)))[:, 1:]))
        if (grown == dark).all():
            break
        dark = grown
    return dark


def runs_of(true: Bools, least: int) -> Bools:
    """Only those runs along the last axis that are at least so long."""
    opened = true
    for shift in range(1, least):
        opened = opened & np.pad(true, ((0, 0), (0, shift)))[:, shift:]
    kept = opened.copy()
    for shift in range(1, least):
        kept |= np.pad(opened, ((0, 0), (shift, 0)))[:, : true.shape[1]]
    return kept


def _queue(window: NDArray[np.float32], usual: _Usual) -> Cells:
    """The second largest excess of latency, loss and discards, in robust deviations, 0 to 10, where the carrier is full.

    One of them alone has many reasons. A queue fills where the carrier is used to `FULL_PCT`, if that is known.
    """
    places = [_PLACE[metric] for metric in (Metric.LATENCY_MS, Metric.PACKET_LOSS_PCT, Metric.DISCARDS)]
    excess = (window[..., places] - usual.centre[:, None, places]) / (usual.spread[:, None, places])
    known = ~np.isnan(excess)
    ordered = np.sort(np.where(known, np.clip(excess, 0.0, 10.0), 0.0), axis=2)
    used = np.nan_to_num(window[..., _PLACE[Metric.UTILIZATION_PCT]], nan=100.0)
    full = np.clip((used - (FULL_PCT - 10.0)) / 10.0, 0.0, 1.0)
    return np.where(known.sum(axis=2) >= 2, ordered[..., 1] * full, np.nan).astype(np.float32)  # noqa: PLR2004
