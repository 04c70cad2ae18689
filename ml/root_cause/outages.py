"""Where nothing is heard: links without any sign of life, and receivers that lost the signal."""

from typing import Final

import numpy as np

from ml.catalogue.metrics import Metric
from ml.catalogue.topology import Topology
from ml.catalogue.units import MINUTE_MS
from ml.numerics.arrays import Bools, Floats32
from ml.numerics.directions import in_any_direction, in_both_directions, repeat_for_directions
from ml.numerics.runs import drop_short_runs, extend_runs, shift_right
from ml.root_cause.resampling import Grid

OUTAGE_SAMPLES: Final = 3  # in a row without a reading: fewer get lost now and then
DEAD_SAMPLES: Final = 2  # in a row that say themselves that nothing works
SILENT_MINUTES: Final = 75.0  # without any sample, in both directions: collectors pause for as long as that
LEAST_SILENT_MINUTES: Final = 25.0
EXCEPTIONS: Final = 2  # links that may be silent for long without it being usual
BLOCKS, BLOCK_SAMPLES = 3, 4  # silences of a mobile site that are no accident, however short
SHARED_SILENCE: Final = 0.6  # of a network's links
LEAST_SHARING: Final = 3  # links of a network
COLLECTOR_SHARE: Final = 0.95  # of all streams silent at once: nobody was listening
WARNING_DB, LEAST_WARNING_DB = 2.0, 1.0  # one, and the other, of the last two samples before
FRESH_SAMPLES: Final = 6  # without a death before: one begins
MOST_UPTIME_PCT, LEAST_LOSS_PCT = 50.0, 50.0  # without a signal


def detect_outages(topology: Topology, grid: Grid, esno: Floats32) -> Bools:
    """Without sign of life: both directions say so, or nothing is said for too long to be an accident.

    Silence that many of a network's links share in a direction need not last as long. Where all are silent, nobody was
    listening. What fades (`esno`, dB above its usual) before it dies has not lost its electricity.
    """
    silent, dead = ~grid.present, _dead(grid)
    both, faded = in_both_directions(silent | dead), in_any_direction(_warned(esno, dead | silent))
    quiet = silent & ~(silent.mean(axis=0) >= COLLECTOR_SHARE)
    patience = _samples(SILENT_MINUTES, grid.step_ms)
    said = drop_short_runs(both & in_any_direction(dead) & ~faded, DEAD_SAMPLES)
    long = _outlasting(both & in_both_directions(quiet), grid.step_ms) | _coming_again(topology, both)
    found = repeat_for_directions(said | long) | drop_short_runs(quiet & _shared(topology, quiet), OUTAGE_SAMPLES + 1)
    found |= drop_short_runs(quiet, 2 * patience)
    return extend_runs(
        found & ~repeat_for_directions(faded), silent | (dead & repeat_for_directions(both)), patience, backwards=True
    )


def detect_lock_loss(grid: Grid, unread: Bools) -> Bools:
    """Where Es/N0 is missing because there is none to measure: other readings say so, or it goes on for a while."""
    uptime, loss = grid.reading(Metric.UPTIME_PCT), grid.reading(Metric.PACKET_LOSS_PCT)
    return unread & ((uptime < MOST_UPTIME_PCT) | (loss > LEAST_LOSS_PCT) | drop_short_runs(unread, OUTAGE_SAMPLES))


def _dead(grid: Grid) -> Bools:
    """A sample says that nothing works."""
    uptime = grid.reading(Metric.UPTIME_PCT)
    return grid.present & ~(uptime > 0.0) & ~np.isnan(uptime)


def _warned(esno: Floats32, dead: Bools) -> Bools:
    """Deaths that a fade preceded, from their first sample to their last."""
    one, two = (shift_right(esno, back, np.nan) for back in (1, 2))
    again = np.zeros_like(dead)
    for back in range(1, FRESH_SAMPLES + 1):
        again[:, back:] |= dead[:, :-back]
    faded = (np.minimum(one, two) < -WARNING_DB) & (np.maximum(one, two) < -LEAST_WARNING_DB)
    return extend_runs(dead & ~again & faded, dead, dead.shape[1], backwards=False)


def _shared(topology: Topology, quiet: Bools) -> Bools:
    """(streams, times): most links of the network are quiet in that direction."""
    member = (topology.network[None] == np.arange(len(topology.networks.keys))[:, None]).astype(np.float32)
    count = member.sum(axis=1, keepdims=True)
    ways = np.split(quiet, 2)
    return np.concatenate(
        [((member @ way >= SHARED_SILENCE * count) & (count >= LEAST_SHARING))[topology.network] for way in ways]
    )


def _samples(minutes: float, step_ms: int) -> int:
    return max(OUTAGE_SAMPLES, round(minutes * MINUTE_MS / step_ms))


def _coming_again(topology: Topology, both: Bools) -> Bools:
    """(links, times): silences of mobile sites that have several of them."""
    often = drop_short_runs(both, BLOCK_SAMPLES)
    times = (np.diff(np.pad(often, ((0, 0), (1, 0))).astype(np.int8), axis=1) == 1).sum(axis=1)
    several: Bools = topology.sites.mobile[topology.site] & (times >= BLOCKS)
    return often & several[:, None]


def _outlasting(quiet: Bools, step_ms: int) -> Bools:
    """(links, times): silences that last clearly longer than what is usual among the other links."""
    counted = quiet.cumsum(axis=1)
    length = counted - np.maximum.accumulate(np.where(quiet, 0, counted), axis=1)
    longest = np.sort(length.max(axis=1, initial=0))
    least, most = (_samples(minutes, step_ms) for minutes in (LEAST_SILENT_MINUTES, SILENT_MINUTES))
    typical = int(longest[-1 - EXCEPTIONS]) if len(longest) >= 4 * EXCEPTIONS else most
    return drop_short_runs(quiet, int(np.clip(1.5 * typical + 2, least, most)))
