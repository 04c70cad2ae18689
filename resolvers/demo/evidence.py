"""Loads what the scorecard judges: faults, anomalies, incidents, and how long was watched."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CulpritKind
from ml.detection.detector import false_alarms_per_day
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.demo.clock import NEWEST_SAMPLE, FleetClock, find_catch_up
from resolvers.demo.observations import Alarm, Culprit, Fault, Pace, Statement, Target, Told, Watch
from resolvers.demo.scorecard import Scorecard, score
from resolvers.store.tables.core import Anomaly, Link, Network, Stream
from resolvers.store.tables.demo import DemoFault, DemoRun, IncidentSighting
from resolvers.store.tables.incidents import Incident

DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True)
class Judgement:
    """A scorecard, and by which clock. speed: 1 while the demo stands still."""

    card: Scorecard
    seed: int
    speed: float
    fleet_time: datetime


async def judge_demo(context: Context) -> Judgement | None:
    """Returns how well the demo's faults were told, for admins; None where no demo runs."""
    context.require(Role.ADMIN, "see the demo's scorecard")
    clock = context.services.clock
    if not isinstance(clock, FleetClock) or clock.run is None:
        return None
    card = await load_scorecard(context)
    return None if card is None else Judgement(card, clock.run.seed, clock.speed, context.now)


async def load_scorecard(context: Context) -> Scorecard | None:
    """Returns the scorecard of all that the demo has broken in this database; None where no demo ever ran."""
    async with context.database.read() as session:
        runs = list(await session.scalars(select(DemoRun).order_by(DemoRun.id)))
        if not runs:
            return None
        newest = await session.scalar(NEWEST_SAMPLE)
        now = _find_end(context.now, newest, runs[-1])
        places = await _load_places(session)
        faults = [_to_fault(row, places) for row in await session.scalars(select(DemoFault).order_by(DemoFault.number))]
        alarms = await _load_alarms(session, runs[0].fleet_started_at)
        told = await _load_told(session, runs[0].fleet_started_at)
    paces = list_paces(runs, now)
    days = sum((pace.end - pace.start).total_seconds() for pace in paces) / DAY_SECONDS
    watch = Watch(days, await _load_budget(context), tuple(paces))
    return score(faults, alarms, told, watch, now)


def _find_end(now: datetime, newest: datetime | None, run: DemoRun) -> datetime:
    """Returns until when the fleet was watched: its clock goes on while no server feeds it."""
    return min(now, max(run.fleet_started_at, newest or now) + 2 * timedelta(seconds=run.step_seconds))


def list_paces(runs: Sequence[DemoRun], now: datetime) -> list[Pace]:
    """Returns the stretches of the fleet's time that were watched, and how fast its clock ran."""
    paces: list[Pace] = []
    ends = [later.fleet_started_at for _, later in pairwise(runs)] + [now]
    for run, end in zip(runs, ends, strict=True):
        caught_up = min(max(find_catch_up(run), run.fleet_started_at), end)
        fast = Pace(run.fleet_started_at, caught_up, run.speed)
        paces += [pace for pace in (fast, Pace(caught_up, end, 1.0)) if pace.end > pace.start]
    return paces


@dataclass(frozen=True)
class _Places:
    """The links by id: their site, network and hub; and how many links or networks share these."""

    site_of: Mapping[int, int]
    network_of: Mapping[int, int]
    hub_of: Mapping[int, int]  # by network
    links_at: Mapping[int, list[int]]  # by site
    networks_at: Mapping[int, list[int]]  # by hub


async def _load_places(session: AsyncSession) -> _Places:
    links = (await session.execute(select(Link.id, Link.site_id, Link.network_id))).all()
    networks = (await session.execute(select(Network.id, Network.hub_id))).all()
    links_at, networks_at = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
    for link, site, _ in links:
        links_at[site].append(link)
    for network, hub in networks:
        networks_at[hub].append(network)
    sites, owners = {link: site for link, site, _ in links}, {link: network for link, _, network in links}
    return _Places(sites, owners, {network.id: network.hub_id for network in networks}, links_at, networks_at)


def _to_fault(row: DemoFault, places: _Places) -> Fault:
    culprit = Culprit(row.culprit_kind, row.culprit_id, row.culprit_transponder)
    culprits = (culprit, *_list_equals(culprit, places))
    return Fault(row.number, row.cause, culprits, row.started_at, row.ended_at, _list_targets(row.links, places))


def _list_equals(culprit: Culprit, places: _Places) -> list[Culprit]:
    """Returns others with exactly the same links: nothing that is measured tells them apart."""
    key = culprit.id
    match culprit.kind:
        case CulpritKind.LINK:
            site = places.site_of[key]
            return [Culprit(CulpritKind.SITE, site)] if len(places.links_at[site]) == 1 else []
        case CulpritKind.NETWORK:
            hub = places.hub_of[key]
            return [Culprit(CulpritKind.SITE, hub)] if len(places.networks_at[hub]) == 1 else []
        case CulpritKind.SITE if places.networks_at.get(key):
            networks = places.networks_at[key]
            return [Culprit(CulpritKind.NETWORK, networks[0])] if len(networks) == 1 else []
        case CulpritKind.SITE:
            links = places.links_at.get(key, [])
            return [Culprit(CulpritKind.LINK, links[0])] if len(links) == 1 else []
        case _:
            return []


def _list_targets(links: Sequence[int], places: _Places) -> frozenset[Target]:
    networks = {places.network_of[link] for link in links}
    sites = {places.site_of[link] for link in links} | {places.hub_of[network] for network in networks}
    return frozenset(
        {(TargetKind.LINK, link) for link in links}
        | {(TargetKind.NETWORK, network) for network in networks}
        | {(TargetKind.SITE, site) for site in sites}
    )


async def _load_alarms(session: AsyncSession, since: datetime) -> list[Alarm]:
    survivors = await _load_survivors(session)
    columns = (
        Anomaly.kind,
        Anomaly.target_id,
        Anomaly.started_at,
        Anomaly.last_seen_at,
        Anomaly.detected_at,
        Anomaly.incident_id,
    )
    query = select(*columns).where(Anomaly.started_at >= since, ~Anomaly.is_historical).order_by(Anomaly.detected_at)
    return [
        Alarm((kind, target), started, seen, detected, incident and survivors.get(incident, incident))
        for kind, target, started, seen, detected, incident in (await session.execute(query)).all()
    ]


async def _load_survivors(session: AsyncSession) -> dict[UUID, UUID]:
    """Returns what each merged incident was merged into: a survivor was merged nowhere itself."""
    query = select(Incident.id, Incident.merged_into_id).where(Incident.merged_into_id.is_not(None))
    return {id: survivor for id, survivor in (await session.execute(query)).all() if survivor is not None}


async def _load_told(session: AsyncSession, since: datetime) -> list[Told]:
    query = select(Incident.id, Incident.announced_at).where(
        Incident.announced_at.is_not(None),
        Incident.merged_into_id.is_(None),
        ~Incident.is_historical,
        Incident.announced_at >= since,
    )
    announced = {id: at for id, at in (await session.execute(query)).all() if at is not None}
    statements = defaultdict[UUID, list[Statement]](list)
    for row in await session.scalars(select(IncidentSighting).order_by(IncidentSighting.id)):
        statements[row.incident_id].append(_to_statement(row))
    return [Told(id, at, tuple(statements[id])) for id, at in announced.items()]


def _to_statement(row: IncidentSighting) -> Statement:
    return Statement(
        row.at,
        row.root_cause,
        _to_culprit(row.culprit_kind, row.culprit_id, row.culprit_transponder),
        row.confidence,
        row.anomalies,
        row.action,
        row.action_cause,
        _to_culprit(row.action_target_kind, row.action_target_id),
    )


def _to_culprit(kind: CulpritKind | None, id: int | None, transponder: str | None = None) -> Culprit | None:
    return None if kind is None or id is None else Culprit(kind, id, transponder)


async def _load_budget(context: Context) -> float:
    """Returns how many false alarms a day the sensitivities allow all targets together."""
    async with context.database.read() as session:
        targets = func.count(Stream.target_id.distinct()).label("targets")
        rows = await session.execute(select(Stream.kind, targets).group_by(Stream.kind))
        counts: dict[TargetKind, int] = {row.kind: row.targets for row in rows}
    values = {kind: await context.services.sensitivity.get(kind) for kind in counts}
    return sum(count * false_alarms_per_day(values[kind]) for kind, count in counts.items())
