"""Which stretches of streams late samples make it necessary to judge again, and the samples that this rests on."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE
from ml.catalogue.units import HOUR_MS
from ml.detection.features import NOMINAL_CADENCE_SECONDS, StreamSamples
from ml.numerics.arrays import Bools, Integers
from resolvers.store.telemetry.readings import to_readings
from resolvers.store.telemetry.samples import Stretch, load_stretches
from resolvers.store.telemetry.streams import Streams

READ_AGAIN: Final = 60_000  # stored samples of a batch's streams, shared among its stretches
MOST_AROUND: Final = 2000  # read before a stretch, and behind it
LEAST_AROUND: Final = 30
APART_MS: Final = 6 * HOUR_MS  # late samples that are further apart are judged apart,
APART_SAMPLES: Final = 20.0  # where that is more than so many samples


@dataclass(frozen=True)
class LateStretches:
    """Stretches of a batch's streams; all arrays have one entry per stretch, by stream and time.

    samples: each stretch as a stream of its own.
    streams: the index of each one's stream.
    changed_at: its first late sample, epoch ms.
    is_complete: it begins with its stream's first sample.
    reaches_newest: it ends with its stream's newest sample.
    unjudged: late samples that there were too many samples between to judge them.
    """

    samples: StreamSamples
    streams: Integers
    changed_at: Integers
    is_complete: Bools
    reaches_newest: Bools
    unjudged: int


def choose_stretches(streams: Streams, which: Integers, times: Integers) -> list[tuple[int, list[int]]]:
    """Returns the stream of each stretch, and the times of its late samples, by stream and time.

    which, times: stream and epoch ms of the late samples, shape (rows,), sorted by both.
    """
    cadence = np.nan_to_num(streams.memory.cadence_seconds[which], nan=NOMINAL_CADENCE_SECONDS)
    is_apart = np.diff(times, prepend=times[:1]) > np.maximum(APART_MS, 1000.0 * APART_SAMPLES * cadence)
    begins = np.flatnonzero((np.diff(which, prepend=-1) != 0) | is_apart)
    ends = np.append(begins[1:], len(which))
    return [
        (int(which[begin]), times[begin:end].tolist())
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    ]


async def load_late_stretches(
    session: AsyncSession, streams: Streams, late: pl.DataFrame, in_time: pl.DataFrame
) -> LateStretches:
    """Reads the stretches around late samples, which must be stored already.

    late, in_time: the batch's samples with `stream`, sorted by `stream` and `at`. Those in time need not be stored.
    """
    chosen = choose_stretches(streams, late["stream"].to_numpy(), late["at"].to_numpy())
    around = min(max(READ_AGAIN // len(chosen), LEAST_AROUND), MOST_AROUND)
    wanted = [
        Stretch(streams.keys[number], at[0], at[-1], None, around, len(at) + around + 1, around + 1)
        for number, at in chosen
    ]
    for place in range(len(chosen) - 1):
        if chosen[place][0] == chosen[place + 1][0]:
            wanted[place] = wanted[place].end_before(wanted[place + 1].first)
    frame = await load_stretches(session, streams.kind, wanted)
    return _arrange(streams, chosen, wanted, frame, in_time, around)


def _arrange(
    streams: Streams,
    chosen: list[tuple[int, list[int]]],
    wanted: list[Stretch],
    frame: pl.DataFrame,
    in_time: pl.DataFrame,
    around: int,
) -> LateStretches:
    """Cuts off what is behind a hole, and adds the batch's newer samples to stretches that reach the newest stored."""
    place, at = frame["place"].to_numpy(), frame["at"].to_numpy()
    number = np.array([stream for stream, _ in chosen])
    first, last, most = np.array([(one.first, one.last, one.within) for one in wanted]).T
    is_before, is_behind = at < first[place], at > last[place]
    before, within, behind = (
        np.bincount(place[rows], minlength=len(wanted)) for rows in (is_before, ~is_before & ~is_behind, is_behind)
    )
    has_hole = within >= most
    reaches = ~has_hole & (behind <= around) & np.array([one.until is None for one in wanted])
    kept = frame.filter(pl.Series(~(has_hole[place] & is_behind)))
    newest = {int(number[stretch]): int(stretch) for stretch in np.flatnonzero(reaches)}
    joins = in_time["stream"].is_in(list(newest))
    if joins.any():
        more = in_time.filter(joins)
        more = more.with_columns(place=more["stream"].replace_strict(newest, return_dtype=pl.Int64))
        kept = pl.concat([kept, more.select(kept.columns)], how="vertical_relaxed").sort("place", "at")
    samples = StreamSamples(
        to_readings(kept, CATALOGUE[streams.kind]), kept["at"].to_numpy(), kept["place"].to_numpy(), len(wanted)
    )
    ends = [int(samples.at[rows.stop - 1]) for rows in samples.slices]
    unjudged = sum(sum(at > end for at in times) for (_, times), end in zip(chosen, ends, strict=True))
    return LateStretches(samples, number, first, before < around, reaches, unjudged)
