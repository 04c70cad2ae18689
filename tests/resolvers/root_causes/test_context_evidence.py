"""MODCODs, beams and positions that operators tell come into an analysis, and change nothing where they do not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ml.catalogue.metrics import Direction, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.catalogue.topology import place_sites
from ml.root_cause.report import Pattern
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.root_causes.analyzer import analyze_incident
from resolvers.root_causes.context_evidence import add_context_evidence
from resolvers.store.queries import analysis_scope
from resolvers.store.queries.context_of_links import load_positions
from resolvers.store.telemetry.samples import EPOCH
from tests.helpers.faulted import BROKEN_REMOTE, HUB_FAILURE, INTERFERENCE, NOW_MS, built, numbers, recorded
from tests.helpers.support import Api, Factory, ago, ms, record, sql

NOW = EPOCH + timedelta(milliseconds=NOW_MS)


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def find_links(services: Services) -> dict[int, int]:
    """Returns the links' ids by their numbers."""
    async with services.database.driver() as connection:
        return {row["number"]: row["id"] for row in await connection.fetch("SELECT id, number FROM links")}


async def explain(services: Services) -> Any:
    links = await find_links(services)
    found = await analyze_incident(services, [*links.values()], NOW - timedelta(minutes=90), NOW + timedelta(seconds=1))
    return found.patterns[0]


async def test_a_modcod_that_follows_is_told_and_all_else_stays_the_same(services: Services) -> None:
    await built(services)
    await recorded(services, [HUB_FAILURE])
    plain = await explain(services)
    fault = f"to_timestamp({HUB_FAILURE.start_ms} / 1000.0)"

    await sql(services, f"UPDATE link_samples SET modcod = CASE WHEN at >= {fault} THEN 3 ELSE 19 END")
    told = await explain(services)

    [added] = [one for one in told.evidence if one not in plain.evidence]
    assert "stepped their MODCOD down as Es/N0 fell (16APSK 3/4 to QPSK 2/5): the loss is real." in added.statement
    assert added.supports
    assert replace(told, evidence=plain.evidence) == plain


async def test_a_modcod_that_stays_is_told_as_doubt(services: Services) -> None:
    await built(services)
    await recorded(services, [HUB_FAILURE])

    await sql(services, "UPDATE link_samples SET modcod = 27 WHERE direction = 'OB'")
    told = await explain(services)

    [said] = [one for one in told.evidence if "kept their MODCOD" in one.statement]
    assert not said.supports


async def test_the_one_beam_that_is_hit_is_told(services: Services) -> None:
    await built(services)
    await recorded(services, [INTERFERENCE])
    hit = ", ".join(map(str, numbers(transponder=INTERFERENCE.transponder)))

    await sql(services, f"UPDATE links SET beam = CASE WHEN number IN ({hit}) THEN 'Spot 12' ELSE 'Spot 13' END")
    told = await explain(services)

    assert told.culprit.kind is CulpritKind.SATELLITE
    [said] = [one for one in told.evidence if "beam" in one.statement]
    assert said.statement.startswith(f"All {len(told.links)} links hit are in beam Spot 12")
    assert said.supports


async def test_without_them_patterns_are_the_very_same(services: Services) -> None:
    await built(services)
    await recorded(services, [BROKEN_REMOTE])
    pattern = (await explain(services),)
    links = await find_links(services)

    async with services.database.driver() as connection:
        topology = await analysis_scope.load_topology(connection, [*links.values()], [])
        same = await add_context_evidence(connection, topology, pattern, NOW - timedelta(hours=3), NOW)

    assert same[0] is pattern[0]


async def test_a_ship_that_loses_its_link_at_one_heading_is_told(
    operator: Api, make: Factory, services: Services
) -> None:
    ship = await make.site(number=5)
    link = await make.link(number=50, site=ship)
    await sql(services, "UPDATE sites SET mobile = true WHERE number = 5")
    times = [ms(ago(minutes=120 - minute)) for minute in range(120)]
    headings = [float(10 * minute % 360) for minute in range(120)]
    esno = [-1.0 if abs(heading - 90.0) <= 20.0 else 12.0 for heading in headings]
    await record(operator, TargetKind.SITE, site=[5] * 120, at=times, headingDeg=headings)
    await record(operator, TargetKind.LINK, link=[50] * 120, direction=["OB"] * 120, at=times, esnoDb=esno)
    blocked = Pattern(
        RootCause.BLOCKAGE, None, "", 0.5, 0.9, times[0], None, (link.id,), (Direction.OB,), evidence=(), hypotheses=()
    )

    async with services.database.driver() as connection:
        topology = await analysis_scope.load_topology(connection, [link.id], [link.id])
        [told] = await add_context_evidence(connection, topology, [blocked], ago(minutes=121), ago())

    [said] = told.evidence
    assert said.supports
    assert said.statement.startswith("100% of the losses are at headings around 90 degrees")


# ---------------------------------------------------------------- positions


async def test_a_site_is_where_it_was_last(operator: Api, make: Factory, services: Services) -> None:
    ship, rig, lost = await make.site(number=1), await make.site(number=2), await make.site(number=3)
    samples = [  # site, minutes ago, north, east
        (1, 90, 54.0, 8.0),
        (1, 60, 54.5, 8.5),
        (1, 5, None, None),
        (1, 2, 0.0, 0.0),  # a receiver that has no fix
        (2, 60 * 30, 56.0, 3.0),  # more than a day ago
        (3, 2, 0.0, 0.0),
    ]
    number, minutes, north, east = (list(column) for column in zip(*samples, strict=True))
    await record(
        operator,
        TargetKind.SITE,
        site=number,
        at=[ms(ago(minutes=one)) for one in minutes],
        latitudeDeg=north,
        longitudeDeg=east,
        cpuPct=[30.0] * len(samples),
    )

    async with services.database.driver() as connection:
        found = await load_positions(connection, [ship.id, rig.id, lost.id], ago())
        earlier = await load_positions(connection, [ship.id], ago(minutes=70))

    assert found == {ship.id: (54.5, 8.5)}
    assert earlier == {ship.id: (54.0, 8.0)}


async def test_an_analysis_places_moving_sites_there(make: Factory, services: Services) -> None:
    site = await make.site(number=1)
    link = await make.link(number=10, site=site)
    async with services.database.driver() as connection:
        topology = await analysis_scope.load_topology(connection, [link.id], [link.id])

    moved = place_sites(topology, {site.id: (54.5, 8.5)})

    place = int(moved.site[0])
    assert (moved.sites.latitude[place], moved.sites.longitude[place]) == (54.5, 8.5)
    assert place_sites(topology, {}) is topology
