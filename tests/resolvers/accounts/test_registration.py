"""Who may make an account: anybody, the first admin with a token from the log, or admins for others."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bcom_graphql import demo_account
from bcom_graphql.cli.output import progress_bar
from bcom_graphql.cli.startup import make_ready
from bcom_graphql.observability.logging import configure_logging
from resolvers.accounts import users
from resolvers.base.access import SYSTEM
from resolvers.base.errors import Conflict
from resolvers.base.roles import Role
from resolvers.base.tokens import Tokens
from resolvers.context import Context, Services
from tests.conftest import SECRET, settings_of
from tests.helpers.processes import run
from tests.helpers.settings import settings_from
from tests.helpers.support import Api, Factory, Server, id_of
from tests.resolvers.accounts.test_accounts import PASSWORD, alive, login, register

REGISTER = "mutation ($input: RegisterInput!) { register(input: $input) { __typename } }"
CREATE = """mutation ($input: CreateUserInput!) { createUser(input: $input) { __typename
  ... on UserPassword { password user { email role fullName } } ... on InvalidInput { message path }
  ... on Conflict { message } ... on Forbidden { message } } }"""
RESET = """mutation ($user: ID!) { resetPassword(user: $user) { __typename
  ... on UserPassword { password user { email } } ... on Forbidden { message } ... on NotFound { message } } }"""
KEY = 'mutation { createApiKey(name: "Collector", role: ADMIN) { ... on CreatedApiKey { secret } } }'


async def started(url: str, **given: Any) -> list[dict[str, Any]]:
    """What a server warns of before it serves."""
    configure_logging("json", "warning")
    try:
        with capture_logs() as logs, progress_bar() as bar:
            await make_ready(settings_of(url, **given), bar)
    finally:
        configure_logging("json", "error")
    return [dict(entry) for entry in logs]


async def refusal(api: Api, **given: Any) -> tuple[str, str]:
    response = await api.execute(REGISTER, input={"email": "eve@example.com", "password": PASSWORD, **given})
    [error] = response["errors"]
    return error["extensions"]["code"], error["message"]


@pytest.mark.parametrize(
    ("given", "is_open"),
    [
        ({}, False),
        ({"profile": "production"}, False),
        ({"profile": "development"}, True),
        ({"profile": "production", "registration": "open"}, True),
        ({"profile": "development", "registration": "closed"}, False),
    ],
)
def test_registration_is_closed_in_production_unless_it_is_opened(given: dict[str, Any], is_open: bool) -> None:
    assert settings_from(**given).open_registration is is_open


async def test_where_registration_is_closed_a_stranger_is_told_who_makes_accounts(server: Server) -> None:
    async with server(registration="closed") as api:
        first = await refusal(api)
        with_a_guess = await refusal(api, token="guess")
        not_even_an_address = await refusal(api, email="nonsense")

    assert first == with_a_guess == not_even_an_address
    assert first[0] == "FORBIDDEN"
    assert "Ask an admin for an account" in first[1]


async def test_the_first_admin_registers_with_the_token_from_the_log_once(server: Server, database_url: str) -> None:
    [told] = [entry for entry in await started(database_url, registration="closed") if "token" in entry]
    async with server(registration="closed") as api:
        ada = await register(api, "ada@example.com", token=told["token"])
        again = await refusal(api, token=told["token"])

    later = await started(database_url, registration="closed")

    assert ada["user"]["role"] == Role.ADMIN
    assert again[0] == "FORBIDDEN"
    assert not any("token" in entry for entry in later)
    assert told["token"] not in str(later)


async def test_of_two_who_have_the_token_one_becomes_admin(server: Server, services: Services) -> None:
    token = services.tokens.first_admin_token
    async with server(registration="closed") as api:
        people = [{"email": f"user{n}@example.com", "password": PASSWORD, "token": token} for n in range(3)]
        answers = await asyncio.gather(*(api.execute(REGISTER, input=each) for each in people))

    assert sorted("errors" in answer for answer in answers) == [False, True, True]


async def test_another_servers_token_is_none(server: Server) -> None:
    another = Tokens("another secret key, that is long enough")
    async with server(registration="closed") as api:
        refused = await refusal(api, token=another.first_admin_token)

    assert refused[0] == "FORBIDDEN"


async def test_no_token_is_logged_where_somebody_is_an_admin_or_anybody_may_register(
    database_url: str, make: Factory
) -> None:
    while_open = await started(database_url, registration="open")
    await make.user(role=Role.ADMIN)
    with_an_admin = await started(database_url, registration="closed")

    assert not any("token" in entry for entry in while_open + with_an_admin)


# ---------------------------------------------------------------- by admins


async def test_an_admin_makes_an_account_whose_owner_changes_the_password(server: Server) -> None:
    async with server(registration="closed") as api:
        admin = await api.as_(Role.ADMIN)
        made = (await admin.run(CREATE, input={"email": "Bob@example.com", "fullName": "Bob", "role": "OPERATOR"}))[
            "createUser"
        ]
        again = (await admin.run(CREATE, input={"email": "bob@example.com"}))["createUser"]
        nonsense = (await admin.run(CREATE, input={"email": "bob"}))["createUser"]

        bob = await login(api, "bob@example.com", made["password"])

    assert made["user"] == {"email": "bob@example.com", "role": "OPERATOR", "fullName": "Bob"}
    assert len(made["password"]) >= 16
    assert again["__typename"] == "Conflict"
    assert nonsense["path"] == ["input", "email"]
    assert bob["user"]["role"] == "OPERATOR"


async def test_an_admin_resets_a_password_which_ends_sessions_and_keys(api: Api) -> None:
    await register(api, "boss@example.com")
    session = await register(api, "ada@example.com")
    boss = api.with_token((await login(api, "boss@example.com"))["accessToken"])
    key = (await api.with_token(session["accessToken"]).run(KEY.replace("ADMIN", "VIEWER")))["createApiKey"]["secret"]

    given = (await boss.run(RESET, user=session["user"]["id"]))["resetPassword"]
    with_the_old = await login(api)
    with_the_new = await login(api, password=given["password"])

    assert given["user"] == {"email": "ada@example.com"}
    assert with_the_old["__typename"] == "InvalidCredentials"
    assert await alive(api, with_the_new)
    assert not await alive(api, session)
    assert not await alive(api, {"accessToken": key})


async def test_nobody_resets_whom_there_is_not(api: Api) -> None:
    admin = await api.as_(Role.ADMIN)

    answer = await admin.run(RESET, user="nonsense")

    assert answer["resetPassword"] == {"__typename": "NotFound", "message": "There is no such user."}


async def test_a_leaked_key_of_an_admin_makes_no_accounts_and_resets_no_password(api: Api, make: Factory) -> None:
    admin = await api.as_(Role.ADMIN)
    user = await make.user()
    key = api.with_token((await admin.run(KEY))["createApiKey"]["secret"])

    made = (await key.run(CREATE, input={"email": "eve@example.com", "role": "ADMIN"}))["createUser"]
    reset = (await key.run(RESET, user=id_of(user)))["resetPassword"]

    assert made == {"__typename": "Forbidden", "message": "An API key cannot create users; sign in as yourself."}
    assert reset == {"__typename": "Forbidden", "message": "An API key cannot reset passwords; sign in as yourself."}


async def test_the_command_line_resets_a_password(tmp_path: Path, server: Server, database_url: str) -> None:
    async with server() as api:
        session = await register(api)

        reset = await asyncio.to_thread(run, tmp_path, "user", "reset", "Ada@example.com", DATABASE_URL=database_url)
        signed_in = await login(api, password=reset.stdout.strip())

        assert reset.returncode == 0, reset.stderr
        assert await alive(api, signed_in)
        assert not await alive(api, session)


def test_the_command_line_knows_whom_there_is_not(tmp_path: Path, database_url: str) -> None:
    reset = run(tmp_path, "user", "reset", "ada@example.com", DATABASE_URL=database_url)

    assert (reset.returncode, reset.stderr.strip()) == (1, "There is no such user.")


async def test_the_first_account_that_the_command_line_makes_is_an_admins(
    tmp_path: Path, database_url: str, make: Factory
) -> None:
    await make.user(role=Role.VIEWER)  # the demo has gone, say: there are users, but nobody to manage them

    made = run(tmp_path, "user", "add", "ada@example.com", DATABASE_URL=database_url, BCOM_PASSWORD=PASSWORD)

    assert "ada@example.com is ADMIN." in made.stderr


# ---------------------------------------------------------------- the demo's account


async def test_the_demos_admin_does_not_outlive_the_demo(server: Server, services: Services, database_url: str) -> None:
    await demo_account.move_in(services)
    async with server() as api:
        session = await login(api, demo_account.EMAIL, demo_account.PASSWORD)
        key = (await api.with_token(session["accessToken"]).run(KEY))["createApiKey"]["secret"]

        logs = await started(database_url, registration="closed")
        after = await login(api, demo_account.EMAIL, demo_account.PASSWORD)
        ended = not (await alive(api, session) or await alive(api, {"accessToken": key}))
        token = next(entry["token"] for entry in logs if "token" in entry)
        await demo_account.move_in(services)  # the demo is served again
        back = await login(api, demo_account.EMAIL, demo_account.PASSWORD)
        key_is_back = await alive(api, {"accessToken": key})

    assert session["user"]["role"] == "ADMIN"
    assert after["__typename"] == "InvalidCredentials"
    assert ended
    assert [entry["log_level"] for entry in logs if "the demo's account is deactivated" in entry["event"]] == [
        "warning"
    ]
    assert services.tokens.is_first_admin_token(token), "somebody must be able to become admin"
    assert back["user"]["role"] == "ADMIN"
    assert not key_is_back


async def test_who_gave_the_demos_account_another_password_keeps_it(services: Services, database_url: str) -> None:
    await users.add_user(Context(services, SYSTEM), demo_account.EMAIL, PASSWORD, None, Role.ADMIN)

    logs = await started(database_url)

    assert not any("deactivated" in entry["event"] for entry in logs)


@pytest.mark.parametrize("by", ["users", "links"])
async def test_the_demo_does_not_move_into_somebody_elses_database(services: Services, make: Factory, by: str) -> None:
    await (make.user() if by == "users" else make.link())

    with pytest.raises(Conflict, match="This database is in use already"):
        await demo_account.move_in(services)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_the_demo_is_served_to_this_machine_only(tmp_path: Path, host: str) -> None:
    served = run(tmp_path, "serve", "--demo", "--host", host, "--port", "8130", SECRET_KEY=SECRET)

    assert served.returncode == 1
    assert "--demo-in-public" in served.stderr
