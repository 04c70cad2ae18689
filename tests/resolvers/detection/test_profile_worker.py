"""What is ordinary for a stream is learned from its history, again and again, and never stands in the ingest's way."""

import asyncio
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, func, select

from ml.catalogue.metrics import TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.detection.profile_worker import learn_due
from resolvers.store.postgres.advisory_locks import AdvisoryLock
from resolvers.store.tables.core import Link, Profile, Stream
from tests.helpers.support import Api, Factory, ago, id_of, ms, record

SAMPLES = 700
PART = 400
QUIET = {"esnoDb": (12.0, 0.1), "rxLevelDbm": (-45.0, 0.2), "latencyMs": (600.0, 3.0), "packetLossPct": (0.2, 0.03)}
ANOMALIES = "query ($target: ID) { anomalies(filter: { target: $target }) { nodes { id contributions { metric } } } }"
JUDGE = "mutation ($id: ID!) { judgeAnomaly(id: $id, verdict: TRUE_ALARM) { __typename } }"
DETECT = """mutation ($input: DetectLinkInput!) { detectLinkAnomaly(input: $input) { ... on Detection {
  isAnomaly confidence contributions { metric expected } } } }"""


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def history(api: Api, link: Link, samples: int = SAMPLES, seed: int = 1, until: int = 0, **faults: Any) -> None:
    """One sample in five minutes, up to `until` samples ago; `faults` adds (first, last, offset) to a metric."""
    rng = np.random.default_rng(seed)
    at = [ms(ago() - timedelta(minutes=5 * (samples + until - number))) for number in range(samples)]
    columns: dict[str, list[float]] = {}
    for name, (centre, spread) in QUIET.items():
        values = rng.normal(centre, spread, samples)
        if name in faults:
            first, last, offset = faults[name]
            values[first:last] += offset
        columns[name] = np.maximum(values, 0.0 if centre > 0 else -150.0).tolist()
    for first in range(0, samples, PART):  # in parts of which none suffices for a profile
        part = {name: values[first : first + PART] for name, values in ({"at": at} | columns).items()}
        rows = len(part["at"])
        await record(api, TargetKind.LINK, link=[link.number] * rows, direction=["OB"] * rows, **part)


async def profiles(services: Services) -> list[Profile]:
    async with services.database.read() as session:
        return list(await session.scalars(select(Profile).order_by(Profile.target_id)))


async def test_a_stream_with_enough_history_gets_a_profile_of_its_own(
    operator: Api, services: Services, make: Factory
) -> None:
    link, young = await make.link(), await make.link()
    await history(operator, link)
    await history(operator, young, samples=100)

    learned = await learn_due(services)

    [profile] = await profiles(services)
    assert (learned, profile.target_id, profile.number, profile.samples) == (1, link.id, 1, SAMPLES)
    async with services.database.read() as session:
        streams = list(await session.scalars(select(Stream)))
    assert {stream.target_id: stream.profile for stream in streams} == {link.id: 1, young.id: 0}


async def test_it_learns_again_only_when_its_history_has_grown(
    operator: Api, services: Services, make: Factory
) -> None:
    link = await make.link()
    await history(operator, link, until=200)
    await learn_due(services)

    at_once = await learn_due(services)
    await history(operator, link, samples=71, until=100)
    too_little = await learn_due(services)
    await history(operator, link, samples=10, until=50)
    enough = await learn_due(services)

    assert (at_once, too_little, enough) == (0, 0, 1)
    assert [profile.number for profile in await profiles(services)] == [2]


async def test_faults_are_found_by_the_profile_and_ordinary_samples_are_not(
    operator: Api, services: Services, make: Factory
) -> None:
    link = await make.link()
    await history(operator, link, until=100)
    await learn_due(services)

    await history(operator, link, samples=60, until=40, seed=2)
    quiet = (await operator.run(ANOMALIES, target=id_of(link)))["anomalies"]["nodes"]
    await history(operator, link, samples=40, seed=3, esnoDb=(20, 40, -1.5), packetLossPct=(20, 40, 1.0))

    [anomaly] = (await operator.run(ANOMALIES, target=id_of(link)))["anomalies"]["nodes"]
    assert quiet == []
    leading = {part["metric"] for part in anomaly["contributions"][:3]}
    assert leading == {"ESNO_DB", "GRADE", "PACKET_LOSS_PCT"}


async def test_a_history_that_is_gone_leaves_what_was_known(operator: Api, services: Services, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, [0.0] * 12, [1.0] * 12, "OB")  # a thousand samples, of which none is kept

    learned = [await learn_due(services), await learn_due(services)]

    [profile] = await profiles(services)
    assert (learned, profile.content) == ([1, 0], None)
    async with services.database.read() as session:
        stream = (await session.scalars(select(Stream))).one()
    assert (stream.profile, stream.learned_samples, stream.spread) == (0, 1000, [1.0] * 12)


async def test_a_confirmed_fault_is_not_learned_from(operator: Api, services: Services, make: Factory) -> None:
    confirmed, unknown = await make.link(), await make.link()
    for link in (confirmed, unknown):
        await history(operator, link, samples=300, until=410)
        await history(operator, link, samples=400, until=10, esnoDb=(0, 399, -4.0))
    [anomaly] = (await operator.run(ANOMALIES, target=id_of(confirmed)))["anomalies"]["nodes"][:1]
    await operator.run(JUDGE, id=anomaly["id"])

    await learn_due(services)

    centres = []
    for link in (confirmed, unknown):
        async with services.database.read() as session:
            row = (await session.scalars(select(Stream).where(Stream.target_id == link.id))).one()
        assert row.centre is not None
        centres.append(round(row.centre[5]))
    assert centres == [12, 8]


async def test_detection_on_request_uses_the_profile(operator: Api, services: Services, make: Factory) -> None:
    link = await make.link()
    await history(operator, link)
    await learn_due(services)
    ordinary = {"throughputMbps": 5, "utilizationPct": 40, "errors": 0, "discards": 0, "uptimePct": 100}

    data = await operator.run(DETECT, input={"link": id_of(link), "direction": "OB", **ordinary})

    verdict = data["detectLinkAnomaly"]
    assert (verdict["isAnomaly"], verdict["confidence"]) == (False, 0.0)  # nothing that was measured is known of it
    assert verdict["contributions"] == []


async def test_a_profile_that_somebody_deleted_is_done_without_and_learned_again(
    operator: Api, services: Services, make: Factory
) -> None:
    link = await make.link()
    await history(operator, link, until=10)
    await learn_due(services)
    async with services.database.write() as session:
        await session.execute(delete(Profile))

    await history(operator, link, samples=5, seed=2)

    assert await learn_due(services) == 1
    assert [profile.number for profile in await profiles(services)] == [2]


async def test_only_one_process_learns_at_a_time(operator: Api, services: Services, make: Factory) -> None:
    await history(operator, await make.link())
    async with services.database.connection() as other:
        await other.execute(select(func.pg_advisory_lock(int(AdvisoryLock.PROFILE_LEARNING))))

        refused = await learn_due(services)
        await other.execute(select(func.pg_advisory_unlock(int(AdvisoryLock.PROFILE_LEARNING))))

    assert (refused, await learn_due(services)) == (0, 1)


async def test_samples_are_recorded_while_it_learns(operator: Api, services: Services, make: Factory) -> None:
    links = [await make.link() for _ in range(4)]
    for link in links:
        await history(operator, link, until=10)

    learned, *_ = await asyncio.gather(
        learn_due(services), *(history(operator, link, samples=5, seed=2) for link in links)
    )

    async with services.database.read() as session:
        counts = list(await session.scalars(select(Stream.samples)))
    assert (learned, counts) == (4, [SAMPLES + 5] * 4)
