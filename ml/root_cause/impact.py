"""Impact: how much of the scope's degradation a pattern explains, and the order in which patterns are told."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ml.numerics.arrays import Bools
from ml.root_cause.degradation import OUTAGE_DEPTH, Channel
from ml.root_cause.events import Event
from ml.root_cause.report import Pattern
from ml.root_cause.residuals import LOST_DB

NOW_SAMPLES: Final = 5  # the last ones in which an event was active: how bad it is now, or was at the end


@dataclass(frozen=True)
class Weighed:
    """A pattern, and what it costs the scope, see `measure_damage`: now or, if it ended, at its end."""

    pattern: Pattern
    damage: float


def measure_damage(event: Event, scope: Bools) -> float:
    """Returns an event's depth summed over the affected streams in scope, dB, in the mean of its last five samples.

    scope: shape (streams,).
    """
    scale = LOST_DB / OUTAGE_DEPTH if event.channel is Channel.OUTAGE else 1.0
    loading = event.loading[(event.membership > 0.5) & scope]
    return float(scale * loading.sum() * event.profile[event.active][-NOW_SAMPLES:].mean())


def rank_patterns(weighed: Sequence[Weighed]) -> tuple[Pattern, ...]:
    """Returns patterns with their impact: those that last before those that ended, the greatest impact first.

    Impact is the share of the scope's explained degradation, times the confidence.
    """
    ranked: list[Pattern] = []
    for lasting in (True, False):
        some = [one for one in weighed if (one.pattern.ended_ms is None) is lasting]
        total = max(1e-9, sum(one.damage for one in some))
        shared = [replace(w.pattern, impact=_round_impact(w.damage / total, w.pattern.confidence)) for w in some]
        ranked += sorted(shared, key=lambda pattern: (-pattern.impact, -pattern.confidence))
    return tuple(ranked)


def _round_impact(share: float, confidence: float) -> float:
    """Returns the share times the confidence, which rounding does not raise above the confidence."""
    return min(confidence, round(share * confidence, 4))
