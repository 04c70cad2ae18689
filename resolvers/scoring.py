"""Stored samples become verdicts, verdicts episodes, episodes anomalies: inside the ingest transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.detector import Detector, Verdicts
from ml.episodes import GAP_MS, Episode, EpisodeState, Severity, follow, severity
from ml.metrics import CATALOGUE, Direction, Floats, Kind
from resolvers import baselines
from resolvers.anomalies import AnomalyChange, tell
from resolvers.paging import among
from resolvers.store import readings
from resolvers.store.identifiers import uuid7
from resolvers.store.tables import Anomaly, AnomalyStatus, AuditEntry, Stream

SENSITIVITY = 0.5
NOTABLE_SHARE = 0.15  # a metric with less of the verdict does not count as taking part


@dataclass(frozen=True)
class Judged:
    """A batch with its verdicts, row by row: `readings`, `centre`, `verdicts.deviations` are (rows, metrics)."""

    kind: Kind
    readings: Floats
    centre: Floats
    verdicts: Verdicts

    def contributions(self, row: int) -> list[dict[str, Any]]:
        """Each measured metric's part in the verdict, largest first."""
        verdicts = self.verdicts
        order = np.argsort(-verdicts.shares[row], kind="stable")
        return [
            {
                "metric": self.kind.metrics[index],
                "observed": readings.short(self.readings[row, index]),
                "expected": readings.short(self.centre[row, index]),
                "deviation": round(float(verdicts.deviations[row, index]), 3),
                "share": round(float(verdicts.shares[row, index]), 4),
            }
            for index in order.tolist()
            if not np.isnan(verdicts.deviations[row, index])
        ]

    def metrics(self, row: int) -> int:
        """How many metrics take part in the verdict."""
        return int((self.verdicts.shares[row] >= NOTABLE_SHARE).sum())


async def judge(detector: Detector, frame: pl.DataFrame, streams: Sequence[Stream]) -> Judged:
    """Verdicts on a batch; its column `stream` says which of `streams` each row belongs to. Off the event loop."""
    kind = CATALOGUE[detector.kind]
    which = frame["stream"].to_numpy()
    centre, spread = baselines.gathered(detector.kind, streams)
    learned = np.array([stream.learned_samples for stream in streams], dtype=np.int64)
    readings = readings_of(frame, kind)
    verdicts = await asyncio.to_thread(
        detector.judge, readings, centre[which], spread[which], learned[which], SENSITIVITY
    )
    return Judged(kind, readings, centre[which], verdicts)


def readings_of(frame: pl.DataFrame, kind: Kind) -> Floats:
    """(rows, metrics) in catalogue order, NaN = not measured."""
    columns = [frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy() for column in kind.columns]
    return np.stack(columns, axis=1)


@dataclass
class Follow:
    """Carries the streams' episodes through one judged batch, sorted by stream and time."""

    session: AsyncSession
    model_version: str
    now: datetime
    judged: Judged
    times: NDArray[np.int64]  # (rows,) epoch ms
    open: dict[UUID, Anomaly] = field(default_factory=dict)
    born: list[Anomaly] = field(default_factory=list)
    touched: dict[UUID, Anomaly] = field(default_factory=dict)
    changes: list[tuple[AnomalyChange, Anomaly]] = field(default_factory=list)

    async def run(self, streams: Sequence[Stream], which: NDArray[np.int64]) -> list[Anomaly]:
        """The anomalies that the batch opened, extended or ended: stored and told of."""
        scores = self.judged.verdicts.score
        await self._load([stream.anomaly_id for stream in streams if stream.anomaly_id])
        starts = np.searchsorted(which, np.arange(len(streams) + 1)).tolist()
        alarming = np.bincount(which[scores > 0], minlength=len(streams))
        for number, stream in enumerate(streams):
            if alarming[number] or stream.anomaly_id or stream.alarms:
                self._stream(stream, starts[number], starts[number + 1])
        await self.session.flush()  # what ended, before what begins: a stream has one open anomaly at most
        self.session.add_all(self.born)
        await self.session.flush()
        await tell(self.session, self.changes)
        return list(self.touched.values())

    async def _load(self, ids: list[UUID]) -> None:
        if ids:
            query = select(Anomaly).where(among(Anomaly.id, ids)).order_by(Anomaly.id).with_for_update()
            self.open = {anomaly.id: anomaly for anomaly in await self.session.scalars(query)}

    def _stream(self, stream: Stream, first: int, end: int) -> None:
        """Where alarms are pending, the batch begins with their samples: nothing else is remembered of them."""
        since = pending_since(stream)
        last = None if stream.last_at is None else _ms(stream.last_at)
        newest = since - 1 if since is not None else -1 if last is None else last
        on_time = first + int(np.searchsorted(self.times[first:end], newest, side="right"))
        self._late(stream, slice(first, on_time))
        if on_time == end:
            return
        state, rows = EpisodeState(), slice(on_time, end)
        if since is None:
            state = EpisodeState(stream.anomaly_id is not None, stream.alarms, stream.quiets, None, last)
        state, episodes = follow(state, self.times[rows], self.judged.verdicts.score[rows])
        for episode in episodes:
            self._episode(stream, episode, rows)
        stream.alarms, stream.quiets = state.alarms, state.quiets
        stream.alarming_since = None if state.since is None else _at(state.since)

    def _late(self, stream: Stream, rows: slice) -> None:
        """Samples older than the newest that is stored: of the open episode, or of episodes that are over already."""
        _, episodes = follow(EpisodeState(), self.times[rows], self.judged.verdicts.score[rows])
        current = self.open.get(stream.anomaly_id) if stream.anomaly_id else None
        for episode in episodes:
            reach = (episode.last_seen_at or episode.started_at) + (0 if episode.closed else GAP_MS)
            if current and reach >= _ms(current.started_at):
                self._extend(current, episode, rows)
            else:
                self._end(self._begin(stream, episode, rows))

    def _episode(self, stream: Stream, episode: Episode, rows: slice) -> None:
        anomaly = self.open.get(stream.anomaly_id) if stream.anomaly_id else None
        if anomaly is None:
            anomaly = self._begin(stream, episode, rows)
        else:
            self._extend(anomaly, episode, rows)
        stream.anomaly_id = None if episode.closed else anomaly.id
        if episode.closed:
            self._end(anomaly)

    def _begin(self, stream: Stream, episode: Episode, rows: slice) -> Anomaly:
        anomaly = Anomaly(
            id=uuid7(),
            kind=stream.kind,
            target_id=stream.target_id,
            direction=Direction(stream.direction) if stream.direction else None,
            status=AnomalyStatus.OPEN,
            severity=Severity.LOW,
            score=0.0,
            confidence=0.0,
            contributions=[],
            model_version=self.model_version,
            started_at=_at(episode.started_at),
            last_seen_at=_at(episode.last_seen_at or episode.started_at),
            detected_at=self.now,
        )
        self._worsen(anomaly, self._alarms(episode, rows))
        self.born.append(anomaly)
        self.open[anomaly.id] = anomaly
        self._note(AnomalyChange.OPENED, anomaly)
        return anomaly

    def _extend(self, anomaly: Anomaly, episode: Episode, rows: slice) -> None:
        self.touched[anomaly.id] = anomaly
        if episode.last_seen_at is None:
            return
        before = anomaly.severity
        anomaly.started_at = min(anomaly.started_at, _at(episode.started_at))
        anomaly.last_seen_at = max(anomaly.last_seen_at, _at(episode.last_seen_at))
        self._worsen(anomaly, self._alarms(episode, rows))
        if anomaly.severity is not before and anomaly not in self.born:
            self._note(AnomalyChange.UPDATED, anomaly)

    def _alarms(self, episode: Episode, rows: slice) -> list[int]:
        """The rows of this episode that alarm."""
        times, last = self.times[rows], episode.last_seen_at or episode.started_at
        within = (times >= episode.started_at) & (times <= last) & (self.judged.verdicts.score[rows] > 0)
        alarms: list[int] = (rows.start + np.flatnonzero(within)).tolist()
        return alarms

    def _worsen(self, anomaly: Anomaly, alarms: list[int]) -> None:
        """Row by row, so that it makes no difference how rows are cut into batches."""
        score, metrics, peak = anomaly.score, _metrics(anomaly), None
        for row in alarms:
            if self.judged.verdicts.score[row] > score:
                score, metrics, peak = float(self.judged.verdicts.score[row]), self.judged.metrics(row), row
            seconds = (int(self.times[row]) - _ms(anomaly.started_at)) / 1000
            anomaly.severity = max(anomaly.severity, severity(score, metrics, seconds), key=lambda level: level.rank)
        if peak is not None:
            anomaly.score, anomaly.confidence = score, float(self.judged.verdicts.confidence[peak])
            anomaly.contributions = self.judged.contributions(peak)

    def _end(self, anomaly: Anomaly) -> None:
        anomaly.status, anomaly.ended_at = AnomalyStatus.RESOLVED, anomaly.last_seen_at
        self._note(AnomalyChange.RESOLVED, anomaly)

    def _note(self, change: AnomalyChange, anomaly: Anomaly) -> None:
        self.touched[anomaly.id] = anomaly
        if change is not AnomalyChange.UPDATED:
            at = self.now + len(self.changes) * timedelta(microseconds=1)  # in one batch, in their order
            self.session.add(AuditEntry(subject_id=anomaly.id, action=change, at=at))
        self.changes.append((change, anomaly))


def pending_since(stream: Stream) -> int | None:
    """When the alarms began (epoch ms) that are too few and too mild yet to open an episode."""
    waiting = stream.anomaly_id is None and stream.alarms > 0 and stream.alarming_since is not None
    return _ms(stream.alarming_since) if waiting and stream.alarming_since else None


def _metrics(anomaly: Anomaly) -> int:
    return sum(part["share"] >= NOTABLE_SHARE for part in anomaly.contributions)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
