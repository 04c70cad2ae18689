"""The small fleet that every kind of fuzzing asks about."""

from ml.catalogue.metrics import TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables.core import Anomaly, Link, Network, Site, SiteRole, Stream
from tests.fuzz.values import KNOWN
from tests.helpers.support import Api, Factory, ago, id_of, ms, record, record_levels


async def build_fleet(api: Api, services: Services) -> None:
    """Two networks on a satellite, links with samples, anomalies; their numbers are small, their ids known."""
    make = Factory(services)
    satellite, hub = await make.satellite("Astra"), await make.site(SiteRole.HUB, 1)
    networks = [await make.network(number, hub=hub, satellite=satellite) for number in (1, 2)]
    sites = [await make.site(number=number) for number in (2, 3, 4)]
    links = [await make.link(n, network=networks[n % 2], site=site) for n, site in enumerate(sites, 1)]
    anomalies = [await _open_anomaly(services, make, target) for target in (*links, *networks, *sites)]
    operator = await api.as_(Role.OPERATOR)
    for link in links:
        await record_levels(operator, link, {ago(minutes=minute): -45.0 for minute in range(60)})
    times = [ms(ago(minutes=minute)) for minute in range(60)]
    await record(operator, TargetKind.NETWORK, network=[1] * 60, at=times, latencyMs=[600.0] * 60)
    await record(operator, TargetKind.SITE, site=[2] * 60, at=times, cpuPct=[40.0] * 60)
    KNOWN.ids += map(id_of, (satellite, hub, *networks, *sites, *links, *anomalies))
    KNOWN.texts.append("Astra")


async def _open_anomaly(services: Services, make: Factory, target: Link | Network | Site) -> Anomaly:
    """One that ingest knows to be open."""
    anomaly = await make.anomaly(target)
    async with services.database.write() as session:
        direction = anomaly.direction or ""
        session.add(Stream(target_id=target.id, kind=anomaly.kind, direction=direction, anomaly_id=anomaly.id))
    return anomaly
