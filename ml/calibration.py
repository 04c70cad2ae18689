"""How surprising is a value: tail probabilities learned from ordinary values, prudent beyond the largest of them."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Self

import numpy as np

from ml.metrics import Floats

TAIL_SHARE: Final = 0.02  # beyond this quantile an exponential tail stands in for too few values
BODY: Final = np.linspace(0.0, -np.log10(TAIL_SHARE), 35)  # surprises at which the body keeps a quantile
THINNEST: Final = 1e-6  # keeps an absent tail from dividing by nothing
APART: Final = 1e-9  # keeps knots apart where values repeat, so that a repeated value gets its least surprise


NORMAL: Final = np.array([NormalDist().inv_cdf(1.0 - 0.5 * 10.0**-level) for level in BODY])  # of |deviation|
NOTHING: Final = np.zeros(len(BODY))


@dataclass(frozen=True)
class Tails:
    """Distributions of several quantities, one per row of `knots` (quantities, len(BODY)), of ordinary values.

    Up to the 98 % quantile they are empirical, beyond it exponential (peaks over threshold: Pickands, 1975) with mean
    excess `scale` (quantities,).
    """

    knots: Floats
    scale: Floats

    @classmethod
    def learn(cls, values: list[Floats], least_scale: float = THINNEST, least_knots: Floats = NOTHING) -> Self:
        """From ordinary values of each quantity, never taken to be closer or thinner-tailed than the least given."""
        levels = 1.0 - 10.0**-BODY
        knots = np.array([np.quantile(ordinary, levels, method="higher") for ordinary in values])
        knots = np.maximum(knots, least_knots)
        # Over the share that the tail stands for, not over those beyond the knot: ties and raised knots leave fewer.
        excess = [
            float(np.maximum(ordinary - top, 0.0).sum()) / (TAIL_SHARE * len(ordinary))
            for ordinary, top in zip(values, knots[:, -1], strict=True)
        ]
        return cls(knots + APART * np.arange(len(BODY)), np.maximum(excess, least_scale))

    def and_of(self, values: Floats, least_scale: float = THINNEST) -> "Tails":
        """The same with one more quantity."""
        more = Tails.learn([values], least_scale)
        return Tails(np.concatenate([self.knots, more.knots]), np.concatenate([self.scale, more.scale]))

    def surprise(self, which: int, values: Floats) -> Floats:
        """-log10 P(an ordinary value of quantity `which` is as great as each of `values`); any shape, NaN stays."""
        knots, scale = self.knots[which], self.scale[which] * np.log(10.0)
        beyond = np.maximum(values - knots[-1], 0.0) / scale
        result: Floats = np.interp(values, knots, BODY) + beyond
        return result

    def value(self, which: int, surprise: float) -> float:
        """The value of quantity `which` that has this surprise: the inverse of `surprise`."""
        beyond = max(surprise - float(BODY[-1]), 0.0) * float(self.scale[which]) * float(np.log(10.0))
        return float(np.interp(surprise, BODY, self.knots[which])) + beyond
