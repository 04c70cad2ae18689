"""Learns from a batch before it is scored: what brings a new stream's history at once is judged by that history."""

import asyncio

import numpy as np
import polars as pl
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.detection.profile_worker import MIN_SAMPLES, count_to_read, count_until_refit, fit
from resolvers.detection.scoring import BatchScorer
from resolvers.store.telemetry.profiles import StoredProfile, store_profiles
from resolvers.store.telemetry.streams import store_baselines


async def learn_from_batch(session: AsyncSession, scorer: BatchScorer, fresh: pl.DataFrame) -> None:
    """Fits profiles for the streams without one that the batch brings enough samples of; they score the batch, too.

    fresh: the samples that are stored anew, sorted by `stream` and `at`.
    """
    locked, detector, which = scorer.streams, scorer.detector, fresh["stream"].to_numpy()
    added = np.bincount(which, minlength=len(locked.keys))
    chosen = np.flatnonzero((locked.profile == 0) & (added >= MIN_SAMPLES))
    if not len(chosen):
        return
    own = np.isin(which, chosen)
    frame = fresh.filter(pl.Series(own)).with_columns(place=pl.Series(np.searchsorted(chosen, which[own])))
    fits = await asyncio.to_thread(fit, detector, frame, len(chosen))
    if fits is None:
        return
    numbers, stored = chosen[fits.places], (locked.samples + added)[chosen[fits.places]]
    contents = fits.profiles.to_bytes()
    keys = [locked.keys[number] for number in numbers.tolist()]
    due = count_until_refit(stored, count_to_read(fits.seconds / added[numbers]))
    counts = list(zip(stored.tolist(), due.tolist(), strict=True))
    made = await store_profiles(session, locked.kind, keys, counts, detector.version, contents)
    for number, profile, content in zip(numbers.tolist(), made, contents, strict=True):
        locked.profile[number] = profile
        scorer.profiles[number] = StoredProfile(profile, detector.version, content)
    locked.learned[numbers], locked.learned_seconds[numbers] = stored, fits.seconds
    locked.centre[numbers], locked.spread[numbers] = fits.base.centre, fits.base.spread
    await store_baselines(session, locked, numbers.tolist())
