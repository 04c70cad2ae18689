"""Faults to simulate: who is hit, how hard, how long, and what that does to signal, noise, power, load and light."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.fleet import Fleet, LinkSpec, SiteSpec
from ml.metrics import Direction, Floats

NEIGHBOURHOOD_KM: Final = 25.0  # how far a rain cell reaches
POWER_CONTROL_DB: Final = 3.0  # how much of a fade the remote's uplink power control makes up for
SYSTEM_KELVIN: Final = 150.0  # a receiver's noise temperature under a clear sky
RAIN_KELVIN: Final = 275.0  # of rain as a source of noise
KM_PER_DEGREE: Final = 111.2

Shape = Callable[[Floats, Floats], Floats]  # fraction of the fault elapsed, minutes elapsed → envelope in 0..1


@dataclass(frozen=True)
class Fault:
    """One true event. The culprit is whichever of network, site, link and (satellite, transponder) is not None.

    `direction` limits it to one direction (None: both); times are epoch ms, the end excluded; strength 0 to 1.
    """

    cause: str
    start_ms: int
    end_ms: int
    strength: float
    network: int | None = None
    site: int | None = None
    link: int | None = None
    satellite: str | None = None
    transponder: str | None = None
    direction: Direction | None = None


@dataclass(frozen=True)
class Impact:
    """What all faults together do, each (times, 2 x links), the links' inbound columns first.

    level: dB change of the wanted signal at the receiver; noise: dB by which noise and interference rise;
    power: dB change of the transmitter; load: demand added, as a fraction; dark: 1 where there is no electricity.
    """

    level: Floats
    noise: Floats
    power: Floats
    load: Floats
    dark: Floats


@dataclass(frozen=True)
class Signature:
    """How a cause shows at strength 1 (dB, except load and dark) and over time; see the table in the domain notes."""

    shape: Shape
    inbound: float = 0.0
    outbound: float = 0.0
    noise: float = 0.0
    load: float = 0.0
    dark: float = 0.0
    transmitter: bool = False  # the remote's own transmitter is what fails, so its reported power falls as well


def _step(elapsed: Floats, minutes: Floats) -> Floats:
    del minutes
    return np.ones_like(elapsed)


def _bell(elapsed: Floats, minutes: Floats) -> Floats:
    del minutes
    bell: Floats = np.sin(np.pi * elapsed) ** 0.7
    return bell


def _ramp(elapsed: Floats, minutes: Floats) -> Floats:
    del minutes
    return np.minimum(1.0, 3.0 * elapsed)


def _on_and_off(elapsed: Floats, minutes: Floats) -> Floats:
    del elapsed
    return ((minutes % 40.0) < 28.0).astype(np.float64)


SIGNATURES: Final = {
    "RAIN_FADE": Signature(_bell, inbound=-10.0, outbound=-10.0),
    "SATELLITE_INTERFERENCE": Signature(_on_and_off, noise=8.0),
    "EQUIPMENT_FAILURE": Signature(_step, inbound=-9.0, outbound=-9.0),
    "ANTENNA_ALIGNMENT": Signature(_ramp, inbound=-5.0, outbound=-7.5),
    "ANTENNA_MISALIGNMENT": Signature(_step, inbound=-9.0, outbound=-6.0),
    "CONGESTION": Signature(_step, load=2.5),
    "REMOTE_EQUIPMENT": Signature(_step, inbound=-9.0, outbound=-9.0, transmitter=True),
    "POWER_OUTAGE": Signature(_step, dark=1.0),
}


def random_fault(fleet: Fleet, rng: np.random.Generator, start_ms: int, duration_ms: int) -> Fault:
    """A clearly visible fault (strength 0.5 and more): cause, culprit, direction and strength are drawn."""
    cause = str(rng.choice(sorted(SIGNATURES)))
    link = fleet.links[int(rng.integers(len(fleet.links)))]
    network = fleet.network_of[link.network]
    culprits: dict[str, dict[str, int | str]] = {
        "SATELLITE_INTERFERENCE": {"satellite": network.satellite, "transponder": network.transponder},
        "EQUIPMENT_FAILURE": {"network": network.number},
        "CONGESTION": {"network": network.number},
        "ANTENNA_ALIGNMENT": {"site": network.hub},
        "ANTENNA_MISALIGNMENT": {"link": link.number},
        "REMOTE_EQUIPMENT": {"link": link.number},
    }
    one_way = cause in {"SATELLITE_INTERFERENCE", "EQUIPMENT_FAILURE", "REMOTE_EQUIPMENT"}
    direction = (Direction.IB, Direction.OB)[int(rng.integers(2))] if one_way else None
    culprit = culprits.get(cause, {"site": link.site})
    strength = round(float(rng.uniform(0.5, 1.0)), 3)
    return Fault(cause, start_ms, start_ms + duration_ms, strength, direction=direction, **culprit)  # type: ignore[arg-type]


def impact(fleet: Fleet, faults: list[Fault], times: NDArray[np.int64]) -> Impact:
    """The sum of all faults at `times` (epoch ms). Raises KeyError for an unknown cause, site or network."""
    shape = (len(times), 2 * len(fleet.links))
    total = Impact(*(np.zeros(shape) for _ in range(5)))
    for fault in faults:
        during = np.flatnonzero((times >= fault.start_ms) & (times < fault.end_ms))
        if len(during):
            _add(total, during, fault, fleet, times[during])
    return total


def _add(total: Impact, during: NDArray[np.intp], fault: Fault, fleet: Fleet, times: NDArray[np.int64]) -> None:
    signature = SIGNATURES[fault.cause]
    elapsed = (times - fault.start_ms) / (fault.end_ms - fault.start_ms)
    envelope = fault.strength * signature.shape(elapsed, (times - fault.start_ms) / 60_000.0)[:, None]
    inbound, outbound = _hit(fault, fleet)
    links = len(inbound)
    level = envelope * np.concatenate([signature.inbound * inbound, signature.outbound * outbound])
    noise = envelope * signature.noise * np.concatenate([inbound, outbound])
    if fault.cause == "RAIN_FADE":
        noise = noise + rain_noise(-level)
        made_up = np.minimum(POWER_CONTROL_DB, -level[:, :links])
        level[:, :links] += made_up
        total.power[during, :links] += made_up
    if signature.transmitter:
        total.power[during, :links] += level[:, :links]
    total.level[during] += level
    total.noise[during] += noise
    total.load[during] += envelope * signature.load * np.concatenate([inbound, outbound])
    total.dark[during] = np.maximum(total.dark[during], signature.dark * np.concatenate([inbound, outbound]))


def rain_noise(attenuation_db: Floats) -> Floats:
    """By how many dB rain raises a receiver's noise: 275 (1 - 10^(-A/10)) K on top of the clear sky's."""
    kelvin = RAIN_KELVIN * (1.0 - 10.0 ** (-attenuation_db / 10.0))
    result: Floats = 10.0 * np.log10(1.0 + kelvin / SYSTEM_KELVIN)
    return result


def _hit(fault: Fault, fleet: Fleet) -> tuple[Floats, Floats]:
    """How much of the fault each link (links,) gets, inbound and outbound."""
    weights = np.array([_weight(fault, fleet, link) for link in fleet.links])
    nothing = np.zeros_like(weights)
    return (
        nothing if fault.direction is Direction.OB else weights,
        nothing if fault.direction is Direction.IB else weights,
    )


def _weight(fault: Fault, fleet: Fleet, link: LinkSpec) -> float:
    network = fleet.network_of[link.network]
    if fault.site is not None:
        culprit = fleet.site_of[fault.site]
        if fault.cause == "RAIN_FADE" and culprit.role == "REMOTE":
            return float(np.exp(-((distance_km(culprit, fleet.site_of[link.site]) / NEIGHBOURHOOD_KM) ** 2)))
        return float(fault.site in (link.site, network.hub))
    if fault.transponder is not None:
        return float((network.satellite, network.transponder) == (fault.satellite, fault.transponder))
    return float(fault.link == link.number if fault.network is None else fault.network == network.number)


def distance_km(one: SiteSpec, other: SiteSpec) -> float:
    """On a plane that touches the Earth between the two: exact enough for neighbours."""
    north = one.latitude - other.latitude
    east = (one.longitude - other.longitude) * np.cos(np.radians((one.latitude + other.latitude) / 2))
    return float(KM_PER_DEGREE * np.hypot(north, east))
