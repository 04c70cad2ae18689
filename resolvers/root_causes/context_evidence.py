"""Adds to patterns what MODCODs, beams and headings say of them, where samples or the topology have them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from ml.catalogue.metrics import Direction, Metric, TargetKind
from ml.catalogue.topology import Topology
from ml.root_cause.context import DirectionSamples, explain_adaptation, explain_beams, explain_heading
from ml.root_cause.report import Evidence, Pattern
from resolvers.store.queries import context_of_links
from resolvers.store.telemetry import samples as telemetry

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Connection

MOST_LINKS: Final = 20  # of a pattern that are asked for their MODCOD, worst first
MOST_PATTERNS: Final = 5
MOST_SENTENCES: Final = 10  # of a pattern
LOST_DB: Final = 6.0  # below the median: the link is lost, or nearly
NEAR_MS: Final = 300_000  # a heading counts for samples of the link so near in time


async def add_context_evidence(
    connection: "Connection", topology: Topology, patterns: Sequence[Pattern], start: datetime, end: datetime
) -> tuple[Pattern, ...]:
    """Returns the patterns with what else is known of them; the same where nothing is."""
    asked = patterns[:MOST_PATTERNS]
    chosen = sorted({link for pattern in asked for link in pattern.links[:MOST_LINKS]})
    telling = await context_of_links.list_telling_modcod(connection, chosen, end) if chosen else []
    beams = await context_of_links.load_beams(connection, topology.links.tolist()) if chosen else {}
    headings = await _load_headings(connection, topology, chosen, start, end)
    wanted = sorted({*telling, *headings})
    frame = await _load_links(connection, wanted, start, end) if wanted else None
    told = [_explain(topology, pattern, frame, set(telling), beams, headings) for pattern in asked]
    return (
        *(
            replace(pattern, evidence=(*pattern.evidence, *more)[:MOST_SENTENCES]) if more else pattern
            for pattern, more in zip(asked, told, strict=True)
        ),
        *patterns[MOST_PATTERNS:],
    )


async def _load_headings(
    connection: "Connection", topology: Topology, links: Sequence[int], start: datetime, end: datetime
) -> dict[int, pl.DataFrame]:
    """Returns `at` and `heading_deg` of the moving sites of these links that tell their heading, by link."""
    places = np.flatnonzero(np.isin(topology.links, links) & topology.sites.mobile[topology.site])
    if not len(places):
        return {}
    sites = {int(topology.links[place]): int(topology.sites.keys[topology.site[place]]) for place in places}
    frame = await telemetry.load(
        connection, TargetKind.SITE, sorted({*sites.values()}), start, end, [Metric.HEADING_DEG]
    )
    told = frame.drop_nulls("heading_deg").sort("at")
    return {
        link: own for link, site in sites.items() if len(own := told.filter(pl.col("site_id") == site).drop("site_id"))
    }


async def _load_links(connection: "Connection", links: Sequence[int], start: datetime, end: datetime) -> pl.DataFrame:
    metrics = [Metric.ESNO_DB, Metric.MODCOD]
    return (await telemetry.load(connection, TargetKind.LINK, links, start, end, metrics)).sort("at")


def _explain(
    topology: Topology,
    pattern: Pattern,
    frame: pl.DataFrame | None,
    telling: set[int],
    beams: dict[int, str],
    headings: dict[int, pl.DataFrame],
) -> list[Evidence]:
    evidence = []
    if frame is not None:
        own = frame.filter(pl.col("link_id").is_in([*telling.intersection(pattern.links[:MOST_LINKS])]))
        evidence.append(explain_adaptation(_split(own, pattern.directions), pattern))
        if len(pattern.links) == 1 and pattern.links[0] in headings:
            link = frame.filter(pl.col("link_id") == pattern.links[0])
            evidence.append(_explain_heading(link, headings[pattern.links[0]], pattern))
    if beams:
        satellites = topology.satellite[np.isin(topology.links, pattern.links)]
        around = topology.links[np.isin(topology.satellite, satellites)]
        evidence.append(
            explain_beams([beams.get(link) for link in around.tolist()], np.isin(around, pattern.links), pattern)
        )
    return [one for one in evidence if one is not None]


def _split(frame: pl.DataFrame, directions: Sequence[Direction]) -> list[DirectionSamples]:
    return [
        DirectionSamples(
            Direction(str(direction)), part["at"].to_numpy(), *(part[c].to_numpy() for c in ("esno_db", "modcod"))
        )
        for (_, direction), part in frame.group_by("link_id", "direction", maintain_order=True)
        if direction in directions
    ]


def _explain_heading(link: pl.DataFrame, headings: pl.DataFrame, pattern: Pattern) -> Evidence | None:
    worst = link.filter(pl.col("direction").is_in([direction.value for direction in pattern.directions]))
    measured = worst.drop_nulls("esno_db").join_asof(headings, on="at", strategy="nearest", tolerance=NEAR_MS)
    esno, heading = (measured[column].to_numpy().astype(np.float64) for column in ("esno_db", "heading_deg"))
    is_lost = esno < np.median(esno) - LOST_DB if len(esno) else np.zeros(0, dtype=bool)
    return explain_heading(is_lost, heading, pattern)
