"""What an event shows: depth, noise, power and course in time of the link directions that it hit."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.events import Event
from ml.metrics import Floats
from ml.plant import Bools, Indices, Plant
from ml.residuals import Cells, Residuals
from ml.signatures import Feature

SHOWS: Final = 0.3  # of the depth: as long as that it is there
CORE: Final = 0.5  # of the greatest depth: where it shows clearly
LEAST_DEPTH_DB: Final = 0.7  # before a share of it means anything
COINCIDENCE: Final = 3.0
CLOSE_KM: Final = 25.0
FAR_KM: Final = 1000.0
KM_PER_DEGREE: Final = 111.2
SAME_TIME_MINUTES: Final = 30.0
LEAST_RISE_DB: Final = 0.25


@dataclass(frozen=True)
class Shown:
    """Per stream, NaN where unknown; the means over the event's core. course (times,) is that of all hit together."""

    hit: Bools
    fading: bool  # it shows in the signal
    depth: Cells
    noise: Cells
    power: Cells
    onset: Cells  # minutes from the event's first sample to half of the depth
    course: Cells
    rise_minutes: float
    minutes: float
    lasts: float
    runs: int
    total: float  # minutes
    mobile: Bools  # of its site
    nearby: Bools  # its site is close to the centre, and not that one
    centre: int  # the site in the middle of those hit, the deeper the more
    compact: float  # the chance that a site hit is nearer to the centre than one that is not
    daily: float
    coincidence: float  # nats against a cloud that would have hit just these
    level_rise: Cells  # (streams,) of the level: what of it added noise alone would bring; NaN where that is little

    def features(self, members: Bools) -> dict[Feature, float]:
        """Of those hit among `members`."""
        links = len(self.hit) // 2
        inbound = np.arange(2 * links) < links
        some = self.hit & members
        ib, ob = some & inbound, some & ~inbound
        both = np.tile(some[:links] | some[links:], 2)
        depth = {way: _middle(self.depth, rows) for way, rows in (("IB", ib), ("OB", ob))}
        main = ib if np.nan_to_num(depth["IB"]) >= np.nan_to_num(depth["OB"]) else ob
        return {
            Feature.DEPTH: float(np.nanmax([*depth.values(), -1.0])) if self.fading and some.any() else np.nan,
            Feature.NOISE_SHARE_IB: _share(_middle(self.noise, ib), depth["IB"]),
            Feature.NOISE_SHARE_OB: _share(_middle(self.noise, ob), depth["OB"]),
            Feature.BALANCE: _log_ratio(depth["OB"], depth["IB"]),
            Feature.POWER_IB: _middle(self.power, both & inbound),
            Feature.POWER_OB: _middle(self.power, both & ~inbound),
            Feature.RISE: self.rise_minutes,
            Feature.MINUTES: self.minutes,
            Feature.LASTS: self.lasts,
            Feature.RUNS: float(self.runs),
            Feature.TOTAL: self.total,
            Feature.DAILY: self.daily,
            Feature.COMPACT: self.compact,
            Feature.LEVEL_RISE: _middle(self.level_rise, some),
            Feature.SCATTER: _scatter(self.depth[main]),
            Feature.LAG: _robust_spread(self.onset[main]),
            Feature.MOBILE: float(self.mobile[some].mean()) if some.any() else np.nan,
            Feature.NEIGHBOURS: float(self.hit[self.nearby].mean()) if self.nearby.any() else np.nan,
        }


def shown(plant: Plant, found: Residuals, event: Event) -> Shown:
    hits = event.hits
    links = len(plant.links)
    course = _course(found, event)
    peak = float(np.quantile(course[event.active], 0.9)) if event.active.any() else 0.0
    core = event.active & (course >= CORE * peak)
    weight = np.where(core, np.maximum(event.course, 0.0), 0.0).astype(np.float32)
    rows = np.unique(np.concatenate([hits % links, hits % links + links]))
    depth, noise, power = (np.full(2 * links, np.nan, dtype=np.float32) for _ in range(3))
    depth[rows] = -_weighted(found.esno[rows], weight)
    noise[rows] = _weighted(found.noise[rows], weight)
    power[rows] = _weighted(found.power[rows], weight)
    onset = np.full(2 * links, np.nan, dtype=np.float32)
    if event.channel == "SIGNAL":
        onset[hits] = _onsets(found, event, hits)
    hit = np.zeros(2 * links, dtype=bool)
    hit[hits] = True
    sites = plant.site
    centre, distance = _centre(plant, hits % links, np.nan_to_num(depth[hits], nan=1.0))
    first, last = _main_run(course, event)
    minutes = found.step_ms / 60_000.0
    return Shown(
        hit=hit,
        fading=event.channel == "SIGNAL",
        depth=depth,
        noise=noise,
        power=power,
        onset=onset,
        course=course,
        rise_minutes=_rise(course, first, last) * minutes,
        minutes=_there(course[first:last]) * minutes,
        lasts=float(np.flatnonzero(event.active)[-1] >= len(course) - 2),
        runs=event.runs,
        mobile=np.tile(plant.sites.mobile[sites], 2),
        total=_there(course[event.active]) * minutes,
        nearby=np.tile((distance <= CLOSE_KM) & (sites != centre), 2),
        centre=centre,
        compact=_compact(distance, np.isin(np.arange(links), hits % links) | (sites == centre)),
        daily=_daily(found, event),
        coincidence=_coincidence(plant, event),
        level_rise=_level_rise(found, rows, depth, weight),
    )


def _course(found: Residuals, event: Event) -> Cells:
    """The common course, estimated from all streams that follow it; elsewhere the event's own."""
    if event.channel != "SIGNAL":
        return event.course
    hits = event.hits
    values = -found.esno[hits]
    known = np.isfinite(values)
    follows = event.follows[hits][:, None]
    top = (np.where(known, values, 0.0) * follows).sum(axis=0)
    result: Cells = (top / np.maximum((known * follows**2).sum(axis=0), 1e-3)).astype(np.float32)
    return result


def _weighted(values: Cells, weight: Cells) -> Cells:
    known = np.isfinite(values)
    total = known @ weight
    mean = np.where(known, values, 0.0) @ weight / np.maximum(total, 1e-6)
    return np.where(total > 0, mean, np.nan).astype(np.float32)


def _onsets(found: Residuals, event: Event, hits: Indices) -> Cells:
    """When each stream came to half of its depth, in minutes after the event's first sample."""
    first = int(np.flatnonzero(event.active)[0])
    before = max(0, first - 12)
    depth = np.nan_to_num(-found.esno[hits, before:])
    half = 0.5 * event.follows[hits] * float(event.course.max())
    reached = (depth >= half[:, None]) & np.pad(depth >= half[:, None], ((0, 0), (0, 1)))[:, 1:]
    place = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
    return np.where(place < 0, np.nan, (place + before - first) * found.step_ms / 60_000.0).astype(np.float32)


def _main_run(course: Cells, event: Event) -> tuple[int, int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], event.active.astype(np.int8), [0]])))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    return max(runs, key=lambda run: float(course[run[0] : run[1]].sum()))


def _there(course: Cells) -> float:
    """Samples at which it shows."""
    return float((course >= SHOWS * np.quantile(course, 0.9)).sum())


def _rise(course: Cells, first: int, last: int) -> float:
    """Samples from a fifth to four fifths of the depth; a step takes none."""
    start = max(0, first - 2)
    part = course[start:last]
    peak = float(np.quantile(part[first - start :], 0.8))
    high = int(np.argmax(part >= 0.8 * peak))
    low = np.flatnonzero(part[: high + 1] <= 0.2 * peak)
    return float(max(0, high - (int(low[-1]) if len(low) else 0) - 1))


def _centre(plant: Plant, links: Indices, depth: Cells) -> tuple[int, Cells]:
    """The site hit around which depth falls off with distance, and how far from it every link's site is, km.

    Depth is held against A exp(-(d / r)^2), by least squares of its logarithm, for every site hit as the centre; of
    fewer than four sites it is the deepest.
    """
    hit, places = np.unique(links), plant.sites
    deepest = np.zeros(len(plant.links))
    np.maximum.at(deepest, links, np.nan_to_num(depth))
    latitude, longitude = places.latitude[plant.site], places.longitude[plant.site]
    north = latitude[None] - latitude[hit, None]
    middle = np.cos(np.radians((latitude[None] + latitude[hit, None]) / 2))
    east = ((longitude[None] - longitude[hit, None] + 180.0) % 360.0 - 180.0) * middle
    distance = KM_PER_DEGREE * np.hypot(north, east)
    best = int(np.argmax(deepest[hit]))
    if len(np.unique(plant.site[hit])) >= 4 and np.isfinite(distance[:, hit]).all():  # noqa: PLR2004
        best = int(np.argmin(_misfit(np.minimum(distance[:, hit], FAR_KM) ** 2, np.maximum(deepest[hit], 0.2))))
    return int(plant.site[hit[best]]), distance[best].astype(np.float32)


def _misfit(squares: Floats, depth: Floats) -> Floats:
    """Of each centre (centres, sites): weighted squares that are left; where depth grows with distance all of them."""
    weight = depth / depth.sum()
    logs = np.log(depth) - weight @ np.log(depth)
    away = squares - (squares @ weight)[:, None]
    slope = (away * logs) @ weight / np.maximum((away * away) @ weight, 1e-9)
    left: Floats = ((logs - np.minimum(slope, 0.0)[:, None] * away) ** 2) @ weight
    return left


def _compact(distance: Cells, hit: Bools) -> float:
    inside, outside = distance[hit], distance[~hit]
    inside, outside = inside[np.isfinite(inside) & (inside > 0)], np.sort(outside[np.isfinite(outside)])
    if not len(inside) or not len(outside):
        return float("nan")
    return float(1.0 - (np.searchsorted(outside, inside) / len(outside)).mean())


def _daily(found: Residuals, event: Event) -> float:
    """1 where it came at the same time of several days, 0 where it came again otherwise; NaN where it came once."""
    starts = np.flatnonzero(np.diff(np.concatenate([[0], event.active.astype(np.int8)])) == 1)
    if len(starts) < 2:  # noqa: PLR2004
        return float("nan")
    minutes = (found.at[starts] - found.at[starts[0]]) / 60_000.0
    off = np.abs((minutes + 720.0) % 1440.0 - 720.0)
    return float((off <= SAME_TIME_MINUTES).all())


def _level_rise(found: Residuals, rows: Indices, depth: Cells, weight: Cells) -> Cells:
    rise = np.full(len(found.esno), np.nan, dtype=np.float32)
    before, now = found.usual_esno[rows], found.usual_esno[rows] - depth[rows]
    ratio = 10.0 ** (-np.maximum(before, 0.0) / 10.0)
    expected = 10.0 * np.log10((1.0 + 10.0 ** (-now / 10.0)) / (1.0 + ratio))
    raised = np.where(rows < len(found.esno) // 2, np.clip(np.nan_to_num(_weighted(found.power[rows], weight)), 0.0, None), 0.0)
    shown = _weighted(found.level[rows], weight) - raised
    with np.errstate(invalid="ignore", divide="ignore"):
        rise[rows] = np.where(expected >= LEAST_RISE_DB, shown / expected, np.nan)
    return rise


def _middle(values: Cells, rows: Bools) -> float:
    some = values[rows]
    some = some[np.isfinite(some)]
    return float(np.median(some)) if len(some) else float("nan")


def _share(noise: float, depth: float) -> float:
    return noise / depth if depth >= LEAST_DEPTH_DB else float("nan")


def _log_ratio(one: float, other: float) -> float:
    return float(np.log(one / other)) if min(one, other) >= LEAST_DEPTH_DB else float("nan")


def _scatter(depth: Cells) -> float:
    depth = depth[np.isfinite(depth)]
    return float(depth.std() / max(0.5, depth.mean())) if len(depth) >= 4 else float("nan")  # noqa: PLR2004


def _robust_spread(values: Cells) -> float:
    values = values[np.isfinite(values)]
    if len(values) < 4:  # noqa: PLR2004
        return float("nan")
    return float(1.4826 * np.median(np.abs(values - np.median(values))))

def _coincidence(plant: Plant, event: Event) -> float:
    """Nats against a cloud that hits every link of a hub, or of a network among others of it, and hardly another."""
    links = len(plant.links)
    hit = (event.hit[:links] > 0.5) | (event.hit[links:] > 0.5)  # noqa: PLR2004
    hub = np.bincount(plant.hub[hit]).argmax()
    of_hub = plant.hub == hub
    alone = (plant.sites.keys.size > 0) and not (~of_hub).any()
    share = float(hit[of_hub].mean()) * float(of_hub[hit].mean())
    return 0.0 if alone or of_hub.sum() < 6 else COINCIDENCE * max(0.0, (share - 0.7) / 0.3)  # noqa: PLR2004
