"""Operations that take long are logged for whoever runs the server, and nothing secret with them."""

import hashlib
import json
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from bcom_graphql.observability.logging import configure_logging
from resolvers.base.roles import Role
from tests.helpers.support import Server

SITES = "query Sites($search: String) { sites(search: $search) { totalCount } }"
LOGIN = 'mutation { login(input: {email: "noc@example.com", password: "very secret"}) { __typename } }'
Logs = list[MutableMapping[str, Any]]


@pytest.fixture
def logs() -> Iterator[Logs]:
    """What is logged, warnings too."""
    configure_logging("json", "info")
    with capture_logs() as captured:
        yield captured
    configure_logging("json", "error")


def slow(logs: Logs) -> Logs:
    return [{**entry} for entry in logs if entry["event"] == "slow operation"]


async def test_what_takes_long_is_logged_without_its_secrets(server: Server, logs: Logs) -> None:
    async with server(slow_seconds=1e-9) as api:
        await (await api.as_(Role.VIEWER)).run(SITES, search="secret")
        await api.execute(LOGIN)

    [query, mutation] = slow(logs)
    assert query.pop("seconds") >= 0
    assert query.pop("cost") > 0
    assert query == {
        "event": "slow operation",
        "log_level": "warning",
        "operation": "Sites",
        "type": "query",
        "document": hashlib.sha256(SITES.encode()).hexdigest(),
    }
    assert (mutation["operation"], mutation["type"]) == (None, "mutation")
    assert "secret" not in str(logs)


async def test_each_line_names_its_request(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info")
    async with server(slow_seconds=1e-9) as api:
        for id in ("one", "another"):
            await api.http.post(api.url, json={"query": "{ __typename }"}, headers={"x-request-id": id})
    configure_logging("json", "error")

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert [line["request_id"] for line in lines if line["event"] == "slow operation"] == ["one", "another"]


@pytest.mark.parametrize("seconds", [0, 3600])
async def test_what_does_not_is_not(server: Server, logs: Logs, seconds: float) -> None:
    async with server(slow_seconds=seconds) as api:
        await api.execute(SITES)

    assert slow(logs) == []


async def test_what_was_stopped_is_logged_too(server: Server, logs: Logs) -> None:
    async with server(slow_seconds=1e-9, max_seconds=1e-6) as api:
        answer = await (await api.as_(Role.VIEWER)).execute(SITES)

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["TIMEOUT"]
    assert len(slow(logs)) == 1
