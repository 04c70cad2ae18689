"""Random faults of every cause."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import NAMED, RootCause
from ml.catalogue.units import MINUTE_MS
from ml.simulation.effects import RAIN_OF_BAND
from ml.simulation.faults import Fault, Variant
from ml.simulation.fleet import Fleet, LinkSpec, NetworkSpec

TRANSIT_MINUTES: Final = {Direction.IB: 12, Direction.OB: 20}  # at one place, and from the first remote to the last
SILENT: Final = 0.5  # share of power outages in which nothing is reported at all
HUB_RAIN: Final = 0.3  # share of rain over a hub, the rest is over remotes
HUB_VARIANTS: Final = (Variant.TRANSMITTER, Variant.WAVEGUIDE, Variant.OFF, Variant.AMPLIFIER, Variant.DEMODULATOR)
HUB_VARIANTS_CHANCE: Final = (0.25, 0.15, 0.1, 0.25, 0.25)


@dataclass(frozen=True)
class _Draw:
    """A random link with its network."""

    rng: np.random.Generator
    link: LinkSpec
    network: NetworkSpec
    fleet: Fleet

    def one_of(self, *choices: Any, chance: tuple[float, ...] | None = None) -> Any:
        return choices[int(self.rng.choice(len(choices), p=chance))]

    def direction(self) -> Direction:
        return Direction.IB if self.rng.random() < 0.5 else Direction.OB


def random_fault(
    fleet: Fleet, rng: np.random.Generator, start_ms: int, duration_ms: int, cause: str | None = None
) -> Fault:
    """Returns a clearly visible fault, of strength 0.5 and more; without a `cause` a random one.

    A sun transit is cut to its natural duration. Raises ValueError for a blockage in a fleet without mobile sites.
    """
    if cause == RootCause.BLOCKAGE and not _mobile(fleet):
        raise ValueError("A blockage cannot be drawn: no site of the fleet is mobile.")
    causes = sorted(cause for cause in NAMED if cause is not RootCause.BLOCKAGE or _mobile(fleet))
    cause = cause or str(rng.choice(causes))
    link = _link(fleet, rng, cause)
    draw = _Draw(rng, link, fleet.network_of[link.network], fleet)
    culprit = _CULPRITS[RootCause(cause)](draw)
    if cause == RootCause.SUN_TRANSIT:
        duration_ms = min(duration_ms, TRANSIT_MINUTES[culprit["direction"]] * MINUTE_MS)
    strength = round(float(rng.uniform(0.5, 1.0)), 3)
    irregularity = int(rng.integers(1, 2**31))
    return Fault(cause, start_ms, start_ms + duration_ms, strength, irregularity=irregularity, **culprit)


def random_lasting_fault(
    fleet: Fleet, rng: np.random.Generator, start_ms: int, minutes: tuple[float, float], cause: str | None = None
) -> Fault:
    """As `random_fault`, of a random duration; power outages may end the samples, too.

    minutes: the least and the greatest duration, drawn uniformly in the logarithm.
    """
    duration_ms = int(MINUTE_MS * np.exp(rng.uniform(*np.log(minutes))))
    fault = random_fault(fleet, rng, start_ms, duration_ms, cause)
    is_silent = fault.cause == RootCause.POWER_OUTAGE and rng.random() < SILENT
    return replace(fault, variant=Variant.SILENCE) if is_silent else fault


def _mobile(fleet: Fleet) -> list[LinkSpec]:
    return [link for link in fleet.links if fleet.site_of[link.site].mobile]


def _link(fleet: Fleet, rng: np.random.Generator, cause: str) -> LinkSpec:
    """Returns a link that the cause can affect: rain hardly attenuates C band, only mobile sites are blocked."""
    links = list(fleet.links)
    if cause == RootCause.BLOCKAGE:
        links = _mobile(fleet)
    if cause == RootCause.RAIN_FADE:
        rain_sensitive = (link for link in links if RAIN_OF_BAND[fleet.network_of[link.network].band] >= 1.0)
        links = list(rain_sensitive) or links
    return links[int(rng.integers(len(links)))]


def _hub_chain(draw: _Draw) -> dict[str, Any]:
    variant = draw.one_of(*HUB_VARIANTS, chance=HUB_VARIANTS_CHANCE)
    return {"network": draw.network.number, "variant": variant}


def _hub_antenna(draw: _Draw) -> dict[str, Any]:
    return {"site": draw.network.hub, "variant": Variant.DRIFT}


def _interference(draw: _Draw) -> dict[str, Any]:
    where = {"satellite": draw.network.satellite, "transponder": draw.network.transponder}
    return {**where, "direction": draw.direction() if draw.rng.random() < 0.85 else None}


def _rain(draw: _Draw) -> dict[str, Any]:
    if draw.rng.random() < HUB_RAIN:
        return {"site": draw.network.hub}
    return {"site": draw.link.site, "radius_km": round(float(draw.rng.uniform(12.0, 45.0)), 1)}


def _sun(draw: _Draw) -> dict[str, Any]:
    direction = draw.direction()
    site = draw.network.hub if direction is Direction.IB else draw.link.site
    return {"site": site, "satellite": draw.network.satellite, "direction": direction}


def _congestion(draw: _Draw) -> dict[str, Any]:
    return {"network": draw.network.number, "direction": draw.one_of(None, Direction.IB, Direction.OB)}


def _remote_chain(draw: _Draw) -> dict[str, Any]:
    return {"link": draw.link.number, "variant": draw.one_of(Variant.BUC, Variant.LNB)}


def _remote_antenna(draw: _Draw) -> dict[str, Any]:
    return {"link": draw.link.number}


def _remote_site(draw: _Draw) -> dict[str, Any]:
    return {"site": draw.link.site}


_CULPRITS: Final[dict[RootCause, Callable[[_Draw], dict[str, Any]]]] = {
    RootCause.EQUIPMENT_FAILURE: _hub_chain,
    RootCause.ANTENNA_ALIGNMENT: _hub_antenna,
    RootCause.SATELLITE_INTERFERENCE: _interference,
    RootCause.ANTENNA_MISALIGNMENT: _remote_antenna,
    RootCause.RAIN_FADE: _rain,
    RootCause.SUN_TRANSIT: _sun,
    RootCause.CONGESTION: _congestion,
    RootCause.REMOTE_EQUIPMENT: _remote_chain,
    RootCause.POWER_OUTAGE: _remote_site,
    RootCause.BLOCKAGE: _remote_site,
}
