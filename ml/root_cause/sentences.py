"""The sentence that says a feature's value to a person."""

from collections.abc import Callable
from typing import Final

import numpy as np

from ml.root_cause.signature import Feature

Sentence = Callable[[float], str]

SAME_NOISE: Final = 0.15  # a smaller share of the fall counts as no added noise
LEVEL_ROSE: Final = 0.4  # of the rise that added noise would cause
HOUR_MINUTES: Final = 60.0
LONG_MINUTES: Final = 180.0  # longer durations are given in hours


def _noise(direction: str) -> Sentence:
    def sentence(share: float) -> str:
        if share < SAME_NOISE:
            return f"{direction} the level falls as much as Es/N0: the signal is weaker, the noise is as before."
        return f"{direction} {min(1.0, share):.0%} of what Es/N0 lost is noise or interference that came on top."

    return sentence


def _rise(minutes: float) -> str:
    if minutes < HOUR_MINUTES:
        return f"It came within {max(1.0, minutes):.0f} minutes."
    return f"It came slowly, over {minutes / HOUR_MINUTES:.1f} hours."


def _duration(minutes: float) -> str:
    if minutes < LONG_MINUTES:
        return f"It lasted {minutes:.0f} minutes."
    return f"It lasted {minutes / HOUR_MINUTES:.1f} hours."


def _either(above: float, yes: str, no: str) -> Sentence:
    return lambda value: yes if value > above else no


SENTENCES: Final[dict[Feature, Sentence]] = {
    Feature.NOISE_SHARE_IB: _noise("Inbound"),
    Feature.NOISE_SHARE_OB: _noise("Outbound"),
    Feature.BALANCE: lambda value: f"Outbound lost {np.exp(value):.1f} times what inbound lost, in dB.",
    Feature.POWER_IB: lambda value: f"The remotes' transmit power changed by {value:+.1f} dB.",
    Feature.POWER_OB: lambda value: f"The hub's transmit power changed by {value:+.1f} dB.",
    Feature.RISE: _rise,
    Feature.MINUTES: _duration,
    Feature.LASTS: _either(0, "It lasts at the end of the window.", "It ended by itself."),
    Feature.RUNS: lambda value: f"It came {value:.0f} times." if value > 1 else "It came once.",
    Feature.DAILY: _either(0, "It comes at the same time of the day.", "It comes at no fixed time."),
    Feature.COMPACT: lambda value: (
        f"The sites hit lie together: nearer to their middle than {value:.0%} of the others."
    ),
    Feature.ROUND: _either(0, "It swells and ebbs, as the sun or a shower does.", "Its depth is flat from the first."),
    Feature.LEVEL_RISE: _either(LEVEL_ROSE, "The level rose, as added noise makes it.", "The level did not rise."),
    Feature.SCATTER: lambda value: f"The links' depths differ by {value:.0%} of their mean.",
    Feature.LAG: lambda value: f"The links' onsets differ by {value:.0f} minutes.",
    Feature.MOBILE: _either(0.5, "The site is mobile.", "The site does not move."),
    Feature.NEIGHBOURS: lambda value: f"{value:.0%} of the link directions nearby are hit as well.",
    Feature.DEPTH: lambda value: f"Es/N0 fell by {value:.1f} dB.",
}
