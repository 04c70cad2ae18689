"""Telemetry of a simulated fleet under faults: the same seed and time always give the same reading."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import CATALOGUE, Direction, TargetKind
from ml.numerics.arrays import Bools, Floats, Integers
from ml.simulation import telemetry
from ml.simulation.faults import Fault, compute_impairments
from ml.simulation.fleet import Fleet
from ml.simulation.impairments import Impairments
from ml.simulation.noise import draw_gaps

# A fault is notable if it moves a reading by this many of the catalogue's least spreads; a network's readings are means
# over its links and so move less.
NOTABLE_SPREADS: Final = {TargetKind.NETWORK: 3.0, TargetKind.SITE: 6.0, TargetKind.LINK: 6.0}


@dataclass(frozen=True)
class Samples:
    """Samples sorted by time, each array of shape (rows,) unless said otherwise.

    number: the target's. direction: 'IB' or 'OB', None unless of links. at: epoch ms. readings: in catalogue order,
    shape (rows, metrics). faulty: a fault notably moves at least one reading of the row.
    """

    kind: TargetKind
    number: Integers
    direction: NDArray[np.str_] | None
    at: Integers
    readings: Floats
    faulty: Bools

    def take(self, rows: Bools) -> "Samples":
        """Returns the samples where `rows`, shape (rows,), is true."""
        direction = None if self.direction is None else self.direction[rows]
        return Samples(self.kind, self.number[rows], direction, self.at[rows], self.readings[rows], self.faulty[rows])


def simulate(
    fleet: Fleet,
    times: Integers,
    faults: Sequence[Fault],
    seed: int,
    missing: float = 0.01,
    kinds: Collection[TargetKind] = tuple(TargetKind),
    *,
    marked: bool = True,
) -> dict[TargetKind, Samples]:
    """Returns what a fleet reports under faults. Raises KeyError for a fault of unknown cause or culprit.

    times: epoch ms, ascending, not negative; the readings at a time do not depend on the other times.
    missing: the share of samples that never arrive, half of them in bursts.
    marked: set `Samples.faulty`, for which the healthy fleet is simulated as well.
    """
    noise, arrived = _noise(fleet, times, seed, missing)
    impairments = compute_impairments(fleet, list(faults), times)
    arrived[TargetKind.LINK] &= impairments.unreported < 0.5
    arrived[TargetKind.SITE] &= ~_find_silent_sites(fleet, impairments)
    traits = telemetry.draw_characteristics(fleet, times, seed)
    readings = _readings(fleet, times, traits, impairments, noise, kinds)
    none = Impairments.none(len(times), len(fleet.links))
    healthy = _readings(fleet, times, traits, none, noise, kinds) if faults and marked else readings
    samples = {}
    for kind in kinds:
        faulty = _faulty(kind, readings[kind], healthy[kind])
        samples[kind] = _samples(kind, fleet, times, readings[kind], faulty).take(arrived[kind].ravel())
    return samples


def _find_silent_sites(fleet: Fleet, impairments: Impairments) -> Bools:
    """Returns when a site reports nothing: none of its own links does, shape (times, sites)."""
    unreported = np.all(np.split(impairments.unreported > 0.5, 2, axis=1), axis=0)
    silent = np.zeros((len(unreported), len(fleet.sites)), dtype=bool)
    if unreported.any():
        owners = np.array([link.site for link in fleet.links])
        for place, site in enumerate(fleet.sites):
            own = owners == site.number
            silent[:, place] = own.any() and unreported[:, own].all(axis=1)
    return silent


def _noise(
    fleet: Fleet, times: Integers, seed: int, missing: float
) -> tuple[dict[TargetKind, Floats], dict[TargetKind, Bools]]:
    """Returns by kind normal deviates (times, streams, channels), and which samples arrive (times, streams)."""
    sizes = {
        TargetKind.LINK: 2 * len(fleet.links),
        TargetKind.NETWORK: len(fleet.networks),
        TargetKind.SITE: len(fleet.sites),
    }
    streams = sum(sizes.values())
    normal = np.empty((len(times), streams, telemetry.CHANNELS))
    arrived = np.empty((len(times), streams), dtype=bool)
    for row, at in enumerate(times.tolist()):
        rng = np.random.default_rng([seed, at])
        rng.standard_normal(out=normal[row])
        arrived[row] = rng.random(streams) >= missing / 2.0
    arrived &= ~draw_gaps(seed, times, streams, missing / 2.0)
    ends = np.cumsum(list(sizes.values()))[:-1]
    return (
        dict(zip(sizes, np.split(normal, ends, axis=1), strict=True)),
        dict(zip(sizes, np.split(arrived, ends, axis=1), strict=True)),
    )


def _readings(
    fleet: Fleet,
    times: Integers,
    traits: telemetry.LinkCharacteristics,
    impairments: Impairments,
    noise: dict[TargetKind, Floats],
    kinds: Collection[TargetKind],
) -> dict[TargetKind, Floats]:
    """Returns readings by kind, rounded as equipment does, shape (times, streams, metrics)."""
    link = telemetry.simulate_links(traits, times, impairments, noise[TargetKind.LINK])
    readings = {TargetKind.LINK: link}
    if TargetKind.NETWORK in kinds:
        readings[TargetKind.NETWORK] = telemetry.simulate_networks(fleet, link, noise[TargetKind.NETWORK])
    if TargetKind.SITE in kinds:
        readings[TargetKind.SITE] = telemetry.simulate_sites(fleet, times, link, noise[TargetKind.SITE])
    return {kind: telemetry.round_readings(CATALOGUE[kind], readings[kind]) for kind in kinds}


def _faulty(kind: TargetKind, readings: Floats, healthy: Floats) -> Bools:
    if readings is healthy:
        return np.zeros(readings.shape[:2], dtype=bool)
    moved = np.abs(readings - healthy) > NOTABLE_SPREADS[kind] * CATALOGUE[kind].least_spread
    lost = np.isnan(readings) & ~np.isnan(healthy)
    notable: Bools = np.logical_or.reduce(moved | lost, axis=-1)
    return notable


def _samples(kind: TargetKind, fleet: Fleet, times: Integers, readings: Floats, faulty: Bools) -> Samples:
    targets: dict[TargetKind, tuple[Any, ...]] = {
        TargetKind.LINK: fleet.links * 2,
        TargetKind.NETWORK: fleet.networks,
        TargetKind.SITE: fleet.sites,
    }
    numbers = np.array([target.number for target in targets[kind]], dtype=np.int64)
    directions = np.repeat([Direction.IB.value, Direction.OB.value], len(fleet.links))
    return Samples(
        kind,
        np.tile(numbers, len(times)),
        np.tile(directions, len(times)) if kind is TargetKind.LINK else None,
        np.repeat(times, len(numbers)),
        readings.reshape(-1, readings.shape[-1]),
        faulty.ravel(),
    )
