"""Readings of links, networks and sites from link budgets, noise, demand and impairments."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.metrics import Kind, grade
from ml.catalogue.units import HOUR_MS
from ml.numerics.arrays import Bools, Floats, Integers
from ml.simulation import noise as noises
from ml.simulation.fleet import Fleet
from ml.simulation.impairments import Impairments
from ml.simulation.link_budget import FLOOR_DB, Budget, Reception, compute_reception, sigmoid

CHANNELS: Final = 9  # independent normal deviates per stream and time
# Standard deviations of a link with median noise, fitted to real links: see notebooks/correlation.ipynb.
WHITE_DB: Final = 0.235
LOW_FREQUENCY_DB: Final = np.array([0.16, 0.14, 0.08, 0.07])  # one for each of `noise.KNOTS_MINUTES`
NOISINESS_SIGMA: Final = 0.5  # between links: standard deviation of the logarithm of the noise
WHITE_POWER, LOW_FREQUENCY_POWER = 0.8, 1.4  # the noisier a link, the slower its noise: powers of its noisiness
LEVEL_STEPS_DB: Final = (0.1, 0.1, 0.3)  # resolutions of meters
ESNO_STEP_DB: Final = 0.1
CORRELATION: Final = 0.5  # of the white noise in a link's two directions
ESNO_SHARE: Final = 0.8  # of the level's fading shows in Es/N0: the rest is the meter's or the amplifier's own
MUTE_SHARE: Final = 0.5  # of demodulators report nothing without lock, the others their floor
NOT_IN_SERVICE: Final = 0.05


@dataclass(frozen=True)
class LinkCharacteristics:
    """What is peculiar to each link direction, each array of shape (2 x links,) unless said otherwise.

    level: healthy received power, dBm. power: transmit power, dBm. capacity, demand: Mbit/s. latency, jitter: ms.
    white: standard deviation of the white noise, dB. longitude: of the remote, degrees east. level_step: the meter's
    resolution, dB. mute: reports no Es/N0 without lock. low_frequency_noise: dB, shape (times, 2 x links).
    """

    budget: Budget
    level: Floats
    power: Floats
    capacity: Floats
    demand: Floats
    latency: Floats
    jitter: Floats
    white: Floats
    longitude: Floats
    level_step: Floats
    mute: Bools
    low_frequency_noise: Floats


def draw_characteristics(fleet: Fleet, times: Integers, seed: int) -> LinkCharacteristics:
    """Draws each link direction's character from the seed; only `low_frequency_noise` depends on `times` (epoch ms)."""
    rng = np.random.default_rng([seed, 202])
    streams = 2 * len(fleet.links)
    capacity = rng.uniform(3.0, 10.0, streams)
    noisiness = np.clip(rng.lognormal(0.0, NOISINESS_SIGMA, streams), 0.3, 2.2)
    slow = np.tensordot(LOW_FREQUENCY_DB, noises.draw_low_frequency_noise(seed, times, len(fleet.links)), axes=1)
    return LinkCharacteristics(
        budget=Budget.draw(rng, len(fleet.links)),
        level=rng.uniform(-58.0, -32.0, streams),
        power=rng.uniform(28.0, 42.0, streams),
        capacity=capacity,
        demand=capacity * rng.uniform(0.25, 0.5, streams),
        latency=rng.uniform(585.0, 650.0, streams),
        jitter=rng.uniform(7.0, 18.0, streams),
        white=WHITE_DB * noisiness**WHITE_POWER,
        longitude=np.tile(fleet.link_places[1], 2),
        level_step=rng.choice(LEVEL_STEPS_DB, streams),
        mute=rng.random(streams) < MUTE_SHARE,
        low_frequency_noise=noisiness**LOW_FREQUENCY_POWER * slow,
    )


def diurnal_demand(times: Integers, longitude: Floats) -> Floats:
    """Returns demand by local solar time, 1 on average, most at 15 h, least at 3 h, shape (times, places).

    times: epoch ms, shape (times,). longitude: degrees east, shape (places,).
    """
    hour = times[:, None] / HOUR_MS + longitude / 15.0
    wave: Floats = 1.0 + 0.45 * np.sin(2.0 * np.pi * (hour - 9.0) / 24.0)
    return wave


def simulate_links(traits: LinkCharacteristics, times: Integers, impairments: Impairments, noise: Floats) -> Floats:
    """Returns link readings in catalogue order, shape (times, 2 x links, metrics).

    times: epoch ms, shape (times,). noise: normal deviates, shape (times, 2 x links, `CHANNELS`).
    """
    fading = traits.low_frequency_noise + traits.white * _correlate_directions(noise[..., 0])
    radio = compute_reception(traits.budget, impairments, ESNO_SHARE * fading + 0.12 * noise[..., 1])
    lit = impairments.outage < 0.5
    unlit = np.where(lit, 0.0, np.nan)  # without electricity nothing is reported but the uptime that says so
    alive = lit * radio.lock
    demand = (
        traits.demand
        * diurnal_demand(times, traits.longitude)
        * np.exp(0.10 * noise[..., 3])
        * (1.0 + impairments.load)
    )
    capacity = _capacity(traits, radio.esno) * np.maximum(alive, 0.02)
    strain = demand / capacity
    queue = np.clip(strain - 0.75, 0.0, 3.0)
    wrong = np.exp(0.5 * noise[..., 6] - 2.2) + 8.0 * sigmoid(2.0 * (3.5 - radio.esno))
    loss = np.minimum(100.0, wrong + 12.0 * np.maximum(strain - 1.0, 0.0) + 100.0 * (1.0 - alive))
    heavy = np.exp(0.3 * noise[..., 5])  # delays have heavy tails
    columns = [
        np.minimum(demand, capacity) * alive,
        np.clip(100.0 * strain, 0.0, 100.0) * (alive > NOT_IN_SERVICE),
        _count(15.0 * wrong * lit, noise[..., 7]),
        _count((1.5 + 60.0 * queue) * lit, noise[..., 8]),
        _uptime(alive, noise[..., 6]),
        _esno(traits, radio) + unlit,
        _round_to_step(traits.level + fading + radio.level, traits.level_step) + unlit,
        _power(traits, impairments, radio, noise) + unlit,
        traits.latency + 4.0 * noise[..., 4] * heavy + 250.0 * queue + unlit,
        np.maximum(0.5, traits.jitter + 0.8 * noise[..., 5] * heavy + 60.0 * queue) + unlit,
        loss,
        np.zeros_like(loss),
    ]
    return _apply_grades(np.stack(columns, axis=-1))


def _correlate_directions(noise: Floats) -> Floats:
    """Returns noise that both directions of a link share in part: they cross the same air."""
    inbound, outbound = np.split(noise, 2, axis=1)
    return np.concatenate([inbound, CORRELATION * inbound + np.sqrt(1.0 - CORRELATION**2) * outbound], axis=1)


def _esno(traits: LinkCharacteristics, radio: Reception) -> Floats:
    unlocked = np.where(traits.mute, np.nan, FLOOR_DB)
    result: Floats = np.where(radio.lock > NOT_IN_SERVICE, _round_to_step(radio.esno, ESNO_STEP_DB), unlocked)
    return result


def _round_to_step(values: Floats, step: Floats | float) -> Floats:
    result: Floats = step * np.round(values / step)
    return result


def _power(traits: LinkCharacteristics, impairments: Impairments, radio: Reception, noise: Floats) -> Floats:
    """Returns the transmit power, dBm, NaN for remotes that have lost their hub: they transmit nothing."""
    power: Floats = traits.power + impairments.power + 0.12 * noise[..., 2] + 0.3 * np.tanh(traits.low_frequency_noise)
    links = power.shape[1] // 2
    power[:, :links][radio.lock[:, links:] < NOT_IN_SERVICE] = np.nan
    return power


def _apply_grades(readings: Floats) -> Floats:
    readings[..., -1] = grade(readings.reshape(-1, readings.shape[-1])).reshape(readings.shape[:-1])
    return readings


def _capacity(traits: LinkCharacteristics, esno: Floats) -> Floats:
    """Returns the capacity in Mbit/s: adaptive coding lowers it as Shannon's bound (1948) does, after some headroom."""
    bound = np.log2(1.0 + 10.0 ** (esno / 10.0)) / np.log2(1.0 + 10.0 ** (traits.budget.esno / 10.0))
    result: Floats = traits.capacity * np.clip(1.15 * bound, 0.02, 1.0)
    return result


def _count(mean: Floats, noise: Floats) -> Floats:
    """Returns nearly Poisson counts: their square roots are nearly normal with sigma 1/2 (Anscombe, 1948)."""
    counts: Floats = np.round(np.maximum(0.0, np.sqrt(mean) + 0.5 * noise) ** 2)
    return counts


def _uptime(alive: Floats, noise: Floats) -> Floats:
    """Returns the uptime in per cent, 100 but for the odd second that every counter loses."""
    uptime: Floats = 100.0 * np.where(alive > 0.98, 1.0, alive) - 0.3 * np.clip(noise - 1.5, 0.0, 2.0)
    return uptime


def simulate_networks(fleet: Fleet, link: Floats, noise: Floats) -> Floats:
    """Returns network readings from the links', shape (times, networks, metrics).

    link: shape (times, 2 x links, metrics). noise: normal deviates, shape (times, networks, `CHANNELS`).
    """
    numbers = np.array([[network.number] for network in fleet.networks])
    member = np.tile(numbers == np.array([one.network for one in fleet.links]), 2)
    share = (member / np.maximum(1, member.sum(axis=1, keepdims=True))).T
    up = (link[..., 4] > 50.0).astype(np.float64)
    latency = np.nan_to_num(link[..., 8], nan=640.0)
    return np.stack(
        [
            (link[..., 0] @ member.T) * np.exp(0.02 * noise[..., 0]),
            np.maximum(0.0, link[..., 10] @ share + 0.08 * noise[..., 1]),
            latency @ share + 5.0 * noise[..., 2],
            np.clip(1e-4 * (link[..., 2] @ share) + 0.0015 + 4e-4 * noise[..., 3], 0.0, 1.0),
            # Now and then a remote is switched off by its owner, which is no fault of the network.
            np.maximum(0.0, (up @ member.T) // 2.0 - np.floor(1.3 * np.maximum(0.0, noise[..., 4] - 1.7))),
        ],
        axis=-1,
    )


def simulate_sites(fleet: Fleet, times: Integers, link: Floats, noise: Floats) -> Floats:
    """Returns site readings from their links', shape (times, sites, metrics).

    link: shape (times, 2 x links, metrics). noise: normal deviates, shape (times, sites, `CHANNELS`).
    """
    hubs = np.array([network.hub for network in fleet.link_networks])
    numbers = np.array([[site.number] for site in fleet.sites])
    member = np.tile((numbers == np.array([one.site for one in fleet.links])) | (numbers == hubs), 2)
    share = (member / np.maximum(1, member.sum(axis=1, keepdims=True))).T
    busy = diurnal_demand(times, np.array([site.longitude for site in fleet.sites]))
    up, loss = (link[..., 4] / 100.0) @ share, (link[..., 10] / 100.0) @ share
    lit = up > 0.01
    traffic = (link[..., 0] @ share) * 60.0 * np.exp(0.08 * noise[..., 0])
    failed = np.clip(0.002 * np.exp(0.4 * noise[..., 1]) + 0.5 * loss, 0.0, 1.0)
    unlit = np.where(lit, 0.0, np.nan)
    return np.stack(
        [
            np.nan_to_num(link[..., 8], nan=640.0) @ share + 25.0 + 6.0 * noise[..., 2] + 800.0 * loss + unlit,
            failed + unlit,
            _uptime(up, noise[..., 6]),
            np.clip(20.0 + 14.0 * busy + 2.5 * noise[..., 3] + unlit, 1.0, 100.0),
            np.clip(48.0 + 4.0 * busy + 0.8 * noise[..., 4] + unlit, 1.0, 100.0),
            np.round(traffic) * lit,
            _count(traffic * failed * lit, noise[..., 5]),
        ],
        axis=-1,
    )


def round_readings(kind: Kind, readings: Floats) -> Floats:
    """Returns readings as equipment reports them, within the catalogue's range.

    Counts are whole, fractions have 4 decimals, other readings 2.
    """
    for place, spec in enumerate(kind.specs):
        column = np.clip(readings[..., place], spec.low, spec.high)
        readings[..., place] = np.round(column, 0 if spec.whole else 4 if spec.high <= 1 else 2)
    return readings
