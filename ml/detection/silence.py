"""When a stream should have been heard again, and whether many fell silent because what collects them did."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from ml.catalogue.units import HOUR_MS
from ml.detection.features import NEVER
from ml.numerics.arrays import Bools, Floats, Integers

KEPT_GAPS: Final = 32  # newest gaps that are kept of a stream
MIN_GAPS: Final = 20  # with fewer, a stream has no cadence of its own,
FEW_GAPS: Final = 6  # unless at least so many
FEW_SPAN_SECONDS: Final = 600.0  # take ten minutes together: at five minutes, 20 gaps would take 100 of them
LONG_QUANTILE: Final = 0.95  # of the gaps: one or two outages among them do not count
MIN_FACTOR: Final = 3.5  # long gaps that pass in silence: three samples in a row may be missing
IRREGULARITY_FACTOR: Final = 1.5
MIN_PATIENCE_SECONDS: Final = 60.0

MIN_LIVE_MS: Final = 900_000  # a sample that is younger when it comes is of the present
LIVE_GAPS: Final = 3  # of the samples' own spacing, likewise
MAX_SPACING_MS: Final = 2 * HOUR_MS

MIN_TARGETS: Final = 3  # that fall silent together before a collector is blamed
QUIET_SHARE: Final = 0.9  # of the streams that reported until then


def pad_gaps(gaps: Sequence[Sequence[float]]) -> Floats:
    """Returns each stream's newest gaps as a row, shape (streams, KEPT_GAPS), NaN where there are fewer."""
    padded = np.full((len(gaps), KEPT_GAPS), np.nan)
    for row, own in enumerate(gaps):
        padded[row, : len(own)] = own
    return padded


def find_usual_gaps(gaps: Floats) -> Floats:
    """Returns each stream's median gap in seconds, shape (streams,), NaN for a stream without gaps.

    gaps: newest seconds between arrivals, see `pad_gaps`.
    """
    return _find_quantile(gaps, 0.5)


def compute_patience(gaps: Floats) -> Floats:
    """Returns after how many seconds without samples each stream counts as silent, shape (streams,).

    That is 3.5 times its long gap, the 95 % quantile of the newest 32. Where long gaps are much longer than usual ones,
    as of a sender that comes and goes, it is 1.5 times their ratio instead. Infinite with fewer than 20 gaps, or 6 that
    take ten minutes together: with so few, the factor of 3.5 is larger by the square root of what is missing.

    gaps: see `find_usual_gaps`.
    """
    usual, long = np.maximum(_find_quantile(gaps, 0.5), 1e-3), _find_quantile(gaps, LONG_QUANTILE)
    known, span = np.count_nonzero(~np.isnan(gaps), axis=1), np.nansum(gaps, axis=1)
    factor = MIN_FACTOR * np.sqrt(np.maximum(MIN_GAPS / np.maximum(known, 1), 1.0))
    patience = long * np.maximum(factor, IRREGULARITY_FACTOR * long / usual)
    suffices = (known >= MIN_GAPS) | ((known >= FEW_GAPS) & (span >= FEW_SPAN_SECONDS))
    return np.where(suffices, np.maximum(patience, MIN_PATIENCE_SECONDS), np.inf)


def _find_quantile(gaps: Floats, share: float) -> Floats:
    """Returns a quantile of each row, NaN values left out, interpolated as numpy does."""
    ordered = np.sort(gaps, axis=1)  # NaN last
    place = share * np.maximum(np.count_nonzero(~np.isnan(gaps), axis=1) - 1, 0)
    low, rows = np.floor(place).astype(np.int64), np.arange(len(gaps))
    below, above = ordered[rows, low], ordered[rows, np.ceil(place).astype(np.int64)]
    result: Floats = below + (place - low) * (above - below)
    return result


# ---------------------------------------------------------------- the present and the past


def find_live_bounds(stream: Integers, at: Integers, last_at: Integers) -> Integers:
    """Returns how old a sample of each stream may be and still be of the present, in ms, shape (streams,).

    That is a quarter of an hour, or three times the samples' own spacing (two hours at most) if that is more.

    stream, at: the samples of a batch, sorted by both, epoch ms, shape (rows,).
    last_at: the newest sample before the batch, epoch ms, shape (streams,), NEVER where there is none.
    """
    bounds = np.full(len(last_at), MIN_LIVE_MS, dtype=np.int64)
    if not len(stream):
        return bounds
    firsts = np.flatnonzero(np.diff(stream, prepend=-1))
    ends = np.append(firsts[1:], len(stream)) - 1
    which = stream[firsts]
    follows = (last_at[which] != NEVER) & (last_at[which] < at[firsts])
    begin = np.where(follows, last_at[which], at[firsts])
    spacing = (at[ends] - begin) // np.maximum(ends - firsts + follows, 1)
    bounds[which] = widen_live_bounds(spacing)
    return bounds


def widen_live_bounds(spacing_ms: Integers | Floats) -> Integers:
    """Returns how old samples of this spacing may be and still be of the present, in ms, shape of `spacing_ms`."""
    bounds = np.maximum(MIN_LIVE_MS, LIVE_GAPS * np.minimum(spacing_ms, MAX_SPACING_MS))
    result: Integers = bounds.astype(np.int64)
    return result


# ---------------------------------------------------------------- collectors


class CollectorKind(StrEnum):
    """Whose telemetry a collector gathers: a network's, that of a hub's networks, or all."""

    NETWORK = "NETWORK"
    HUB = "HUB"
    ALL = "ALL"


@dataclass(frozen=True)
class QuietCollector:
    """Streams that fell silent together, as nothing of them is collected any more.

    key: of the network or the hub; None for all.
    members: the silent streams, shape (streams,).
    share: of the streams that reported until then, 0 to 1.
    """

    kind: CollectorKind
    key: int | None
    members: Bools
    share: float


@dataclass(frozen=True)
class ObservedStreams:
    """What is known of all streams that ever reported.

    target: a number for each target, shape (streams,).
    network, hub: their keys, shape (streams,), -1 where there is none.
    heard_at: when the newest sample came, epoch ms, shape (streams,).
    usual_gap_ms: the usual time between two arrivals, shape (streams,), NaN where unknown.
    silent: shape (streams,).
    """

    target: Integers
    network: Integers
    hub: Integers
    heard_at: Integers
    usual_gap_ms: Floats
    silent: Bools


def find_quiet_collectors(streams: ObservedStreams) -> list[QuietCollector]:
    """Returns the collectors that went quiet as a whole, widest first; no stream is in two of them.

    Nearly all streams of a network, of a hub or of everything fell silent, and were last heard within one of their
    usual gaps. Streams that had fallen silent before do not count, nor those that may still be heard in time. A hub is
    blamed only if several of its networks are quiet, all only if several hubs are; nothing is for fewer than 3 targets.
    What still reports, such as links with an uptime of 0, is not silent, so that a failed hub is no quiet collector.
    """
    collectors: list[QuietCollector] = []
    taken = np.zeros(len(streams.silent), dtype=bool)
    everything = np.zeros(len(streams.silent), dtype=np.int64)
    for kind, groups, parts in (
        (CollectorKind.ALL, everything, streams.hub),
        (CollectorKind.HUB, streams.hub, streams.network),
        (CollectorKind.NETWORK, streams.network, None),
    ):
        for key in np.unique(groups[streams.silent & ~taken & (groups >= 0)]).tolist():
            members, share = _find_together(streams, groups == key)
            is_wide = parts is None or len(np.unique(parts[members & (parts >= 0)])) > 1
            if share >= QUIET_SHARE and is_wide and not (members & taken).any():
                collectors.append(QuietCollector(kind, None if kind is CollectorKind.ALL else key, members, share))
                taken |= members
    return collectors


def _find_together(streams: ObservedStreams, group: Bools) -> tuple[Bools, float]:
    """Returns the streams of a group that fell silent last and together, and their share of those that reported then.

    The share is 0 for too few targets.
    """
    silent = group & streams.silent
    tolerance = np.nan_to_num(streams.usual_gap_ms)
    last = streams.heard_at[silent].max()
    members = silent & (last - streams.heard_at <= tolerance)
    alive = group & ~streams.silent & (streams.heard_at > last)
    if len(np.unique(streams.target[members])) < MIN_TARGETS:
        return members, 0.0
    return members, float(members.sum() / (members.sum() + alive.sum()))
