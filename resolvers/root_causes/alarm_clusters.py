"""Alarm clusters: anomalies that opened together on what they share, and whether an analysis explains them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from ml.catalogue.root_causes import CulpritKind
from resolvers.store.queries.analysis_scope import Scope
from resolvers.store.tables.analyses import AnalysisScope, CorrelationAnalysis
from resolvers.store.tables.analysis_documents import Pattern

Transponder = tuple[int, str | None]

LEAST_LINKS: Final = 2  # that share a network, a hub or a transponder
LEAST_ON_SATELLITE: Final = 3
NARROW_SHARE: Final = 0.75  # of a wider scope's links, from which a narrower scope is analysed instead
RETRY: Final = timedelta(minutes=5)  # after an analysis that found nothing new: perhaps it came too early
SLACK: Final = timedelta(minutes=10)  # by which an anomaly may begin after its pattern ended
EARLIER: Final = timedelta(minutes=30)  # or before it began: a blip just before a fault belongs to the same anomaly


@dataclass(frozen=True)
class OpenAnomaly:
    """An anomaly that no analysis explains yet, and where it is. links: its target's. None or empty = not known."""

    id: UUID
    started_at: datetime
    detected_at: datetime
    is_link: bool
    links: frozenset[int]
    site: int | None
    network: int | None
    hub: int | None
    transponder: Transponder | None

    @property
    def satellite(self) -> int | None:
        return self.transponder and self.transponder[0]

    def is_within(self, scope: Scope) -> bool:
        shared = {
            AnalysisScope.NETWORK: self.network,
            AnalysisScope.HUB_ANTENNA: self.hub,
            AnalysisScope.SATELLITE: self.satellite,
        }
        return shared.get(scope.kind) == scope.key or (scope.kind is AnalysisScope.LINK and scope.key in self.links)

    def explained_by(self, pattern: Pattern) -> bool:
        """Returns whether it began in the pattern's time, on its links or on what depends on its culprit."""
        before = pattern.started_at > self.started_at + EARLIER
        after = pattern.ended_at is not None and pattern.ended_at < self.started_at - SLACK
        return not before and not after and self._depends_on(pattern)

    def _depends_on(self, pattern: Pattern) -> bool:
        if not self.links.isdisjoint(pattern.links):
            return True
        culprit = pattern.culprit
        if culprit is None:
            return False
        if culprit.kind is CulpritKind.SATELLITE:
            return self.transponder == (culprit.key, culprit.transponder)
        own = {CulpritKind.NETWORK: (self.network,), CulpritKind.SITE: (self.site, self.hub)}
        return culprit.key in own.get(culprit.kind, ())


def is_analyzed(anomaly: OpenAnomaly, analyses: Sequence[CorrelationAnalysis], now: datetime) -> bool:
    """Returns whether an analysis has considered the anomaly; one that found nothing new counts for a while."""
    return any(
        anomaly.detected_at <= analysis.created_at
        and anomaly.is_within(scope_of(analysis))
        and (_found_something(analysis) or now - analysis.created_at < RETRY)
        for analysis in analyses
    )


def _found_something(analysis: CorrelationAnalysis) -> bool:
    """Returns whether the analysis found a pattern that was not over before."""
    recent = analysis.window_end - SLACK
    return any(pattern.ended_at is None or pattern.ended_at >= recent for pattern in analysis.patterns)


def scope_of(analysis: CorrelationAnalysis) -> Scope:
    """Returns what an analysis was about."""
    key = analysis.satellite_id if analysis.scope is AnalysisScope.SATELLITE else analysis.target_id
    assert key is not None  # noqa: S101
    return Scope(analysis.scope, key)


def find_alarm_cluster(anomalies: Sequence[OpenAnomaly]) -> Scope | None:
    """Returns the scope to analyse first: the narrowest with most links, None if too few links are related."""
    of_links = [anomaly for anomaly in anomalies if anomaly.is_link]
    clusters: list[tuple[Scope, int]] = []
    for kind, shared in (
        (AnalysisScope.NETWORK, [(anomaly.network, anomaly.links) for anomaly in of_links]),
        (AnalysisScope.HUB_ANTENNA, [(anomaly.hub, anomaly.links) for anomaly in of_links]),
        (AnalysisScope.SATELLITE, [(anomaly.satellite, anomaly.links) for anomaly in of_links]),
    ):
        links = Counter(key for key, _ in {(key, link) for key, own in shared for link in own} if key is not None)
        least = LEAST_ON_SATELLITE if kind is AnalysisScope.SATELLITE else LEAST_LINKS
        clusters += [(Scope(kind, key), count) for key, count in links.most_common(1) if count >= least]
    if not clusters:
        return _find_transponder(of_links)
    most = max(count for _, count in clusters)
    return next(scope for scope, count in clusters if count >= NARROW_SHARE * most)


def _find_transponder(anomalies: Sequence[OpenAnomaly]) -> Scope | None:
    """Returns the satellite of a transponder with at least two of the links, whatever their hubs and networks."""
    pairs = {(anomaly.transponder, link) for anomaly in anomalies for link in anomaly.links}
    links = Counter(transponder for transponder, _ in pairs)
    shared = [one for one, count in links.most_common(1) if one is not None and count >= LEAST_LINKS]
    return Scope(AnalysisScope.SATELLITE, shared[0][0]) if shared else None
