"""The work of an analysis: reads links and samples, analyses them in a thread, and returns what to store."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from ml.catalogue.metrics import CATALOGUE, Direction, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.catalogue.topology import Topology, place_sites
from ml.numerics.arrays import Floats
from ml.root_cause import analysis, report
from ml.root_cause.model import RootCauseModel
from ml.root_cause.report import HISTORY_HOURS, READ, Request
from resolvers.base.errors import InvalidInput
from resolvers.base.times import from_ms, to_ms
from resolvers.context import Services
from resolvers.root_causes.context_evidence import add_context_evidence
from resolvers.store.queries import analysis_scope, context_of_links
from resolvers.store.queries.analysis_scope import Groups, LinkSet, Scope
from resolvers.store.tables import analysis_documents
from resolvers.store.telemetry import samples as telemetry
from resolvers.store.telemetry import streams
from resolvers.store.telemetry.samples import Downsampling

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

MOST_ADDED: Final = 2000  # further links of the culprits that a second look takes in
LEARNED_FROM: Final = 100  # samples from which a stream's centre is a reference level
PROBED: Final = 20  # links from which the cadence is estimated
DEFAULT_CADENCE: Final = 300.0  # seconds between two samples of a stream, if there are too few to tell
HISTORY_READ: Final = 48  # samples of a stream's history that suffice for reference levels
HISTORY_KEPT: Final = 4  # part of each pause from which samples are kept: those before may have had another cadence
MARGIN_SECONDS, MARGIN_SAMPLES = 900.0, 20  # at least, read before an incident begins
RECENT_SAMPLES: Final = 20  # of a stream, whose usual gap is its cadence now
HISTORY_SAMPLES: Final = 360  # of a stream at most, that an incident's history goes through
USUAL_LOOKBACK, LONGEST_LOOKBACK = timedelta(hours=24), timedelta(days=90)
KIND: Final = TargetKind.LINK
COLUMNS: Final = [CATALOGUE[KIND].metrics.index(metric) for metric in READ]


@dataclass(frozen=True)
class Limits:
    """samples: that an analysis may go through. read: of them, evenly; its grid has no more cells."""

    samples: int = 20_000_000
    read: int = 4_000_000


@dataclass(frozen=True)
class Span:
    """From `start` up to `end`. cadence: seconds between a stream's samples. stride: every so many-th is read.

    history_hours: before the start. fitted: to an incident: the cadence is that of the newest samples, and the grid's
    step, and the links in scope are known to misbehave.
    """

    start: datetime
    end: datetime
    limits: Limits = Limits()
    cadence: float = DEFAULT_CADENCE
    stride: int = 1
    history_hours: float = HISTORY_HOURS
    fitted: bool = False

    @property
    def step_ms(self) -> int | None:
        """The grid's step, None to measure it."""
        return 1000 * max(1, round(self.cadence)) * self.stride if self.fitted else None

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()

    @property
    def since(self) -> datetime:
        """When the history begins that reference levels are learned from."""
        return self.start - timedelta(hours=self.history_hours)

    @property
    def thinned(self) -> list[Downsampling]:
        step = max(1, round(self.cadence))
        period = step * self.stride
        whole = [Downsampling(self.end, step, period)] if self.stride > 1 else []
        pause = max(1, round(self.history_hours * 3600 / HISTORY_READ / period)) * period
        kept = max(step, pause // HISTORY_KEPT) if self.fitted else step
        return [*whole, Downsampling(self.start, kept, pause)]


@dataclass(frozen=True)
class AnalysisResult:
    """What an analysis found in its window, from `start` up to `end`.

    links, compared: numbers of links with samples in the scope, and around it.
    """

    patterns: tuple[analysis_documents.Pattern, ...]
    correlation: float
    links: int
    compared: int
    model_version: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class _Material:
    """The input of an analysis. reference: the streams' reference levels, shape (2 x links, len(READ))."""

    topology: Topology
    frame: pl.DataFrame
    reference: Floats

    @property
    def links(self) -> list[int]:
        links: list[int] = self.topology.links.tolist()
        return links


async def analyze(
    services: Services, scope: Scope, what: str, start: datetime, end: datetime, limits: Limits | None = None
) -> AnalysisResult:
    """Analyses the links in scope from `start` up to `end`, and once more with all links of the culprits found.

    what: the scope's kind in messages. Raises InvalidInput if there are no or too many samples, Unavailable without a
    model.
    """
    model = await services.registry.root_cause()
    async with services.analyses:
        async with services.database.driver() as connection:
            material, span = await _gather(connection, scope, what, Span(start, end, limits or Limits()))
        return await _examine(services, material, span, model)


async def analyze_incident(
    services: Services, links: Sequence[int], started_at: datetime, until: datetime, limits: Limits | None = None
) -> AnalysisResult:
    """Analyses any links, such as those with anomalies of one incident, as they are at `until`.

    The window begins a margin before `started_at`, and its step is the samples' own cadence. Links around them are read
    for comparison. The result has no patterns where nothing was measured, or no link is left. Raises Unavailable
    without a model.
    """
    model = await services.registry.root_cause()
    async with services.analyses:
        async with services.database.driver() as connection:
            gathered = await _gather_incident(connection, LinkSet(tuple(links)), started_at, until, limits or Limits())
        material, span = gathered
        if material is None:
            return AnalysisResult((), 0.0, 0, 0, model.version, span.start, span.end)
        return await _examine(services, material, span, model)


async def _examine(services: Services, material: "_Material", span: Span, model: RootCauseModel) -> AnalysisResult:
    """Analyses the material, and once more with all links of the culprits found."""
    result = await asyncio.to_thread(_analyze, material, span, model)
    if groups := _groups(material.topology, result.patterns):
        async with services.database.driver() as connection:
            more = await _complete(connection, material, groups, span)
        if more:
            material = more
            result = await asyncio.to_thread(_analyze, material, span, model)
    told = result.patterns
    if told:
        async with services.database.driver() as connection:
            told = await add_context_evidence(connection, material.topology, told, span.start, span.end)
    patterns = tuple(_to_document(material.topology, pattern) for pattern in told)
    compared = await asyncio.to_thread(_count_compared, material, span)
    return AnalysisResult(patterns, result.correlation, result.links, compared, model.version, span.start, span.end)


def _analyze(material: _Material, span: Span, model: RootCauseModel) -> report.Analysis:
    start_ms, end_ms = to_ms(span.start), to_ms(span.end)
    request = Request(material.frame, start_ms, end_ms, material.reference, span.step_ms, alarmed=span.fitted)
    return analysis.analyze(material.topology, request, model)


def _count_compared(material: _Material, span: Span) -> int:
    """Returns how many links around the scope have samples in the window."""
    measured = material.frame.filter(pl.col("at") >= to_ms(span.start))["link"].unique().to_numpy()
    return int((~np.isin(measured, material.topology.links[material.topology.in_scope])).sum())


def _is_empty(material: _Material, span: Span) -> bool:
    """Returns whether no link in scope has a sample in the window."""
    recent = material.frame["link"].filter(material.frame["at"] >= to_ms(span.start)).unique().to_numpy()
    return not np.isin(material.topology.links[material.topology.in_scope], recent).any()


# ---------------------------------------------------------------- reading


async def _gather(connection: "Connection", scope: Scope, what: str, span: Span) -> tuple[_Material, Span]:
    """Reads the scope's links and those around them. Raises InvalidInput if there are no or too many samples."""
    own = await analysis_scope.list_links(connection, scope)
    if not own:
        raise InvalidInput(f"This {what} has no links to analyze.")
    links = [*own, *await analysis_scope.list_links_around(connection, scope)]
    span = await _measure_cadence(connection, own, len(links) - len(own), span)
    material = await _material(connection, await _load_topology(connection, links, own, span), links, span)
    if await asyncio.to_thread(_is_empty, material, span):
        newest = await streams.find_newest(connection, KIND, own)
        raise InvalidInput(
            _explain_absence(what, newest), ["hoursLookback" if newest and newest < span.start else "until"]
        )
    return material, span


async def choose_start(services: Services, scope: Scope, until: datetime) -> datetime:
    """Returns where a window up to `until` begins that fits what goes on in a scope then.

    That is a margin before its oldest anomaly that lasts, or a day before `until` if all is well.
    """
    async with services.database.driver() as connection:
        links = await analysis_scope.list_links(connection, scope)
        started_at = await analysis_scope.find_first_open(connection, scope, until)
        if started_at is None:
            return until - USUAL_LOOKBACK
        span = await _fit_span(connection, links, started_at, until, Limits())
    longest = timedelta(seconds=Limits().samples / 4 / max(1, len(links)) * span.cadence)
    return max(span.start, until - min(longest, LONGEST_LOOKBACK))


async def _gather_incident(
    connection: "Connection", scope: LinkSet, started_at: datetime, until: datetime, limits: Limits
) -> tuple[_Material | None, Span]:
    """Reads an incident's links and those around them; no material where there is nothing to analyse."""
    own = await analysis_scope.list_links(connection, scope)
    links = [*own, *await analysis_scope.list_links_around(connection, scope)] if own else []
    span = await _fit_span(connection, links, started_at, until, limits)
    if not own:
        return None, span
    material = await _material(connection, await _load_topology(connection, links, own, span), links, span)
    return (None if await asyncio.to_thread(_is_empty, material, span) else material), span


async def _fit_span(
    connection: "Connection", links: Sequence[int], started_at: datetime, until: datetime, limits: Limits
) -> Span:
    """Returns the window that fits an incident of these links: its own time, with a margin of their cadence before."""
    probed = [*links[:: -(-len(links) // PROBED) or 1]]
    cadence = max(1.0, float(await connection.fetchval(_CADENCE, probed, until, RECENT_SAMPLES) or DEFAULT_CADENCE))
    margin = timedelta(seconds=max(MARGIN_SECONDS, MARGIN_SAMPLES * cadence))
    span = Span(min(started_at, until) - margin, until, limits, cadence)
    samples = 2 * len(links) * span.seconds / cadence
    history_hours = min(HISTORY_HOURS, max(1.0, HISTORY_SAMPLES * cadence / 3600))
    return replace(span, stride=max(1, -int(-samples // limits.read)), history_hours=history_hours, fitted=True)


_CADENCE: Final = """
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY gap) FROM (
  SELECT extract(epoch FROM at - lag(at) OVER (PARTITION BY target, direction ORDER BY at)) AS gap
  FROM unnest($1::int[]) AS target CROSS JOIN (VALUES ('IB'), ('OB')) AS of (direction)
  CROSS JOIN LATERAL (SELECT at FROM link_samples WHERE link_id = target AND link_samples.direction = of.direction
    AND at < $2 ORDER BY at DESC LIMIT $3) AS sample
) AS gaps"""


def _explain_absence(what: str, newest: datetime | None) -> str:
    if newest is None:
        return f"Nothing was measured on this {what}'s links yet."
    at = newest.astimezone(UTC)
    nothing = f"Nothing was measured on this {what}'s links in this window"
    return f"{nothing}; their newest sample is of {at:%Y-%m-%d %H:%M:%S} UTC."


async def _measure_cadence(connection: "Connection", links: Sequence[int], around: int, span: Span) -> Span:
    """Returns the span with its cadence and stride. Raises InvalidInput if it has too many samples.

    links: in scope. around: how many are read besides.
    """
    day = max(span.start, span.end - timedelta(days=1))
    pause = await connection.fetchval(_PAUSE, [*links[:: -(-len(links) // PROBED)]], day, span.end)
    cadence = max(1.0, float(pause or DEFAULT_CADENCE))
    samples, most = 2 * (len(links) + around) * span.seconds / cadence, span.limits.samples
    if samples > most:
        hours = span.seconds / 3600 * most / samples
        raise InvalidInput(
            f"An analysis goes through at most {most:,} samples; these {len(links):,} links, and {around:,}"
            f" around them, have some {samples:,.0f} in {span.seconds / 3600:g} hours."
            f" Ask for at most {hours:.3g} hours.",
            ["hoursLookback"],
        )
    return replace(span, cadence=cadence, stride=-int(-samples // span.limits.read))


_PAUSE: Final = """
SELECT extract(epoch FROM sum(last - first)) / nullif(sum(samples - 1), 0) FROM (
  SELECT min(at) AS first, max(at) AS last, count(*) AS samples FROM link_samples
  WHERE link_id = ANY($1::int[]) AND at >= $2 AND at < $3 GROUP BY link_id, direction
) AS stream"""


async def _load_topology(connection: "Connection", links: Sequence[int], own: Sequence[int], span: Span) -> Topology:
    """Returns the topology with moving sites where they were last, if they tell their position."""
    topology = await analysis_scope.load_topology(connection, links, own)
    moving = topology.sites.keys[topology.sites.mobile].tolist()
    positions = await context_of_links.load_positions(connection, moving, span.end) if moving else {}
    return place_sites(topology, positions)


async def _material(connection: "Connection", topology: Topology, links: Sequence[int], span: Span) -> _Material:
    """Reads the reference levels of all the topology's links, and the samples of `links`."""
    frame = await telemetry.load(connection, KIND, links, span.since, span.end, READ, span.thinned)
    keys = [(link, direction.value) for direction in Direction for link in topology.links.tolist()]
    centres = await streams.load_centres(connection, KIND, keys, LEARNED_FROM)
    return _Material(topology, frame.rename({"link_id": "link"}), centres[:, COLUMNS])


async def _complete(connection: "Connection", material: _Material, groups: Groups, span: Span) -> _Material | None:
    """Returns the material with the culprits' other links, None if there are none."""
    room = max(0, int(span.limits.samples * span.cadence / span.seconds / 2) - len(material.links))
    added = await analysis_scope.list_members(connection, groups, material.links, min(MOST_ADDED, room))
    if not added:
        return None
    own = material.topology.links[material.topology.in_scope].tolist()
    topology = await _load_topology(connection, [*material.links, *added], own, span)
    more = await _material(connection, topology, added, span)
    return replace(more, frame=pl.concat([material.frame, more.frame]))


# ---------------------------------------------------------------- as stored


def _groups(topology: Topology, result: Sequence[report.Pattern]) -> Groups:
    """Returns the groups of links that belong to the patterns' culprits."""
    culprits = [(pattern, pattern.culprit) for pattern in result if pattern.culprit]
    keys = {kind: {culprit.key for _, culprit in culprits if culprit.kind is kind} for kind in CulpritKind}
    transponders = {
        (culprit.key, _transponder(topology, pattern, culprit))
        for pattern, culprit in culprits
        if culprit.kind is CulpritKind.SATELLITE
    }
    return Groups(keys[CulpritKind.NETWORK], keys[CulpritKind.SITE], transponders)


def _transponder(topology: Topology, pattern: report.Pattern, culprit: report.Culprit) -> str | None:
    """Returns the transponder that most of the pattern's links are on, None unless the culprit is a satellite."""
    if culprit.kind is not CulpritKind.SATELLITE:
        return None
    on_it = np.isin(topology.links, pattern.links) & (topology.satellite == culprit.index)
    places = Counter(topology.transponder[on_it].tolist()).most_common(1)
    return (topology.transponder_names[places[0][0]] or None) if places else None


def _to_document(topology: Topology, pattern: report.Pattern) -> analysis_documents.Pattern:
    def convert(cause: RootCause, culprit: report.Culprit | None) -> analysis_documents.Culprit | None:
        if culprit is None:
            return None
        # The sun stands behind the satellite, not behind a transponder.
        transponder = None if cause is RootCause.SUN_TRANSIT else _transponder(topology, pattern, culprit)
        return analysis_documents.Culprit(culprit.kind, culprit.key, transponder)

    same = ("cause", "description", "severity", "confidence", "links", "directions", "evidence")
    return analysis_documents.Pattern(
        **{name: getattr(pattern, name) for name in same},
        culprit=convert(pattern.cause, pattern.culprit),
        started_at=from_ms(pattern.started_ms),
        ended_at=None if pattern.ended_ms is None else from_ms(pattern.ended_ms),
        hypotheses=tuple(
            analysis_documents.Hypothesis(h.cause, convert(h.cause, h.culprit), h.probability)
            for h in pattern.hypotheses
        ),
    )
