"""Writes the anomalies of one scored batch: opens, extends, ends and grades them, and tells of it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import Direction
from ml.detection.episodes import Episode, Severity
from ml.detection.severity import rate_severity
from resolvers.base.times import from_ms, to_ms
from resolvers.detection.anomalies import AnomalyChange, publish_changes
from resolvers.detection.arrivals import Arrivals
from resolvers.detection.scoring import NOTABLE_SHARE, ScoredBatch
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Anomaly, AnomalyStatus, AuditEntry
from resolvers.store.telemetry.streams import Streams


@dataclass
class AnomalyWriter:
    """Keeps the anomalies of a scored batch, sorted by stream and time, and what there is to tell of them.

    times: epoch ms, shape (rows,).
    opened: anomalies that are not in the database yet.
    touched: all that the batch opened, extended or ended.
    """

    session: AsyncSession
    arrivals: Arrivals
    model_version: str
    now: datetime
    scored: ScoredBatch
    times: NDArray[np.int64]
    streams: Streams
    opened: dict[UUID, Anomaly] = field(default_factory=dict)
    touched: dict[UUID, Anomaly] = field(default_factory=dict)
    changes: list[tuple[AnomalyChange, Anomaly]] = field(default_factory=list)

    async def store(self) -> list[Anomaly]:
        """Stores what changed and publishes it; returns the anomalies."""
        await self.session.flush()  # what ended, before what begins: a stream has one open anomaly at most
        self.session.add_all(self.opened.values())
        await self.session.flush()
        await publish_changes(self.session, self.changes)
        return list(self.touched.values())

    def touch(self, anomaly: Anomaly) -> None:
        self.touched[anomaly.id] = anomaly

    def make(self, number: int, episode: Episode, rows: slice) -> Anomaly:
        """Returns a new open anomaly of an episode, which is not stored unless it is opened."""
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
            is_historical=self.is_past(number, episode, rows),
        )
        self.worsen(anomaly, self.find_alarms(episode, rows))
        return anomaly

    def open(self, anomaly: Anomaly) -> Anomaly:
        self.opened[anomaly.id] = anomaly
        self.record(AnomalyChange.OPENED, anomaly)
        return anomaly

    def end(self, anomaly: Anomaly) -> None:
        anomaly.status, anomaly.ended_at = AnomalyStatus.RESOLVED, anomaly.last_seen_at
        self.record(AnomalyChange.RESOLVED, anomaly)

    def is_past(self, number: int, episode: Episode, rows: slice) -> bool:
        """Returns whether all of it is older than samples of the present are when they come."""
        newest = episode.last_seen_at or episode.started_at if episode.closed else int(self.times[rows.stop - 1])
        return self.arrivals.now - newest > int(self.arrivals.live_bounds[number])

    def find_alarms(self, episode: Episode, rows: slice) -> list[int]:
        """Returns the rows of this episode that alarm."""
        times, last = self.times[rows], episode.last_seen_at or episode.started_at
        within = (times >= episode.started_at) & (times <= last) & (self.scored.scores.score[rows] > 0)
        alarms: list[int] = (rows.start + np.flatnonzero(within)).tolist()
        return alarms

    def worsen(self, anomaly: Anomaly, alarms: list[int]) -> None:
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

    def bring_into_the_present(self, anomaly: Anomaly) -> None:
        """Tells of an anomaly whose history goes on until now."""
        anomaly.is_historical = False
        self.record(AnomalyChange.OPENED, anomaly, f"{AnomalyChange.UPDATED}: CURRENT", "It goes on in the present.")

    def tell_severity(self, before: Severity, anomaly: Anomaly) -> None:
        """Tells of another severity than before, but of new anomalies."""
        if anomaly.severity is not before and anomaly.id not in self.opened:
            self.record(AnomalyChange.UPDATED, anomaly, f"{AnomalyChange.UPDATED}: {anomaly.severity}")

    def record(
        self, change: AnomalyChange, anomaly: Anomaly, action: str | None = None, details: str | None = None
    ) -> None:
        """Adds to the anomaly's history, and to what is published.

        action: what the history says; the change itself if it is None.
        """
        self.touch(anomaly)
        at = self.now + len(self.changes) * timedelta(microseconds=1)  # in one batch, in their order
        self.session.add(AuditEntry(subject_id=anomaly.id, action=action or change, details=details, at=at))
        self.changes.append((change, anomaly))


def _count_metrics(anomaly: Anomaly) -> int:
    return sum(part["share"] >= NOTABLE_SHARE for part in anomaly.contributions)
