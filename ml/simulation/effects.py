"""What each kind of fault does to the radio and the load of the links that it reaches."""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import numpy as np

from ml.catalogue.metrics import Direction
from ml.numerics.arrays import Floats
from ml.simulation.fleet import Band, Fleet
from ml.simulation.impairments import Impairments
from ml.simulation.link_budget import DOWNLINK_GHZ, RECEIVER_SHARE, UPLINK_GHZ

POWER_CONTROL_DB: Final = {"REMOTE": 3.0, "HUB": 5.0}  # how much of a fade uplink power control makes up for
SYSTEM_KELVIN: Final = 150.0  # a receiver's noise temperature under a clear sky
RAIN_KELVIN: Final = 275.0  # of rain as a source of noise
# A rain's attenuation on the way down against Ku band's, and on the way up against that on the way down.
RAIN_OF_BAND: Final[dict[Band, float]] = {"C": 0.12, "KU": 1.0, "KA": 1.8}
RAIN_UP_TO_DOWN: Final[dict[Band, float]] = {"C": 2.2, "KU": 1.55, "KA": 2.0}
POINTING_UP_TO_DOWN: Final = {band: (UPLINK_GHZ[band] / DOWNLINK_GHZ[band]) ** 2 for band in UPLINK_GHZ}

# What all faults do so far (changed), how deep this one is (times, links) with 1 for its worst, and the fleet.
Effect = Callable[[Impairments, Floats, Fleet], None]


class End(StrEnum):
    """Of a link. A hub transmits outbound and receives inbound, a remote the other way round."""

    HUB = "HUB"
    REMOTE = "REMOTE"

    @property
    def transmits(self) -> Direction:
        return Direction.OB if self is End.HUB else Direction.IB

    @property
    def receives(self) -> Direction:
        return Direction.IB if self is End.HUB else Direction.OB


def direction_columns(values: Floats, direction: Direction | None) -> Floats:
    """A view of one direction's columns."""
    links = values.shape[1] // 2
    return {Direction.IB: values[:, :links], Direction.OB: values[:, links:], None: values}[direction]


def pointing(end: End, transmitting_db: float) -> Effect:
    """Both ways in the ratio of the beam's widths, 12 (θ / θ3dB)² with θ3dB = 70 λ/D."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        loss = transmitting_db * depth
        direction_columns(total.uplink, end.transmits)[:] -= loss
        direction_columns(total.downlink, end.receives)[:] -= loss / _by_band(fleet, POINTING_UP_TO_DOWN)

    return effect


def obstruction(end: End, decibel: float) -> Effect:
    """Something solid in the beam: the same both ways."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.uplink, end.transmits)[:] -= decibel * depth
        direction_columns(total.downlink, end.receives)[:] -= decibel * depth

    return effect


def rain(end: End, downlink_db: float) -> Effect:
    """Attenuation both ways, noise on the receiving one, and uplink power control against it on the other."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        down = downlink_db * depth * _by_band(fleet, RAIN_OF_BAND)
        up = down * _by_band(fleet, RAIN_UP_TO_DOWN)
        made_up = np.minimum(POWER_CONTROL_DB[end], up)
        direction_columns(total.uplink, end.transmits)[:] -= up - made_up
        direction_columns(total.power, end.transmits)[:] += made_up
        direction_columns(total.downlink, end.receives)[:] -= down
        direction_columns(total.noise, end.receives)[:] += rain_noise(down)

    return effect


def rain_noise(attenuation_db: Floats) -> Floats:
    """Noise that rain adds to a receiver's, in units of its own: 275 (1 - 10^(-A/10)) K against the clear sky's."""
    kelvin: Floats = RAIN_KELVIN * (1.0 - 10.0 ** (-attenuation_db / 10.0))
    return kelvin / SYSTEM_KELVIN


def transmitter(end: End, decibel: float, *, metered: bool = True) -> Effect:
    """Weaker; `metered`: before the meter that reports its power."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.uplink, end.transmits)[:] -= decibel * depth
        if metered:
            direction_columns(total.power, end.transmits)[:] -= decibel * depth

    return effect


def amplifier(end: End, decibel: float) -> Effect:
    """A low-noise amplifier or block that amplifies less and hisses more: Es/N0 falls about as far as the level."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.gain, end.receives)[:] -= decibel * depth
        direction_columns(total.noise, end.receives)[:] += _noise_of(decibel * depth) / RECEIVER_SHARE[end.receives]

    return effect


def demodulator(end: End, decibel: float) -> Effect:
    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.demodulator, end.receives)[:] += decibel * depth

    return effect


def interference(direction: Direction | None, decibel: float) -> Effect:
    """Costs a typical link so much Es/N0."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.interference, direction)[:] += _for_directions(_noise_of(decibel * depth), direction)

    return effect


def sun(direction: Direction, decibel: float) -> Effect:
    """Noise into the receiver, and nothing else."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.noise, direction)[:] += _noise_of(decibel * depth) / RECEIVER_SHARE[direction]

    return effect


def load(direction: Direction | None, times: float) -> Effect:
    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.load, direction)[:] += _for_directions(times * depth, direction)

    return effect


def outage(*, reported: bool) -> Effect:
    """Without electricity; `reported`: somebody still says so."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        outage = _for_directions(np.ceil(np.clip(depth, 0.0, 1.0)), None)
        np.maximum(total.outage, outage, out=total.outage)
        if not reported:
            np.maximum(total.unreported, outage, out=total.unreported)

    return effect


def _noise_of(decibel: Floats) -> Floats:
    """Noise on top of 1 that makes so many dB."""
    result: Floats = 10.0 ** (decibel / 10.0) - 1.0
    return result


def _for_directions(depth: Floats, direction: Direction | None) -> Floats:
    return depth if direction else np.concatenate([depth, depth], axis=1)


def _by_band(fleet: Fleet, values: dict[Band, float]) -> Floats:
    return np.array([values[network.band] for network in fleet.link_networks])
