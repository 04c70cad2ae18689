"""Outages of links, and receivers without lock."""

from typing import Final

import numpy as np

from ml.catalogue.metrics import Metric
from ml.catalogue.topology import Topology
from ml.catalogue.units import MINUTE_MS
from ml.numerics.arrays import Bools, Floats32
from ml.numerics.runs import drop_short_runs, extend_runs, shift_right
from ml.root_cause.directions import in_any_direction, in_both_directions, repeat_for_directions
from ml.root_cause.resampling import Grid

OUTAGE_SAMPLES: Final = 3  # consecutive samples without a reading: fewer go missing now and then
DOWN_SAMPLES: Final = 2  # consecutive samples that report 0 % uptime
SILENT_MINUTES: Final = 75.0  # without any sample in both directions: collectors pause for as long as that
LEAST_SILENT_MINUTES: Final = 25.0
SILENT_SAMPLES, SILENT_SECONDS = 5, 60.0  # at a faster cadence so many samples, and so long, suffice
EXCEPTIONS: Final = 2  # links whose longest silence does not count as typical
BLOCKAGES, BLOCKAGE_SAMPLES = 3, 4  # so many silences of a mobile site are no coincidence, however short
SHARED_SILENCE: Final = 0.6  # share of a network's links
LEAST_SHARING: Final = 3  # links of a network
COLLECTOR_SHARE: Final = 0.95  # share of all streams silent at once: the collector was down, not the links
SPEAKING_SHARE: Final = 0.5  # of a network's streams: then the collector is not down, however large another network is
WARNING_DB, LEAST_WARNING_DB = 2.0, 1.0  # fades of the two samples before an outage: the deeper, the other
FRESH_SAMPLES: Final = 6  # without an outage before: a new one begins
MOST_UPTIME_PCT, LEAST_LOSS_PCT = 50.0, 50.0  # without lock


def detect_outages(topology: Topology, grid: Grid, esno: Floats32, *, alarmed: bool = False) -> Bools:
    """Returns where streams are out of service, shape (streams, times).

    An outage is reported by both directions, or both are silent for longer than is typical. A silence that most of a
    network's links share in a direction may be shorter. While all streams are silent, the collector was down. A link
    that fades before it goes down, or still measures a level, has not lost its electricity, and is no outage.

    esno: Es/N0 relative to its reference, dB, shape (streams, times). alarmed: that the links in scope misbehave is
    known, so that a shorter silence of theirs is none that is typical.
    """
    silent, down = ~grid.present, _is_down(grid)
    both, faded = in_both_directions(silent | down), in_any_direction(_after_fade(esno, down | silent))
    quiet = silent & ~_is_collector_down(topology, silent)
    patience = _samples(SILENT_MINUTES, grid.step_ms)
    hidden = in_both_directions(quiet | down)
    reported = drop_short_runs(both & in_any_direction(down) & ~faded, DOWN_SAMPLES)
    silences = both & in_both_directions(quiet)
    long = _long_silences(silences, grid.step_ms) | _repeated_silences(topology, hidden)
    if alarmed:
        long |= drop_short_runs(silences, OUTAGE_SAMPLES) & topology.in_scope[:, None]
    outage = repeat_for_directions(reported | long)
    outage |= drop_short_runs(quiet & _find_shared_silence(topology, quiet), OUTAGE_SAMPLES + 1)
    outage |= drop_short_runs(quiet, 2 * patience)
    through = silent | (down & repeat_for_directions(both))
    return extend_runs(outage & ~repeat_for_directions(faded), through, patience, backwards=True)


def detect_lock_loss(grid: Grid, unread: Bools) -> Bools:
    """Returns where a receiver has no lock: other readings say so, or Es/N0 is missing repeatedly.

    unread: samples without Es/N0, shape (streams, times).
    """
    uptime, loss = grid.reading(Metric.UPTIME_PCT), grid.reading(Metric.PACKET_LOSS_PCT)
    return unread & ((uptime < MOST_UPTIME_PCT) | (loss > LEAST_LOSS_PCT) | drop_short_runs(unread, OUTAGE_SAMPLES))


def _is_collector_down(topology: Topology, silent: Bools) -> Bools:
    """Returns when nearly all streams are silent, and no network as a whole still speaks, shape (times,)."""
    member = np.tile(topology.network, 2)[None] == np.unique(topology.network)[:, None]
    speaking = member.astype(np.float32) @ (~silent).astype(np.float32) > SPEAKING_SHARE * member.sum(axis=1)[:, None]
    result: Bools = (silent.mean(axis=0) >= COLLECTOR_SHARE) & ~speaking.any(axis=0)
    return result


def _is_down(grid: Grid) -> Bools:
    """Returns which samples report 0 % uptime and no level, shape (streams, times)."""
    uptime, level = grid.reading(Metric.UPTIME_PCT), grid.reading(Metric.RX_LEVEL_DBM)
    return grid.present & ~(uptime > 0.0) & ~np.isnan(uptime) & np.isnan(level)


def _after_fade(esno: Floats32, down: Bools) -> Bools:
    """Returns the runs of `down` that a fade preceded, shape (streams, times)."""
    first, second = (shift_right(esno, back, np.nan) for back in (1, 2))
    again = np.zeros_like(down)
    for back in range(1, FRESH_SAMPLES + 1):
        again[:, back:] |= down[:, :-back]
    faded = (np.minimum(first, second) < -WARNING_DB) & (np.maximum(first, second) < -LEAST_WARNING_DB)
    return extend_runs(down & ~again & faded, down, down.shape[1], backwards=False)


def _find_shared_silence(topology: Topology, quiet: Bools) -> Bools:
    """Returns where most links of the network are quiet in that direction, shape (streams, times)."""
    member = (topology.network[None] == np.arange(len(topology.networks.keys))[:, None]).astype(np.float32)
    count = member.sum(axis=1, keepdims=True)
    shared = [(member @ one >= SHARED_SILENCE * count) & (count >= LEAST_SHARING) for one in np.split(quiet, 2)]
    return np.concatenate([networks[topology.network] for networks in shared])


def _samples(minutes: float, step_ms: int) -> int:
    return max(OUTAGE_SAMPLES, round(minutes * MINUTE_MS / step_ms))


def _repeated_silences(topology: Topology, hidden: Bools) -> Bools:
    """Returns the silences of mobile sites that have several, shape (links, times)."""
    silences = drop_short_runs(hidden, BLOCKAGE_SAMPLES)
    count = (np.diff(np.pad(silences, ((0, 0), (1, 0))).astype(np.int8), axis=1) == 1).sum(axis=1)
    several: Bools = topology.sites.mobile[topology.site] & (count >= BLOCKAGES)
    return silences & several[:, None]


def _long_silences(quiet: Bools, step_ms: int) -> Bools:
    """Returns silences clearly longer than is typical of the other links, shape (links, times)."""
    counted = quiet.cumsum(axis=1)
    length = counted - np.maximum.accumulate(np.where(quiet, 0, counted), axis=1)
    longest = np.sort(length.max(axis=1, initial=0))
    most = _samples(SILENT_MINUTES, step_ms)
    soon = max(SILENT_SAMPLES, -int(-SILENT_SECONDS * 1000 // step_ms))
    least = min(soon, _samples(LEAST_SILENT_MINUTES, step_ms))
    typical = int(longest[-1 - EXCEPTIONS]) if len(longest) >= 4 * EXCEPTIONS else most
    return drop_short_runs(quiet, int(np.clip(1.5 * typical + 2, least, most)))
