"""What other sites' pages, strangers and the curious get: as little as possible."""

from typing import Any

import httpx
import pytest
from graphql import get_introspection_query
from sqlalchemy import text

from resolvers.base.roles import Role
from resolvers.fleet import topology
from tests.helpers.settings import settings_from
from tests.helpers.support import Api, Server

NOC = "https://noc.example.com"
BROWSER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"}
VIEWER = {"query": "{ viewer { role } }"}
SCHEMA = {"query": get_introspection_query()}
TYPE = {"query": '{ __type(name: "User") { name } }'}
MISSPELT = {"query": "{ viewer { emai } }"}


async def get(api: Api, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.http.get(api.url, params=VIEWER, headers={"accept": "application/json", **named})


# ---------------------------------------------------------------- other sites' pages (CSRF, CORS)


@pytest.mark.parametrize(
    "headers",
    [
        BROWSER,
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", **BROWSER},
        {"content-type": "text/plain", **BROWSER},
        {"content-type": "application/x-www-form-urlencoded; charset=utf-8", **BROWSER},
    ],
)
async def test_what_any_page_can_make_a_browser_send_is_refused(api: Api, headers: dict[str, str]) -> None:
    answer = await get(api, **headers)

    assert answer.status_code == 403
    assert "GraphQL-Require-Preflight" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"graphql-require-preflight": "1", **BROWSER},
        {"apollo-require-preflight": "true", "origin": NOC},
        {"content-type": "application/json", **BROWSER},
        {"sec-fetch-site": "same-origin", **BROWSER},
        {"sec-fetch-site": "none", **BROWSER},
        {},
    ],
)
async def test_what_a_browser_asks_us_about_first_or_no_browser_sends_is_answered(
    api: Api, headers: dict[str, str]
) -> None:
    answer = await get(api, **headers)

    assert (answer.status_code, answer.json()) == (200, {"data": {"viewer": None}})


async def test_a_form_of_another_site_cannot_upload(api: Api) -> None:
    form = {"operations": '{"query": "{ viewer { role } }"}', "map": "{}"}

    forged = await api.http.post(api.url, files={"x": b"x"}, data=form, headers=BROWSER)
    asked = await api.http.post(
        api.url, files={"x": b"x"}, data=form, headers={**BROWSER, "graphql-require-preflight": "1"}
    )

    assert (forged.status_code, asked.status_code) == (403, 200)


async def preflight(api: Api, origin: str) -> httpx.Response:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    wanted = "authorization,content-type,graphql-require-preflight"
    return await api.http.options(api.url, headers={**headers, "access-control-request-headers": wanted})


async def test_pages_of_allowed_origins_may_call_and_others_may_not(server: Server) -> None:
    async with server(allowed_origins=[NOC]) as api:
        allowed, other = await preflight(api, NOC), await preflight(api, "https://evil.example")
        called = await api.http.post(api.url, json=VIEWER, headers={"origin": NOC})

    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, NOC)
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers
    assert called.headers["access-control-allow-origin"] == NOC
    assert "access-control-allow-credentials" not in called.headers


async def test_an_allowed_origin_may_send_whatever_it_asks_for(server: Server) -> None:
    """Tracing and clients add headers of their own: OpenTelemetry, Sentry, Apollo."""
    wanted = "traceparent,tracestate,baggage,sentry-trace,apollographql-client-name,apollographql-client-version"
    async with server(allowed_origins=[NOC]) as api:
        headers = {"access-control-request-method": "POST", "access-control-request-headers": wanted}
        allowed = await api.http.options(api.url, headers={"origin": NOC, **headers})
        other = await api.http.options(api.url, headers={"origin": "https://evil.example", **headers})

    assert (allowed.status_code, allowed.headers["access-control-allow-headers"]) == (200, wanted)
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers


async def test_by_default_no_other_origin_may(api: Api) -> None:
    answer = await preflight(api, NOC)

    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["*", "noc.example.com", "https://noc.example.com/", "ftp://x"])
def test_an_allowed_origin_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="must list origins such as"):
        settings_from(allowed_origins=origin)


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize("path", ["/graphql", "/health", "/nowhere", "/static/graphiql.svg"])
async def test_every_answer_tells_browsers_to_take_no_risks(api: Api, path: str) -> None:
    answer = await api.http.get(api.url.replace("/graphql", path))

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_page_keeps_its_own_policy_and_answers_are_not_kept(api: Api) -> None:
    page = await api.http.get(api.url, headers={"accept": "text/html"})
    answer = await api.http.post(api.url, json=VIEWER)

    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


# ---------------------------------------------------------------- the curious


async def codes(api: Api, body: Any) -> list[str]:
    answer = (await api.http.post(api.url, json=body, headers=api.headers)).json()
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


async def test_in_production_only_who_has_signed_in_sees_the_schema(server: Server) -> None:
    hidden = {"query": "query { ...F } fragment F on Query { s: __schema { types { name } } }"}
    async with server(profile="production") as api:
        viewer = await api.as_(Role.VIEWER)

        anonymous = [await codes(api, body) for body in (SCHEMA, TYPE, hidden)]
        signed_in = [await codes(viewer, body) for body in (SCHEMA, TYPE, hidden)]
        typename = await codes(api, {"query": "{ __typename }"})

    assert anonymous == [["UNAUTHENTICATED"]] * 3
    assert signed_in == [[], [], []]
    assert typename == []


async def test_nobody_sees_the_schema_where_that_is_wanted(server: Server) -> None:
    async with server(introspection="nobody") as api:
        assert await codes(await api.as_(Role.ADMIN), SCHEMA) == ["FORBIDDEN"]


async def test_only_who_may_see_the_schema_is_told_what_they_may_have_meant(server: Server) -> None:
    wrong_value = {"query": "query ($r: Role) { users(role: $r) { totalCount } }", "variables": {"r": "ADMI"}}
    async with server(profile="production") as api:
        viewer = await api.as_(Role.VIEWER)

        answers = [
            (await caller.http.post(api.url, json=body, headers=caller.headers)).json()["errors"][0]["message"]
            for caller in (api, viewer, api)
            for body in (MISSPELT, wrong_value)
        ]

    assert ["Did you mean" in answer for answer in answers] == [False, False, True, True, False, False]
    assert answers[0] == "Cannot query field 'emai' on type 'User'."


# ---------------------------------------------------------------- our own failures


SECRETS = ("Traceback", "SELECT", "secret", "asyncpg", "sqlalchemy", "/work", ".py", "relation")


@pytest.mark.parametrize("how", ["HTTP", "batch", "socket", "event stream"])
async def test_our_own_failures_tell_nothing_but_a_request_id(
    api: Api, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async def fail(session: Any, *_: Any) -> None:
        await session.execute(text("SELECT secret FROM nowhere"))

    monkeypatch.setattr(topology, "fetch_page", fail)
    viewer = await api.as_(Role.VIEWER)
    body = {"query": "{ links { totalCount } }"}

    said = await _said(viewer, body, how)

    assert "INTERNAL_SERVER_ERROR" in said
    assert "requestId" in said
    assert not [secret for secret in SECRETS if secret in said]


async def _said(api: Api, body: Any, how: str) -> str:
    if how == "socket":
        async with api.socket() as socket:
            await socket.send(type="subscribe", id="1", payload=body)
            return str(await socket.receive())
    accept = "text/event-stream" if how == "event stream" else "application/json"
    content = [body] if how == "batch" else body
    return (await api.http.post(api.url, json=content, headers={**api.headers, "accept": accept})).text


async def test_a_failure_outside_of_any_operation_is_masked_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("SELECT secret FROM nowhere")

    monkeypatch.setattr("bcom_graphql.graphql.transports.http.choose_media_type", fail)

    answer = await api.http.post(api.url, json=VIEWER, headers={"x-request-id": "mine"})

    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "mine"}
    assert "secret" not in answer.text
