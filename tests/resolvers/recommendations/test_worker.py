"""Recommendations that nobody asked for: for severe anomalies and automatic analyses, once, not in ingest's way."""

import asyncio

import pytest
from sqlalchemy import func, select

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.recommendations.worker import recommend_due
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.postgres.single_runner import single_runner
from resolvers.store.tables import analysis_documents
from resolvers.store.tables.core import Anomaly, AnomalyStatus
from resolvers.store.tables.recommendations import Recommendation
from tests.helpers.support import (
    EXTREME,
    LINK_CENTRE,
    LINK_SPREAD,
    Api,
    Factory,
    Server,
    ago,
    id_of,
    record_levels,
    until,
)
from tests.resolvers.recommendations.test_recommendations import (
    FADE,
    WATCH,
    analysis,
    faded,
    failing_hub,
    ids,
    pattern,
    recommended,
)


async def advised(services: Services) -> dict[str, int]:
    """How many recommendations each anomaly or analysis has."""
    query = select(Recommendation.subject_id, func.count()).group_by(Recommendation.subject_id)
    async with services.database.read() as session:
        return {str(subject): many for subject, many in await session.execute(query)}


async def test_severe_anomalies_get_theirs_once(services: Services, make: Factory) -> None:
    severe = {str((await faded(make, severity=level)).id) for level in (Severity.HIGH, Severity.CRITICAL)}
    for level in (Severity.LOW, Severity.MEDIUM):
        await faded(make, severity=level)

    done = [await recommend_due(services), await recommend_due(services)]

    found = await advised(services)
    assert (done, set(found)) == ([2, 0], severe)
    assert all(3 <= many <= 7 for many in found.values())
    async with services.database.read() as session:
        assert set(await session.scalars(select(Recommendation.requested_by_id))) == {None}


async def test_one_that_worsens_gets_its_own_then(services: Services, make: Factory) -> None:
    anomaly = await faded(make, severity=Severity.MEDIUM)
    before = await recommend_due(services)
    async with services.database.write() as session:
        (await session.get_one(Anomaly, anomaly.id)).severity = Severity.HIGH

    assert (before, await recommend_due(services)) == (0, 1)


async def test_a_short_one_that_is_over_gets_some_but_not_long_gone_ones(services: Services, make: Factory) -> None:
    over = {"status": AnomalyStatus.RESOLVED, "severity": Severity.HIGH, "contributions": FADE}
    recent = await make.anomaly(**over, last_seen_at=ago(minutes=3))
    await make.anomaly(**over, started_at=ago(days=2), last_seen_at=ago(days=1))

    await recommend_due(services)

    assert set(await advised(services)) == {str(recent.id)}


async def test_what_somebody_asked_for_already_is_not_made_again(api: Api, services: Services, make: Factory) -> None:
    anomaly = await faded(make)
    operator = await api.as_(Role.OPERATOR)
    asked = await recommended(operator, anomaly=anomaly)

    assert await recommend_due(services) == 0
    assert await recommended(operator, anomaly=anomaly) == asked


async def test_an_analysis_that_ran_by_itself_gets_its_own(api: Api, services: Services, make: Factory) -> None:
    by_itself, _ = await failing_hub(services, make)
    await analysis(services)
    user = await make.user(Role.OPERATOR)
    link = await make.link()
    remote = pattern(RootCause.BLOCKAGE, analysis_documents.Culprit(CulpritKind.LINK, link.id), [link])
    await analysis(services, remote, requested_by_id=user.id)

    await recommend_due(services)

    assert set(await advised(services)) == {str(by_itself.id)}


async def test_only_one_process_is_at_it(services: Services, make: Factory) -> None:
    await faded(make)

    async with single_runner(services.database, AdvisoryLock.AUTOMATIC_RECOMMENDATIONS) as mine:
        assert mine
        assert await recommend_due(services) == 0

    assert await recommend_due(services) == 1


async def test_many_at_once_get_theirs(services: Services, make: Factory) -> None:
    network = await make.network()
    anomalies = [await faded(make, await make.link(network=network)) for _ in range(110)]

    done = await asyncio.gather(recommend_due(services), recommend_due(services))

    assert sorted(done) == [0, 110]
    assert len(await advised(services)) == len(anomalies)


@pytest.mark.parametrize("automatic", [True, False])
async def test_a_fault_that_ingest_finds_is_told_with_what_to_do(
    server: Server, make: Factory, services: Services, automatic: bool
) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    async with server(automatic_recommendations=automatic) as anonymous:
        operator = await anonymous.as_(Role.OPERATOR)
        async with operator.socket() as socket:
            await socket.subscribe(WATCH)
            levels = {ago(minutes=10 - minute): EXTREME for minute in range(5)}
            await record_levels(operator, link, levels)
            if not automatic:
                assert await socket.silent(0.5)
                return
            told = (await socket.next())["recommendationCreated"]["recommendation"]

        document = "{ anomalies { nodes { id severity recommendations { nodes { id requestedBy { email } } } } } }"
        [anomaly] = (await operator.run(document))["anomalies"]["nodes"]
    assert told["anomaly"]["id"] == anomaly["id"]
    assert anomaly["severity"] in ("HIGH", "CRITICAL")
    found = anomaly["recommendations"]["nodes"]
    assert told["id"] in ids(found)
    assert len(found) >= 3
    assert {one["requestedBy"] for one in found} == {None}


async def test_what_happened_while_no_server_was_there_is_caught_up_with(server: Server, make: Factory) -> None:
    anomaly = await faded(make)

    async with server(automatic_recommendations=True) as anonymous:
        viewer = await anonymous.as_(Role.VIEWER)
        document = f'{{ node(id: "{id_of(anomaly)}") {{ ... on Anomaly {{ recommendations {{ totalCount }} }} }} }}'

        async def has_some() -> bool:
            return bool((await viewer.run(document))["node"]["recommendations"]["totalCount"] >= 3)

        await until(has_some, 10)


async def test_a_failure_with_one_is_tried_again_and_does_not_stop_the_server(
    server: Server, make: Factory, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resolvers.recommendations import worker as advising
    from resolvers.recommendations.recommendations import propose

    failures = 0

    async def broken(*arguments: object) -> object:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise RuntimeError("broken")
        return await propose(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(advising, "propose", broken)
    await faded(make)
    async with server(automatic_recommendations=True) as anonymous:
        operator = await anonymous.as_(Role.OPERATOR)
        await until(lambda: failures > 0, 10)
        await operator.run(
            "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }",
            id=id_of(await faded(make, severity=Severity.LOW)),
        )

        async def has_some() -> bool:
            return bool(await advised(services))

        await until(has_some, 10)
