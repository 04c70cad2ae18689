"""Features of an event: depth, noise, power, timing and place of the streams that it affects."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.topology import Topology
from ml.catalogue.units import MINUTE_MS
from ml.numerics.arrays import Bools, Floats32, Integers
from ml.numerics.robust import FEW, deviation, median
from ml.root_cause.degradation import Channel
from ml.root_cause.directions import in_any_direction, inbound_mask, repeat_for_directions
from ml.root_cause.events import Event
from ml.root_cause.residuals import Residuals
from ml.root_cause.signature import Feature
from ml.root_cause.spatial import coincidence_penalty, find_centre, measure_compactness
from ml.root_cause.timing import (
    PEAK,
    count_samples_shown,
    find_main_run,
    is_daily,
    measure_arrivals,
    measure_gradualness,
    measure_rise,
    measure_roundness,
)

CORE: Final = 0.5  # share of the peak from which a sample belongs to the event's core
MOSTLY: Final = 0.5  # of the core's weight
LEAST_DEPTH_DB: Final = 0.7  # smaller depths of a single stream have no meaningful ratio
LEAST_SHARED_DB: Final = 0.25  # nor of many
LEAST_MEAN_DB: Final = 0.5  # divisor of the depths' scatter, at least
LEAST_RISE_DB: Final = 0.25  # smaller expected rises of the level have no meaningful ratio
CLOSE_KM: Final = 25.0


@dataclass(frozen=True)
class EventFeatures:
    """What an event shows, arrays of shape (streams,) unless said otherwise, NaN = not known.

    affected: the streams that probably show it.
    fading: it shows in the signal.
    depth, noise, power: means over the event's core, dB; see `Residuals`.
    locked_depth: the same as depth, but like noise and power only of samples with lock, which ratios can be made of.
    onset: minutes from the event's first sample to half of the stream's depth.
    profile: common to all affected streams, dB, shape (times,).
    rise_minutes, gradual, round, minutes, lasts, runs, total, daily, compact: see `Feature`.
    mobile: the stream's site is mobile. nearby: its site is close to the centre, and another.
    centre: the index of the affected site around which depth falls off with distance.
    distance: of each link's site from it, km, shape (links,).
    coincidence: nats against a rain cell that happens to affect just these links.
    level_rise: rise of the level, relative to the rise that added noise alone would cause.
    """

    affected: Bools
    fading: bool
    depth: Floats32
    locked_depth: Floats32
    noise: Floats32
    power: Floats32
    onset: Floats32
    profile: Floats32
    rise_minutes: float
    gradual: float
    round: float
    minutes: float
    lasts: float
    runs: int
    total: float
    mobile: Bools
    nearby: Bools
    centre: int
    compact: float
    distance: Floats32
    daily: float
    coincidence: float
    level_rise: Floats32

    def summarize(self, members: Bools) -> dict[Feature, float]:
        """Returns the features of the affected streams among `members`, shape (streams,)."""
        some, inbound = self.affected & members, inbound_mask(len(self.affected))
        ib, ob, remotes = some & inbound, some & ~inbound, repeat_for_directions(in_any_direction(some))
        depth_ib, depth_ob = median(self.depth[ib]), median(self.depth[ob])
        main = ib if np.nan_to_num(depth_ib) >= np.nan_to_num(depth_ob) else ob
        locked_ib, locked_ob = median(self.locked_depth[ib]), median(self.locked_depth[ob])
        least_ib, least_ob = _least_depth(ib), _least_depth(ob)
        return {
            Feature.DEPTH: float(np.nanmax([depth_ib, depth_ob, -1.0])) if self.fading and some.any() else np.nan,
            Feature.NOISE_SHARE_IB: _share(median(self.noise[ib]), locked_ib, least_ib),
            Feature.NOISE_SHARE_OB: _share(median(self.noise[ob]), locked_ob, least_ob),
            Feature.BALANCE: _log_ratio(locked_ob, locked_ib, max(least_ib, least_ob)),
            Feature.POWER_IB: median(self.power[remotes & inbound]),
            Feature.POWER_OB: median(self.power[remotes & ~inbound]),
            Feature.RISE: self.rise_minutes,
            Feature.GRADUAL: self.gradual,
            Feature.ROUND: self.round,
            Feature.MINUTES: self.minutes,
            Feature.LASTS: self.lasts,
            Feature.RUNS: float(self.runs),
            Feature.TOTAL: self.total,
            Feature.DAILY: self.daily,
            Feature.COMPACT: self.compact,
            Feature.SPREAD: median(self.distance[in_any_direction(some)]),
            Feature.LEVEL_RISE: median(self.level_rise[some]),
            Feature.SCATTER: _scatter(self.depth[main]),
            Feature.LAG: deviation(self.onset[main]),
            Feature.LINKS: float(in_any_direction(some).sum()),
            Feature.MOBILE: _mean(self.mobile[some]),
            Feature.NEIGHBOURS: _mean(self.affected[self.nearby]),
        }


def extract_features(topology: Topology, residuals: Residuals, event: Event) -> EventFeatures:
    """Returns what the event shows in both directions of the affected links."""
    affected, links = event.affected_streams, len(topology.links)
    streams = np.concatenate([event.affected_links, event.affected_links + links])
    profile = _common_profile(residuals, event)
    weight = _core(profile, event)
    locked = _where_locked(residuals, streams, event, weight)
    locked_depth = _weighted_mean(-residuals.esno[streams], locked)
    depth = _spread(streams, -_weighted_mean(residuals.esno[streams], weight), 2 * links)
    centre, distance = find_centre(topology, affected % links, np.nan_to_num(depth[affected], nan=1.0))
    run, fading = find_main_run(profile, event.active), event.channel is Channel.SIGNAL
    minutes = residuals.step_ms / MINUTE_MS
    return EventFeatures(
        affected=event.membership > 0.5,
        fading=fading,
        depth=depth,
        locked_depth=_spread(streams, locked_depth, 2 * links),
        noise=_spread(streams, _weighted_mean(residuals.noise[streams], locked), 2 * links),
        power=_spread(streams, _weighted_mean(residuals.power[streams], locked), 2 * links),
        onset=_spread(affected, measure_arrivals(residuals, event) if fading else np.nan, 2 * links),
        profile=profile,
        rise_minutes=measure_rise(profile, run) * minutes,
        gradual=measure_gradualness(profile, run, minutes),
        round=measure_roundness(profile, run, _noise_db(residuals, event)) if fading else np.nan,
        minutes=count_samples_shown(profile[run]) * minutes,
        lasts=float(event.active[-2:].any()),
        runs=event.runs,
        total=count_samples_shown(profile[event.active]) * minutes,
        mobile=repeat_for_directions(topology.sites.mobile[topology.site]),
        nearby=repeat_for_directions((distance <= CLOSE_KM) & (topology.site != centre)),
        centre=centre,
        compact=measure_compactness(
            distance, np.isin(np.arange(links), event.affected_links) | (topology.site == centre)
        ),
        distance=distance,
        daily=is_daily(residuals.at, event.active),
        coincidence=coincidence_penalty(topology, event),
        level_rise=_spread(streams, _level_rise(residuals, streams, locked_depth, locked), 2 * links),
    )


def _spread(streams: Integers, values: Floats32 | float, count: int) -> Floats32:
    """Returns the values of these streams, and NaN of all others, shape (count,)."""
    result = np.full(count, np.nan, dtype=np.float32)
    result[streams] = values
    return result


def _common_profile(residuals: Residuals, event: Event) -> Floats32:
    """Returns the common-mode profile of all affected streams, dB, shape (times,).

    It is estimated anew by least squares from the signal; other channels keep the event's own profile.
    """
    if event.channel is not Channel.SIGNAL:
        return event.profile
    values = -residuals.esno[event.affected_streams]
    known = np.isfinite(values)
    loading = event.loading[event.affected_streams][:, None]
    top = (np.where(known, values, 0.0) * loading).sum(axis=0)
    result: Floats32 = (top / np.maximum((known * loading**2).sum(axis=0), 1e-3)).astype(np.float32)
    return result


def _noise_db(residuals: Residuals, event: Event) -> float:
    """Returns the standard deviation of the noise of the common-mode profile, dB."""
    loading = event.loading[event.affected_streams]
    noise = (residuals.sigma[event.affected_streams] * loading) ** 2
    return float(np.sqrt(noise.sum()) / max(1e-3, float((loading**2).sum())))


def _core(profile: Floats32, event: Event) -> Floats32:
    """Returns the weights of samples near the profile's peak, 0 elsewhere, shape (times,)."""
    peak = float(np.quantile(profile[event.active], PEAK))
    core = event.active & (profile >= CORE * peak)
    return np.where(core, np.maximum(event.profile, 0.0), 0.0).astype(np.float32)


def _where_locked(residuals: Residuals, streams: Integers, event: Event, core: Floats32) -> Floats32:
    """Returns the core's weights for each stream, 0 without lock, shape (streams, times).

    Streams without lock in most of the core have those of the event's slopes.
    """
    lost = residuals.unlocked[streams]
    slopes = np.where(event.active, np.maximum(event.profile, 0.0), 0.0)
    mostly_lost = (lost @ core) > MOSTLY * core.sum()
    weight = np.where(mostly_lost[:, None], slopes, core)
    result: Floats32 = np.where(lost, 0.0, weight).astype(np.float32)
    return result


def _weighted_mean(values: Floats32, weight: Floats32) -> Floats32:
    """Returns weighted means over time of the known values, NaN where there are none, shape (streams,).

    weight: shape (times,), or (streams, times).
    """
    known = np.isfinite(values)
    total = (known * weight).sum(axis=1)
    mean = (np.where(known, values, 0.0) * weight).sum(axis=1) / np.maximum(total, 1e-6)
    return np.where(total > 0, mean, np.nan).astype(np.float32)


def _level_rise(residuals: Residuals, streams: Integers, depth: Floats32, weight: Floats32) -> Floats32:
    """Returns the rise of the level over the rise that added noise alone would cause, shape (streams,).

    Inbound, the part that the remotes' higher transmit power explains is subtracted first.
    """
    reference = residuals.reference_esno[streams]
    ratio = 10.0 ** (-np.maximum(reference, 0.0) / 10.0)
    expected = 10.0 * np.log10((1.0 + 10.0 ** (-(reference - depth) / 10.0)) / (1.0 + ratio))
    power = np.clip(np.nan_to_num(_weighted_mean(residuals.power[streams], weight)), 0.0, None)
    inbound = inbound_mask(len(residuals.esno))[streams]
    risen = _weighted_mean(residuals.level[streams], weight) - np.where(inbound, power, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats32 = np.where(expected >= LEAST_RISE_DB, risen / expected, np.nan)
    return result


def _least_depth(streams: Bools) -> float:
    """Returns the depth from which ratios to it are meaningful, dB: the noise of a median falls with its streams."""
    return float(max(LEAST_SHARED_DB, LEAST_DEPTH_DB / np.sqrt(max(1, int(streams.sum())))))


def _share(noise: float, depth: float, least: float) -> float:
    return noise / depth if depth >= least else float("nan")


def _log_ratio(one: float, other: float, least: float) -> float:
    return float(np.log(one / other)) if min(one, other) >= least else float("nan")


def _scatter(depth: Floats32) -> float:
    known = depth[np.isfinite(depth)]
    return float(known.std() / max(LEAST_MEAN_DB, known.mean())) if len(known) >= FEW else float("nan")


def _mean(true: Bools) -> float:
    return float(true.mean()) if true.size else float("nan")
