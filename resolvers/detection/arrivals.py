"""When the samples of a batch came: whether they are of the present, and how long their streams had not been heard."""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from ml.detection.detector import share_budget
from ml.detection.features import NEVER
from ml.detection.silence import find_live_bounds, widen_live_bounds
from ml.numerics.arrays import Floats, Integers
from resolvers.store.telemetry.streams import Streams

PAST_BUDGET_SHARE: Final = 0.25  # of the false alarms that are allowed in samples of the present


@dataclass(frozen=True)
class Arrivals:
    """What a batch says of when its streams are heard; all arrays have one entry per stream.

    now: epoch ms.
    live_bounds: how old a sample may be and still be of the present, in ms.
    first_new: the first sample that tells that the stream is alive, epoch ms, NEVER where there is none: one that is
        newer than the newest stored, or than when the stream was last heard. A sender's clock may have been ahead.
    gaps: seconds since the stream was last heard, NaN unless both times what came was of the present.
    is_past: no sample is of the present.
    """

    now: int
    live_bounds: Integers
    first_new: Integers
    gaps: Floats
    is_past: bool

    @classmethod
    def note(cls, streams: Streams, which: Integers, times: Integers, now: int) -> Self:
        """which, times: stream and epoch ms of each row that is stored anew, shape (rows,), sorted by both."""
        bounds = find_live_bounds(which, times, streams.last_at)
        first, newest = np.full(len(bounds), NEVER), np.full(len(bounds), NEVER)
        heard = streams.heard_at
        heard_until = np.where(heard == NEVER, streams.last_at, np.minimum(heard, streams.last_at))
        is_new = times > heard_until[which]
        newest[which[is_new]] = times[is_new]
        first[which[is_new][::-1]] = times[is_new][::-1]
        was_live = (heard != NEVER) & (heard - streams.last_at <= bounds)
        counts = was_live & (newest != NEVER) & (now - newest <= bounds) & (now > heard)
        gaps = np.where(counts, (now - np.where(counts, heard, now)) / 1000.0, np.nan)
        return cls(now, bounds, first, gaps, is_past=bool((now - times > bounds[which]).all()))

    def limit_sensitivity(self, sensitivity: float) -> float:
        """Returns the sensitivity of the batch: nobody can do anything about mild deviations of long ago."""
        return self.limit_past(sensitivity) if self.is_past else sensitivity

    def limit_past(self, sensitivity: float) -> float:
        """Returns the sensitivity for samples that are all of the past."""
        return share_budget(sensitivity, PAST_BUDGET_SHARE)

    def widen_bounds(self, streams: Integers, spacing_seconds: Floats) -> Self:
        """Returns the same with the bounds that streams have which are known to be sampled so seldom."""
        bounds = self.live_bounds.copy()
        np.maximum.at(bounds, streams, widen_live_bounds(1000.0 * spacing_seconds))
        return replace(self, live_bounds=bounds)
