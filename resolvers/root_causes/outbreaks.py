"""Which anomalies opened together, on what they share; and whether an analysis has looked at them, or explains them."""

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
MOST_OF: Final = 0.75  # of the links of a wider scope, in a narrower one, and it is the narrower one's fault
RETRY: Final = timedelta(minutes=5)  # after an analysis that found nothing new: perhaps it came too early
SLACK: Final = timedelta(minutes=10)  # an anomaly may begin so long after its pattern ended
EARLIER: Final = timedelta(minutes=30)  # or before it: a blip just before a fault is of the same anomaly


@dataclass(frozen=True)
class Opened:
    """An anomaly that no analysis explains yet, and where: `links` are its target's own, None and empty if unknown."""

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

    def within(self, scope: Scope) -> bool:
        shared = {
            AnalysisScope.NETWORK: self.network,
            AnalysisScope.HUB_ANTENNA: self.hub,
            AnalysisScope.SATELLITE: self.satellite,
        }
        return shared.get(scope.of) == scope.key or (scope.of is AnalysisScope.LINK and scope.key in self.links)

    def explained_by(self, pattern: Pattern) -> bool:
        """It began in the pattern's time, and is of its links or depends on its culprit."""
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


def looked_at(one: Opened, analyses: Sequence[CorrelationAnalysis], now: datetime) -> bool:
    """Whether one of these was made of it already; one that found nothing new counts only for a while."""
    return any(
        one.detected_at <= analysis.created_at
        and one.within(scope_of(analysis))
        and (_found_something(analysis) or now - analysis.created_at < RETRY)
        for analysis in analyses
    )


def _found_something(analysis: CorrelationAnalysis) -> bool:
    """That was not over before."""
    recent = analysis.window_end - SLACK
    return any(pattern.ended_at is None or pattern.ended_at >= recent for pattern in analysis.patterns)


def scope_of(analysis: CorrelationAnalysis) -> Scope:
    key = analysis.satellite_id if analysis.scope is AnalysisScope.SATELLITE else analysis.target_id
    assert key is not None  # noqa: S101
    return Scope(analysis.scope, key)


def outbreak(opened: Sequence[Opened]) -> Scope | None:
    """What is worth an analysis first: the narrowest scope of most links; None where too few are related."""
    opened = [one for one in opened if one.is_link]
    found: list[tuple[Scope, int]] = []
    for of, shared in (
        (AnalysisScope.NETWORK, [(one.network, one.links) for one in opened]),
        (AnalysisScope.HUB_ANTENNA, [(one.hub, one.links) for one in opened]),
        (AnalysisScope.SATELLITE, [(one.satellite, one.links) for one in opened]),
    ):
        links = Counter(key for key, _ in {(key, link) for key, own in shared for link in own} if key is not None)
        least = LEAST_ON_SATELLITE if of is AnalysisScope.SATELLITE else LEAST_LINKS
        found += [(Scope(of, key), many) for key, many in links.most_common(1) if many >= least]
    if not found:
        return _shared_transponder(opened)
    most = max(many for _, many in found)
    return next(scope for scope, many in found if many >= MOST_OF * most)


def _shared_transponder(opened: Sequence[Opened]) -> Scope | None:
    """Two links suffice on the same one, whatever their hubs and networks."""
    links = Counter(one for one, _ in {(one.transponder, link) for one in opened for link in one.links})
    shared = [one for one, many in links.most_common(1) if one is not None and many >= LEAST_LINKS]
    return Scope(AnalysisScope.SATELLITE, shared[0][0]) if shared else None
