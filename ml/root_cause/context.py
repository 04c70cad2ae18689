"""What MODCOD, beam and heading say of a pattern, where they are told: sentences, and no part of its probability.

Without them there are no sentences, and everything else is as it was.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from ml.catalogue.metrics import Direction
from ml.catalogue.modcods import Modcod, find_best_modcod, find_modcod
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.numerics.arrays import Bools, Floats, Integers
from ml.root_cause.report import Evidence, Pattern

NATS: Final = 1.1  # modems and beams as witnesses: three to one, a rule of thumb
MOST_NATS: Final = 3.0
LEAST_SAMPLES: Final = 3  # before and during, to compare
FALL_DB: Final = 1.5  # Es/N0 that fell by so much has fallen
STEADY_DB: Final = 0.5  # by less it has not
MARGIN_DB: Final = 1.5  # that ACM keeps above a threshold, at most
LEAST_STEP: Final = 0.1  # of what a symbol carries: less is no step
LEAST_LINKS: Final = 3  # in one beam, and in others
LEAST_LOST, LEAST_OTHERS = 5, 20  # samples with a heading
HALF_SECTOR_DEG: Final = 45.0
MOSTLY: Final = 0.8  # of the losses lie in a sector that has no more than half of the rest
CHANNEL_CAUSES: Final = frozenset(RootCause) - {RootCause.CONGESTION, RootCause.POWER_OUTAGE}
MODEM_CAUSES: Final = frozenset({RootCause.EQUIPMENT_FAILURE, RootCause.REMOTE_EQUIPMENT})


@dataclass(frozen=True)
class DirectionSamples:
    """One direction of a link: epoch ms, Es/N0 in dB and MODCOD, each of shape (samples,); NaN = not told."""

    direction: Direction
    at: Integers
    esno_db: Floats
    modcod: Floats


class Adaptation(Enum):
    """What a modem did: stepped down as Es/N0 fell, kept what Es/N0 no longer allows, or stepped down without need."""

    FOLLOWED = 1
    STUCK = 2
    NEEDLESS = 3


@dataclass(frozen=True)
class Comparison:
    """One direction before and during a pattern."""

    adaptation: Adaptation | None
    before: Modcod
    during: Modcod
    esno_db: float  # during


def explain_adaptation(directions: Sequence[DirectionSamples], pattern: Pattern) -> Evidence | None:
    """Returns what most modems did, if they agree; None where too few tell their MODCOD."""
    comparisons = [compared for one in directions if (compared := compare(one, pattern)) is not None]
    counts = Counter(one.adaptation for one in comparisons if one.adaptation)
    if not counts or 2 * (most := counts.most_common(1)[0])[1] < len(comparisons):
        return None
    adaptation, count = most
    example = next(one for one in comparisons if one.adaptation is adaptation)
    counted = f"{count} of {len(comparisons)} link directions"
    match adaptation:
        case Adaptation.FOLLOWED:
            statement = f"{counted} stepped their MODCOD down as Es/N0 fell ({_change(example)}): the loss is real."
            supports = pattern.cause in CHANNEL_CAUSES
        case Adaptation.STUCK:
            needed = f"{example.during.name}, which needs {example.during.threshold_db:.1f} dB"
            statement = (
                f"{counted} kept their MODCOD ({needed}) while Es/N0 fell to {example.esno_db:.1f} dB:"
                " ACM is off, or the reported Es/N0 is wrong."
            )
            supports = pattern.cause not in CHANNEL_CAUSES
        case Adaptation.NEEDLESS:
            statement = (
                f"{counted} stepped their MODCOD down ({_change(example)}) though Es/N0 of {example.esno_db:.1f} dB"
                " allows more: the modem rather than the channel."
            )
            supports = pattern.cause in MODEM_CAUSES
    return Evidence(statement, supports, round(NATS * count / len(comparisons), 3))


def _change(comparison: Comparison) -> str:
    return f"{comparison.before.name} to {comparison.during.name}"


def compare(samples: DirectionSamples, pattern: Pattern) -> Comparison | None:
    """Returns how a direction adapted; None where it does not tell enough, or in numbers of another system.

    Thresholds are those of DVB-S2 and DVB-S2X, so they are held against outbound carriers only: inbound ones are often
    of another system, whose numbers may look alike.
    """
    told = np.isfinite(samples.esno_db) & np.isfinite(samples.modcod)
    ended = np.inf if pattern.ended_ms is None else pattern.ended_ms
    earlier, during = told & (samples.at < pattern.started_ms), told & (samples.at >= pattern.started_ms)
    during &= samples.at < ended
    if min(earlier.sum(), during.sum()) < LEAST_SAMPLES:
        return None
    first, then = _find_usual(samples.modcod[earlier]), _find_usual(samples.modcod[during])
    if first is None or then is None:
        return None
    before_db, esno_db = (float(np.median(samples.esno_db[rows])) for rows in (earlier, during))
    return Comparison(_judge(samples.direction, before_db - esno_db, esno_db, first, then), first, then, esno_db)


def _find_usual(numbers: Floats) -> Modcod | None:
    values, counts = np.unique(numbers, return_counts=True)
    return find_modcod(float(values[counts.argmax()]))


def _judge(direction: Direction, fall_db: float, esno_db: float, before: Modcod, during: Modcod) -> Adaptation | None:
    stepped_down = during.bits_per_symbol < (1.0 - LEAST_STEP) * before.bits_per_symbol
    if fall_db >= FALL_DB and stepped_down:
        return Adaptation.FOLLOWED
    if direction is not Direction.OB:
        return None
    if fall_db >= FALL_DB and esno_db < during.threshold_db:
        return Adaptation.STUCK
    best = find_best_modcod(esno_db - MARGIN_DB)
    allows_more = best is not None and best.bits_per_symbol * (1.0 - LEAST_STEP) > during.bits_per_symbol
    return Adaptation.NEEDLESS if abs(fall_db) < STEADY_DB and stepped_down and allows_more else None


def explain_beams(beams: Sequence[str | None], hit: Bools, pattern: Pattern) -> Evidence | None:
    """Returns that all links hit are in one beam and those of others are spared; None if so it is not, or not known.

    beams, hit: of each link of the satellite that was analysed, shape (links,).
    """
    named = [(beam, bool(is_hit)) for beam, is_hit in zip(beams, hit, strict=True) if beam]
    affected = {beam for beam, is_hit in named if is_hit}
    if len(affected) != 1:
        return None
    [beam] = affected
    inside, outside = sum(is_hit for _, is_hit in named), sum(other != beam for other, _ in named)
    if min(inside, outside) < LEAST_LINKS:
        return None
    statement = f"All {inside} links hit are in beam {beam}, and none of the {outside} links in other beams is hit."
    culprit = pattern.culprit
    return Evidence(statement, culprit is not None and culprit.kind is CulpritKind.SATELLITE, NATS)


def explain_heading(is_lost: Bools, heading_deg: Floats, pattern: Pattern) -> Evidence | None:
    """Returns at which headings a moving site loses its link, if it does so at some only.

    is_lost, heading_deg: of the site's samples in the window, shape (samples,), NaN = not told.
    """
    told = np.isfinite(heading_deg)
    lost, others = heading_deg[told & is_lost], heading_deg[told & ~is_lost]
    if len(lost) < LEAST_LOST or len(others) < LEAST_OTHERS:
        return None
    middle = float(np.degrees(np.angle(np.exp(1j * np.radians(lost)).mean())) % 360.0)
    within, elsewhere = (float((_degrees_apart(some, middle) <= HALF_SECTOR_DEG).mean()) for some in (lost, others))
    if within < MOSTLY or 2.0 * elsewhere > within:
        return None
    ratio = float(np.log(within / max(elsewhere, 1.0 / len(others))))
    statement = (
        f"{within:.0%} of the losses are at headings around {middle:.0f} degrees,"
        f" and {elsewhere:.0%} of the other samples."
    )
    return Evidence(statement, pattern.cause is RootCause.BLOCKAGE, round(min(MOST_NATS, ratio), 3))


def _degrees_apart(headings: Floats, middle: float) -> Floats:
    apart: Floats = np.abs((headings - middle + 180.0) % 360.0 - 180.0)
    return apart
