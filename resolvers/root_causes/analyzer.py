"""The work of an analysis: links and their surroundings, samples as one frame, patterns out; in a thread of its own."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from ml.catalogue.metrics import CATALOGUE, Direction, TargetKind
from ml.catalogue.root_causes import CulpritKind
from ml.catalogue.topology import Topology
from ml.numerics.arrays import Floats
from ml.root_cause import analysis as correlation
from ml.root_cause import report as findings
from ml.root_cause.model import RootCauseModel
from ml.root_cause.report import HISTORY_HOURS, READ, Request
from resolvers.base.errors import InvalidInput
from resolvers.base.times import from_ms, to_ms
from resolvers.context import Services
from resolvers.store.queries import analysis_scope
from resolvers.store.queries.analysis_scope import Groups, Scope
from resolvers.store.tables import analysis_documents as patterns
from resolvers.store.telemetry import samples as telemetry
from resolvers.store.telemetry import streams
from resolvers.store.telemetry.samples import Downsampling

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

MOST_SAMPLES: Final = 20_000_000  # that an analysis may have to go through
MOST_READ: Final = 4_000_000  # of them, evenly: more than its grid has cells
MOST_ADDED: Final = 2000  # links of a culprit's that were not among those looked at first
LEARNED_FROM: Final = 100  # samples, before a stream's centre says what is usual
PROBED: Final = 20  # links that tell how often samples come
USUAL_CADENCE: Final = 300.0  # seconds between two samples of a stream, where nothing tells
HISTORY_OF: Final = 900  # seconds, of each of which one sample is enough to know what is usual
KIND: Final = TargetKind.LINK
COLUMNS: Final = [CATALOGUE[KIND].metrics.index(metric) for metric in READ]


@dataclass(frozen=True)
class Span:
    """From `start` up to `end`; samples of a stream come every `cadence` seconds, and every `stride`-th is read."""

    start: datetime
    end: datetime
    cadence: float = USUAL_CADENCE
    stride: int = 1

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()

    @property
    def since(self) -> datetime:
        """Where the history begins that tells what is usual."""
        return self.start - timedelta(hours=HISTORY_HOURS)

    @property
    def thinned(self) -> list[Downsampling]:
        step = max(1, round(self.cadence))
        period = step * self.stride
        whole = [Downsampling(self.end, step, period)] if self.stride > 1 else []
        return [*whole, Downsampling(self.start, step, max(1, round(HISTORY_OF / period)) * period)]


@dataclass(frozen=True)
class Analyzed:
    """What was found; `compared`: links around those asked about, with samples."""

    patterns: tuple[patterns.Pattern, ...]
    correlation: float
    links: int
    compared: int
    model_version: str


@dataclass(frozen=True)
class _Material:
    """What is looked at, and as which links."""

    topology: Topology
    frame: pl.DataFrame
    usual: Floats

    @property
    def links(self) -> list[int]:
        links: list[int] = self.topology.links.tolist()
        return links


async def analyze(services: Services, scope: Scope, what: str, start: datetime, end: datetime) -> Analyzed:
    """Of the links in scope, from `start` up to `end`; a culprit found is looked at once more with all its links.

    Raises InvalidInput where there are no samples, or too many; Unavailable without a model.
    """
    model = await services.registry.root_cause()
    async with services.analyses:
        async with services.database.driver() as connection:
            material, span = await _gathered(connection, scope, what, Span(start, end))
        found = await asyncio.to_thread(_analysis, material, span, model)
        if groups := _groups(material.topology, found.patterns):
            async with services.database.driver() as connection:
                more = await _completed(connection, material, groups, span)
            if more:
                material = more
                found = await asyncio.to_thread(_analysis, material, span, model)
    kept = tuple(_kept(material.topology, pattern) for pattern in found.patterns)
    compared = await asyncio.to_thread(_compared, material, span)
    return Analyzed(kept, found.correlation, found.links, compared, model.version)


def _analysis(material: _Material, span: Span, model: RootCauseModel) -> findings.Analysis:
    request = Request(material.frame, to_ms(span.start), to_ms(span.end), material.usual)
    return correlation.analyze(material.topology, request, model)


def _compared(material: _Material, span: Span) -> int:
    """How many links around those asked about have samples in the window."""
    measured = material.frame.filter(pl.col("at") >= to_ms(span.start))["link"].unique().to_numpy()
    return int((~np.isin(measured, material.topology.links[material.topology.in_scope])).sum())


def _empty(material: _Material, span: Span) -> bool:
    """Whether no link asked about has a sample in the window."""
    recent = material.frame["link"].filter(material.frame["at"] >= to_ms(span.start)).unique().to_numpy()
    return not np.isin(material.topology.links[material.topology.in_scope], recent).any()


# ---------------------------------------------------------------- reading


async def _gathered(connection: "Connection", scope: Scope, what: str, span: Span) -> tuple[_Material, Span]:
    """Raises InvalidInput."""
    own = await analysis_scope.within(connection, scope)
    if not own:
        raise InvalidInput(f"This {what} has no links to analyze.")
    links = [*own, *await analysis_scope.around(connection, scope)]
    span = await _paced(connection, own, len(links) - len(own), span)
    material = await _material(connection, await analysis_scope.load(connection, links, own), links, span)
    if await asyncio.to_thread(_empty, material, span):
        newest = await streams.find_newest(connection, KIND, own)
        raise InvalidInput(_nothing(what, newest), ["hoursLookback" if newest and newest < span.start else "until"])
    return material, span


def _nothing(what: str, newest: datetime | None) -> str:
    if newest is None:
        return f"Nothing was measured on this {what}'s links yet."
    at = newest.astimezone(UTC)
    nothing = f"Nothing was measured on this {what}'s links in this window"
    return f"{nothing}; their newest sample is of {at:%Y-%m-%d %H:%M:%S} UTC."


async def _paced(connection: "Connection", links: Sequence[int], around: int, span: Span) -> Span:
    """By how often samples come. Raises InvalidInput for a window with too many, of those around the links, too."""
    day = max(span.start, span.end - timedelta(days=1))
    pause = await connection.fetchval(_PAUSE, [*links[:: -(-len(links) // PROBED)]], day, span.end)
    cadence = max(1.0, float(pause or USUAL_CADENCE))
    samples = 2 * (len(links) + around) * span.seconds / cadence
    if samples > MOST_SAMPLES:
        hours = span.seconds / 3600 * MOST_SAMPLES / samples
        raise InvalidInput(
            f"An analysis goes through at most {MOST_SAMPLES:,} samples; these {len(links):,} links, and {around:,}"
            f" around them, have some {samples:,.0f} in {span.seconds / 3600:g} hours."
            f" Ask for at most {hours:.3g} hours.",
            ["hoursLookback"],
        )
    return replace(span, cadence=cadence, stride=-int(-samples // MOST_READ))


_PAUSE: Final = """
SELECT extract(epoch FROM sum(last - first)) / nullif(sum(samples - 1), 0) FROM (
  SELECT min(at) AS first, max(at) AS last, count(*) AS samples FROM link_samples
  WHERE link_id = ANY($1::int[]) AND at >= $2 AND at < $3 GROUP BY link_id, direction
) AS stream"""


async def _material(connection: "Connection", topology: Topology, links: Sequence[int], span: Span) -> _Material:
    """Of all the plant's links what is usual; of these the samples."""
    frame = await telemetry.load(connection, KIND, links, span.since, span.end, READ, span.thinned)
    keys = [(link, direction.value) for direction in Direction for link in topology.links.tolist()]
    usual = await streams.load_centres(connection, KIND, keys, LEARNED_FROM)
    return _Material(topology, frame.rename({"link_id": "link"}), usual[:, COLUMNS])


async def _completed(connection: "Connection", material: _Material, groups: Groups, span: Span) -> _Material | None:
    """With the culprits' other links; None where there are none."""
    room = max(0, int(MOST_SAMPLES * span.cadence / span.seconds / 2) - len(material.links))
    added = await analysis_scope.members(connection, groups, material.links, min(MOST_ADDED, room))
    if not added:
        return None
    own = material.topology.links[material.topology.in_scope].tolist()
    topology = await analysis_scope.load(connection, [*material.links, *added], own)
    more = await _material(connection, topology, added, span)
    return replace(more, frame=pl.concat([material.frame, more.frame]))


# ---------------------------------------------------------------- what was found


def _groups(topology: Topology, found: Sequence[findings.Pattern]) -> Groups:
    """Whose links explain the patterns, or would."""
    culprits = [(pattern, pattern.culprit) for pattern in found if pattern.culprit]
    keys = {kind: {culprit.key for _, culprit in culprits if culprit.kind is kind} for kind in CulpritKind}
    transponders = {
        (culprit.key, _transponder(topology, pattern, culprit))
        for pattern, culprit in culprits
        if culprit.kind is CulpritKind.SATELLITE
    }
    return Groups(keys[CulpritKind.NETWORK], keys[CulpritKind.SITE], transponders)


def _transponder(topology: Topology, pattern: findings.Pattern, culprit: findings.Culprit) -> str | None:
    """Of a satellite: the one that most of the pattern's links are on."""
    if culprit.kind is not CulpritKind.SATELLITE:
        return None
    on_it = np.isin(topology.links, pattern.links) & (topology.satellite == culprit.index)
    places = Counter(topology.transponder[on_it].tolist()).most_common(1)
    return (topology.transponder_names[places[0][0]] or None) if places else None


def _kept(topology: Topology, pattern: findings.Pattern) -> patterns.Pattern:
    def culprit(one: findings.Culprit | None) -> patterns.Culprit | None:
        return None if one is None else patterns.Culprit(one.kind, one.key, _transponder(topology, pattern, one))

    same = ("cause", "description", "severity", "confidence", "links", "directions", "evidence")
    return patterns.Pattern(
        **{name: getattr(pattern, name) for name in same},
        culprit=culprit(pattern.culprit),
        started_at=from_ms(pattern.started_ms),
        ended_at=None if pattern.ended_ms is None else from_ms(pattern.ended_ms),
        hypotheses=tuple(patterns.Hypothesis(h.cause, culprit(h.culprit), h.probability) for h in pattern.hypotheses),
    )
