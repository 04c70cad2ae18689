"""The scorecard from the tables: what incidents said when, and who may see it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.demo.clock import FleetClock
from resolvers.demo.evidence import load_scorecard
from resolvers.demo.scorecard import Scorecard
from resolvers.demo.sightings import note_sightings
from resolvers.store.tables.core import Link, Stream
from resolvers.store.tables.demo import DemoFault, DemoRun, IncidentSighting
from resolvers.store.tables.incidents import Incident, IncidentStatus
from tests.helpers.places import ROOT
from tests.helpers.support import Factory, Server, ago, codes

CARD = "{ demoScorecard { seed speed faultCount noticed exactlyOneIncident right falseIncidents faults { number } } }"


async def add(services: Services, *rows: Any) -> None:
    async with services.database.write() as session:
        session.add_all(rows)


async def start_demo(services: Services, link: Link, **given: Any) -> DemoFault:
    """A run since two hours ago, and an hour ago a fault of the link for half an hour."""
    run = DemoRun(
        started_at=ago(hours=2), fleet_started_at=ago(hours=2), speed=1.0, seed=7, fault_seconds=60.0, step_seconds=60
    )
    fault = DemoFault(
        **{
            "number": 0,
            "cause": RootCause.REMOTE_EQUIPMENT,
            "culprit_kind": CulpritKind.LINK,
            "culprit_id": link.id,
            "started_at": ago(hours=1),
            "ended_at": ago(minutes=30),
            "links": [link.id],
            "specification": {},
            **given,
        }
    )
    stream = Stream(target_id=link.id, kind=TargetKind.LINK, direction="OB", last_at=ago(minutes=1))
    await add(services, run, fault, stream)
    return fault


async def set_incident(services: Services, incident: Incident, **values: Any) -> None:
    async with services.database.write() as session:
        await session.execute(update(Incident).where(Incident.id == incident.id).values(**values))


async def card_of(services: Services) -> Scorecard:
    card = await load_scorecard(Context(services, SYSTEM))
    assert card is not None
    return card


async def sightings(services: Services, incident: UUID) -> list[IncidentSighting]:
    async with services.database.read() as session:
        query = select(IncidentSighting).where(IncidentSighting.incident_id == incident).order_by(IncidentSighting.id)
        return list(await session.scalars(query))


async def test_a_fault_its_anomaly_and_its_incident_make_a_scorecard(services: Services, make: Factory) -> None:
    link = await make.link()
    await start_demo(services, link)
    told = await make.incident(
        link,
        announced_at=ago(minutes=57),
        root_cause=RootCause.REMOTE_EQUIPMENT,
        culprit_kind=CulpritKind.LINK,
        culprit_id=link.id,
        confidence=0.8,
    )
    seen = {"started_at": ago(minutes=58), "last_seen_at": ago(minutes=30), "detected_at": ago(minutes=58)}
    await make.anomaly(link, incident_id=told.id, **seen)
    await note_sightings(services)

    card = await card_of(services)

    assert (card.faults, card.noticed, card.exactly_one_incident, card.right) == (1, 1, 1, 1)
    assert card.told_after_seconds == 60.0
    assert card.false_incidents == 0


async def test_the_lone_links_site_is_the_same_culprit(services: Services, make: Factory) -> None:
    link = await make.link()
    await start_demo(services, link)
    given = {"root_cause": RootCause.REMOTE_EQUIPMENT, "culprit_kind": CulpritKind.SITE, "culprit_id": link.site_id}
    told = await make.incident(link, announced_at=ago(minutes=57), **given)
    await make.anomaly(link, incident_id=told.id, started_at=ago(minutes=58), last_seen_at=ago(minutes=30))
    await note_sightings(services)

    assert (await card_of(services)).right == 1


async def test_merged_incidents_are_one(services: Services, make: Factory) -> None:
    link = await make.link()
    await start_demo(services, link)
    survivor = await make.incident(link, announced_at=ago(minutes=57))
    merged = await make.incident(
        link, announced_at=ago(minutes=57), status=IncidentStatus.RESOLVED, merged_into_id=survivor.id
    )
    for incident, direction in ((survivor, "IB"), (merged, "OB")):
        seen = {"started_at": ago(minutes=58), "last_seen_at": ago(minutes=30), "direction": direction}
        await make.anomaly(link, incident_id=incident.id, **seen)

    assert (await card_of(services)).exactly_one_incident == 1


async def test_history_counts_nowhere(services: Services, make: Factory) -> None:
    link = await make.link()
    await start_demo(services, link)
    old = await make.incident(link, announced_at=ago(minutes=57), is_historical=True)
    await make.anomaly(link, incident_id=old.id, is_historical=True, started_at=ago(minutes=90))

    card = await card_of(services)

    assert (card.noticed, card.incidents, card.false_incidents, card.false_alarms) == (0, 0, 0, 0)


async def test_it_is_noted_what_an_incident_says_and_when_it_says_something_else(
    services: Services, make: Factory
) -> None:
    link = await make.link()
    told = await make.incident(link)
    await note_sightings(services)
    await note_sightings(services)
    await make.anomaly(link, incident_id=told.id)
    await note_sightings(services)
    await set_incident(services, told, root_cause=RootCause.RAIN_FADE, confidence=0.7, culprit_id=link.id)
    await note_sightings(services)

    noted = await sightings(services, told.id)

    assert [(one.anomalies, one.root_cause, one.confidence) for one in noted] == [
        (0, None, None),
        (1, None, None),
        (1, RootCause.RAIN_FADE, 0.7),
    ]


async def test_the_clock_of_a_demo_that_stands_still_is_not_watched(services: Services, make: Factory) -> None:
    link = await make.link()
    await start_demo(services, link)
    async with services.database.write() as session:
        await session.execute(update(Stream).values(last_at=ago(hours=1)))

    assert (await card_of(services)).watched_days * 24 < 1.1


async def test_where_no_demo_ever_ran_there_is_no_scorecard(services: Services) -> None:
    assert await load_scorecard(Context(services, SYSTEM)) is None


async def test_admins_ask_for_it_and_others_may_not(server: Server, services: Services, make: Factory) -> None:
    await start_demo(services, await make.link())
    async with server(demo=True, demo_fault_seconds=0) as api:
        data = await (await api.as_(Role.ADMIN)).run(CARD)
        refused = await codes(await api.as_(Role.OPERATOR), CARD)

    card = data["demoScorecard"]
    assert (card["seed"], card["speed"], card["faultCount"], card["noticed"]) == (7, 1.0, 1, 0)
    assert [fault["number"] for fault in card["faults"]] == [0]
    assert refused == ["FORBIDDEN"]


async def test_it_is_null_where_no_demo_runs(server: Server) -> None:
    async with server() as api:
        data = await (await api.as_(Role.ADMIN)).run(CARD)

    assert data["demoScorecard"] is None


# ---------------------------------------------------------------- two clocks


async def test_access_goes_by_the_real_time_and_findings_by_the_fleets(services: Services, make: Factory) -> None:
    """The demo's clock may be days behind: a key that expired in between is no good for that."""
    past = ago(days=2)
    object.__setattr__(services, "clock", FleetClock(lambda: past))

    context = Context(services, SYSTEM)

    assert context.now == past
    assert context.real_time > past + timedelta(days=1)


def test_nothing_that_grants_access_asks_for_the_fleets_time() -> None:
    rooms = [*(ROOT / "resolvers/accounts").glob("*.py"), ROOT / "resolvers/base/tokens.py"]

    assert rooms
    assert [path.name for path in rooms if "context.now" in path.read_text()] == []
