"""Link budgets: how carrier, noise and interference add up to Es/N0 and level at a receiver.

1/(C/N) = 1/(C/N)up + 1/(C/N)down + 1/(C/I), as in Maral and Bousquet, "Satellite Communications Systems".
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.numerics.arrays import Floats
from ml.simulation.fleet import Band
from ml.simulation.impairments import Impairments

UPLINK_GHZ: Final[dict[Band, float]] = {"C": 6.1, "KU": 14.25, "KA": 29.25}
DOWNLINK_GHZ: Final[dict[Band, float]] = {"C": 3.95, "KU": 11.7, "KA": 19.7}
TYPICAL_ESNO_DB: Final = 12.5
FLOOR_DB: Final = -2.0  # what a demodulator without lock still reports, if anything
LOCK_DB: Final = 1.0  # a receiver loses lock around this Es/N0
# The receiver's share of the noise: a hub's large dish makes the outbound uplink clean, a remote's the inbound less so.
RECEIVER_SHARE: Final = {"IB": 0.7, "OB": 0.83}
INTERFERENCE_SHARE: Final = 0.05


@dataclass(frozen=True)
class Budget:
    """Healthy link directions, each array of shape (2 x links,).

    esno: Es/N0, dB. uplink, receiver, interference: shares of the noise, the three terms above divided by their sum.
    """

    esno: Floats
    uplink: Floats
    receiver: Floats
    interference: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, links: int) -> "Budget":
        """Returns random healthy budgets."""
        typical = np.repeat([RECEIVER_SHARE["IB"], RECEIVER_SHARE["OB"]], links)
        receiver = typical * rng.uniform(0.88, 1.1, 2 * links)
        interference = INTERFERENCE_SHARE * rng.uniform(0.5, 1.5, 2 * links)
        return cls(rng.uniform(10.0, 15.0, 2 * links), 1.0 - receiver - interference, receiver, interference)


@dataclass(frozen=True)
class Reception:
    """What receivers measure, each array of shape (times, 2 x links).

    esno: dB. level: change of the received power, dB. lock: 0 without lock to 1 with lock.
    """

    esno: Floats
    level: Floats
    lock: Floats


def compute_reception(budget: Budget, impairments: Impairments, fading: Floats) -> Reception:
    """Returns what receivers measure under impairments.

    fading: further changes of Es/N0, dB, shape (times, 2 x links).
    """
    clear = from_decibels(budget.esno)
    carrier, noise = clear * from_decibels(impairments.uplink + impairments.downlink), _noise(budget, impairments)
    lost = impairments.demodulator - fading
    links = len(budget.esno) // 2
    # A remote that does not hear its hub must not transmit.
    allowed = sigmoid(4.0 * (to_decibels(carrier[:, links:] / noise[:, links:]) - lost[:, links:] - LOCK_DB))
    carrier[:, :links] *= allowed
    esno = to_decibels(carrier / noise) - lost
    level = impairments.gain + to_decibels((carrier + noise) / (clear + 1.0))
    return Reception(np.clip(esno, FLOOR_DB, 25.0), level, sigmoid(4.0 * (esno - LOCK_DB)))


def _noise(budget: Budget, impairments: Impairments) -> Floats:
    """Returns the noise in units of the healthy noise, shape (times, 2 x links)."""
    # An interferer is as strong against every carrier, so the best links lose most.
    interference = impairments.interference * from_decibels(budget.esno - TYPICAL_ESNO_DB)
    relayed = budget.uplink + budget.interference + interference
    total: Floats = relayed * from_decibels(impairments.downlink) + budget.receiver * (1.0 + impairments.noise)
    return total


def to_decibels(ratio: Floats) -> Floats:
    result: Floats = 10.0 * np.log10(np.maximum(ratio, 1e-9))
    return result


def from_decibels(decibel: Floats) -> Floats:
    result: Floats = 10.0 ** (0.1 * decibel)
    return result


def sigmoid(x: Floats) -> Floats:
    """Returns the logistic function of x."""
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))
    return result
