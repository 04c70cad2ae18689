"""Long-lived credentials for collectors and frontends' server sides."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.postgres.advisory_locks import AdvisoryLock, lock
from resolvers.store.tables.core import ApiKey, SignIn, User
from tests.helpers.support import Api, Factory, Server, codes, id_of, iso, sql

CREATE = """mutation ($name: String!, $role: Role!, $expiresAt: DateTime) {
  createApiKey(name: $name, role: $role, expiresAt: $expiresAt) { __typename
    ... on CreatedApiKey { secret apiKey { id name role createdAt lastUsedAt expiresAt revokedAt } }
    ... on InvalidInput { message path } ... on Forbidden { message requiredRole } } }"""
REVOKE = "mutation ($id: ID!) { revokeApiKey(id: $id) { id revokedAt } }"
KEYS = "{ apiKeys { id name role lastUsedAt revokedAt } }"
VIEWER = "{ viewer { email role } }"
USERS = "{ users { totalCount } }"
UPDATE = "mutation ($input: UpdateUserInput!) { updateUser(input: $input) { __typename } }"


async def create(api: Api, role: Role = Role.VIEWER, name: str = "Collector", **given: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.run(CREATE, name=name, role=role, **given))["createApiKey"]
    return answer


async def test_a_key_opens_what_its_owner_may_see(api: Api, make: Factory) -> None:
    owner = await make.user(Role.OPERATOR, email="ada@example.com")

    created = await create(await api.of(owner), Role.OPERATOR, name="  Collector 7 ")
    answer = await api.with_token(created["secret"]).run(VIEWER)

    assert created["apiKey"]["name"] == "Collector 7"
    assert (created["apiKey"]["role"], created["apiKey"]["lastUsedAt"]) == ("OPERATOR", None)
    assert answer["viewer"]["email"] == "ada@example.com"


async def test_a_key_opens_a_socket(api: Api) -> None:
    created = await create(await api.as_(Role.VIEWER))

    async with api.with_token(created["secret"]).socket() as socket:
        await socket.send(type="subscribe", id="1", payload={"query": VIEWER})
        data = await socket.next()

    assert data["viewer"] is not None


async def test_a_key_s_secret_is_kept_only_as_a_hash(api: Api, services: Services) -> None:
    created = await create(await api.as_(Role.VIEWER))

    async with services.database.read() as session:
        dump = str((await session.execute(text("SELECT * FROM api_keys"))).all())
        key = await session.scalar(select(ApiKey))

    assert key is not None
    assert len(key.hash) == 32
    assert created["secret"] not in dump
    assert created["secret"].removeprefix("bcom_") not in dump


async def test_a_key_has_at_most_its_owner_s_role(api: Api) -> None:
    operator = await api.as_(Role.OPERATOR)

    refused = await create(operator, Role.ADMIN)

    assert (refused["__typename"], refused["requiredRole"]) == ("Forbidden", "ADMIN")
    assert await operator.run(KEYS) == {"apiKeys": []}


async def test_a_key_may_do_less_than_its_owner(api: Api) -> None:
    admin = await api.as_(Role.ADMIN)

    created = await create(admin, Role.VIEWER)

    assert await codes(api.with_token(created["secret"]), USERS) == ["FORBIDDEN"]
    assert await codes(admin, USERS) == []


async def test_a_key_loses_what_its_owner_loses(api: Api, make: Factory) -> None:
    owner, boss = await make.user(Role.ADMIN), await api.as_(Role.ADMIN)
    created = await create(await api.of(owner), Role.ADMIN)
    with_key = api.with_token(created["secret"])

    before = await codes(with_key, USERS)
    await boss.run(UPDATE, input={"id": id_of(owner), "role": "OPERATOR"})
    after = await codes(with_key, USERS)

    assert (before, after) == ([], ["FORBIDDEN"])


async def test_whoever_is_signed_out_meanwhile_gets_no_key(api: Api, services: Services) -> None:
    thief = await api.as_(Role.OPERATOR)

    async with services.database.write() as session:
        await session.execute(select(User).with_for_update())
        creating = asyncio.create_task(thief.execute(CREATE, name="For later", role=Role.OPERATOR))
        await waiting(services)
        await session.execute(update(SignIn).values(revoked_at=func.now()))
    answer = await creating

    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_an_admin_who_is_demoted_meanwhile_makes_nobody_an_admin(
    api: Api, make: Factory, services: Services
) -> None:
    demoted = await make.user(Role.ADMIN)
    admin = await api.of(demoted)

    async with services.database.write() as session:
        await lock(session, AdvisoryLock.USERS)
        promoting = asyncio.create_task(admin.execute(UPDATE, input={"id": id_of(demoted), "role": "ADMIN"}))
        await waiting(services)
        await session.execute(update(User).values(role=Role.VIEWER))
    answer = await promoting

    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def waiting(services: Services) -> None:
    """Until somebody waits for a lock."""
    here = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    found = 0
    while not found:
        async with services.database.read() as session:
            found = await session.scalar(text(here)) or 0


async def test_an_admin_s_key_that_leaks_makes_nobody_an_admin(api: Api, make: Factory) -> None:
    created = await create(await api.as_(Role.ADMIN), Role.ADMIN)
    thief = await make.user(role=Role.VIEWER)

    answer = await api.with_token(created["secret"]).run(UPDATE, input={"id": id_of(thief), "role": "ADMIN"})

    assert answer["updateUser"] == {"__typename": "Forbidden"}


async def test_a_key_cannot_create_keys(api: Api) -> None:
    created = await create(await api.as_(Role.ADMIN), Role.ADMIN)

    refused = await create(api.with_token(created["secret"]), Role.VIEWER)

    assert refused["__typename"] == "Forbidden"


async def test_a_key_needs_a_possible_name(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)

    answers = [await create(viewer, name=name) for name in ("", "   ", "x" * 201, "null \0 byte")]

    assert [(answer["__typename"], answer["path"]) for answer in answers] == [("InvalidInput", ["name"])] * 4


async def test_a_key_that_has_expired_already_is_not_created(api: Api) -> None:
    past = iso(datetime.now(UTC) - timedelta(seconds=1))

    refused = await create(await api.as_(Role.VIEWER), expiresAt=past)

    assert (refused["__typename"], refused["path"]) == ("InvalidInput", ["expiresAt"])


async def test_a_key_works_until_it_expires(api: Api, services: Services) -> None:
    tomorrow = iso(datetime.now(UTC) + timedelta(days=1))
    created = await create(await api.as_(Role.VIEWER), expiresAt=tomorrow)
    with_key = api.with_token(created["secret"])

    before = await codes(with_key, VIEWER)
    async with services.database.write() as session:
        await session.execute(update(ApiKey).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    after = await codes(with_key, VIEWER)

    assert (before, after) == ([], ["UNAUTHENTICATED"])


async def test_a_revoked_key_opens_nothing(api: Api) -> None:
    owner = await api.as_(Role.VIEWER)
    created = await create(owner)

    revoked = (await owner.run(REVOKE, id=created["apiKey"]["id"]))["revokeApiKey"]
    again = (await owner.run(REVOKE, id=created["apiKey"]["id"]))["revokeApiKey"]

    assert revoked["revokedAt"] is not None
    assert again == revoked
    assert await codes(api.with_token(created["secret"]), VIEWER) == ["UNAUTHENTICATED"]


async def test_revoking_a_key_closes_its_sockets_and_no_others(api: Api) -> None:
    owner = await api.as_(Role.VIEWER)
    created = await create(owner)

    async with api.with_token(created["secret"]).socket() as socket, owner.socket() as others:
        await owner.run(REVOKE, id=created["apiKey"]["id"])
        code = await socket.closed()
        await others.send(type="ping")
        answer = await others.receive()

    assert code == 4403
    assert answer["type"] == "pong"


async def test_a_deactivated_owner_s_key_opens_nothing(api: Api, make: Factory) -> None:
    owner, admin = await make.user(), await api.as_(Role.ADMIN)
    created = await create(await api.of(owner))

    await admin.run(UPDATE, input={"id": id_of(owner), "isActive": False})

    response = await api.http.post(
        api.url, json={"query": VIEWER}, headers={"Authorization": f"Bearer {created['secret']}"}
    )
    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_everybody_lists_their_own_keys_and_an_admin_everybody_s(api: Api) -> None:
    ada, grace, admin = await api.as_(Role.VIEWER), await api.as_(Role.OPERATOR), await api.as_(Role.ADMIN)
    await create(ada, name="Ada's")
    await create(grace, name="Grace's")

    lists = [(await client.run(KEYS))["apiKeys"] for client in (ada, grace, admin)]

    assert [[key["name"] for key in keys] for keys in lists] == [["Ada's"], ["Grace's"], ["Ada's", "Grace's"]]


async def test_nobody_revokes_somebody_else_s_key_but_an_admin(api: Api) -> None:
    owner, other, admin = await api.as_(Role.VIEWER), await api.as_(Role.OPERATOR), await api.as_(Role.ADMIN)
    created = await create(owner)

    refused = await codes(other, REVOKE, id=created["apiKey"]["id"])
    still_good = await codes(api.with_token(created["secret"]), VIEWER)
    revoked = await codes(admin, REVOKE, id=created["apiKey"]["id"])

    assert (refused, still_good, revoked) == (["NOT_FOUND"], [], [])
    assert await codes(api.with_token(created["secret"]), VIEWER) == ["UNAUTHENTICATED"]


async def test_what_is_no_key_is_not_found(api: Api, make: Factory) -> None:
    owner = await api.as_(Role.ADMIN)
    ids = [id_of(ApiKey(id=2_000_000_000)), id_of(await make.user()), "garbage", "QXBpS2V5Ojk5OTk5OTk5OTk5OTk5"]

    answers = [await codes(owner, REVOKE, id=id) for id in ids]

    assert answers == [["NOT_FOUND"]] * len(ids)


async def test_using_a_key_is_noted_once_a_minute(api: Api, services: Services, statements: list[str]) -> None:
    owner = await api.as_(Role.VIEWER)
    with_key = api.with_token((await create(owner))["secret"])

    await with_key.run(VIEWER)
    [first] = (await owner.run(KEYS))["apiKeys"]
    statements.clear()
    await with_key.run(VIEWER)
    writes = [statement for statement in statements if statement.startswith("UPDATE")]
    [second] = (await owner.run(KEYS))["apiKeys"]

    assert first["lastUsedAt"] is not None
    assert second["lastUsedAt"] == first["lastUsedAt"]
    assert writes == []


async def test_using_a_key_is_noted_again_after_a_while(api: Api, services: Services) -> None:
    owner = await api.as_(Role.VIEWER)
    with_key = api.with_token((await create(owner))["secret"])
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    async with services.database.write() as session:
        await session.execute(update(ApiKey).values(last_used_at=long_ago))

    await with_key.run(VIEWER)

    [key] = (await owner.run(KEYS))["apiKeys"]
    assert datetime.fromisoformat(key["lastUsedAt"]) > long_ago


async def test_a_key_does_not_keep_its_owner_s_sign_in(api: Api, services: Services) -> None:
    """Signing out ends sign-ins, not keys: a collector goes on."""
    async with services.database.write() as session:
        user = User(email="ada@example.com", role=Role.VIEWER, is_active=True, password_hash="nobody's")
        session.add(user)
    created = await create(await api.of(user))

    async with services.database.write() as session:
        await session.execute(text("UPDATE sign_ins SET revoked_at = now()"))

    assert await codes(api.with_token(created["secret"]), VIEWER) == []


# ---------------------------------------------------------------- what a leaked key is good for


async def test_a_key_neither_lists_nor_revokes_its_owners_other_keys(api: Api) -> None:
    owner = await api.as_(Role.ADMIN)
    strong = await create(owner, Role.ADMIN, "Strong")
    weak = api.with_token((await create(owner, Role.VIEWER, "Weak"))["secret"])
    change = 'mutation { changePassword(current: "guess", new: "battery staple") { __typename } }'

    refused = [
        await codes(weak, KEYS),
        await codes(weak, REVOKE, id=strong["apiKey"]["id"]),
        await codes(weak, change),
    ]
    node = await weak.run("query ($id: ID!) { node(id: $id) { id } }", id=strong["apiKey"]["id"])

    assert refused == [["FORBIDDEN"]] * 3
    assert node == {"node": None}
    assert await codes(api.with_token(strong["secret"]), VIEWER) == []


async def test_a_user_has_so_many_active_keys_and_no_more(server: Server) -> None:
    async with server(api_keys_per_user=2) as api:
        owner = await api.as_(Role.VIEWER)
        first, _ = await asyncio.gather(*(create(owner) for _ in range(2)))

        beyond = await asyncio.gather(*(create(owner) for _ in range(3)))
        somebody_elses = await create(await api.as_(Role.VIEWER))
        await owner.run(REVOKE, id=first["apiKey"]["id"])
        after = await create(owner)

    assert [answer["__typename"] for answer in beyond] == ["InvalidInput"] * 3
    assert beyond[0]["message"].startswith("You have 2 active API keys, which is the most allowed")
    assert somebody_elses["__typename"] == after["__typename"] == "CreatedApiKey"


async def test_keys_are_listed_in_pages_that_cost_what_they_may_hold(api: Api, services: Services) -> None:
    owner = await api.as_(Role.VIEWER)
    document = "query ($first: Int, $after: ID) { apiKeys(first: $first, after: $after) { id } }"
    await create(owner)
    await sql(
        services,
        "INSERT INTO api_keys (user_id, name, role, hash, revoked_at) SELECT user_id, 'x', role, n::text::bytea, now()"
        " FROM api_keys, generate_series(1, 120) AS n",
    )

    first = (await owner.run(document, first=100))["apiKeys"]
    rest = (await owner.run(document, after=first[-1]["id"]))["apiKeys"]
    unasked = (await owner.run("{ apiKeys { id } }"))["apiKeys"]
    too_many = await codes(owner, document, first=100_000)
    body = {"query": "{ apiKeys(first: 100) { id } }"}
    priced = await owner.http.post(owner.url, json=body, headers={**owner.headers, "GraphQL-Cost": "1"})

    assert (len(first), len(rest), len(unasked)) == (100, 21, 50)
    assert len({key["id"] for key in first + rest}) == 121
    assert too_many != []
    assert int(priced.headers["graphql-cost"]) >= 100


async def test_keys_stay_dead_when_their_owner_comes_back(api: Api, make: Factory) -> None:
    owner, admin = await make.user(), await api.as_(Role.ADMIN)
    key = api.with_token((await create(await api.of(owner)))["secret"])

    for active in (False, True):
        await admin.run(UPDATE, input={"id": id_of(owner), "isActive": active})

    assert await codes(key, VIEWER) == ["UNAUTHENTICATED"]


@pytest.mark.parametrize("revoke", [False, True])
async def test_whoever_changes_the_password_says_whether_keys_end_too(
    api: Api, services: Services, make: Factory, revoke: bool
) -> None:
    owner = await make.user()
    async with services.database.write() as session:
        hash = await services.passwords.hash("correct horse")
        await session.execute(update(User).values(password_hash=hash))
    mine = await api.of(owner)
    key = api.with_token((await create(mine))["secret"])
    document = """mutation ($revoke: Boolean!) { changePassword(
      current: "correct horse", new: "battery staple", revokeApiKeys: $revoke) { __typename } }"""

    changed = await mine.run(document, revoke=revoke)

    assert changed == {"changePassword": {"__typename": "Session"}}
    assert await codes(key, VIEWER) == (["UNAUTHENTICATED"] if revoke else [])
