"""What each kind of fault does to the radio and the load of the links that it reaches.

Every public function returns an `Effect`; its `…_db` is the loss at the depth 1.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import numpy as np

from ml.catalogue.metrics import Direction
from ml.numerics.arrays import Floats
from ml.simulation.fleet import Band, Fleet
from ml.simulation.impairments import Impairments
from ml.simulation.link_budget import DOWNLINK_GHZ, RECEIVER_SHARE, UPLINK_GHZ

POWER_CONTROL_DB: Final = {"REMOTE": 3.0, "HUB": 5.0}  # the part of a fade that uplink power control compensates
SYSTEM_KELVIN: Final = 150.0  # noise temperature of a receiver under a clear sky
RAIN_KELVIN: Final = 275.0  # mean radiating temperature of rain, ITU-R P.618
# Rain attenuation of a downlink relative to Ku band, and of an uplink relative to its downlink: estimates near the
# frequency scaling of ITU-R P.618.
RAIN_OF_BAND: Final[dict[Band, float]] = {"C": 0.12, "KU": 1.0, "KA": 1.8}
RAIN_UP_TO_DOWN: Final[dict[Band, float]] = {"C": 2.2, "KU": 1.55, "KA": 2.0}
POINTING_UP_TO_DOWN: Final = {band: (UPLINK_GHZ[band] / DOWNLINK_GHZ[band]) ** 2 for band in UPLINK_GHZ}

# Adds one fault to the total. Arguments: the total, the fault's depth (times, links) from 0 to 1, the fleet.
Effect = Callable[[Impairments, Floats, Fleet], None]


class End(StrEnum):
    """An end of a link: a hub transmits outbound and receives inbound, a remote the other way round."""

    HUB = "HUB"
    REMOTE = "REMOTE"

    @property
    def transmits(self) -> Direction:
        return Direction.OB if self is End.HUB else Direction.IB

    @property
    def receives(self) -> Direction:
        return Direction.IB if self is End.HUB else Direction.OB


def direction_columns(values: Floats, direction: Direction | None) -> Floats:
    """Returns a view of one direction's columns, all of them for None; shape (times, links) or (times, 2 x links)."""
    links = values.shape[1] // 2
    return {Direction.IB: values[:, :links], Direction.OB: values[:, links:], None: values}[direction]


def pointing_loss(end: End, transmitting_db: float) -> Effect:
    """A mispointed antenna: losses both ways in the squared ratio of the frequencies.

    12 (θ / θ3dB)² dB with the beam width θ3dB = 70 λ/D degrees, Maral and Bousquet.
    """

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        loss = transmitting_db * depth
        direction_columns(total.uplink, end.transmits)[:] -= loss
        direction_columns(total.downlink, end.receives)[:] -= loss / _by_band(fleet, POINTING_UP_TO_DOWN)

    return effect


def obstruction(end: End, loss_db: float) -> Effect:
    """Something solid in the beam: the same loss both ways."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.uplink, end.transmits)[:] -= loss_db * depth
        direction_columns(total.downlink, end.receives)[:] -= loss_db * depth

    return effect


def rain(end: End, downlink_db: float) -> Effect:
    """Rain: attenuation both ways, noise at this end's receiver, and uplink power control at its transmitter."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        down = downlink_db * depth * _by_band(fleet, RAIN_OF_BAND)
        up = down * _by_band(fleet, RAIN_UP_TO_DOWN)
        compensated = np.minimum(POWER_CONTROL_DB[end], up)
        direction_columns(total.uplink, end.transmits)[:] -= up - compensated
        direction_columns(total.power, end.transmits)[:] += compensated
        direction_columns(total.downlink, end.receives)[:] -= down
        direction_columns(total.noise, end.receives)[:] += rain_noise(down)

    return effect


def rain_noise(attenuation_db: Floats) -> Floats:
    """Returns the noise that rain adds, in units of the receiver's own noise under a clear sky.

    275 (1 - 10^(-A/10)) K: ITU-R P.618, noise temperature.
    """
    kelvin: Floats = RAIN_KELVIN * (1.0 - 10.0 ** (-attenuation_db / 10.0))
    return kelvin / SYSTEM_KELVIN


def transmitter(end: End, loss_db: float, *, metered: bool = True) -> Effect:
    """A weaker transmitter. metered: its reported power falls as well."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.uplink, end.transmits)[:] -= loss_db * depth
        if metered:
            direction_columns(total.power, end.transmits)[:] -= loss_db * depth

    return effect


def amplifier(end: End, loss_db: float) -> Effect:
    """A receiving amplifier (LNA, LNB) with less gain and more noise: Es/N0 falls about as far as the level."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.gain, end.receives)[:] -= loss_db * depth
        direction_columns(total.noise, end.receives)[:] += _noise_of(loss_db * depth) / RECEIVER_SHARE[end.receives]

    return effect


def demodulator(end: End, loss_db: float) -> Effect:
    """A failing demodulator: only Es/N0 falls."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.demodulator, end.receives)[:] += loss_db * depth

    return effect


def interference(direction: Direction | None, loss_db: float) -> Effect:
    """An interferer that costs a typical link so much Es/N0."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.interference, direction)[:] += _for_directions(_noise_of(loss_db * depth), direction)

    return effect


def sun(direction: Direction, loss_db: float) -> Effect:
    """The sun behind the satellite: noise into the receiver, and nothing else (ITU-R S.1525)."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.noise, direction)[:] += _noise_of(loss_db * depth) / RECEIVER_SHARE[direction]

    return effect


def load(direction: Direction | None, times: float) -> Effect:
    """More demand: `times` as much on top of the healthy one."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        direction_columns(total.load, direction)[:] += _for_directions(times * depth, direction)

    return effect


def outage(*, reported: bool) -> Effect:
    """No electricity. reported: samples still arrive and say so."""

    def effect(total: Impairments, depth: Floats, fleet: Fleet) -> None:
        del fleet
        without = _for_directions(np.ceil(np.clip(depth, 0.0, 1.0)), None)
        np.maximum(total.outage, without, out=total.outage)
        if not reported:
            np.maximum(total.unreported, without, out=total.unreported)

    return effect


def _noise_of(loss_db: Floats) -> Floats:
    """Returns the noise that, added to a noise of 1, costs so many dB."""
    result: Floats = 10.0 ** (loss_db / 10.0) - 1.0
    return result


def _for_directions(depth: Floats, direction: Direction | None) -> Floats:
    return depth if direction else np.concatenate([depth, depth], axis=1)


def _by_band(fleet: Fleet, values: dict[Band, float]) -> Floats:
    """Returns each link's value, shape (links,)."""
    return np.array([values[network.band] for network in fleet.link_networks])
