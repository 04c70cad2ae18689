"""Two resolutions: patterns of a whole window, and of its last stretch in a finer step, become one list."""

from typing import Final

from ml.root_cause.impact import Weighed
from ml.root_cause.report import Pattern

SHARED: Final = 0.5  # of the smaller pattern's links, from which two patterns are about the same links
EDGE_STEPS: Final = 2  # of the coarse grid: what begins so soon in the last stretch may have begun before it


def merge_resolutions(coarse: list[Weighed], fine: list[Weighed], start_ms: int, step_ms: int) -> list[Weighed]:
    """Returns each fault once: from the coarse grid what began before the last stretch, from the fine one the rest.

    start_ms: where the last stretch begins. step_ms: of the coarse grid. What only the coarse grid shows remains.
    """
    older = [one for one in coarse if one.pattern.started_ms < start_ms]
    edge_ms = start_ms + EDGE_STEPS * step_ms
    new = [one for one in fine if not any(_continues(one.pattern, old.pattern, edge_ms) for old in older)]
    missed = [
        one
        for one in coarse
        if one.pattern.started_ms >= start_ms and not any(_share_links(one.pattern, other.pattern) for other in fine)
    ]
    return [*older, *new, *missed]


def _continues(fine: Pattern, coarse: Pattern, edge_ms: int) -> bool:
    """Returns whether a pattern of the last stretch is the rest of one that began before it."""
    over = coarse.ended_ms is not None and coarse.ended_ms <= fine.started_ms
    if over or not _share_links(fine, coarse):
        return False
    same = (fine.cause, fine.culprit) == (coarse.cause, coarse.culprit)
    return same or fine.started_ms <= edge_ms


def _share_links(pattern: Pattern, other: Pattern) -> bool:
    shared = len(set(pattern.links) & set(other.links))
    return shared >= SHARED * min(len(pattern.links), len(other.links))
