"""Lists in pages, forward and backward: nothing left out, nothing twice, whatever happens in between."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from ml.catalogue.metrics import Direction, TargetKind
from ml.detection.episodes import Severity
from resolvers.accounts import users
from resolvers.base.errors import InvalidInput
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.detection import on_request as detection
from resolvers.detection.anomalies import AnomalyOrder, build_listing, build_listing_of_kind
from resolvers.detection.filters import AnomalyFilter
from resolvers.fleet import topology
from resolvers.lists.listings import Listing
from resolvers.lists.pagination import Page, Window, decode_cursor, encode_cursor, fetch_page, fetch_pages
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables.core import Anomaly, AnomalyStatus, Detection, Satellite
from tests.helpers.support import Api, Factory, ago, codes, id_of

PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
ARGUMENTS = "$first: Int, $after: String, $last: Int, $before: String"
PASSED = "first: $first, after: $after, last: $last, before: $before"
ANOMALIES = f"""query ($order: AnomalyOrder, {ARGUMENTS}) {{ list: anomalies(orderBy: $order, {PASSED}) {{
  totalCount nodes {{ id }} edges {{ cursor node {{ id }} }} {PAGE_INFO} }} }}"""
DETECTIONS = f"""query ($kind: TargetKind, $isAnomaly: Boolean, {ARGUMENTS}) {{
  list: detections(kind: $kind, isAnomaly: $isAnomaly, {PASSED}) {{
    totalCount nodes {{ id }} edges {{ cursor node {{ id }} }} {PAGE_INFO} }} }}"""
USERS = f"""query ($first: Int, $after: String) {{ list: users(first: $first, after: $after) {{
  totalCount nodes {{ id }} edges {{ cursor node {{ id }} }} {PAGE_INFO} }} }}"""
SORTED = {
    "NEWEST": lambda row: (-row.started_at.timestamp(), -row.id.int),
    "OLDEST": lambda row: (row.started_at, row.id),
    "SEVERITY": lambda row: (-row.severity.rank, -row.started_at.timestamp(), -row.id.int),
}


def anomaly(minutes: int, severity: Severity) -> Anomaly:
    """Long over, so that any number may have the same target."""
    return Anomaly(
        id=uuid7(),
        kind=TargetKind.LINK,
        target_id=1,
        direction=Direction.OB,
        status=AnomalyStatus.RESOLVED,
        severity=severity,
        score=0.5,
        confidence=0.9,
        model_version="1.0.0",
        started_at=ago(minutes=minutes),
        last_seen_at=ago(minutes=minutes),
        ended_at=ago(minutes=minutes),
        contributions=[],
    )


async def add(services: Services, rows: Sequence[Any]) -> None:
    async with services.database.write() as session:
        session.add_all(rows)


async def some_anomalies(services: Services, number: int = 11) -> list[Anomaly]:
    """Many of them with the same severity and start."""
    severities = list(Severity)
    rows = [anomaly(minutes=index % 3, severity=severities[index % 2]) for index in range(number)]
    await add(services, rows)
    return rows


async def some_detections(services: Services, number: int = 7) -> list[Detection]:
    kinds = list(TargetKind)
    rows = [
        Detection(
            id=uuid7(),
            kind=kinds[index % 3],
            measurements={},
            is_anomaly=index % 2 == 0,
            anomaly_score=0.1,
            confidence=0.5,
            contributions=[],
            model_version="1.0.0",
        )
        for index in range(number)
    ]
    await add(services, rows)
    return sorted(rows, key=lambda row: row.id, reverse=True)


async def forward(api: Api, document: str, size: int, **arguments: Any) -> list[dict[str, Any]]:
    """All pages, from the first on."""
    found = [(await api.run(document, first=size, **arguments))["list"]]
    while found[-1]["pageInfo"]["hasNextPage"]:
        after = found[-1]["pageInfo"]["endCursor"]
        found.append((await api.run(document, first=size, after=after, **arguments))["list"])
    return found


async def backward(api: Api, document: str, size: int, **arguments: Any) -> list[dict[str, Any]]:
    """All pages, from the last on, put into the list's order."""
    found = [(await api.run(document, last=size, **arguments))["list"]]
    while found[0]["pageInfo"]["hasPreviousPage"]:
        before = found[0]["pageInfo"]["startCursor"]
        found.insert(0, (await api.run(document, last=size, before=before, **arguments))["list"])
    return found


def ids(found: Sequence[dict[str, Any]]) -> list[str]:
    return [node["id"] for one in found for node in one["nodes"]]


# ---------------------------------------------------------------- walking


@pytest.mark.parametrize("order", list(AnomalyOrder))
async def test_anomalies_in_pages_are_the_whole_list_in_either_direction(
    api: Api, services: Services, order: AnomalyOrder
) -> None:
    rows = await some_anomalies(services)
    viewer = await api.as_(Role.VIEWER)
    whole = [id_of(row) for row in sorted(rows, key=SORTED[order])]

    walks = [await walk(viewer, ANOMALIES, size, order=order) for walk in (forward, backward) for size in (3, 11, 12)]

    assert [ids(walk) for walk in walks] == [whole] * len(walks)
    assert {one["totalCount"] for walk in walks for one in walk} == {len(rows)}


async def test_detections_in_pages_are_the_whole_list_in_either_direction(api: Api, services: Services) -> None:
    rows = await some_detections(services)
    viewer = await api.as_(Role.VIEWER)

    walks = [await walk(viewer, DETECTIONS, 3) for walk in (forward, backward)]
    odd = await forward(viewer, DETECTIONS, 2, isAnomaly=False)
    sites = await backward(viewer, DETECTIONS, 1, kind="SITE")

    assert [ids(walk) for walk in walks] == [[id_of(row) for row in rows]] * 2
    assert ids(odd) == [id_of(row) for row in rows if not row.is_anomaly]
    assert ids(sites) == [id_of(row) for row in rows if row.kind is TargetKind.SITE]
    assert odd[0]["totalCount"] == 3


async def test_users_in_pages_are_the_whole_list(api: Api, make: Factory) -> None:
    users = [await make.user() for _ in range(5)]
    boss = await make.user(Role.ADMIN)

    found = await forward(await api.of(boss), USERS, 2)

    assert ids(found) == [id_of(user) for user in [*users, boss]]


async def test_what_comes_in_between_neither_repeats_nor_hides_anything(api: Api, services: Services) -> None:
    rows = sorted(await some_anomalies(services), key=SORTED["NEWEST"])
    viewer = await api.as_(Role.VIEWER)

    first = (await viewer.run(ANOMALIES, first=4))["list"]
    later = [anomaly(minutes=minutes, severity=Severity.LOW) for minutes in (-1, 1, 5)]
    await add(services, later)
    cursor = first["pageInfo"]["endCursor"]
    rest = (await viewer.run(ANOMALIES, first=50, after=cursor))["list"]
    back = (await viewer.run(ANOMALIES, last=50, before=first["edges"][3]["cursor"]))["list"]

    walked = ids([first, rest])
    assert len(set(walked)) == len(walked)
    assert [id for id in walked if id not in map(id_of, later)] == [id_of(row) for row in rows]
    assert id_of(later[0]) not in walked
    assert id_of(later[2]) == walked[-1]
    assert ids([back])[:1] == [id_of(later[0])]
    assert ids([back])[-3:] == ids([first])[:3]


async def test_a_cursor_outlives_the_row_that_it_came_from(api: Api, services: Services) -> None:
    await some_anomalies(services, 6)
    viewer = await api.as_(Role.VIEWER)
    whole = (await viewer.run(ANOMALIES))["list"]
    async with services.database.write() as session:
        await session.execute(delete(Anomaly).where(Anomaly.id == UUID(_key(whole["nodes"][2]["id"]))))

    rest = (await viewer.run(ANOMALIES, after=whole["edges"][2]["cursor"]))["list"]

    assert ids([rest]) == ids([whole])[3:]


def _key(id: str) -> str:
    return base64.b64decode(id).decode().partition(":")[2]


async def test_a_list_may_be_cut_at_both_ends(api: Api, services: Services) -> None:
    await some_anomalies(services, 8)
    viewer = await api.as_(Role.VIEWER)
    whole = (await viewer.run(ANOMALIES))["list"]
    after, before = whole["edges"][1]["cursor"], whole["edges"][6]["cursor"]

    forth = (await viewer.run(ANOMALIES, after=after, before=before, first=3))["list"]
    back = (await viewer.run(ANOMALIES, after=after, before=before, last=3))["list"]

    assert ids([forth]) == ids([whole])[2:5]
    assert ids([back]) == ids([whole])[3:6]


# ---------------------------------------------------------------- page infos


async def test_page_infos_are_right_in_the_middle_and_at_the_ends(api: Api, services: Services) -> None:
    await some_anomalies(services, 5)
    viewer = await api.as_(Role.VIEWER)

    forth = await forward(viewer, ANOMALIES, 2)
    back = await backward(viewer, ANOMALIES, 2)

    for walk in (forth, back):
        assert [one["pageInfo"]["hasNextPage"] for one in walk] == [True, True, False]
        assert [one["pageInfo"]["hasPreviousPage"] for one in walk] == [False, True, True]
        for one in walk:
            assert one["pageInfo"]["startCursor"] == one["edges"][0]["cursor"]
            assert one["pageInfo"]["endCursor"] == one["edges"][-1]["cursor"]
            assert [edge["node"] for edge in one["edges"]] == one["nodes"]
    assert [len(one["nodes"]) for one in forth] == [2, 2, 1]
    assert [len(one["nodes"]) for one in back] == [1, 2, 2]


async def test_a_page_that_ends_with_the_list_has_no_next(api: Api, services: Services) -> None:
    await some_anomalies(services, 4)
    viewer = await api.as_(Role.VIEWER)

    infos = [(await viewer.run(ANOMALIES, **{way: 4}))["list"]["pageInfo"] for way in ("first", "last")]

    assert [(info["hasNextPage"], info["hasPreviousPage"]) for info in infos] == [(False, False)] * 2


async def test_an_empty_page_has_no_cursors(api: Api, services: Services) -> None:
    viewer = await api.as_(Role.VIEWER)
    nothing = {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None}

    empty_list = (await viewer.run(ANOMALIES))["list"]
    await some_anomalies(services, 2)
    none_of_some = (await viewer.run(ANOMALIES, first=0))["list"]

    assert empty_list == {"totalCount": 0, "nodes": [], "edges": [], "pageInfo": nothing}
    assert none_of_some == {"totalCount": 2, "nodes": [], "edges": [], "pageInfo": nothing | {"hasNextPage": True}}


async def test_a_page_has_fifty_unless_asked_otherwise_and_five_hundred_at_most(api: Api, services: Services) -> None:
    await some_anomalies(services, 501)
    viewer = await api.as_(Role.VIEWER)

    asked: list[dict[str, int]] = [{}, {"first": 500}, {"last": 500}]
    found = [(await viewer.run(ANOMALIES, **arguments))["list"] for arguments in asked]

    assert [len(one["nodes"]) for one in found] == [50, 500, 500]


# ---------------------------------------------------------------- what cannot be


@pytest.mark.parametrize("document", [ANOMALIES, DETECTIONS], ids=["anomalies", "detections"])
async def test_impossible_pages_are_refused_with_a_reason(api: Api, document: str) -> None:
    viewer = await api.as_(Role.VIEWER)
    impossible: dict[str, dict[str, Any]] = {
        "`first` must not be negative, and is -1.": {"first": -1},
        "`last` must not be negative, and is -2147483648.": {"last": -(2**31)},
        "Ask for `first` or for `last`, not for both.": {"first": 1, "last": 1},
    }

    answers = [await viewer.execute(document, **arguments) for arguments in impossible.values()]

    errors = [error for answer in answers for error in answer["errors"]]
    assert [error["message"] for error in errors] == list(impossible)
    assert {error["extensions"]["code"] for error in errors} == {"BAD_USER_INPUT"}


def cursor(*values: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode()


AT, ID = "2026-01-01T00:00:00+00:00", "00000000-0000-7000-8000-000000000000"
NO_CURSORS = [
    "",
    "garbage",
    "ü",
    "nul\0",
    "x" * 10_000,
    cursor(),
    cursor("anomalies"),
    cursor("anomalies", AT),
    cursor("anomalies", AT, ID, ID),
    cursor("anomalies", AT[:19], ID),
    cursor("anomalies", "0001-01-01T00:00:00+14:00", ID),
    cursor("anomalies", "9999-12-31T23:59:59-14:00", ID),
    cursor("anomalies", 5, ID),
    cursor("anomalies", AT, 5),
    cursor("anomalies", AT, None),
    cursor("anomalies", AT, "nul\0"),
    cursor("anomalies", [AT], {"id": ID}),
    cursor("anomalies", "LOW", AT, ID),
    cursor("detections", AT, ID),
    base64.urlsafe_b64encode(b"5").decode(),
    base64.urlsafe_b64encode(b'{"anomalies": 1}').decode(),
    base64.urlsafe_b64encode(b'"anomalies"').decode(),
    base64.urlsafe_b64encode(b"[" * 5000).decode(),
]


async def test_what_is_no_cursor_of_the_list_is_refused(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)
    for index, text in enumerate(NO_CURSORS):
        name = ("after", "before")[index % 2]

        answer = await viewer.execute(ANOMALIES, **{name: text})

        [error] = answer["errors"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "inputPath": [name]}, text


async def test_a_cursor_of_another_list_is_refused(api: Api, make: Factory) -> None:
    await make.link()
    viewer = await api.as_(Role.VIEWER)
    names = ("satellites", "sites", "networks", "links")
    found = await viewer.run("{ " + " ".join(f"{name} {{ pageInfo {{ endCursor }} }}" for name in names) + " }")

    async def answers(name: str) -> list[list[str]]:
        document = f"query ($after: String) {{ {name}(after: $after) {{ nodes {{ id }} }} }}"
        return [await codes(viewer, document, after=found[other]["pageInfo"]["endCursor"]) for other in names]

    for name in names:
        assert await answers(name) == [[] if name == other else ["BAD_USER_INPUT"] for other in names]


async def test_numbers_that_no_column_holds_are_no_cursor(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)
    document = "query ($after: String) { sites(after: $after) { nodes { id } } }"
    numbers = [2**31, -(2**31) - 1, 2**63, 2**64 - 1, 1.5, True, "1", None]

    answers = [await codes(viewer, document, after=cursor("sites", number)) for number in numbers]

    assert answers == [["BAD_USER_INPUT"]] * len(numbers)


# ---------------------------------------------------------------- of everything that can be

LISTINGS: list[Listing[Any]] = [
    *(build_listing(AnomalyFilter(), order) for order in AnomalyOrder),
    detection.build_listing(None, None),
    users.user_listing(None, None),
    topology.satellites(),
    topology.sites(),
]
PROPERTY = settings(
    derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
LIKELY = st.sampled_from([AT, ID, "LOW", "anomalies", "detections", "users", "satellites", "sites", 1, "\0"])


@given(st.sampled_from(LISTINGS), st.text() | st.lists(LIKELY | JSON, max_size=5).map(lambda v: cursor(*v)))
@PROPERTY
def test_any_text_is_a_cursor_or_refused_as_none(listing: Listing[Any], text: str) -> None:
    try:
        keys = decode_cursor(text, listing)
    except InvalidInput:
        return
    assert len(keys) == len(listing.order)


@given(at=st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), severity=st.sampled_from(Severity), id=st.uuids())
@PROPERTY
def test_a_cursor_gives_back_the_sort_keys(at: datetime, severity: Severity, id: UUID) -> None:
    row = Anomaly(started_at=at.astimezone(), severity=severity, id=id)
    by_severity = build_listing(AnomalyFilter(), AnomalyOrder.SEVERITY)

    keys = decode_cursor(encode_cursor(row, by_severity), by_severity)

    assert keys == [severity, row.started_at, id]


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
@PROPERTY
def test_a_cursor_gives_back_any_name(name: str) -> None:
    [key] = decode_cursor(encode_cursor(Satellite(name=name), topology.satellites()), topology.satellites())

    assert key == name


def seen(page: Page[Any]) -> tuple[object, ...]:
    return [row.id for row in page.rows], page.cursors, page.has_next, page.has_previous


@given(
    keys=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(Severity)), max_size=12),
    order=st.sampled_from(AnomalyOrder),
    sizes=st.lists(st.integers(1, 5), min_size=13, max_size=13),
    back=st.booleans(),
)
@settings(PROPERTY, max_examples=40)
async def test_pages_of_any_sizes_over_any_equal_keys_are_the_whole_list(
    services: Services, keys: list[tuple[int, Severity]], order: AnomalyOrder, sizes: list[int], *, back: bool
) -> None:
    rows = [anomaly(minutes, severity) for minutes, severity in keys]
    whole = [row.id for row in sorted(rows, key=SORTED[order])]
    found: list[UUID] = []
    here: str | None = None
    async with services.database.write() as session:
        await session.execute(delete(Anomaly))
        session.add_all(rows)
    by_order, children = build_listing(AnomalyFilter(), order), build_listing_of_kind(TargetKind.LINK, AnomalyFilter())
    for size in sizes:
        window = Window(last=size, before=here) if back else Window(first=size, after=here)

        one = await fetch_page(services.database, by_order, window)

        found = [row.id for row in one.rows] + found if back else found + [row.id for row in one.rows]
        more = one.has_previous if back else one.has_next
        assert more == (len(found) < len(whole))
        if order is AnomalyOrder.NEWEST:
            assert [seen(it) for it in await fetch_pages(services.database, children, window, [1])] == [seen(one)]
        if not more:
            break
        here = one.cursors[0] if back else one.cursors[-1]
    assert found == whole
