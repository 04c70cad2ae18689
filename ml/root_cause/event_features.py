"""What an event shows: depth, noise, power and course in time of the link directions that it hit."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.topology import Topology
from ml.catalogue.units import MINUTE_MS
from ml.numerics.arrays import Bools, Floats32, Integers
from ml.numerics.directions import in_any_direction, inbound_mask, repeat_for_directions
from ml.numerics.robust import FEW, deviation, median
from ml.root_cause.degradation import Channel
from ml.root_cause.events import Event
from ml.root_cause.residuals import Residuals
from ml.root_cause.signature import Feature
from ml.root_cause.spatial import coincidence_penalty, find_centre, measure_compactness
from ml.root_cause.timing import PEAK, count_samples_shown, find_main_run, is_daily, measure_arrivals, measure_rise

CORE: Final = 0.5  # of the greatest depth: where it shows clearly
LEAST_DEPTH_DB: Final = 0.7  # before a share of it means anything
LEAST_MEAN_DB: Final = 0.5  # of depths whose scatter is told
LEAST_RISE_DB: Final = 0.25  # of the level
CLOSE_KM: Final = 25.0


@dataclass(frozen=True)
class EventFeatures:
    """depth, noise, power (streams,): means over the event's core, dB, NaN where unknown; see `Residuals`.

    hit (streams,). fading: it shows in the signal. onset (streams,): minutes from the event's first sample to half of
    the depth. course (times,): of all hit together, dB. rise_minutes, minutes, lasts, runs, total, daily, compact: see
    `Feature`. mobile (streams,): of its site; nearby (streams,): its site is close to the centre, and not that one.
    centre: the site in the middle of those hit, the deeper the more. coincidence: nats against a cloud that would have
    hit just these. level_rise (streams,): of the level, over what added noise alone would bring; NaN where that is
    little.
    """

    affected: Bools
    fading: bool
    depth: Floats32
    noise: Floats32
    power: Floats32
    onset: Floats32
    profile: Floats32
    rise_minutes: float
    minutes: float
    lasts: float
    runs: int
    total: float
    mobile: Bools
    nearby: Bools
    centre: int
    compact: float
    daily: float
    coincidence: float
    level_rise: Floats32

    def summarize(self, members: Bools) -> dict[Feature, float]:
        """Of those hit among `members` (streams,)."""
        some, inbound = self.affected & members, inbound_mask(len(self.affected))
        ib, ob, remotes = some & inbound, some & ~inbound, repeat_for_directions(in_any_direction(some))
        depth_ib, depth_ob = median(self.depth[ib]), median(self.depth[ob])
        main = ib if np.nan_to_num(depth_ib) >= np.nan_to_num(depth_ob) else ob
        return {
            Feature.DEPTH: float(np.nanmax([depth_ib, depth_ob, -1.0])) if self.fading and some.any() else np.nan,
            Feature.NOISE_SHARE_IB: _share(median(self.noise[ib]), depth_ib),
            Feature.NOISE_SHARE_OB: _share(median(self.noise[ob]), depth_ob),
            Feature.BALANCE: _log_ratio(depth_ob, depth_ib),
            Feature.POWER_IB: median(self.power[remotes & inbound]),
            Feature.POWER_OB: median(self.power[remotes & ~inbound]),
            Feature.RISE: self.rise_minutes,
            Feature.MINUTES: self.minutes,
            Feature.LASTS: self.lasts,
            Feature.RUNS: float(self.runs),
            Feature.TOTAL: self.total,
            Feature.DAILY: self.daily,
            Feature.COMPACT: self.compact,
            Feature.LEVEL_RISE: median(self.level_rise[some]),
            Feature.SCATTER: _scatter(self.depth[main]),
            Feature.LAG: deviation(self.onset[main]),
            Feature.LINKS: float(in_any_direction(some).sum()),
            Feature.MOBILE: _mean(self.mobile[some]),
            Feature.NEIGHBOURS: _mean(self.affected[self.nearby]),
        }


def extract_features(topology: Topology, residuals: Residuals, event: Event) -> EventFeatures:
    affected_streams, links = event.affected_streams, len(topology.links)
    streams = np.concatenate([event.affected_links, event.affected_links + links])  # both directions of those hit
    profile = _common_profile(residuals, event)
    weight = _core(profile, event)
    depth = _of(streams, -_weighted_mean(residuals.esno[streams], weight), 2 * links)
    centre, distance = find_centre(topology, affected_streams % links, np.nan_to_num(depth[affected_streams], nan=1.0))
    run, minutes, fading = (
        find_main_run(profile, event.active),
        residuals.step_ms / MINUTE_MS,
        event.channel is Channel.SIGNAL,
    )
    return EventFeatures(
        affected=event.membership > 0.5,
        fading=fading,
        depth=depth,
        noise=_of(streams, _weighted_mean(residuals.noise[streams], weight), 2 * links),
        power=_of(streams, _weighted_mean(residuals.power[streams], weight), 2 * links),
        onset=_of(affected_streams, measure_arrivals(residuals, event) if fading else np.nan, 2 * links),
        profile=profile,
        rise_minutes=measure_rise(profile, run) * minutes,
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
        daily=is_daily(residuals.at, event.active),
        coincidence=coincidence_penalty(topology, event),
        level_rise=_of(streams, _level_rise(residuals, streams, depth[streams], weight), 2 * links),
    )


def _of(streams: Integers, values: Floats32 | float, count: int) -> Floats32:
    """(count,): the values of these streams, NaN of all others."""
    result = np.full(count, np.nan, dtype=np.float32)
    result[streams] = values
    return result


def _common_profile(residuals: Residuals, event: Event) -> Floats32:
    """The common course, estimated from all streams that follow it; elsewhere the event's own."""
    if event.channel is not Channel.SIGNAL:
        return event.profile
    values = -residuals.esno[event.affected_streams]
    known = np.isfinite(values)
    loading = event.loading[event.affected_streams][:, None]
    top = (np.where(known, values, 0.0) * loading).sum(axis=0)
    result: Floats32 = (top / np.maximum((known * loading**2).sum(axis=0), 1e-3)).astype(np.float32)
    return result


def _core(profile: Floats32, event: Event) -> Floats32:
    """(times,): weights of the samples at which it shows clearly, elsewhere 0."""
    peak = float(np.quantile(profile[event.active], PEAK))
    core = event.active & (profile >= CORE * peak)
    return np.where(core, np.maximum(event.profile, 0.0), 0.0).astype(np.float32)


def _weighted_mean(values: Floats32, weight: Floats32) -> Floats32:
    """(streams,): means over time of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    total = known @ weight
    mean = np.where(known, values, 0.0) @ weight / np.maximum(total, 1e-6)
    return np.where(total > 0, mean, np.nan).astype(np.float32)


def _level_rise(residuals: Residuals, streams: Integers, depth: Floats32, weight: Floats32) -> Floats32:
    """Of the level, less what the remotes' higher power adds inbound, over what added noise alone would bring."""
    reference = residuals.reference_esno[streams]
    ratio = 10.0 ** (-np.maximum(reference, 0.0) / 10.0)
    expected = 10.0 * np.log10((1.0 + 10.0 ** (-(reference - depth) / 10.0)) / (1.0 + ratio))
    power = np.clip(np.nan_to_num(_weighted_mean(residuals.power[streams], weight)), 0.0, None)
    inbound = inbound_mask(len(residuals.esno))[streams]
    risen = _weighted_mean(residuals.level[streams], weight) - np.where(inbound, power, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats32 = np.where(expected >= LEAST_RISE_DB, risen / expected, np.nan)
    return result


def _share(noise: float, depth: float) -> float:
    return noise / depth if depth >= LEAST_DEPTH_DB else float("nan")


def _log_ratio(one: float, other: float) -> float:
    return float(np.log(one / other)) if min(one, other) >= LEAST_DEPTH_DB else float("nan")


def _scatter(depth: Floats32) -> float:
    known = depth[np.isfinite(depth)]
    return float(known.std() / max(LEAST_MEAN_DB, known.mean())) if len(known) >= FEW else float("nan")


def _mean(true: Bools) -> float:
    return float(true.mean()) if true.size else float("nan")
