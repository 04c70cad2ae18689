"""Rewrites anomalies by what replayed stretches say: extends, joins, opens, ends and withdraws them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import numpy as np
from sqlalchemy import and_, or_, select

from ml.detection.episodes import CLEAR_COUNT, CLEAR_MS, EXTREME, Episode, Severity
from ml.detection.replay import ReplayedStretch
from resolvers.base.times import from_ms, to_ms
from resolvers.detection.anomalies import AnomalyChange
from resolvers.detection.anomaly_writer import AnomalyWriter
from resolvers.detection.joining import join_anomalies
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.core import Anomaly, AnomalyCategory, AnomalyStatus, AuditEntry
from resolvers.store.telemetry.streams import StoredEpisodeState

GOES_ON: Final = "Late samples show that it went on."
_GRADES: Final = ("score", "confidence", "severity", "contributions")
WAS_NONE: Final = "Late samples show that there was nothing unusual."


@dataclass(frozen=True)
class JudgedStretch:
    """A stretch of the stream `number`.

    is_complete: it begins with the stream's first sample. reaches_newest: it ends with its newest.
    is_silent: the stream fell silent, and was not heard since.
    """

    number: int
    replayed: ReplayedStretch
    is_complete: bool
    reaches_newest: bool
    is_silent: bool


@dataclass
class _Match:
    """An episode of a stretch, and the anomalies that tell of parts of it, the first to begin first."""

    stretch: JudgedStretch
    episode: Episode
    anomalies: list[Anomaly]
    lasts: bool


@dataclass
class StretchRewriter:
    """Makes the anomalies of stretches what they would be had all samples come in order.

    What people did stays: what they resolved, opened by a detection, or acted on is neither reopened nor withdrawn.
    """

    writer: AnomalyWriter
    acted_on: set[UUID] = field(default_factory=set)
    opened_by_hand: set[UUID] = field(default_factory=set)
    resolved_by_hand: set[UUID] = field(default_factory=set)

    async def run(self, stretches: Sequence[JudgedStretch]) -> list[Anomaly]:
        """Stores, publishes and returns what changed; the stretches are sorted by stream and time."""
        existing = await self._load(stretches)
        taken: set[UUID] = set()
        matches = _unite([match for stretch in stretches for match in self._match(stretch, existing, taken)])
        for stretch in stretches:
            self._let_go(stretch, existing[stretch.number], taken, matches)
        for match in matches:
            if len(match.anomalies) > 1 and not self._find_resolved(match):
                match.anomalies = [await self._join(match.anomalies)]
        await self.writer.session.flush()  # what is joined has ended before what it is joined to is open again
        for match in matches:
            self._rewrite(match)
        return await self.writer.store()

    # ------------------------------------------------------------ what there is

    async def _load(self, stretches: Sequence[JudgedStretch]) -> dict[int, list[Anomaly]]:
        """Returns the anomalies around the stretches, by stream, the first to begin first; they are locked."""
        streams, times = self.writer.streams, self.writer.times
        numbers = {streams.keys[stretch.number]: stretch.number for stretch in stretches}
        attached = {state.anomaly_id for state in streams.episode_states.values() if state.anomaly_id}
        began = min(int(times[stretch.replayed.rows.start]) for stretch in stretches)
        ended = max(int(times[stretch.replayed.rows.stop - 1]) for stretch in stretches)
        query = select(Anomaly).where(
            Anomaly.kind == streams.kind,
            is_among(Anomaly.target_id, {target for target, _ in numbers}),
            Anomaly.category == AnomalyCategory.DEVIATION,
            Anomaly.merged_into_id.is_(None),
            Anomaly.withdrawn_at.is_(None),
            or_(
                and_(Anomaly.started_at <= from_ms(ended), Anomaly.last_seen_at >= from_ms(began)),
                is_among(Anomaly.id, attached),
            ),
        )
        result: dict[int, list[Anomaly]] = {stretch.number: [] for stretch in stretches}
        ordered = query.order_by(Anomaly.id).with_for_update().execution_options(populate_existing=True)
        for anomaly in await self.writer.session.scalars(ordered):
            number = numbers.get((anomaly.target_id, anomaly.direction or ""))
            if number is not None:
                result[number].append(anomaly)
        for anomalies in result.values():
            anomalies.sort(key=lambda anomaly: (anomaly.started_at, anomaly.id))
        rows = [anomaly for anomalies in result.values() for anomaly in anomalies]
        await self._load_acts([anomaly.id for anomaly in rows])
        self.resolved_by_hand |= {a.id for a in rows if a.id in attached and _is_over(a)}
        return result

    async def _load_acts(self, ids: Sequence[UUID]) -> None:
        if not ids:
            return
        query = select(AuditEntry.subject_id, AuditEntry.action)
        by_people = query.where(is_among(AuditEntry.subject_id, ids), AuditEntry.by_id.is_not(None))
        for id, action in (await self.writer.session.execute(by_people)).all():
            self.acted_on.add(id)
            if action == AnomalyChange.OPENED:
                self.opened_by_hand.add(id)
            if action == AnomalyChange.RESOLVED:
                self.resolved_by_hand.add(id)

    # ------------------------------------------------------------ what belongs together

    def _match(self, stretch: JudgedStretch, existing: dict[int, list[Anomaly]], taken: set[UUID]) -> Iterable[_Match]:
        own = existing[stretch.number]
        for episode in stretch.replayed.episodes:
            last = _end_of(episode)
            parts = [
                anomaly
                for anomaly in own
                if anomaly.id not in taken
                and to_ms(anomaly.started_at) <= last
                and to_ms(anomaly.last_seen_at) >= episode.started_at
            ]
            taken |= {anomaly.id for anomaly in parts}
            is_open = not all(map(_is_over, parts))
            if is_open:
                parts = [anomaly for anomaly in parts if anomaly.id not in self.resolved_by_hand]
            lasts = not episode.closed and not stretch.is_silent if stretch.reaches_newest else is_open
            yield _Match(stretch, episode, parts, lasts)

    def _find_resolved(self, match: _Match) -> Anomaly | None:
        """Returns the newest part of an episode that somebody resolved."""
        resolved = [anomaly for anomaly in match.anomalies if anomaly.id in self.resolved_by_hand]
        return max(resolved, key=lambda anomaly: anomaly.last_seen_at) if resolved else None

    async def _join(self, parts: Sequence[Anomaly]) -> Anomaly:
        """Joins anomalies of one episode into the one that began first, which is returned."""
        first, *others = parts
        await join_anomalies(self.writer, first, others)
        for other in others:
            for kind in (self.acted_on, self.opened_by_hand):
                if other.id in kind:
                    kind.add(first.id)
        return first

    # ------------------------------------------------------------ what there is no episode for

    def _let_go(
        self, stretch: JudgedStretch, own: Sequence[Anomaly], taken: set[UUID], matches: Sequence[_Match]
    ) -> None:
        """Withdraws or ends what no episode stands for any more, and gives the stream the state of the replay."""
        replayed, streams = stretch.replayed, self.writer.streams
        first, last = (int(self.writer.times[row]) for row in (replayed.rows.start, replayed.rows.stop - 1))
        lasting = any(match.lasts for match in matches if match.stretch.number == stretch.number)
        state = replayed.state
        kept = StoredEpisodeState(None, state.alarms, state.clear_count, state.since)
        for anomaly in own:
            began, seen = to_ms(anomaly.started_at), to_ms(anomaly.last_seen_at)
            if anomaly.id in taken:
                continue
            is_open = not _is_over(anomaly)
            is_within = (stretch.is_complete or began > first) and replayed.changed_at <= seen <= last
            if is_within and self._may_withdraw(anomaly, replayed) and (stretch.reaches_newest or not is_open):
                self._withdraw(anomaly)
            elif is_open and stretch.reaches_newest:
                clear = self._count_clear(replayed, seen)
                if lasting or (clear >= CLEAR_COUNT and last - seen >= CLEAR_MS):
                    self.writer.end(anomaly)
                else:
                    kept = StoredEpisodeState(anomaly.id, max(state.alarms, 1), clear, None)
        if stretch.reaches_newest:
            streams.episode_states[stretch.number] = StoredEpisodeState() if stretch.is_silent else kept

    def _may_withdraw(self, anomaly: Anomaly, replayed: ReplayedStretch) -> bool:
        """Returns whether nobody acted on it, and it is neither critical nor extreme and still alarming."""
        if anomaly.id in self.acted_on or anomaly.feedback is not None or anomaly.severity is Severity.CRITICAL:
            return False
        times, scores = self.writer.times[replayed.rows], self.writer.scored.scores.score[replayed.rows]
        own = (times >= to_ms(anomaly.started_at)) & (times <= to_ms(anomaly.last_seen_at))
        return anomaly.score < EXTREME or not bool((scores[own] > 0).any())

    def _withdraw(self, anomaly: Anomaly) -> None:
        anomaly.withdrawn_at = self.writer.now
        anomaly.status, anomaly.ended_at = AnomalyStatus.RESOLVED, anomaly.ended_at or anomaly.last_seen_at
        self.writer.record(AnomalyChange.WITHDRAWN, anomaly, details=WAS_NONE)

    def _count_clear(self, replayed: ReplayedStretch, seen: int) -> int:
        rows = replayed.rows
        times, scores = self.writer.times[rows], self.writer.scored.scores.score[rows]
        return int(np.count_nonzero((times > seen) & ~np.isnan(scores)))

    # ------------------------------------------------------------ what an episode becomes

    def _rewrite(self, match: _Match) -> None:
        if resolved := self._find_resolved(match):
            anomaly = self._open_if_worse(match, resolved)
        elif not match.anomalies:
            anomaly = self.writer.open(
                self.writer.make(match.stretch.number, match.episode, match.stretch.replayed.rows)
            )
            if not match.lasts:
                self.writer.end(anomaly)
        else:
            anomaly = match.anomalies[0]
            self._redraw(match, anomaly)
            self._set_status(match, anomaly)
        self._attach(match, anomaly)

    def _attach(self, match: _Match, anomaly: Anomaly) -> None:
        states, number = self.writer.streams.episode_states, match.stretch.number
        if match.stretch.reaches_newest and match.lasts:
            states[number].anomaly_id, states[number].alarming_since = anomaly.id, None
        elif match.lasts and number in states and states[number].anomaly_id is not None:
            states[number].anomaly_id = anomaly.id  # it was joined to an earlier one

    def _open_if_worse(self, match: _Match, resolved: Anomaly) -> Anomaly:
        """Returns a new anomaly if what came after somebody resolved this is more severe, else this."""
        rows, seen = match.stretch.replayed.rows, to_ms(resolved.last_seen_at)
        times, scores = self.writer.times[rows], self.writer.scored.scores.score[rows]
        later = np.flatnonzero((times > seen) & (times <= _end_of(match.episode)) & (scores > 0))
        if not match.lasts or not len(later):
            return resolved
        episode = Episode(
            opened=True,
            started_at=int(times[later[0]]),
            last_seen_at=int(times[later[-1]]),
            peak=None,
            alarms=len(later),
            closed=False,
        )
        anomaly = self.writer.make(match.stretch.number, episode, rows)
        return self.writer.open(anomaly) if anomaly.severity.rank > resolved.severity.rank else resolved

    def _redraw(self, match: _Match, anomaly: Anomaly) -> None:
        """Gives the anomaly the episode's extent, and grades it anew where all of it was judged again."""
        writer, episode, rows = self.writer, match.episode, match.stretch.replayed.rows
        first, last = int(writer.times[rows.start]), int(writer.times[rows.stop - 1])
        began, seen = to_ms(anomaly.started_at), to_ms(anomaly.last_seen_at)
        is_whole = (match.stretch.is_complete or began > first) and seen <= last
        if is_whole and anomaly.id not in self.opened_by_hand:
            began, seen = episode.started_at, _end_of(episode)
        else:
            is_whole, began, seen = False, min(began, episode.started_at), max(seen, _end_of(episode))
        before = {name: getattr(anomaly, name) for name in _GRADES}
        had = anomaly.started_at, anomaly.last_seen_at, anomaly.severity
        anomaly.started_at, anomaly.last_seen_at = from_ms(began), from_ms(seen)
        if is_whole:
            anomaly.score, anomaly.severity, anomaly.contributions = 0.0, Severity.LOW, []
        writer.worsen(anomaly, writer.find_alarms(episode, rows))
        if had == (anomaly.started_at, anomaly.last_seen_at, anomaly.severity):
            for name, value in before.items():  # its samples are the same: only what they are compared with is not
                setattr(anomaly, name, value)
        else:
            writer.touch(anomaly)
            writer.tell_severity(had[2], anomaly)
        if anomaly.is_historical and not writer.is_past(match.stretch.number, episode, rows):
            writer.bring_into_the_present(anomaly)

    def _set_status(self, match: _Match, anomaly: Anomaly) -> None:
        is_over = _is_over(anomaly)
        if match.lasts and is_over:
            is_taken = anomaly.acknowledged_by_id is not None
            anomaly.status = AnomalyStatus.ACKNOWLEDGED if is_taken else AnomalyStatus.OPEN
            anomaly.ended_at = None
            self.writer.record(AnomalyChange.UPDATED, anomaly, f"{AnomalyChange.UPDATED}: REOPENED", GOES_ON)
        elif not match.lasts and not is_over:
            self.writer.end(anomaly)
        elif not match.lasts:
            anomaly.ended_at = anomaly.last_seen_at


def _unite(matches: Sequence[_Match]) -> list[_Match]:
    """Returns the matches by stream and time, those as one that see the same episode from two stretches of a stream."""
    result: list[_Match] = []
    for match in matches:
        before = result[-1] if result else None
        is_same = before is not None and before.stretch.number == match.stretch.number
        if before is not None and is_same and match.episode.started_at <= _end_of(before.episode):
            result.pop()
            began = min(before.episode.started_at, match.episode.started_at)
            match.episode = replace(match.episode, started_at=began)
            match.anomalies = before.anomalies + match.anomalies
            is_open = not all(map(_is_over, match.anomalies))
            match.lasts = match.lasts if match.stretch.reaches_newest else is_open
        result.append(match)
    return result


def _is_over(anomaly: Anomaly) -> bool:
    return anomaly.status is AnomalyStatus.RESOLVED


def _end_of(episode: Episode) -> int:
    return episode.started_at if episode.last_seen_at is None else episode.last_seen_at
