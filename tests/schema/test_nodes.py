"""Any object by its id: `node` and `nodes`."""

import base64
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ml.catalogue.metrics import TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.models.models import Model
from resolvers.store.tables.analyses import AnalysisScope, CorrelationAnalysis
from resolvers.store.tables.core import ApiKey, Detection, Link, Site, User
from resolvers.store.tables.models import ModelVersion, TrainingRun
from schema.accounts.types import User as UserNode
from schema.nodes import NODES
from schema.relay import global_id, parse_id
from tests.helpers.support import Api, Factory, ago, codes, id_of

NODE = "query ($id: ID!) { node(id: $id) { __typename id } }"
MANY = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"


def raw(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def _detection(services: Services) -> Detection:
    async with services.database.write() as session:
        row = Detection(
            kind=TargetKind.LINK,
            measurements={},
            is_anomaly=False,
            anomaly_score=-0.5,
            confidence=0.1,
            contributions=[],
            model_version="1.0.0",
        )
        session.add(row)
    return row


async def _api_key(services: Services, owner: User, name: str = "Collector") -> ApiKey:
    async with services.database.write() as session:
        row = ApiKey(user_id=owner.id, name=name, role=Role.VIEWER, hash=name.encode())
        session.add(row)
    return row


async def _run(services: Services) -> TrainingRun:
    async with services.database.write() as session:
        row = TrainingRun(model="anomaly_link", version_name="2.0.0", seed=1, message="waiting")
        session.add(row)
    return row


async def _analysis(services: Services) -> CorrelationAnalysis:
    async with services.database.write() as session:
        row = CorrelationAnalysis(
            scope=AnalysisScope.NETWORK,
            target_kind=TargetKind.NETWORK,
            target_id=1,
            window_start=ago(hours=24),
            window_end=ago(),
            patterns=(),
            correlation_score=0.0,
            links_analyzed=1,
            links_compared=0,
            duration_ms=1.0,
            model_version="1.0.0",
        )
        session.add(row)
    return row


async def _one_of_each(make: Factory, services: Services, owner: User) -> dict[str, str]:
    """An id of every type that these tests know to make."""
    link = await make.link()
    rows: list[Any] = [owner, await _api_key(services, owner), await make.satellite(), await make.site()]
    rows += [await make.network(), link, await make.anomaly(link), await _detection(services), await _run(services)]
    rows += [await _analysis(services), await make.incident(announced_at=None)]
    rows += [Model("anomaly_link"), ModelVersion(id=(await services.registry.champion("anomaly_link")).id)]
    return {type(row).__name__: id_of(row) for row in rows}


async def test_every_object_is_found_by_its_id(api: Api, make: Factory, services: Services) -> None:
    owner = await make.user()
    mine = await api.of(owner)
    ids = await _one_of_each(make, services, owner)

    found = {name: (await mine.run(NODE, id=id))["node"] for name, id in ids.items()}

    assert found == {name: {"__typename": name, "id": id} for name, id in ids.items()}
    assert set(ids) <= set(NODES)


async def test_many_come_in_the_order_asked_with_null_for_what_there_is_not(
    api: Api, make: Factory, services: Services
) -> None:
    owner = await make.user()
    mine = await api.of(owner)
    ids = [*(await _one_of_each(make, services, owner)).values()]
    asked = [ids[5], raw("Link:2147483647"), ids[0], "garbage", ids[5], *reversed(ids), ""]

    found = (await mine.run(MANY, ids=asked))["nodes"]

    assert [node and node["id"] for node in found] == [ids[5], None, ids[0], None, ids[5], *reversed(ids), None]


NO_ID = [
    "",
    "garbage",
    "ü",
    "=",
    "nul\0",
    raw(""),
    raw(":"),
    raw("Link"),
    raw("Link:"),
    raw(":1"),
    raw("Link:0"),
    raw("Link:-1"),
    raw("Link:1.5"),
    raw("Link: 1"),
    raw("Link:1:1"),
    raw("Link:٣"),
    raw("Link:²"),
    raw("Link:2147483648"),
    raw("Link:" + "9" * 19),
    raw("Link:" + "0" * 12 + "9" * 19),
    raw("Link:" + "9" * 100),
    raw("Link:null\0"),
    raw("link:1"),
    raw("Session:1"),
    raw("RefreshToken:1"),
    raw("Node:1"),
    raw("Anomaly:1"),
    raw("Model:1"),
    raw("Model:anomaly_moon"),
    raw("Model:anomaly_link\0"),
    raw("ModelVersion:anomaly_link"),
    raw("ModelVersion:2147483647"),
    raw("Anomaly:00000000-0000-0000-0000-000000000000"),
    raw("Detection:" + "f" * 31),
    base64.b64encode(b"Link:\xff").decode(),
    "x" * 200,
]


async def test_what_is_no_id_of_anything_is_null(api: Api, make: Factory) -> None:
    viewer = await api.as_(Role.VIEWER)

    found = [(await viewer.run(NODE, id=id))["node"] for id in NO_ID]
    together = (await viewer.run(MANY, ids=NO_ID))["nodes"]

    assert found == together == [None] * len(NO_ID)


async def test_other_people_and_their_keys_are_null_but_for_admins(api: Api, make: Factory, services: Services) -> None:
    owner = await make.user()
    ids = [id_of(owner), id_of(await _api_key(services, owner))]

    lists = [(await (await api.as_(role)).run(MANY, ids=ids))["nodes"] for role in Role]

    assert [[node and node["id"] for node in nodes] for nodes in lists] == [[None, None], [None, None], ids]


async def test_nobody_loads_objects_without_signing_in(api: Api, make: Factory) -> None:
    site = await make.site()

    answers = [await codes(api, NODE, id=id) for id in (id_of(site), "garbage")]
    together = await codes(api, MANY, ids=[id_of(site), id_of(site)])

    assert answers == [["UNAUTHENTICATED"], ["UNAUTHENTICATED"]]
    assert set(together) == {"UNAUTHENTICATED"}


async def test_many_links_cost_one_statement(api: Api, make: Factory, statements: list[str]) -> None:
    network, site = await make.network(), await make.site()
    ids = [id_of(await make.link(network=network, site=site)) for _ in range(30)]
    viewer = await api.as_(Role.VIEWER)
    statements.clear()

    found = (await viewer.run(MANY, ids=ids))["nodes"]

    assert [node["id"] for node in found] == ids
    assert len(statements) == 2  # who asks, and the links


async def test_more_links_than_a_statement_has_parameters_are_loaded_at_once(services: Services) -> None:
    from resolvers.lists.loaders import Loaders

    found = await Loaders(services.database, services.row_loaders).rows(Link).load_many(range(40_000))

    assert found == [None] * 40_000


async def test_an_id_leads_to_the_type_s_own_fields(api: Api, make: Factory) -> None:
    link = await make.link(7)
    viewer = await api.as_(Role.VIEWER)

    answer = await viewer.run("query ($id: ID!) { node(id: $id) { ... on Link { number } } }", id=id_of(link))

    assert answer == {"node": {"number": 7}}


# ---------------------------------------------------------------- ids themselves


@given(name=st.text(min_size=1).filter(lambda name: ":" not in name), key=st.text(min_size=1))
def test_an_id_gives_back_what_it_was_made_of(name: str, key: str) -> None:
    assert parse_id(global_id(name, key)) == (name, key)


@given(st.one_of(st.text(), st.text().map(raw), st.binary().map(lambda data: base64.b64encode(data).decode())))
def test_any_text_is_an_id_or_refused_as_none(text: str) -> None:
    try:
        name, key = parse_id(text)
    except ValueError:
        return
    assert name
    assert key


@given(st.one_of(st.text().map(raw), st.text().map(lambda key: raw(f"User:{key}")), st.integers().map(str)))
def test_any_text_is_a_key_of_the_type_or_one_that_no_row_has(text: str) -> None:
    key = UserNode.parse_key(text)

    assert key == -1 or 0 <= key < 2**31


def test_an_id_of_another_type_is_a_key_that_no_row_has() -> None:
    assert UserNode.parse_key(id_of(Site(id=1))) == -1
