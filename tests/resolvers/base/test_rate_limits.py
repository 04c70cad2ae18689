"""Budgets: of each caller and root field, for operations and samples, and for guessing passwords."""

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from ml.catalogue.metrics import TargetKind
from resolvers.base.errors import RateLimited
from resolvers.base.rate_limits import Budget, RateLimiter
from resolvers.base.roles import Role
from resolvers.context import network_of
from resolvers.store.tables.core import User
from tests.helpers.settings import settings_from
from tests.helpers.support import Api, Factory, Server, ago, id_of, ms, record

DETECT = """detectLinkAnomaly(input: {
  throughputMbps: 1, utilizationPct: 50, errors: 0, discards: 0, uptimePct: 100 }) { __typename }"""
DETECT_SITE = """detectSiteAnomaly(input: {
  responseTimeMs: 100, errorRate: 0, uptimePct: 100, cpuPct: 50, memoryPct: 50 }) { __typename }"""
LOGIN = """mutation ($email: String!, $password: String!) {
  login(input: { email: $email, password: $password }) { __typename } }"""
REGISTER = """mutation ($email: String!) {
  register(input: { email: $email, password: "correct horse" }) { __typename } }"""


async def post(api: Api, body: Any) -> tuple[int, Any, str | None]:
    """Status, body, Retry-After."""
    answer = await api.http.post(api.url, json=body, headers=api.headers)
    return answer.status_code, answer.json(), answer.headers.get("retry-after")


# ---------------------------------------------------------------- dear mutations


async def test_a_dear_mutation_has_a_budget_of_its_own_for_each_caller(server: Server) -> None:
    async with server(rate_analyses="2/day") as api:
        operator, another = await api.as_(Role.OPERATOR), await api.as_(Role.OPERATOR)
        for _ in range(2):
            await operator.run(f"mutation {{ {DETECT} }}")

        refused = await post(operator, {"query": f"mutation {{ {DETECT} }}"})
        other_field = await operator.run(f"mutation {{ {DETECT_SITE} }}")
        other_caller = await another.run(f"mutation {{ {DETECT} }}")

    status, body, retry_after = refused
    [error] = body["errors"]
    assert status == 429
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert error["message"].startswith("At most 2 calls of this mutation in 1 day. Try again in ")
    assert 1 <= error["extensions"]["retryAfter"] <= 86_400
    assert retry_after == str(error["extensions"]["retryAfter"])
    assert other_field == {"detectSiteAnomaly": {"__typename": "Detection"}}
    assert other_caller == {"detectLinkAnomaly": {"__typename": "Detection"}}


async def test_a_request_of_which_something_was_let_in_is_no_429(server: Server) -> None:
    async with server(rate_analyses="1/day") as api:
        operator = await api.as_(Role.OPERATOR)

        first_in = await post(operator, {"query": f"mutation {{ a: {DETECT} b: {DETECT} }}"})
        none_in = await post(operator, {"query": f"mutation {{ a: {DETECT} b: {DETECT} }}"})
        batch_in_part = await post(operator, [{"query": f"mutation {{ {DETECT} }}"}, {"query": "{ __typename }"}])
        batch_out = await post(operator, [{"query": f"mutation {{ {DETECT} }}"}] * 2)

    assert [status for status, _, _ in (first_in, none_in, batch_in_part, batch_out)] == [200, 429, 200, 429]
    assert first_in[1]["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert batch_in_part[1][1] == {"data": {"__typename": "Query"}}


async def test_who_may_not_detect_spends_nothing_and_hears_why(server: Server) -> None:
    async with server(rate_analyses="1/day") as api:
        answers = [await api.execute(f"mutation {{ {DETECT} }}") for _ in range(3)]

    assert {answer["errors"][0]["extensions"]["code"] for answer in answers} == {"UNAUTHENTICATED"}


async def test_a_socket_is_limited_like_a_request(server: Server) -> None:
    async with server(rate_analyses="1/day") as api:
        operator = await api.as_(Role.OPERATOR)
        await operator.run(f"mutation {{ {DETECT} }}")
        async with operator.socket() as socket:
            await socket.send(type="subscribe", id="1", payload={"query": f"mutation {{ {DETECT} }}"})
            message = await socket.receive()

    assert message["payload"]["errors"][0]["extensions"]["code"] == "RATE_LIMITED"


# ---------------------------------------------------------------- operations and samples


async def test_operations_draw_on_a_budget_of_points(server: Server) -> None:
    async with server(rate_operations="100/day") as api:
        viewer, another = await api.as_(Role.VIEWER), await api.as_(Role.VIEWER)
        spent = await post(viewer, {"query": "{ links(first: 70) { nodes { id } } }"})

        refused = await post(viewer, {"query": "{ links(first: 70) { nodes { id } } }"})
        others = await another.run("{ viewer { role } }")

    assert spent[0] == 200
    assert refused[0] == 429
    assert "points for operations" in refused[1]["errors"][0]["message"]
    assert others == {"viewer": {"role": "VIEWER"}}


async def test_reading_a_new_document_costs_points_before_it_is_read(server: Server) -> None:
    async with server(rate_operations="100/day") as api:
        refused = await post(api, {"query": "{ viewer { role } } #" + "x" * 500})

    assert refused[0] == 429


async def test_what_is_not_executed_is_not_free_either(server: Server) -> None:
    async with server(rate_operations="100/day") as api:
        answers = [await post(api, {"query": "{ oops }"}) for _ in range(12)]

    assert [status for status, _, _ in answers].count(429) >= 2


async def test_anonymous_callers_are_told_apart_by_their_addresses(server: Server) -> None:
    """As a trusted proxy tells them; uvicorn trusts this machine by default."""
    async with server(rate_operations="30/day") as api:
        here = [await post(api, {"query": "{ __typename }"}) for _ in range(4)]
        other = await api.http.post(api.url, json={"query": "{ __typename }"}, headers={"x-forwarded-for": "192.0.2.7"})

    assert 429 in [status for status, _, _ in here]
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_a_client_is_an_address_or_a_whole_network_of_ipv6(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_samples_draw_on_a_budget_of_their_own(server: Server, make: Factory) -> None:
    link = await make.link()
    times = [ms(ago(minutes=minute)) for minute in range(6)]
    columns = {"link": [link.number] * 6, "direction": ["OB"] * 6, "at": times, "esnoDb": [12.0] * 6}
    async with server(rate_samples="10/day") as api:
        operator = await api.as_(Role.OPERATOR)
        stored = await record(operator, TargetKind.LINK, **columns)
        document = "mutation ($columns: LinkColumns!) { recordLinkColumns(columns: $columns) { __typename } }"

        refused = await post(operator, {"query": document, "variables": {"columns": columns}})

    assert stored["accepted"] == 6
    assert (refused[0], refused[1]["errors"][0]["message"][:37]) == (429, "At most 10 recorded samples in 1 day.")


async def test_more_samples_than_a_whole_budget_are_invalid_rather_than_asked_for_again(
    server: Server, make: Factory
) -> None:
    link = await make.link()
    columns = {"link": [link.number] * 3, "direction": ["OB"] * 3, "at": [ms(ago())] * 3, "esnoDb": [12.0] * 3}
    async with server(rate_samples="2/day") as api:
        refused = await record(await api.as_(Role.OPERATOR), TargetKind.LINK, **columns)

    assert refused["message"] == "At most 2 rows at once; these are 3. Send them in parts."


async def test_limits_can_be_switched_off_for_load_tests(server: Server) -> None:
    async with server(rate_limits=False, rate_analyses="1/day", rate_operations="1/day") as api:
        operator = await api.as_(Role.OPERATOR)

        answers = [await operator.run(f"mutation {{ {DETECT} }}") for _ in range(3)]

    assert answers == [{"detectLinkAnomaly": {"__typename": "Detection"}}] * 3


# ---------------------------------------------------------------- guessing


async def register(api: Api, email: str) -> None:
    await api.run(REGISTER, email=email)


async def sign_in(api: Api, password: str, address: str = "198.51.100.1", email: str = "ada@example.com") -> int:
    """The status of an attempt from this address."""
    body = {"query": LOGIN, "variables": {"email": email, "password": password}}
    response = await api.http.post(api.url, json=body, headers={"x-forwarded-for": address})
    answer = response.json()
    return 201 if (answer.get("data") or {}).get("login") == {"__typename": "Session"} else response.status_code


async def test_guessing_one_account_s_password_gets_slower(server: Server) -> None:
    async with server(rate_sign_ins_by_account="3/day; 4/month") as api:
        await register(api, "ada@example.com")

        guesses = [await sign_in(api, f"guess {n}", email="ADA@example.com ") for n in range(5)]
        right = await sign_in(api, "correct horse")
        from_next_door = await sign_in(api, "correct horse", "198.51.100.254")
        other = await api.execute(LOGIN, email="bob@example.com", password="guess")

    assert guesses == [200, 200, 200, 429, 429]
    assert right == from_next_door == 429, "nobody may learn by the answer that a guess was right"
    assert other["data"]["login"] == {"__typename": "InvalidCredentials"}


async def test_nobody_locks_somebody_else_out(server: Server, make: Factory) -> None:
    change = 'mutation { changePassword(current: "correct horse", new: "battery staple") { __typename } }'
    async with server(rate_sign_ins_by_account="3/day", rate_sign_ins_by_strangers="20/day") as api:
        await register(api, "ada@example.com")
        async with api.services.database.read() as session:
            ada = await api.of((await session.scalars(select(User).filter_by(email="ada@example.com"))).one())

        guesses = [await sign_in(api, f"guess {n}") for n in range(10)]
        for _ in range(5):
            await api.execute(REGISTER, email="ada@example.com")
        from_home = await sign_in(api, "correct horse", "203.0.113.7")
        changed = await post(ada, {"query": change})

    assert guesses.count(429) == 7
    assert (from_home, changed[0]) == (201, 200)
    assert changed[1]["data"]["changePassword"]["__typename"] == "Session"


async def test_guessing_from_everywhere_stops_strangers_but_not_known_networks(server: Server) -> None:
    async with server(rate_sign_ins_by_strangers="6/day") as api:
        await register(api, "ada@example.com")
        at_home = await sign_in(api, "correct horse", "203.0.113.7")

        guesses = [await sign_in(api, f"guess {n}", f"198.51.{n}.1") for n in range(8)]
        abroad = await sign_in(api, "correct horse", "192.0.2.1")
        at_home_again = await sign_in(api, "correct horse", "203.0.113.200")
        by_ipv6 = await sign_in(api, "correct horse", "2001:db8::1")

    assert at_home == at_home_again == 201
    assert guesses == [200] * 5 + [429] * 3
    assert abroad == by_ipv6 == 429


async def test_a_reset_by_an_admin_lets_strangers_try_again(server: Server, make: Factory) -> None:
    async with server(rate_sign_ins_by_strangers="2/day") as api:
        admin, ada = await api.as_(Role.ADMIN), await make.user()
        for number in range(4):
            await sign_in(api, "guess", f"198.51.{number}.1", email=ada.email)

        reset = "mutation ($user: ID!) { resetPassword(user: $user) { ... on UserPassword { password } } }"
        password = (await admin.run(reset, user=id_of(ada)))["resetPassword"]["password"]
        signed_in = await sign_in(api, password, "192.0.2.1", email=ada.email)

    assert signed_in == 201


async def test_sign_ins_beyond_the_queue_are_told_to_come_back(server: Server) -> None:
    async with server(sign_ins_waiting=2, rate_limits=False, hashes_hastily=False) as api:
        bodies = [{"query": LOGIN, "variables": {"email": f"user{n}@example.com", "password": "x"}} for n in range(20)]

        answers = await asyncio.gather(*(post(api, body) for body in bodies))
        later = await post(api, bodies[0])

    busy = [answer for answer in answers if answer[0] != 200]
    assert 0 < len(busy) < 20
    assert {status for status, _, _ in busy} == {503}
    assert {answer["errors"][0]["extensions"]["code"] for _, answer, _ in busy} == {"SERVICE_UNAVAILABLE"}
    assert {answer["errors"][0]["extensions"]["retryAfter"] for _, answer, _ in busy} == {10}
    assert {retry_after for _, _, retry_after in busy} == {"10"}
    assert later[0] == 200


async def test_signing_in_forgives_the_failures_before(server: Server) -> None:
    async with server(rate_sign_ins_by_account="3/day") as api:
        await register(api, "ada@example.com")

        kinds = [
            (await api.run(LOGIN, email="ada@example.com", password=password))["login"]["__typename"]
            for password in ["wrong", "correct horse", "wrong", "wrong", "correct horse"]
        ]

    assert kinds == ["InvalidCredentials", "Session", "InvalidCredentials", "InvalidCredentials", "Session"]


async def test_guessing_at_the_same_time_does_not_get_around_it(server: Server) -> None:
    async with server(rate_sign_ins_by_account="3/day") as api:
        answers = await asyncio.gather(
            *(api.execute(LOGIN, email="ada@example.com", password=f"guess {n}") for n in range(8))
        )

    assert sum("errors" in answer for answer in answers) == 5


async def test_guessing_many_accounts_from_one_address_gets_slower(server: Server) -> None:
    async with server(rate_sign_ins_by_address="3/day") as api:
        answers = [await post(api, {"query": LOGIN, "variables": {"email": f"user{n}@example.com", "password": "x"}})
                   for n in range(5)]  # fmt: skip

    assert [status for status, _, _ in answers] == [200, 200, 200, 429, 429]


async def test_a_stolen_token_does_not_help_to_guess_the_password(server: Server, make: Factory) -> None:
    document = 'mutation { changePassword(current: "guess", new: "correct horse") { __typename } }'
    user = await make.user()
    async with server(rate_sign_ins_by_account="2/day") as api:
        thief = await api.of(user)

        answers = [await post(thief, {"query": document}) for _ in range(3)]

    assert [status for status, _, _ in answers] == [200, 200, 429]


# ---------------------------------------------------------------- the budgets themselves


async def test_what_was_refused_is_not_spent_from_the_longer_window() -> None:
    rates = RateLimiter({Budget.SIGN_INS_BY_ACCOUNT: "2/month; 3/year"})
    outcomes = []

    for _ in range(20):
        try:
            await rates.consume(Budget.SIGN_INS_BY_ACCOUNT, "ada")
        except RateLimited as limited:
            outcomes.append(limited.message.partition(".")[0])

    assert set(outcomes) == {"At most 2 attempts to sign in to this account from this network in 1 month"}


async def test_a_budget_does_not_grow_with_callers_who_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = RateLimiter({Budget.OPERATIONS: "5/second"})
    storage: Any = rates._local.storage
    for number in range(500):
        await rates.consume(Budget.OPERATIONS, f"user {number}")

    later = time.time() + 60
    monkeypatch.setattr(storage, "_swept", 0.0)
    monkeypatch.setattr("time.time", lambda: later)
    await rates.consume(Budget.OPERATIONS, "somebody")

    assert len(storage.expirations) < 5


@pytest.mark.parametrize("text", ["", "often", "5", "0/hour;;", "5/fortnight"])
def test_a_setting_that_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must look like 100/hour"):
        settings_from(rate_analyses=text)


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )
    yield f"redis://127.0.0.1:{port}/0"
    running.terminate()
    running.wait()


async def test_redis_limits_across_processes(server: Server, redis: str) -> None:
    given: dict[str, Any] = {"rate_analyses": "2/day", "rate_limit_storage": redis}
    async with server(**given) as one, server(**given) as two:
        operator = await one.as_(Role.OPERATOR)

        answers = [
            await post(one.with_token(operator.token), {"query": f"mutation {{ {DETECT} }}"}),
            await post(two.with_token(operator.token), {"query": f"mutation {{ {DETECT} }}"}),
            await post(one.with_token(operator.token), {"query": f"mutation {{ {DETECT} }}"}),
            await post(two.with_token(operator.token), {"query": f"mutation {{ {DETECT} }}"}),
        ]

    assert [status for status, _, _ in answers] == [200, 200, 429, 429]


async def test_when_redis_is_away_each_process_limits_by_itself() -> None:
    rates = RateLimiter({Budget.ANALYSES: "2/day"}, "redis://127.0.0.1:9/0")

    with capture_logs() as logs:
        await rates.consume(Budget.ANALYSES, "somebody")
        await rates.consume(Budget.ANALYSES, "somebody")
        with pytest.raises(RateLimited):
            await rates.consume(Budget.ANALYSES, "somebody")
    await rates.close()

    assert [entry["event"] for entry in logs] == ["the rate limits' storage is away; limiting in this process alone"]


async def test_what_is_forgiven_while_redis_is_away_is_forgiven_here() -> None:
    rates = RateLimiter({Budget.SIGN_INS_BY_ACCOUNT: "1/day"}, "redis://127.0.0.1:9/0")
    await rates.consume(Budget.SIGN_INS_BY_ACCOUNT, "ada")
    rates._away_until = 0.0

    await rates.reset(Budget.SIGN_INS_BY_ACCOUNT, "ada")

    await rates.consume(Budget.SIGN_INS_BY_ACCOUNT, "ada")
    await rates.close()


def test_redis_without_its_library_is_said_to_lack_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(ValueError, match="needs the extra `redis`"):
        RateLimiter({}, "redis://127.0.0.1/0")
