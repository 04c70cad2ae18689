"""Turns scores into episodes and episodes into anomalies, inside the ingest transaction."""

import asyncio
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from ml.detection.episodes import Episode, EpisodeState, track_episodes
from ml.detection.features import NEVER
from resolvers.base.times import from_ms, to_ms
from resolvers.detection.anomaly_writer import AnomalyWriter
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.core import Anomaly, AnomalyStatus
from resolvers.store.telemetry.streams import Streams

AT_ONCE: Final = 50  # streams, before others have their turn: in a storm thousands have something to tell


@dataclass
class EpisodeTracker:
    """Carries episodes through one scored batch whose samples are newer than their streams' newest."""

    writer: AnomalyWriter
    open: dict[UUID, Anomaly] = field(default_factory=dict)

    @property
    def streams(self) -> Streams:
        return self.writer.streams

    async def run(self, which: NDArray[np.int64]) -> list[Anomaly]:
        """Stores, publishes and returns the anomalies that the batch opened, extended or ended.

        which: the stream of each row, shape (rows,).
        """
        await self._load([s.anomaly_id for s in self.streams.episode_states.values() if s.anomaly_id])
        starts = np.searchsorted(which, np.arange(len(self.streams.keys) + 1)).tolist()
        alarming = np.unique(which[self.writer.scored.scores.score > 0]).tolist()
        for count, number in enumerate(sorted({*alarming, *self.streams.episode_states}), 1):
            self._track_stream(number, slice(starts[number], starts[number + 1]))
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)
        return await self.writer.store()

    async def _load(self, ids: list[UUID]) -> None:
        if ids:
            query = select(Anomaly).where(is_among(Anomaly.id, ids)).order_by(Anomaly.id).with_for_update()
            self.open = {anomaly.id: anomaly for anomaly in await self.writer.session.scalars(query)}

    def _track_stream(self, number: int, rows: slice) -> None:
        """Tracks a stream's rows.

        Where alarms are pending, they begin with the stored samples of these: nothing else is remembered of them.
        """
        if rows.start == rows.stop:
            return
        kept, scores = self.streams.episode_state(number), self.writer.scored.scores
        state = EpisodeState()
        if kept.pending_since is None:
            last, current = int(self.streams.last_at[number]), self._find_open(number)
            state = EpisodeState(
                kept.anomaly_id is not None,
                kept.alarms,
                kept.clear_count,
                None,
                None if last == NEVER else last,
                to_ms(current.last_seen_at) if current else None,
            )
        state, episodes = track_episodes(state, self.writer.times[rows], scores.score[rows], scores.spacing[rows])
        for episode in episodes:
            self._apply(number, episode, rows)
        kept.alarms, kept.clear_count, kept.alarming_since = state.alarms, state.clear_count, state.since

    def _apply(self, number: int, episode: Episode, rows: slice) -> None:
        anomaly = self._find_open(number)
        if anomaly is None:
            anomaly = self._begin(self.writer.make(number, episode, rows))
        elif anomaly.status is AnomalyStatus.RESOLVED:
            anomaly = self._begin_if_worse(anomaly, number, episode, rows)
        else:
            self._extend(number, anomaly, episode, rows)
        self.streams.episode_state(number).anomaly_id = None if episode.closed else anomaly.id
        if episode.closed and anomaly.status is not AnomalyStatus.RESOLVED:
            self.writer.end(anomaly)

    def _find_open(self, number: int) -> Anomaly | None:
        id = self.streams.episode_state(number).anomaly_id
        return self.open.get(id) if id else None

    def _begin(self, anomaly: Anomaly) -> Anomaly:
        self.open[anomaly.id] = anomaly
        return self.writer.open(anomaly)

    def _begin_if_worse(self, resolved: Anomaly, number: int, episode: Episode, rows: slice) -> Anomaly:
        """Returns a new anomaly if these alarms are more severe than what somebody resolved while it lasts, else that.

        The stream stays attached to the resolved anomaly until its episode ends: so what was resolved does not come
        back with the next sample. That it lasts does not make it more severe.
        """
        anomaly = self.writer.make(number, episode, rows)
        return self._begin(anomaly) if anomaly.severity.rank > resolved.severity.rank else resolved

    def _extend(self, number: int, anomaly: Anomaly, episode: Episode, rows: slice) -> None:
        self.writer.touch(anomaly)
        if anomaly.is_historical and not self.writer.is_past(number, episode, rows):
            self.writer.bring_into_the_present(anomaly)
        if episode.last_seen_at is None:
            return
        before = anomaly.severity
        anomaly.started_at = min(anomaly.started_at, from_ms(episode.started_at))
        anomaly.last_seen_at = max(anomaly.last_seen_at, from_ms(episode.last_seen_at))
        self.writer.worsen(anomaly, self.writer.find_alarms(episode, rows))
        self.writer.tell_severity(before, anomaly)
