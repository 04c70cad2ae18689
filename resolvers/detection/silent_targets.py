"""Which targets fell silent, of what is known of their streams: a link may do so in one direction, or in both."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final
from uuid import UUID

import numpy as np

from ml.detection.features import NEVER
from ml.detection.silence import compute_patience, find_usual_gaps, pad_gaps

ALIVE_PATIENCE_SECONDS: Final = 3600.0  # with a stream of a target that is heard otherwise: it is not off the air
LATE_FACTOR: Final = 1.5  # usual gaps after which a stream that is not overdue yet may soon be


@dataclass(frozen=True, slots=True)
class ToldSilence:
    """The anomaly that tells of a silence. is_open: nobody ended it by hand. is_whole: it is not of one direction."""

    id: UUID
    is_open: bool
    is_whole: bool


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream. Times are epoch ms, NEVER where there is none; gaps are in seconds, the newest first.

    related_heard_at: when any link was last heard that ends at this site, or belongs to this hub or network.
    """

    target_id: int
    direction: str
    last_at: int
    heard_at: int
    gaps: Sequence[float]
    told: ToldSilence | None = None
    related_heard_at: int = NEVER


@dataclass(frozen=True, slots=True)
class SilentTarget:
    """A target that fell silent.

    direction: of a link of which only one is silent, else ''.
    streams: the directions of the streams that are newly silent.
    due_at: when the first missing sample was due, epoch ms.
    widens: the anomaly of its other direction, which becomes that of the whole link.
    """

    target_id: int
    direction: str
    streams: tuple[str, ...]
    due_at: int
    widens: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Stream:
    """A stream and its silence. Times in seconds."""

    state: StreamState
    elapsed: float
    usual_gap: float
    patience: float

    @property
    def is_overdue(self) -> bool:
        patience = self.patience
        if self.state.related_heard_at > self.due_at:
            patience = max(patience, ALIVE_PATIENCE_SECONDS)
        return self.elapsed > patience

    @property
    def due_at(self) -> int:
        return self.state.last_at + round(1000 * self.usual_gap)


def find_silent(states: Sequence[StreamState], now: int, resumed_at: int) -> list[SilentTarget]:
    """Returns the targets that fell silent and are not told of yet.

    states: all streams of some targets of one kind, sorted by target.
    now: epoch ms.
    resumed_at: since when samples could be heard, epoch ms; before that nobody listened.
    """
    heard = [state for state in states if state.heard_at != NEVER]
    if not heard:
        return []
    gaps = pad_gaps([state.gaps for state in heard])
    streams = [
        _Stream(state, (now - max(state.heard_at, resumed_at)) / 1000.0, usual, patience)
        for state, usual, patience in zip(
            heard, find_usual_gaps(gaps).tolist(), compute_patience(gaps).tolist(), strict=True
        )
    ]
    by_target = groupby(streams, key=lambda stream: stream.state.target_id)
    judged = (_judge_target(target, list(own)) for target, own in by_target)
    return [silent for silent in judged if silent is not None]


def _judge_target(target_id: int, streams: list[_Stream]) -> SilentTarget | None:
    """Waits while the other direction is late, too, but not overdue: then both fell silent together."""
    overdue = [one for one in streams if one.is_overdue and not _is_told(one, streams)]
    if not overdue:
        return None
    patience = max(one.patience for one in overdue)
    others = [one for one in streams if one not in overdue and not one.state.told]
    lost = [one for one in others if one.elapsed > patience]
    late = [one for one in others if one not in lost and not one.elapsed <= LATE_FACTOR * one.usual_gap]
    is_half = len(others) > len(lost)
    is_alive = is_half and overdue[0].elapsed <= max(patience, ALIVE_PATIENCE_SECONDS)
    if is_alive or any(not np.isnan(one.usual_gap) for one in late):
        return None
    told = next((one.state.told for one in streams if one.state.told and one not in overdue), None)
    if is_half or (told and not told.is_open):
        direction = overdue[0].state.direction
        return SilentTarget(target_id, direction, (direction,), overdue[0].due_at)
    directions = tuple(one.state.direction for one in overdue + lost)
    due_at = max(one.due_at for one in overdue)
    return SilentTarget(target_id, "", directions, due_at, widens=told.id if told else None)


def _is_told(stream: _Stream, streams: list[_Stream]) -> bool:
    """Returns whether its silence is told of; no more if it was told together with a direction that is heard again."""
    told = stream.state.told
    if told is None:
        return False
    heard_again = any(not other.state.told and other.state.heard_at > stream.state.heard_at for other in streams)
    return told.is_open or not told.is_whole or not heard_again
