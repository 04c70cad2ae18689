"""People: registering, signing in and out, changing passwords and roles, and the tokens that prove it."""

import asyncio
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import jwt
import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr
from sqlalchemy import select, text, update

from bcom_graphql import app
from bcom_graphql.services import build_services
from resolvers.accounts.passwords import Passwords
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables.core import RefreshToken, SignIn, User
from tests.conftest import SECRET, settings_of
from tests.helpers.support import Api, Factory, Server, codes, id_of, iso, serving

OUTCOME = """ fragment Outcome on SessionResult { __typename
  ... on Session { accessToken refreshToken tokenType expiresAt user { id email fullName role } }
  ... on InvalidInput { message path } ... on InvalidCredentials { message } ... on Conflict { message } }"""
REGISTER = "mutation ($input: RegisterInput!) { register(input: $input) { ...Outcome } }" + OUTCOME
LOGIN = "mutation ($input: LoginInput!) { login(input: $input) { ...Outcome } }" + OUTCOME
REFRESH = "mutation ($token: String!) { refreshSession(refreshToken: $token) { ...Outcome } }" + OUTCOME
CHANGE = "mutation ($current: String!, $new: String!) { changePassword(current: $current, new: $new) { ...Outcome } }"
CHANGE += OUTCOME
LOGOUT = "mutation ($token: String!) { logout(refreshToken: $token) { at } }"
UPDATE = """mutation ($input: UpdateUserInput!) { updateUser(input: $input) { __typename
  ... on User { role isActive fullName updatedAt } ... on InvalidInput { message path } ... on NotFound { message }
  ... on Conflict { message } ... on Forbidden { message requiredRole } } }"""
VIEWER = "{ viewer { id email role } }"
USERS = """query ($role: Role, $isActive: Boolean, $first: Int, $after: String) {
  users(role: $role, isActive: $isActive, first: $first, after: $after) {
    totalCount nodes { email } pageInfo { hasNextPage endCursor } } }"""
PASSWORD = "correct horse battery"
LONG_AGO, FAR_AHEAD = 1_700_000_000, 4_000_000_000  # 2023 and 2096


async def register(api: Api, email: str = "ada@example.com", password: str = PASSWORD, **given: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.run(REGISTER, input={"email": email, "password": password, **given}))[
        "register"
    ]
    return answer


async def login(api: Api, email: str = "ada@example.com", password: str = PASSWORD) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.run(LOGIN, input={"email": email, "password": password}))["login"]
    return answer


async def refresh(api: Api, session: dict[str, Any] | str) -> dict[str, Any]:
    token = session if isinstance(session, str) else session["refreshToken"]
    answer: dict[str, Any] = (await api.run(REFRESH, token=token))["refreshSession"]
    return answer


async def alive(api: Api, session: dict[str, Any]) -> bool:
    """Whether its access token is still accepted."""
    return await codes(api.with_token(session["accessToken"]), VIEWER) == []


async def change(api: Api, session: dict[str, Any], current: str, new: str) -> dict[str, Any]:
    mine = api.with_token(session["accessToken"])
    answer: dict[str, Any] = (await mine.run(CHANGE, current=current, new=new))["changePassword"]
    return answer


async def update_user(api: Api, user: User, **changes: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.run(UPDATE, input={"id": id_of(user), **changes}))["updateUser"]
    return answer


async def everybody(services: Services) -> list[User]:
    async with services.database.read() as session:
        return list(await session.scalars(select(User)))


# ---------------------------------------------------------------- registering


async def test_the_first_person_to_register_becomes_admin_and_everyone_after_that_viewer(api: Api) -> None:
    first = await register(api, "ada@example.com", fullName="Ada Lovelace")
    second = await register(api, "grace@example.com")

    assert first["tokenType"] == "Bearer"
    assert first["user"]["fullName"] == "Ada Lovelace"
    assert [first["user"]["role"], second["user"]["role"]] == ["ADMIN", "VIEWER"]


async def test_of_several_first_registrations_at_once_exactly_one_becomes_admin(api: Api) -> None:
    sessions = await asyncio.gather(*(register(api, f"user{number}@example.com") for number in range(4)))

    assert sorted(session["user"]["role"] for session in sessions) == ["ADMIN", "VIEWER", "VIEWER", "VIEWER"]


async def test_an_address_registers_once_in_whatever_case(api: Api) -> None:
    await register(api, "ada@example.com")

    again = await register(api, "  Ada@EXAMPLE.com ")

    assert again["__typename"] == "InvalidCredentials"


async def test_registering_tells_no_more_of_an_account_than_signing_in(api: Api, services: Services) -> None:
    await register(api, "ada@example.com")

    wrong = await login(api, password="wrong horse battery")
    taken = [await register(api, password=password) for password in ("wrong horse battery", PASSWORD)]

    assert taken == [wrong, wrong], "with the right password too, or it could be guessed here"
    assert len(await everybody(services)) == 1


async def test_an_address_that_registers_twice_at_once_does_so_once(api: Api) -> None:
    answers = await asyncio.gather(*(register(api) for _ in range(3)))

    assert sorted(answer["__typename"] for answer in answers) == ["InvalidCredentials", "InvalidCredentials", "Session"]


async def test_what_is_no_address_cannot_register(api: Api) -> None:
    names = ["", "ada", "@example.com", "ada@", "ada@example", "a da@example.com", "a@b@c.d", "nul\0@example.com"]

    answers = [await register(api, email) for email in [*names, "x" * 250 + "@y.zz"]]

    assert {answer["__typename"] for answer in answers} == {"InvalidInput"}
    assert all(answer["path"] == ["input", "email"] for answer in answers)


async def test_a_password_has_8_to_128_characters(api: Api) -> None:
    lengths = {0: "InvalidInput", 7: "InvalidInput", 8: "Session", 128: "Session", 129: "InvalidInput"}

    answers = {length: await register(api, f"user{length}@example.com", "ü" * length) for length in lengths}

    assert {length: answer["__typename"] for length, answer in answers.items()} == lengths
    assert answers[7]["path"] == answers[129]["path"] == ["input", "password"]


async def test_an_impossible_name_cannot_register(api: Api) -> None:
    answers = [await register(api, fullName=name) for name in ("x" * 201, "null \0 byte")]

    assert [(answer["__typename"], answer["path"]) for answer in answers] == [
        ("InvalidInput", ["input", "fullName"])
    ] * 2


# ---------------------------------------------------------------- signing in


async def test_signing_in_takes_the_address_in_any_case(api: Api) -> None:
    registered = await register(api, "ada@example.com")

    session = await login(api, " ADA@Example.Com ")

    assert session["user"] == registered["user"]
    assert await alive(api, session)


async def test_a_refused_sign_in_gives_no_hint_at_what_was_wrong(api: Api, make: Factory, services: Services) -> None:
    await register(api, "ada@example.com")
    await register(api, "gone@example.com")
    async with services.database.write() as session:
        await session.execute(update(User).where(User.email == "gone@example.com").values(is_active=False))

    answers = [
        await login(api, "ada@example.com", "wrong password"),
        await login(api, "ada@example.com", ""),
        await login(api, "nobody@example.com", PASSWORD),
        await login(api, "gone@example.com", PASSWORD),
        await login(api, "nul\0@example.com", PASSWORD),
        await login(api, "", PASSWORD),
        await login(api, "ada@example.com", PASSWORD + "\0"),
    ]

    assert answers == [
        {
            "__typename": "InvalidCredentials",
            "message": "This e-mail address and password do not match.",
        }
    ] * len(answers)


async def test_the_viewer_is_whoever_signed_in(api: Api) -> None:
    session = await register(api)

    anonymous = await api.run(VIEWER)
    signed_in = await api.with_token(session["accessToken"]).run(VIEWER)

    assert anonymous == {"viewer": None}
    assert signed_in["viewer"]["email"] == "ada@example.com"


async def test_an_access_token_says_when_it_expires(api: Api) -> None:
    session = await register(api)

    claims = jwt.decode(session["accessToken"], options={"verify_signature": False})

    expires_at = datetime.fromisoformat(session["expiresAt"])
    assert abs(expires_at.timestamp() - claims["exp"]) < 1
    assert timedelta(minutes=29) < expires_at - datetime.now(UTC) <= timedelta(minutes=30)


async def test_nothing_secret_is_kept_as_it_is(api: Api, services: Services) -> None:
    session = await register(api)

    async with services.database.read() as database:
        dump = str((await database.execute(text("SELECT users.*, refresh_tokens.* FROM users, refresh_tokens"))).all())
        [user] = await database.scalars(select(User))
        [token] = await database.scalars(select(RefreshToken))

    assert user.password_hash.startswith("$argon2id$")
    assert len(token.hash) == 32
    assert PASSWORD not in dump
    assert session["refreshToken"] not in dump


# ---------------------------------------------------------------- refreshing


async def test_refreshing_rotates_the_token(api: Api) -> None:
    first = await register(api)

    second = await refresh(api, first)
    third = await refresh(api, second)

    assert third["user"]["email"] == "ada@example.com"
    assert len({session["refreshToken"] for session in (first, second, third)}) == 3
    assert await alive(api, third)


async def test_using_a_refresh_token_again_ends_its_whole_family_and_no_other(api: Api) -> None:
    other = await register(api)
    first = await login(api)
    second = await refresh(api, first)
    third = await refresh(api, second)

    reused = await refresh(api, first)

    assert reused["__typename"] == "InvalidCredentials"
    assert (await refresh(api, third))["__typename"] == "InvalidCredentials"
    assert not await alive(api, third)
    assert await alive(api, other)
    assert (await refresh(api, other))["__typename"] == "Session"


async def test_a_refresh_token_used_twice_at_once_leaves_nobody_signed_in(api: Api) -> None:
    session = await register(api)

    answers = await asyncio.gather(refresh(api, session), refresh(api, session))

    assert sorted(answer["__typename"] for answer in answers) == ["InvalidCredentials", "Session"]
    winner = next(answer for answer in answers if answer["__typename"] == "Session")
    assert not await alive(api, winner)
    assert (await refresh(api, winner))["__typename"] == "InvalidCredentials"


async def test_an_expired_refresh_token_does_not_refresh(api: Api, services: Services) -> None:
    session = await register(api)
    async with services.database.write() as database:
        await database.execute(update(RefreshToken).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))

    answer = await refresh(api, session)

    assert answer["__typename"] == "InvalidCredentials"


async def test_garbage_does_not_refresh(api: Api) -> None:
    answers = [await refresh(api, token) for token in ("", "garbage", "nul\0", "ü" * 1000, "bcom_x")]

    assert {answer["__typename"] for answer in answers} == {"InvalidCredentials"}


async def test_an_access_token_does_not_refresh_and_a_refresh_token_opens_nothing(api: Api) -> None:
    session = await register(api)

    swapped = await refresh(api, session["accessToken"])
    refused = await codes(api.with_token(session["refreshToken"]), VIEWER)

    assert swapped["__typename"] == "InvalidCredentials"
    assert refused == ["UNAUTHENTICATED"]


# ---------------------------------------------------------------- signing out


async def test_signing_out_ends_the_access_token_at_once(api: Api) -> None:
    session, elsewhere = await register(api), await login(api)

    await api.run(LOGOUT, token=session["refreshToken"])

    assert not await alive(api, session)
    assert (await refresh(api, session))["__typename"] == "InvalidCredentials"
    assert await alive(api, elsewhere)


async def test_signing_out_with_an_earlier_refresh_token_ends_the_family_too(api: Api) -> None:
    first = await register(api)
    second = await refresh(api, first)

    await api.run(LOGOUT, token=first["refreshToken"])

    assert not await alive(api, second)


async def test_an_unknown_address_costs_as_much_hashing_as_a_known_one(database_url: str) -> None:
    verified: list[str] = []

    class Watching(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            verified.append(str(hash).rpartition("$")[0].rpartition("$")[0])  # argon2id and its parameters
            return super().verify(hash, password)

    settings = settings_of(database_url, profile="development")
    services = build_services(settings, passwords=Passwords(hasher=Watching()))
    async with serving(app.application(services, settings)) as url, Api.to(url, services) as api:
        await api.run(REGISTER, input={"email": "ada@example.com", "password": "correct horse"})
        for email in ("ada@example.com", "nobody@example.com", "no address"):
            answer = await api.run(LOGIN, input={"email": email, "password": "wrong horse"})
            assert answer["login"]["__typename"] == "InvalidCredentials"

    assert len(verified) == 3
    assert len(set(verified)) == 1


@pytest.mark.parametrize(
    ("registered", "typed"),
    [
        ("ada@example.com", "ＡＤＡ@example.com"),
        ("jose\u0301@example.com", "josé@EXAMPLE.com"),
        ("mike@example.com", "mi\u212ae@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ],
)
async def test_spellings_of_an_address_are_one_account(api: Api, registered: str, typed: str) -> None:
    session = await register(api, registered)

    again = await register(api, typed, "another password")
    signed_in = await login(api, typed)

    assert again["__typename"] == "InvalidCredentials"
    assert signed_in["user"] == session["user"]


async def test_an_address_that_looks_like_another_does_not_register(api: Api) -> None:
    answers = [await register(api, email) for email in ("m\u0131ke@example.org", "ada\u200b@example.com")]

    assert [answer["__typename"] for answer in answers] == ["InvalidInput"] * 2
    assert (
        answers[0]["message"]
        == "This e-mail address cannot be used: it has letters in it that look like other letters."
    )


async def test_an_account_from_before_is_found_as_it_was_typed_then(api: Api, services: Services) -> None:
    hash = await services.passwords.hash(PASSWORD)
    async with services.database.write() as session:
        for email in ("straße@example.com", "ada\u200b@example.com", "strasse@example.com"):
            session.add(User(email=email, role=Role.VIEWER, is_active=True, password_hash=hash))

    found = [(await login(api, email))["user"]["email"] for email in ("Straße@example.com", "strasse@example.com")]
    odd = await login(api, "ada\u200b@example.com")

    assert found == ["straße@example.com", "strasse@example.com"]
    assert odd["__typename"] == "Session"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
async def test_a_password_is_the_same_from_any_keyboard(api: Api, services: Services, form: Any) -> None:
    await register(api, password=unicodedata.normalize(form, "Gänsefüßchen"))
    old = await services.passwords.hash(unicodedata.normalize("NFD", "Gänsefüßchen"))  # from before there was one form
    async with services.database.write() as session:
        session.add(User(email="old@example.com", role=Role.VIEWER, is_active=True, password_hash=old))

    others = [await login(api, password=unicodedata.normalize(other, "Gänsefüßchen")) for other in ("NFC", "NFD")]
    as_before = await login(api, "old@example.com", unicodedata.normalize("NFD", "Gänsefüßchen"))

    assert [answer["__typename"] for answer in [*others, as_before]] == ["Session"] * 3


async def test_a_password_longer_than_any_is_wrong_and_no_work(api: Api) -> None:
    await register(api)

    answer = await login(api, password="\u0344" * 2000)

    assert answer["__typename"] == "InvalidCredentials"


async def test_signing_out_with_an_unknown_token_is_no_error(api: Api) -> None:
    answers = [await api.run(LOGOUT, token=token) for token in ("", "unknown", "nul\0")]

    assert all(datetime.fromisoformat(answer["logout"]["at"]).tzinfo for answer in answers)


async def test_signing_out_closes_open_sockets(api: Api) -> None:
    session = await register(api)

    async with api.with_token(session["accessToken"]).socket() as socket:
        await api.run(LOGOUT, token=session["refreshToken"])
        code = await socket.closed()

    assert code == 4403


# ---------------------------------------------------------------- changing one's password


async def test_changing_the_password_ends_all_other_sign_ins_and_returns_a_new_one(api: Api) -> None:
    session, elsewhere = await register(api), await login(api)

    changed = await change(api, session, PASSWORD, "another password")

    assert not await alive(api, session)
    assert not await alive(api, elsewhere)
    assert (await refresh(api, elsewhere))["__typename"] == "InvalidCredentials"
    assert await alive(api, changed)
    assert (await refresh(api, changed))["__typename"] == "Session"
    assert (await login(api))["__typename"] == "InvalidCredentials"
    assert (await login(api, password="another password"))["__typename"] == "Session"


async def test_changing_the_password_needs_the_current_one(api: Api) -> None:
    session = await register(api)

    refused = await change(api, session, "not my password", "another password")

    assert refused == {"__typename": "InvalidCredentials", "message": "This is not your current password."}
    assert await alive(api, session)


async def test_the_new_password_has_8_to_128_characters_too(api: Api) -> None:
    session = await register(api)

    answers = [await change(api, session, PASSWORD, new) for new in ("1234567", "x" * 129)]

    assert [(answer["__typename"], answer["path"]) for answer in answers] == [("InvalidInput", ["new"])] * 2
    assert (await login(api))["__typename"] == "Session"


async def test_of_two_password_changes_at_once_only_one_rests_on_the_current_password(api: Api) -> None:
    session, elsewhere = await register(api), await login(api)

    answers = await asyncio.gather(
        change(api, session, PASSWORD, "the first new one"), change(api, elsewhere, PASSWORD, "the second new one")
    )

    assert sorted(answer["__typename"] for answer in answers) == ["InvalidCredentials", "Session"]


# ---------------------------------------------------------------- tokens


def forged(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    whole = {
        "iss": "bcom-graphql",
        "aud": "bcom-graphql",
        "sub": "1",
        "sid": str(uuid4()),
        "iat": now,
        "exp": now + timedelta(minutes=5),
        "jti": str(uuid4()),
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


async def _claims_of(services: Services, user: User) -> dict[str, Any]:
    async with services.database.write() as session:
        sign_in = SignIn(user_id=user.id)
        session.add(sign_in)
    return forged(sub=str(user.id), sid=str(sign_in.id))


async def test_a_token_with_all_its_claims_is_accepted(api: Api, make: Factory, services: Services) -> None:
    claims = await _claims_of(services, await make.user(email="ada@example.com"))

    token = jwt.encode(claims, SECRET, "HS256")

    assert (await api.with_token(token).run(VIEWER))["viewer"]["email"] == "ada@example.com"


async def refusal(api: Api, authorization: str) -> tuple[int, str, list[str]]:
    """Status, content type and codes of an answer to this header."""
    headers = {b"Authorization": authorization.encode("latin-1")}
    response = await api.http.post(api.url, json={"query": VIEWER}, headers=headers)
    errors = response.json().get("errors", [])
    return response.status_code, response.headers["content-type"], [error["extensions"]["code"] for error in errors]


REFUSED = (401, "application/json", ["UNAUTHENTICATED"])
WRONG_CLAIMS: list[dict[str, Any]] = [
    *({name: None} for name in ("iss", "aud", "sub", "sid", "iat", "exp", "jti")),
    {"iss": "somebody else"},
    {"aud": "something else"},
    {"exp": LONG_AGO},
    {"iat": FAR_AHEAD},
    {"nbf": FAR_AHEAD},
    {"sub": "nobody"},
    {"sub": "-1"},
    {"sid": "no uuid"},
    {"sid": 5},
    {"sid": str(UUID(int=7))},
]


async def test_a_token_with_a_wrong_claim_is_refused(api: Api, make: Factory, services: Services) -> None:
    claims = await _claims_of(services, await make.user())
    for wrong in WRONG_CLAIMS:
        changed = {name: value for name, value in (claims | wrong).items() if value is not None}

        answer = await refusal(api, f"Bearer {jwt.encode(changed, SECRET, 'HS256')}")

        assert answer == REFUSED, wrong


async def test_a_token_of_another_make_is_refused(api: Api, make: Factory, services: Services) -> None:
    claims = await _claims_of(services, await make.user())
    signed = jwt.encode(claims, SECRET, "HS256")
    header, payload, signature = signed.split(".")
    tokens = [
        jwt.encode(claims, None, "none"),
        jwt.encode(claims, "another secret key, of sufficient length", "HS256"),
        jwt.encode(claims, SECRET * 2, "HS512"),
        f"{header}.{payload}.",
        f"{header}.{payload}.{signature[::-1]}",
        f"{header}.{payload}",
        "garbage",
        "bcom_garbage",
        "ü",
    ]

    answers = [await refusal(api, f"Bearer {token}") for token in tokens]

    assert answers == [REFUSED] * len(tokens)


async def test_a_token_from_a_machine_whose_clock_is_a_little_ahead_is_accepted(
    api: Api, make: Factory, services: Services
) -> None:
    claims, now = await _claims_of(services, await make.user()), datetime.now(UTC)
    near = {"ahead": {"iat": 20, "nbf": 20}, "just expired": {"exp": -20}}
    far = {"far ahead": {"iat": 60}, "not yet": {"nbf": 60}, "expired": {"exp": -60}}

    answers = {}
    for name, shifts in (near | far).items():
        shifted = {claim: now + timedelta(seconds=seconds) for claim, seconds in shifts.items()}
        status, _, _ = await refusal(api, f"Bearer {jwt.encode(claims | shifted, SECRET, 'HS256')}")
        answers[name] = status

    assert answers == dict.fromkeys(near, 200) | dict.fromkeys(far, 401)


async def test_how_tokens_are_signed_and_how_long_they_live_are_settings(server: Server, api: Api) -> None:
    long_enough = SecretStr(SECRET + SECRET)
    async with server(algorithm="HS512", access_token_expire_minutes=1, secret_key=long_enough) as other:
        token = (await register(other))["accessToken"]
        claims = jwt.decode(token, options={"verify_signature": False})
        here, there = await refusal(other, f"Bearer {token}"), await refusal(api, f"Bearer {token}")

    assert jwt.get_unverified_header(token)["alg"] == "HS512"
    assert claims["exp"] - claims["iat"] == 60
    assert (here[0], there[0]) == (200, 401)


@pytest.mark.parametrize("written", ["Bearer  {}", "bearer {}", "BEARER\t{}"])
async def test_blanks_and_case_do_not_matter_in_authorization(api: Api, written: str) -> None:
    session = await register(api)
    mine = api.with_token(session["accessToken"])
    key = 'mutation { createApiKey(name: "x", role: VIEWER) { ... on CreatedApiKey { secret } } }'
    secrets = session["accessToken"], (await mine.run(key))["createApiKey"]["secret"]

    answers = [await refusal(api, written.format(secret)) for secret in secrets]

    assert [status for status, _, _ in answers] == [200, 200]


async def test_another_authorization_scheme_is_refused(api: Api) -> None:
    answers = [await refusal(api, header) for header in ("Basic YWRhOnB3", "Bearer", "nonsense", "Bearer a b")]

    assert answers == [REFUSED] * 4


# ---------------------------------------------------------------- managing users


async def test_an_admin_pages_through_all_users(api: Api, make: Factory) -> None:
    for number in range(4):
        await make.user(email=f"user{number}@example.com")
    admin = await api.of(await make.user(Role.ADMIN, email="admin@example.com"))

    first = (await admin.run(USERS, first=3))["users"]
    second = (await admin.run(USERS, first=3, after=first["pageInfo"]["endCursor"]))["users"]

    assert [user["email"] for user in first["nodes"] + second["nodes"]] == [
        *(f"user{number}@example.com" for number in range(4)),
        "admin@example.com",
    ]
    assert [page["pageInfo"]["hasNextPage"] for page in (first, second)] == [True, False]
    assert [page["totalCount"] for page in (first, second)] == [5, 5]


async def test_users_are_filtered_by_role_and_activity(api: Api, make: Factory) -> None:
    admin = await api.of(await make.user(Role.ADMIN, email="admin@example.com"))
    await make.user(Role.OPERATOR, email="working@example.com")
    await make.user(Role.OPERATOR, email="gone@example.com", is_active=False)

    operators = (await admin.run(USERS, role="OPERATOR"))["users"]
    gone = (await admin.run(USERS, isActive=False))["users"]
    both = (await admin.run(USERS, role="OPERATOR", isActive=True))["users"]

    assert (operators["totalCount"], gone["totalCount"], both["totalCount"]) == (2, 1, 1)
    assert gone["nodes"] == [{"email": "gone@example.com"}]
    assert both["nodes"] == [{"email": "working@example.com"}]


async def test_an_admin_changes_only_what_is_given(api: Api, make: Factory) -> None:
    user = await make.user(Role.VIEWER)
    admin = await api.as_(Role.ADMIN)

    promoted = await update_user(admin, user, role="OPERATOR")
    named = await update_user(admin, user, fullName="Grace Hopper", role=None, isActive=None)
    unchanged = await update_user(admin, user)

    assert (promoted["role"], promoted["isActive"], promoted["fullName"]) == ("OPERATOR", True, None)
    assert (named["role"], named["isActive"], named["fullName"]) == ("OPERATOR", True, "Grace Hopper")
    assert unchanged == named
    assert datetime.fromisoformat(promoted["updatedAt"]) > user.created_at


async def test_a_new_role_counts_at_once(api: Api, make: Factory) -> None:
    user = await make.user(Role.VIEWER)
    admin, theirs = await api.as_(Role.ADMIN), await api.of(user)

    before = await codes(theirs, USERS)
    await update_user(admin, user, role="ADMIN")
    after = await codes(theirs, USERS)

    assert (before, after) == (["FORBIDDEN"], [])


async def test_deactivating_somebody_signs_them_out_at_once_and_for_good(api: Api, services: Services) -> None:
    await register(api, "boss@example.com")
    session = await register(api, "ada@example.com")
    async with services.database.read() as database:
        boss, ada = await database.scalars(select(User).order_by(User.id))
    admin = await api.of(boss)

    await update_user(admin, ada, isActive=False)
    while_inactive = (await alive(api, session), (await refresh(api, session))["__typename"])
    await update_user(admin, ada, isActive=True)

    assert while_inactive == (False, "InvalidCredentials")
    assert not await alive(api, session)
    assert (await login(api))["__typename"] == "Session"


async def test_deactivating_somebody_closes_their_sockets(api: Api, make: Factory) -> None:
    user = await make.user()
    admin, theirs = await api.as_(Role.ADMIN), await api.of(user)

    async with theirs.socket() as socket:
        await update_user(admin, user, isActive=False)
        code = await socket.closed()

    assert code == 4403


async def test_the_last_active_admin_stays_one(api: Api, make: Factory) -> None:
    last = await make.user(Role.ADMIN)
    await make.user(Role.ADMIN, is_active=False)
    admin = await api.of(last)
    changes: list[dict[str, Any]] = [{"role": "OPERATOR"}, {"isActive": False}, {"role": "ADMIN", "isActive": False}]

    answers = [await update_user(admin, last, **change) for change in changes]

    assert [answer["__typename"] for answer in answers] == ["Conflict"] * 3
    assert (await admin.run(VIEWER))["viewer"]["role"] == "ADMIN"


async def test_an_admin_with_a_colleague_may_step_down(api: Api, make: Factory) -> None:
    one, _ = await make.user(Role.ADMIN), await make.user(Role.ADMIN)
    admin = await api.of(one)

    changed = await update_user(admin, one, role="VIEWER")

    assert changed["role"] == "VIEWER"
    assert await codes(admin, USERS) == ["FORBIDDEN"]


async def test_two_admins_who_demote_each_other_at_once_leave_one(api: Api, make: Factory) -> None:
    ada, grace = await make.user(Role.ADMIN), await make.user(Role.ADMIN)
    as_ada, as_grace = await api.of(ada), await api.of(grace)

    both = update_user(as_ada, grace, role="VIEWER"), update_user(as_grace, ada, isActive=False)
    await asyncio.gather(*both, return_exceptions=True)  # the later one is told that they are no admin any more

    third = await api.as_(Role.ADMIN)
    assert (await third.run(USERS, role="ADMIN", isActive=True))["users"]["totalCount"] == 2


async def test_nobody_updates_whom_there_is_not(api: Api, make: Factory) -> None:
    admin = await api.as_(Role.ADMIN)
    site = await make.site()
    missing = User(id=2_000_000_000)
    ids = [id_of(missing), id_of(site), "garbage", "", "VXNlcjo5OTk5OTk5OTk5OTk5OTk5OTk5", "VXNlcjot"]

    answers = [(await admin.run(UPDATE, input={"id": id, "role": "ADMIN"}))["updateUser"] for id in ids]

    assert [answer["__typename"] for answer in answers] == ["NotFound"] * len(ids)


async def test_an_admin_cannot_give_an_impossible_name(api: Api, make: Factory) -> None:
    user, admin = await make.user(), await api.as_(Role.ADMIN)

    answers = [await update_user(admin, user, fullName=name) for name in ("x" * 201, "null \0 byte")]

    assert [(answer["__typename"], answer["path"]) for answer in answers] == [
        ("InvalidInput", ["input", "fullName"])
    ] * 2


async def test_nobody_promotes_themselves(api: Api, make: Factory) -> None:
    operator = await make.user(Role.OPERATOR)

    refused = await update_user(await api.of(operator), operator, role="ADMIN")

    assert (refused["__typename"], refused["requiredRole"]) == ("Forbidden", "ADMIN")


async def test_times_are_given_in_utc(api: Api, make: Factory) -> None:
    user = await make.user()
    mine = await api.of(user)

    created_at = (await mine.run("{ viewer { createdAt } }"))["viewer"]["createdAt"]

    assert created_at.endswith("Z")
    assert iso(datetime.fromisoformat(created_at))[:19] == iso(user.created_at)[:19]
