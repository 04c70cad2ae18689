"""Files in requests, as the multipart request specification has them, and telemetry imported that way."""

import asyncio
import io
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import polars as pl
import pytest

from ml.catalogue.metrics import TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.telemetry.files.processes import BATCH_ROWS
from tests.helpers.support import EXTREME, LINK_CENTRE, LINK_SPREAD, Api, Factory, Server, ago, ms, stored

IMPORT = """mutation ($kind: TargetKind!, $file: Upload!) { importMetrics(kind: $kind, file: $file) { __typename
  ... on RecordedMetrics { accepted duplicates rejectedCount rejected { row reason } anomalies { lastSeenAt } }
  ... on InvalidInput { message path } } }"""
PLACE = {"0": ["variables.file"]}


async def send(api: Api, operations: Any, places: Any, *contents: bytes, name: str = "samples.csv") -> httpx.Response:
    """A form as the specification orders it: operations, map, files."""
    files = [(str(number), (name, content, "text/csv")) for number, content in enumerate(contents)]
    parts: Any = [("operations", (None, _text(operations))), ("map", (None, _text(places))), *files]
    return await api.http.post(api.url, files=parts, headers=api.headers)


def _text(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def operation(kind: str = "LINK") -> dict[str, Any]:
    return {"query": IMPORT, "variables": {"kind": kind, "file": None}}


async def imported(api: Api, content: bytes, name: str = "samples.csv") -> dict[str, Any]:
    answer = await send(api, operation(), PLACE, content, name=name)
    body = answer.json()
    assert "errors" not in body, body
    result: dict[str, Any] = body["data"]["importMetrics"]
    return result


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


# ---------------------------------------------------------------- telemetry


async def test_a_csv_file_is_recorded(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()
    rows = "".join(f"{link.number},OB,{ms(ago(minutes=minute))},12.5\n" for minute in range(3))
    content = f"link,direction,at,esnoDb\n{rows}{link.number},OB,yesterday,1\n".encode()

    first, again = await imported(operator, content), await imported(operator, content)

    assert (first["accepted"], first["rejectedCount"]) == (3, 1)
    reason = "at must be an RFC 3339 time, such as 2026-01-31T12:00:00Z, and is yesterday."
    assert first["rejected"] == [{"row": 3, "reason": reason}]
    assert (again["accepted"], again["duplicates"]) == (0, 3)
    assert len(await stored(services, TargetKind.LINK)) == 3


async def test_a_parquet_file_is_known_by_its_content_whatever_its_name(operator: Api, make: Factory) -> None:
    link = await make.link()
    buffer = io.BytesIO()
    at = [datetime.now(UTC).replace(microsecond=0)]
    pl.DataFrame({"link": [link.number], "direction": ["IB"], "at": at, "esno_db": [9.5]}).write_parquet(buffer)

    result = await imported(operator, buffer.getvalue(), name="../../etc/passwd")

    assert result["accepted"] == 1


async def test_batches_are_told_of_as_one(operator: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    rows = [f"{link.number},OB,{ms(ago(minutes=minute))},{EXTREME}" for minute in range(35, 0, -1)]
    bad = ["0,OB,,"] * BATCH_ROWS
    content = "\n".join(["link,direction,at,rxLevelDbm", *rows[:20], *bad, *rows[20:], rows[0]]).encode()

    result = await imported(operator, content)

    assert (result["accepted"], result["duplicates"], result["rejectedCount"]) == (35, 1, BATCH_ROWS)
    assert [entry["row"] for entry in result["rejected"]] == [*range(20, 120)]
    assert result["anomalies"] == [{"lastSeenAt": f"{ago(minutes=1):%Y-%m-%dT%H:%M:%SZ}"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "samples.csv cannot be read as CSV or Parquet"),
        (b"a,b\n1,2\n", "samples.csv lacks the column link"),
        (b"PAR1 but no more", "samples.csv cannot be read as CSV or Parquet"),
        (b"\x00\xff\xfe" * 100, "samples.csv"),
    ],
    ids=["empty", "another table", "damaged", "garbage"],
)
async def test_what_is_no_telemetry_is_said_to_be_none_without_a_path_of_ours(
    operator: Api, content: bytes, said: str
) -> None:
    result = await imported(operator, content)

    assert (result["__typename"], result["path"]) == ("InvalidInput", ["file"])
    assert said in result["message"]
    assert "/" not in result["message"]


async def test_a_file_larger_than_the_budget_takes_its_time(server: Server, make: Factory) -> None:
    link = await make.link()
    rows = "".join(f"{link.number},OB,{ms(ago(minutes=minute))},12.5\n" for minute in range(5))
    content = f"link,direction,at,esnoDb\n{rows}".encode()
    async with server(rate_samples="5/second") as api:
        operator = await api.as_(Role.OPERATOR)

        first, again = await imported(operator, content), await imported(operator, content)

    assert (first["accepted"], again["duplicates"]) == (5, 5)


async def test_a_file_whose_batches_are_larger_than_a_whole_budget_is_taken_in_parts(
    server: Server, make: Factory
) -> None:
    link = await make.link()
    rows = [f"{link.number},OB,{ms(ago(minutes=minute))},12.5\n" for minute in range(4)]
    content = f"link,direction,at,esnoDb\n{''.join(rows)}8,OB,,12.5\n".encode()
    async with server(rate_samples="3/second") as api, asyncio.timeout(10):
        recorded = await imported(await api.as_(Role.OPERATOR), content)

    assert (recorded["accepted"], [entry["row"] for entry in recorded["rejected"]]) == (4, [4])


async def test_whoever_may_record_nothing_is_told_so(server: Server, make: Factory) -> None:
    link = await make.link()
    content = f"link,direction,at,esnoDb\n{link.number},OB,{ms(ago())},12.5\n".encode()
    async with server(rate_samples="0/second") as api, asyncio.timeout(10):
        refused = await imported(await api.as_(Role.OPERATOR), content)

    assert refused["message"].startswith("At most 0 rows at once")


# ---------------------------------------------------------------- forms


async def test_files_of_a_batch_go_to_their_operations(operator: Api, make: Factory) -> None:
    link = await make.link()
    lines = [f"link,direction,at,esnoDb\n{link.number},OB,{ms(ago(minutes=n))},12\n".encode() for n in range(2)]

    answer = await send(
        operator, [operation(), operation()], {"0": ["0.variables.file"], "1": ["1.variables.file"]}, *lines
    )

    assert [body["data"]["importMetrics"]["accepted"] for body in answer.json()] == [1, 1]


@pytest.mark.parametrize(
    ("operations", "places", "said"),
    [
        (b"{", PLACE, "`operations` is not JSON"),
        (operation(), b"{", "`map` is not JSON"),
        (operation(), [], "`map` is an object"),
        (operation(), {"0": "variables.file"}, "`map` must list the places of the file '0'."),
        (operation(), {"1": ["variables.file"]}, "the form has no such file"),
        (operation(), {"map": ["variables.file"]}, "the form has no such file"),
        (operation(), {"0": ["variables.kind"]}, "there is no null among the variables"),
        (operation(), {"0": ["query"]}, "there is no null among the variables"),
        (operation(), {"0": ["variables.file.x.y"]}, "there is no null among the variables"),
        (operation(), {"0": ["7.variables.file"]}, "there is no null among the variables"),
        (operation(), {"0": [7]}, "there is no null among the variables"),
        (b"3", PLACE, "there is no null among the variables"),
        (b"3", {}, "A request is a JSON object"),
    ],
)
async def test_a_form_that_does_not_add_up_is_refused_with_the_reason(
    operator: Api, operations: Any, places: Any, said: str
) -> None:
    answer = await send(operator, operations, places, b"x")

    assert answer.status_code == 400
    assert said in answer.json()["errors"][0]["message"]


async def test_a_form_that_is_none_is_refused(operator: Api) -> None:
    headers = {**operator.headers, "content-type": "multipart/form-data; boundary=x"}

    answers = [
        await operator.http.post(operator.url, content=content, headers=headers)
        for content in (b"garbage", b"", b"--x\r\n\r\n")
    ]
    without_boundary = await operator.http.post(
        operator.url, content=b"", headers={**headers, "content-type": "multipart/form-data"}
    )

    assert [answer.status_code for answer in (*answers, without_boundary)] == [400] * 4


async def test_too_many_files_and_too_many_bytes_are_refused(server: Server) -> None:
    async with server(max_files=1, max_upload=10_000) as api:
        operator = await api.as_(Role.OPERATOR)

        many = await send(operator, operation(), PLACE, b"x", b"y")
        large = await send(operator, operation(), PLACE, b"x" * 20_000)

    assert (many.status_code, large.status_code) == (400, 413)
    assert "at most 1 files" in many.json()["errors"][0]["message"]
    assert large.json()["errors"][0]["message"] == "The upload has more than the 10000 bytes that are allowed."


async def test_files_and_event_streams_do_not_go_together(operator: Api) -> None:
    files: Any = [("operations", (None, _text(operation()))), ("map", (None, _text(PLACE))), ("0", ("a.csv", b"x"))]

    answer = await operator.http.post(
        operator.url, files=files, headers={**operator.headers, "accept": "text/event-stream"}
    )

    assert answer.status_code == 400
    assert "with files" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("value", ["x", {"filename": "x"}, 3, None])
async def test_json_is_no_file(operator: Api, value: Any) -> None:
    answer = await operator.execute(IMPORT, kind="LINK", file=value)

    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
