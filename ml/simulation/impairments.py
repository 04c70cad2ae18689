"""What faults do to link directions, as numbers that a link budget takes."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from ml.numerics.arrays import Floats


@dataclass(frozen=True)
class Impairments:
    """What all faults together do, each (times, 2 x links), the links' inbound columns first; zero: nothing.

    uplink, downlink: dB change of what travels up to, and down from, the satellite; noise: what a receiver gains, in
    units of its own healthy noise; interference: what a typical link gains, in units of its healthy noise; gain: dB
    change of a receiver's amplification; demodulator: dB of Es/N0 lost in it; power: dB change of the transmitter;
    load: demand added, as a fraction; dark: 1 where there is no electricity; silent: 1 where nobody even reports that.
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
        """A view of some times, to add to."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))
