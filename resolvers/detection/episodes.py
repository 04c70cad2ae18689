"""Turns scores into episodes and episodes into anomalies, inside the ingest transaction."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import Direction
from ml.detection.episodes import GAP_MS, Episode, EpisodeState, Severity, track_episodes
from ml.detection.features import NEVER
from ml.detection.severity import rate_severity
from resolvers.base.times import from_ms, to_ms
from resolvers.detection.anomalies import AnomalyChange, publish_changes
from resolvers.detection.arrivals import Arrivals
from resolvers.detection.scoring import NOTABLE_SHARE, ScoredBatch
from resolvers.store.postgres.conditions import is_among
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Anomaly, AnomalyStatus, AuditEntry
from resolvers.store.telemetry.streams import Streams, store_episode_states


@dataclass
class EpisodeTracker:
    """Carries episodes through one scored batch, sorted by stream and time.

    times: epoch ms, shape (rows,).
    """

    session: AsyncSession
    arrivals: Arrivals
    model_version: str
    now: datetime
    scored: ScoredBatch
    times: NDArray[np.int64]
    streams: Streams
    open: dict[UUID, Anomaly] = field(default_factory=dict)
    opened: list[Anomaly] = field(default_factory=list)
    touched: dict[UUID, Anomaly] = field(default_factory=dict)
    changes: list[tuple[AnomalyChange, Anomaly]] = field(default_factory=list)

    async def run(self, which: NDArray[np.int64]) -> list[Anomaly]:
        """Stores, publishes and returns the anomalies that the batch opened, extended or ended.

        which: the stream of each row, shape (rows,).
        """
        await self._load([s.anomaly_id for s in self.streams.episode_states.values() if s.anomaly_id])
        starts = np.searchsorted(which, np.arange(len(self.streams.keys) + 1)).tolist()
        alarming = np.unique(which[self.scored.scores.score > 0]).tolist()
        for number in sorted({*alarming, *self.streams.episode_states}):
            self._track_stream(number, starts[number], starts[number + 1])
        await self.session.flush()  # what ended, before what begins: a stream has one open anomaly at most
        self.session.add_all(self.opened)
        await self.session.flush()
        await store_episode_states(self.session, self.streams)
        await publish_changes(self.session, self.changes)
        return list(self.touched.values())

    async def _load(self, ids: list[UUID]) -> None:
        if ids:
            query = select(Anomaly).where(is_among(Anomaly.id, ids)).order_by(Anomaly.id).with_for_update()
            self.open = {anomaly.id: anomaly for anomaly in await self.session.scalars(query)}

    def _track_stream(self, number: int, first: int, end: int) -> None:
        """Tracks rows `first` to `end` of a stream.

        Where alarms are pending, they begin with the stored samples of these: nothing else is remembered of them.
        """
        episode_state, last = self.streams.episode_state(number), int(self.streams.last_at[number])
        scores = self.scored.scores
        since = episode_state.pending_since
        newest = last if since is None else since - 1
        on_time = first + int(np.searchsorted(self.times[first:end], newest, side="right"))
        self._track_late(number, slice(first, on_time))
        if on_time == end:
            return
        state, rows = EpisodeState(), slice(on_time, end)
        if since is None:
            seen_at = None if last == NEVER else last
            current = self._find_open(number)
            state = EpisodeState(
                episode_state.anomaly_id is not None,
                episode_state.alarms,
                episode_state.clear_count,
                None,
                seen_at,
                to_ms(current.last_seen_at) if current else None,
            )
        state, episodes = track_episodes(state, self.times[rows], scores.score[rows], scores.pace[rows])
        for episode in episodes:
            self._apply(number, episode, rows)
        episode_state.alarms, episode_state.clear_count, episode_state.alarming_since = (
            state.alarms,
            state.clear_count,
            state.since,
        )

    def _track_late(self, number: int, rows: slice) -> None:
        """Tracks samples older than the newest stored: they extend the open episode, or are episodes that are over."""
        scores = self.scored.scores
        _, episodes = track_episodes(EpisodeState(), self.times[rows], scores.score[rows], scores.pace[rows])
        current = self._find_open(number)
        for episode in episodes:
            reach = (episode.last_seen_at or episode.started_at) + (0 if episode.closed else GAP_MS)
            if current and reach >= to_ms(current.started_at):
                self._extend(number, current, episode, rows)
            else:
                self._end(self._begin(number, episode, rows))

    def _apply(self, number: int, episode: Episode, rows: slice) -> None:
        anomaly = self._find_open(number)
        if anomaly is None:
            anomaly = self._begin(number, episode, rows)
        elif anomaly.status is AnomalyStatus.RESOLVED:
            anomaly = self._begin_if_worse(anomaly, number, episode, rows)
        else:
            self._extend(number, anomaly, episode, rows)
        self.streams.episode_state(number).anomaly_id = None if episode.closed else anomaly.id
        if episode.closed and anomaly.status is not AnomalyStatus.RESOLVED:
            self._end(anomaly)

    def _find_open(self, number: int) -> Anomaly | None:
        id = self.streams.episode_state(number).anomaly_id
        return self.open.get(id) if id else None

    def _begin(self, number: int, episode: Episode, rows: slice) -> Anomaly:
        return self._open(self._make(number, episode, rows))

    def _begin_if_worse(self, resolved: Anomaly, number: int, episode: Episode, rows: slice) -> Anomaly:
        """Returns a new anomaly if these alarms are more severe than what somebody resolved while it lasts, else that.

        The stream stays attached to the resolved anomaly until its episode ends: so what was resolved does not come
        back with the next sample. That it lasts does not make it more severe.
        """
        anomaly = self._make(number, episode, rows)
        return self._open(anomaly) if anomaly.severity.rank > resolved.severity.rank else resolved

    def _open(self, anomaly: Anomaly) -> Anomaly:
        self.opened.append(anomaly)
        self.open[anomaly.id] = anomaly
        self._record_change(AnomalyChange.OPENED, anomaly)
        return anomaly

    def _make(self, number: int, episode: Episode, rows: slice) -> Anomaly:
        target_id, direction = self.streams.keys[number]
        anomaly = Anomaly(
            id=uuid7(),
            kind=self.streams.kind,
            target_id=target_id,
            direction=Direction(direction) if direction else None,
            status=AnomalyStatus.OPEN,
            severity=Severity.LOW,
            score=0.0,
            confidence=0.0,
            contributions=[],
            model_version=self.model_version,
            started_at=from_ms(episode.started_at),
            last_seen_at=from_ms(episode.last_seen_at or episode.started_at),
            detected_at=self.now,
            is_historical=self._is_past(number, episode, rows),
        )
        self._worsen(anomaly, self._find_alarms(episode, rows))
        return anomaly

    def _is_past(self, number: int, episode: Episode, rows: slice) -> bool:
        """Returns whether all of it is older than samples of the present are when they come."""
        newest = episode.last_seen_at or episode.started_at if episode.closed else int(self.times[rows.stop - 1])
        return self.arrivals.now - newest > int(self.arrivals.live_bounds[number])

    def _extend(self, number: int, anomaly: Anomaly, episode: Episode, rows: slice) -> None:
        if anomaly.status is AnomalyStatus.RESOLVED:  # by a person, while it lasts
            return
        self.touched[anomaly.id] = anomaly
        if anomaly.is_historical and not self._is_past(number, episode, rows):
            self._bring_into_the_present(anomaly)
        if episode.last_seen_at is None:
            return
        before = anomaly.severity
        anomaly.started_at = min(anomaly.started_at, from_ms(episode.started_at))
        anomaly.last_seen_at = max(anomaly.last_seen_at, from_ms(episode.last_seen_at))
        self._worsen(anomaly, self._find_alarms(episode, rows))
        if anomaly.severity is not before and anomaly not in self.opened:
            self._record_change(AnomalyChange.UPDATED, anomaly)

    def _find_alarms(self, episode: Episode, rows: slice) -> list[int]:
        """Returns the rows of this episode that alarm."""
        times, last = self.times[rows], episode.last_seen_at or episode.started_at
        within = (times >= episode.started_at) & (times <= last) & (self.scored.scores.score[rows] > 0)
        alarms: list[int] = (rows.start + np.flatnonzero(within)).tolist()
        return alarms

    def _worsen(self, anomaly: Anomaly, alarms: list[int]) -> None:
        """Raises score and severity row by row, so that it makes no difference how rows are cut into batches."""
        score, metrics, peak = anomaly.score, _count_metrics(anomaly), None
        for row, service in zip(alarms, self.scored.grade_service(alarms).tolist(), strict=True):
            if self.scored.scores.score[row] > score:
                score, metrics, peak = float(self.scored.scores.score[row]), self.scored.count_metrics(row), row
            seconds = (int(self.times[row]) - to_ms(anomaly.started_at)) / 1000
            severity = rate_severity(service, score, metrics, seconds)
            anomaly.severity = max(anomaly.severity, severity, key=lambda level: level.rank)
        if peak is not None:
            anomaly.score, anomaly.confidence = score, float(self.scored.scores.confidence[peak])
            anomaly.contributions = self.scored.list_contributions(peak)

    def _end(self, anomaly: Anomaly) -> None:
        anomaly.status, anomaly.ended_at = AnomalyStatus.RESOLVED, anomaly.last_seen_at
        self._record_change(AnomalyChange.RESOLVED, anomaly)

    def _bring_into_the_present(self, anomaly: Anomaly) -> None:
        """Tells of an anomaly whose history goes on until now."""
        anomaly.is_historical = False
        action, note = f"{AnomalyChange.UPDATED}: CURRENT", "It goes on in the present."
        self.session.add(AuditEntry(subject_id=anomaly.id, action=action, note=note, at=self.now))
        self.changes.append((AnomalyChange.OPENED, anomaly))

    def _record_change(self, change: AnomalyChange, anomaly: Anomaly) -> None:
        self.touched[anomaly.id] = anomaly
        at = self.now + len(self.changes) * timedelta(microseconds=1)  # in one batch, in their order
        action = f"{change}: {anomaly.severity}" if change is AnomalyChange.UPDATED else change
        self.session.add(AuditEntry(subject_id=anomaly.id, action=action, at=at))
        self.changes.append((change, anomaly))


def _count_metrics(anomaly: Anomaly) -> int:
    return sum(part["share"] >= NOTABLE_SHARE for part in anomaly.contributions)
