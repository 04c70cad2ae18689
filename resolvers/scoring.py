"""Stored samples become verdicts, verdicts become episodes, episodes become anomalies: inside the ingest transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.detector import Detector, Verdicts
from ml.episodes import Episode, EpisodeState, follow, severity
from ml.metrics import CATALOGUE, Direction, Floats, Kind
from resolvers import baselines
from resolvers.anomalies import AnomalyChange, tell
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
                "observed": round(float(self.readings[row, index]), 6),
                "expected": round(float(self.centre[row, index]), 6),
                "deviation": round(float(verdicts.deviations[row, index]), 3),
                "share": round(float(verdicts.shares[row, index]), 4),
            }
            for index in order.tolist()
            if not np.isnan(verdicts.deviations[row, index])
        ]

    def finding(self, row: int, seconds: float) -> dict[str, Any]:
        """What an anomaly records of its worst sample, after lasting so long."""
        score = float(self.verdicts.score[row])
        notable = int((self.verdicts.shares[row] >= NOTABLE_SHARE).sum())
        return {
            "score": score,
            "confidence": float(self.verdicts.confidence[row]),
            "severity": severity(score, notable, seconds),
            "contributions": self.contributions(row),
        }


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
        await self.session.flush()
        await tell(self.session, self.changes)
        return list(self.touched.values())

    async def _load(self, ids: list[UUID]) -> None:
        if ids:
            query = select(Anomaly).where(Anomaly.id.in_(ids)).order_by(Anomaly.id).with_for_update()
            self.open = {anomaly.id: anomaly for anomaly in await self.session.scalars(query)}

    def _stream(self, stream: Stream, first: int, end: int) -> None:
        """Samples older than the newest that is stored make episodes of their own, which are over already."""
        newest = -1 if stream.last_at is None else _ms(stream.last_at)
        on_time = first + int(np.searchsorted(self.times[first:end], newest, side="right"))
        self._late(stream, first, on_time)
        state = EpisodeState(
            stream.anomaly_id is not None,
            stream.alarms,
            stream.quiets,
            stream.alarming_since and _ms(stream.alarming_since),
            stream.last_at and _ms(stream.last_at),
        )
        state, episodes = follow(state, self.times[on_time:end], self.judged.verdicts.score[on_time:end])
        for episode in episodes:
            self._episode(stream, episode, on_time)
        stream.alarms, stream.quiets = state.alarms, state.quiets
        stream.alarming_since = None if state.since is None else _at(state.since)

    def _late(self, stream: Stream, first: int, end: int) -> None:
        _, episodes = follow(EpisodeState(), self.times[first:end], self.judged.verdicts.score[first:end])
        current = self.open.get(stream.anomaly_id) if stream.anomaly_id else None
        for episode in episodes:
            if episode.opened and not (current and current.started_at <= _at(episode.started_at)):
                self._end(self._begin(stream, episode, first))

    def _episode(self, stream: Stream, episode: Episode, offset: int) -> None:
        anomaly = self.open.get(stream.anomaly_id) if stream.anomaly_id else None
        if anomaly is None:
            anomaly = self._begin(stream, episode, offset)
        else:
            self._extend(anomaly, episode, offset)
        stream.anomaly_id = None if episode.closed else anomaly.id
        if episode.closed:
            self._end(anomaly)

    def _begin(self, stream: Stream, episode: Episode, offset: int) -> Anomaly:
        peak, last = offset + (episode.peak or 0), episode.last_seen_at or episode.started_at
        anomaly = Anomaly(
            id=uuid7(),
            kind=stream.kind,
            target_id=stream.target_id,
            direction=Direction(stream.direction) if stream.direction else None,
            status=AnomalyStatus.OPEN,
            model_version=self.model_version,
            started_at=_at(episode.started_at),
            last_seen_at=_at(last),
            detected_at=self.now,
            **self.judged.finding(peak, (last - episode.started_at) / 1000),
        )
        self.session.add(anomaly)
        self.open[anomaly.id] = anomaly
        self._note(AnomalyChange.OPENED, anomaly)
        return anomaly

    def _extend(self, anomaly: Anomaly, episode: Episode, offset: int) -> None:
        self.touched[anomaly.id] = anomaly
        if episode.peak is None or episode.last_seen_at is None:
            return
        anomaly.last_seen_at = _at(episode.last_seen_at)
        seconds = (anomaly.last_seen_at - anomaly.started_at).total_seconds()
        finding = self.judged.finding(offset + episode.peak, seconds)
        before = anomaly.severity
        if finding["score"] > anomaly.score:
            anomaly.score, anomaly.confidence = finding["score"], finding["confidence"]
            anomaly.contributions = finding["contributions"]
        anomaly.severity = max(before, finding["severity"], key=lambda severity: severity.rank)
        if anomaly.severity is not before:
            self._note(AnomalyChange.UPDATED, anomaly)

    def _end(self, anomaly: Anomaly) -> None:
        anomaly.status, anomaly.ended_at = AnomalyStatus.RESOLVED, anomaly.last_seen_at
        self._note(AnomalyChange.RESOLVED, anomaly)

    def _note(self, change: AnomalyChange, anomaly: Anomaly) -> None:
        self.touched[anomaly.id] = anomaly
        self.changes.append((change, anomaly))
        if change is not AnomalyChange.UPDATED:
            self.session.add(AuditEntry(subject_id=anomaly.id, action=change))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
