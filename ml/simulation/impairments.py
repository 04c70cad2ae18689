"""What faults do to link directions, as numbers for a link budget."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from ml.numerics.arrays import Floats


@dataclass(frozen=True)
class Impairments:
    """What all faults together do, each array of shape (times, 2 x links), inbound columns first; 0 is no effect.

    uplink, downlink: change in dB of what travels up to, and down from, the satellite.
    noise: noise added at the receiver, in units of its own healthy noise.
    interference: interference added to a typical link, in units of its healthy noise.
    gain: change of the receiver's amplification, dB.
    demodulator: Es/N0 lost in the demodulator, dB.
    power: change of the transmit power, dB.
    load: demand added, as a fraction of the healthy demand.
    outage: 1 without electricity.
    unreported: 1 if nobody reports even the outage.
    """

    uplink: Floats
    downlink: Floats
    noise: Floats
    interference: Floats
    gain: Floats
    demodulator: Floats
    power: Floats
    load: Floats
    outage: Floats
    unreported: Floats

    @classmethod
    def none(cls, times: int, links: int) -> Self:
        return cls(*(np.zeros((times, 2 * links)) for _ in fields(cls)))

    def during(self, rows: slice) -> Self:
        """Returns a view of some times, to add to."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))
