"""Loaded models: how many, for how long, and what serves when a stored one is damaged."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from ml.catalogue.metrics import TargetKind
from ml.catalogue.models import DETECTORS
from resolvers.base.access import SYSTEM
from resolvers.base.errors import InvalidInput, NotFound
from resolvers.base.lru_cache import LruCache
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.models.models import promote, rollback
from resolvers.store.models.registry import Registry
from resolvers.store.tables.models import ModelVersion
from tests.helpers.models import LINK, candidate, champion, served, until_served, variant
from tests.helpers.shipped import shipped_version
from tests.helpers.support import Api, GraphQLFailed, Server, sql

ARTEFACTS = "SELECT model_versions.model, model_versions.version, model_versions.artefact"
FLIPPED = "artefact = set_byte(artefact, 700, 255 - get_byte(artefact, 700))"


async def damage(services: Services, version: ModelVersion | str) -> None:
    """One byte of its artefact, as a disk does."""
    name = version if isinstance(version, str) else version.version
    await sql(services, f"UPDATE model_versions SET {FLIPPED} WHERE model = '{LINK}' AND version = '{name}'")


async def point(services: Services, version: ModelVersion) -> None:
    """Make it the champion past all checks."""
    await sql(services, f"UPDATE champions SET version_id = {version.id} WHERE model = '{LINK}'")


def problems(logs: Any) -> list[str]:
    return [entry["event"] for entry in logs if entry["log_level"] == "error"]


# ---------------------------------------------------------------- remembering


def test_the_least_recently_used_goes_first() -> None:
    recent = LruCache[str, int](2, 60.0)
    recent.put("a", 1)
    recent.put("b", 2)
    recent.get("a")

    recent.put("c", 3)

    assert [recent.get_stale(key) for key in "abc"] == [1, None, 3]


def test_what_is_old_or_doubted_is_known_but_not_believed() -> None:
    now = 0.0
    recent = LruCache[str, int](3, 60.0, clock=lambda: now)
    recent.put("old", 1)
    now = 59.0
    recent.put("new", 2)

    now = 60.0
    believed = [recent.get("old"), recent.get("new")]
    recent.invalidate()

    assert believed == [None, 2]
    assert [recent.get("new"), recent.get_stale("old"), recent.get_stale("new")] == [None, 1, 2]


def test_what_was_looked_up_before_a_doubt_is_not_believed() -> None:
    recent = LruCache[str, int](3, 60.0)
    invalidations = recent.invalidations

    recent.invalidate()
    recent.put("a", 1, invalidations)
    recent.put("b", 2, recent.invalidations)

    assert [recent.get("a"), recent.get("b")] == [None, 2]


async def test_a_champion_is_loaded_once_however_many_ask(services: Services, statements: list[str]) -> None:
    detectors = await asyncio.gather(*(services.registry.detector(TargetKind.LINK) for _ in range(20)))

    assert len({id(detector) for detector in detectors}) == 1
    assert len([statement for statement in statements if statement.startswith(ARTEFACTS)]) == 1


async def test_what_names_root_causes_is_a_model_like_the_others(services: Services) -> None:
    model = await services.registry.root_cause()
    loaded = await services.registry.champion("root_cause")

    assert (model.version, loaded.fitted) == (shipped_version("root_cause"), model)
    assert await services.registry.list_missing() == []


@pytest.mark.parametrize(("name", "other"), [("root_cause", LINK), (LINK, "root_cause"), (LINK, "anomaly_site")])
async def test_an_artefact_is_of_the_model_that_it_is_said_to_be_of(services: Services, name: str, other: str) -> None:
    foreign = (await services.registry.champion(other)).fitted.to_bytes()

    with pytest.raises(InvalidInput):
        await services.registry.check(name, "2.0.0", foreign)


async def test_the_models_used_last_stay_loaded(services: Services, statements: list[str]) -> None:
    registry = Registry(services.database, keep=2)
    network, site, link = DETECTORS

    async def loads(*names: str) -> int:
        statements.clear()
        for name in names:
            await registry.champion(name)
        return len([statement for statement in statements if statement.startswith(ARTEFACTS)])

    assert await loads(network, site, network) == 2
    assert await loads(link) == 1, "in the site's place"
    assert await loads(network, link, network) == 0
    assert await loads(site) == 1


async def test_a_loaded_model_is_read_again_after_a_while(services: Services, statements: list[str]) -> None:
    registry = Registry(services.database, seconds=0.05)
    await registry.champion(LINK)
    await asyncio.sleep(0.06)
    statements.clear()

    await registry.champion(LINK)
    await registry.champion(LINK)

    assert len([statement for statement in statements if statement.startswith(ARTEFACTS)]) == 1


async def test_any_version_can_be_loaded(services: Services, statements: list[str]) -> None:
    row = await candidate(services)

    loaded = await services.registry.version(row.id)
    statements.clear()
    again = await services.registry.version(row.id)

    assert (loaded.model, loaded.version, loaded.fitted.version) == (LINK, "2.0.0", "2.0.0")
    assert again is loaded
    assert statements == []
    with pytest.raises(NotFound):
        await services.registry.version(999)


async def test_a_promotion_while_the_champion_is_looked_up_is_not_missed(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, load = await candidate(services), Registry._load
    looked_up, promoted = asyncio.Event(), asyncio.Event()

    async def held_up(registry: Registry, version_id: int) -> Any:
        looked_up.set()
        await promoted.wait()
        return await load(registry, version_id)

    registry = Registry(services.database)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_load", lambda version_id: held_up(registry, version_id))
        looking = asyncio.create_task(registry.champion(LINK))
        await looked_up.wait()
        await promote(Context(services, SYSTEM), new.id)
        registry.forget()  # as the event feed would
        promoted.set()
        old = await looking

    assert old.version == "1.0.1"
    assert (await registry.champion(LINK)).version == "2.0.0"


# ---------------------------------------------------------------- damage


async def test_where_the_new_champion_is_damaged_the_one_that_is_loaded_goes_on(
    api: Api, services: Services, statements: list[str]
) -> None:
    operator, new = await api.as_(Role.OPERATOR), await candidate(services)
    before = await served(operator)
    await damage(services, new)
    await point(services, new)

    with capture_logs() as logs:
        services.registry.forget()
        statements.clear()
        after = [await served(operator) for _ in range(3)]

    assert (before, after) == ("1.0.1", ["1.0.1"] * 3)
    assert problems(logs) == ["a stored model is damaged", "a model's champion is damaged: another version serves"]
    assert len([statement for statement in statements if statement.startswith(ARTEFACTS)]) == 1, "not for each request"


async def test_a_model_that_is_damaged_on_the_disk_goes_on_from_memory(services: Services) -> None:
    registry = Registry(services.database, seconds=0.0)
    loaded = await registry.champion(LINK)
    await damage(services, "1.0.1")

    with capture_logs() as logs:
        again = await registry.champion(LINK)

    assert again is loaded
    assert problems(logs) == ["a stored model is damaged"]


async def test_a_cold_start_with_a_damaged_champion_falls_back_to_the_newest_sound_one_before(
    server: Server, services: Services
) -> None:
    for version in ("2.0.0", "3.0.0", "4.0.0", "5.0.0"):
        await champion(services, version)
    await rollback(Context(services, SYSTEM), LINK)  # so 5.0.0, sound as it is, has been taken back
    for version in ("4.0.0", "3.0.0"):
        await damage(services, version)

    with capture_logs() as logs:
        async with server() as fresh:
            version = await served(await fresh.as_(Role.OPERATOR))

    assert version == "2.0.0"
    assert problems(logs) == [
        "a stored model is damaged",
        "a stored model is damaged",
        "a model's champion is damaged: another version serves",
    ]


async def test_where_no_version_can_be_loaded_the_service_is_unavailable_and_says_what_to_do(
    server: Server, services: Services
) -> None:
    await champion(services, "2.0.0")
    sound = await variant(services, number=3)
    for version in ("1.0.1", "2.0.0"):
        await damage(services, version)

    async with server() as fresh:
        operator = await fresh.as_(Role.OPERATOR)
        with pytest.raises(GraphQLFailed) as failed:
            await served(operator)
        row = await services.registry.add(LINK, sound, "3.0.0")
        await promote(Context(services, SYSTEM), row.id)
        recovered = await served(operator)

    assert failed.value.codes == ["SERVICE_UNAVAILABLE"]
    assert "No promoted version of anomaly_link can be loaded." in failed.value.errors[0]["message"]
    assert "bcom-graphql train" in failed.value.errors[0]["message"]
    assert recovered == "3.0.0"


async def test_a_model_without_any_champion_is_unavailable_and_says_what_to_do(
    server: Server, services: Services
) -> None:
    await sql(services, "DELETE FROM champions", "DELETE FROM promotions")

    async with server() as fresh:
        operator = await fresh.as_(Role.OPERATOR)
        failed = await operator.execute(
            "mutation { detectSiteAnomaly(input: { responseTimeMs: 1, errorRate: 0,"
            " uptimePct: 100, cpuPct: 1, memoryPct: 1 }) { __typename } }"
        )

    assert failed["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert failed["errors"][0]["message"] == "No version of anomaly_site was promoted yet; run `bcom-graphql train`."


async def test_a_promotion_mends_a_damaged_champion(api: Api, services: Services) -> None:
    operator, bad = await api.as_(Role.OPERATOR), await champion(services, "2.0.0")
    await damage(services, bad)
    good = await candidate(services, "3.0.0")

    await promote(Context(services, SYSTEM), good.id)

    assert await served(operator) == "3.0.0"


async def test_after_an_outage_of_the_event_feed_the_champion_is_looked_up_again(
    server: Server, services: Services
) -> None:
    async with server() as api:
        operator = await api.as_(Role.OPERATOR)
        before = await served(operator)
        await point(services, await candidate(services))  # as restoring a backup does: the log tells nothing of it

        await sql(services, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        after = await until_served(operator, "2.0.0", seconds=5.0)

    assert (before, after) == ("1.0.1", "2.0.0")
