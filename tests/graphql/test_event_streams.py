"""GraphQL over server-sent events ("distinct connections mode").

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx
import pytest

from bcom_graphql.authentication import ApplicationGate
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.store.tables.core import SignIn, User
from tests.helpers.support import Api, Factory, Server, id_of, several

EVENT_STREAM = "text/event-stream"
PROMPTLY = 1.0  # seconds within which access that was taken away is gone, in whatever process it was taken
VIEWER = "{ viewer { role } }"
# From the log's beginning unless told otherwise: what happens before the server begins to follow is told as well.
WATCH = """subscription ($after: String = "0") { anomalyDetected(changes: [ACKNOWLEDGED], after: $after) {
  cursor anomaly { id } } }"""
ACKNOWLEDGE = "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { ... on Anomaly { status } } }"
LOGIN = """mutation { register(input: {email: "noc@example.com", password: "long enough"}) {
  ... on Session { accessToken refreshToken } } }"""
LOGOUT = "mutation ($token: String!) { logout(refreshToken: $token) { at } }"


@dataclass(frozen=True)
class Event:
    """One of a stream; a comment has text only."""

    name: str | None = None
    id: str | None = None
    data: Any = None
    comment: str | None = None


COMPLETE = Event("complete")


@dataclass
class Stream:
    """What a server sends, event by event."""

    response: httpx.Response
    lines: AsyncIterator[str]

    async def next(self, seconds: float = 10) -> Event:
        """The next event or comment. Raises StopAsyncIteration at the stream's end."""
        async with asyncio.timeout(seconds):
            fields: dict[str, str] = {}
            while line := await anext(self.lines):
                name, _, value = line.partition(":")
                assert name not in fields, "each field comes once"
                fields[name] = value.strip()
        data = json.loads(fields["data"]) if fields.get("data") else None
        return Event(fields.get("event"), fields.get("id"), data, fields.get(""))

    async def rest(self, seconds: float = 10) -> list[Event]:
        """All events until the server closes the stream."""
        events = []
        while True:
            try:
                events.append(await self.next(seconds))
            except StopAsyncIteration:
                return events

    async def anomalies(self, count: int) -> list[str]:
        """The ids of the anomalies that the next events tell of."""
        events = [await self.next() for _ in range(count)]
        return [event.data["data"]["anomalyDetected"]["anomaly"]["id"] for event in events]


@asynccontextmanager
async def asking(
    api: Api, query: str, *, method: str = "POST", accept: str = EVENT_STREAM, last: str | None = None, **variables: Any
) -> AsyncIterator[Stream]:
    """A stream, or whatever else the server answers; `last` is the id of the last event that was seen."""
    headers = {"accept": accept, **api.headers, **({} if last is None else {"last-event-id": last})}
    body = {"query": query, "variables": variables}
    as_text = {"query": query, "variables": json.dumps(variables)}
    options: dict[str, Any] = {"json": body} if method == "POST" else {"params": as_text}
    async with (
        api.http.stream(method, api.url, headers=headers, **options) as response,
        aclosing(response.aiter_lines()) as lines,  # type: ignore[type-var]
    ):
        yield Stream(response, lines)


@asynccontextmanager
async def following(api: Api, query: str = WATCH, **options: Any) -> AsyncIterator[Stream]:
    """A stream that has begun."""
    async with asking(api, query, **options) as stream:
        assert stream.response.status_code == 200, await stream.response.aread()
        yield stream


async def refusal(api: Api, query: str, **options: Any) -> tuple[int, str, str]:
    """Status, media type and code of what was answered in place of a stream."""
    async with asking(api, query, **options) as stream:
        [error] = json.loads(await stream.response.aread())["errors"]
        media = stream.response.headers["content-type"].partition(";")[0]
        return stream.response.status_code, media, error["extensions"]["code"]


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def acknowledge(operator: Api, make: Factory) -> str:
    """What a stream should tell of: the id of an anomaly that has just been acknowledged."""
    id = id_of(await make.anomaly())
    await operator.run(ACKNOWLEDGE, id=id)
    return id


# ---------------------------------------------------------------- what a stream is


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_query_is_one_event_and_the_end(operator: Api, method: str) -> None:
    async with following(operator, VIEWER, method=method) as stream:
        events = await stream.rest()

    assert stream.response.headers["content-type"].partition(";")[0] == EVENT_STREAM
    assert events == [Event("next", data={"data": {"viewer": {"role": "OPERATOR"}}}), COMPLETE]


async def test_a_mutation_is_one_event_and_the_end(operator: Api, make: Factory) -> None:
    anomaly = await make.anomaly()

    async with following(operator, ACKNOWLEDGE, id=id_of(anomaly)) as stream:
        events = await stream.rest()

    assert events == [Event("next", data={"data": {"acknowledgeAnomaly": {"status": "ACKNOWLEDGED"}}}), COMPLETE]


async def test_a_field_that_fails_is_an_error_within_the_event(operator: Api) -> None:
    async with following(operator, "{ users { totalCount } }") as stream:
        failed, end = await stream.rest()

    assert failed.data["errors"][0]["path"] == ["users"]
    assert failed.data["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert end == COMPLETE


async def test_nobody_on_the_way_keeps_or_delays_a_stream(operator: Api) -> None:
    async with following(operator, VIEWER) as stream:
        headers = stream.response.headers

    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
    assert "content-length" not in headers


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("text/event-stream, application/json", EVENT_STREAM),
        ("application/json;q=0.5, text/event-stream", EVENT_STREAM),
        ("application/graphql-response+json, text/event-stream", "application/graphql-response+json"),
        ("text/event-stream;q=0.1, */*", "application/json"),
        ("text/event-stream;q=0, */*", "application/json"),
    ],
)
async def test_a_stream_is_for_clients_that_like_it_best(operator: Api, accept: str, media: str) -> None:
    async with asking(operator, VIEWER, accept=accept) as stream:
        answered = stream.response.headers["content-type"].partition(";")[0]

    assert answered == media


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_each_event_of_a_subscription_carries_its_cursor_as_its_id(
    operator: Api, make: Factory, method: str
) -> None:
    async with following(operator, method=method) as stream:
        anomaly = await acknowledge(operator, make)
        event = await stream.next()

    data = event.data["data"]["anomalyDetected"]
    assert data == {"cursor": event.id, "anomaly": {"id": anomaly}}
    assert event.name == "next"


async def test_an_event_has_its_id_where_the_cursor_was_not_asked_for(operator: Api, make: Factory) -> None:
    await acknowledge(operator, make)

    async with following(operator, WATCH.replace("cursor anomaly", "detected: anomaly")) as stream:
        event = await stream.next()

    assert event.id
    assert event.id.isdigit()


async def test_without_a_cursor_a_stream_begins_now(operator: Api, make: Factory) -> None:
    past = await acknowledge(operator, make)

    async with following(operator, after=None) as stream:
        await anyio.sleep(0.2)  # until the server follows the log
        present = await acknowledge(operator, make)

        assert await stream.anomalies(1) == [present] != [past]


async def test_what_is_quiet_is_kept_alive_with_comments(
    operator: Api, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bcom_graphql.graphql.transports.sse.KEEP_ALIVE_SECONDS", 0.1)

    async with following(operator) as stream:
        quiet = [await stream.next(1), await stream.next(1)]
        anomaly = await acknowledge(operator, make)
        while (event := await stream.next(1)).comment is not None:
            pass

    assert quiet == [Event(comment=""), Event(comment="")]
    assert event.data["data"]["anomalyDetected"]["anomaly"]["id"] == anomaly


# ---------------------------------------------------------------- resuming


async def test_a_client_that_comes_back_gets_exactly_what_it_missed_in_order(operator: Api, make: Factory) -> None:
    async with following(operator) as stream:
        seen = await acknowledge(operator, make)
        event = await stream.next()
    missed = [await acknowledge(operator, make) for _ in range(3)]

    async with following(operator, last=event.id) as stream:
        resumed = await stream.anomalies(3)
        live = await acknowledge(operator, make)
        then = await stream.anomalies(1)

    assert event.data["data"]["anomalyDetected"]["anomaly"]["id"] == seen
    assert resumed == missed
    assert then == [live]


async def test_coming_back_after_each_event_misses_none_and_repeats_none(operator: Api, make: Factory) -> None:
    told = [await acknowledge(operator, make) for _ in range(4)]
    heard: list[str] = []
    last: str | None = None

    for _ in told:
        async with following(operator, last=last) as stream:
            event = await stream.next()
            last = event.id
            heard.append(event.data["data"]["anomalyDetected"]["anomaly"]["id"])

    assert heard == told


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_last_event_id_wins_over_the_argument(operator: Api, make: Factory, method: str) -> None:
    _, second, third = [await acknowledge(operator, make) for _ in range(3)]
    async with following(operator) as stream:
        first, _, last = [await stream.next() for _ in range(3)]

    async with (
        following(operator, method=method, last=first.id, after="0") as after_start,
        following(operator, method=method, last=first.id, after=last.id) as after_end,
    ):
        assert await after_start.anomalies(2) == [second, third]
        assert await after_end.anomalies(2) == [second, third]


async def test_a_last_event_id_means_nothing_to_a_query(operator: Api) -> None:
    async with following(operator, VIEWER, last="nonsense") as stream:
        assert len(await stream.rest()) == 2


async def test_a_client_that_falls_behind_is_told_where_to_go_on(operator: Api, make: Factory) -> None:
    feed = operator.services.feed
    usual = feed.queue_length
    async with following(operator) as stream:
        await acknowledge(operator, make)
        seen = await stream.next()
        feed.queue_length = 0  # one event is one too many
        missed = await acknowledge(operator, make)
        lagged, end = await stream.rest()
    feed.queue_length = usual

    async with following(operator, last=seen.id) as stream:
        assert lagged.data["errors"][0]["extensions"] == {"code": "LAGGED", "resumeAfter": seen.id}
        assert end == COMPLETE
        assert await stream.anomalies(1) == [missed]


async def test_a_cursor_of_another_database_is_an_error_and_the_end(operator: Api) -> None:
    async with following(operator, last="999") as stream:
        failed, end = await stream.rest()

    assert failed.data["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert end == COMPLETE


# ---------------------------------------------------------------- what is refused before any stream


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("subscription { oops", {}, "GRAPHQL_PARSE_FAILED"),
        ("subscription { oops }", {}, "GRAPHQL_VALIDATION_FAILED"),
        (WATCH, {"after": 1}, "BAD_USER_INPUT"),
        (WATCH, {"after": "nonsense"}, "BAD_USER_INPUT"),
        ("query A { __typename } query B { __typename }", {}, "BAD_USER_INPUT"),
        ("{ x " * 30 + "}" * 30, {}, "QUERY_TOO_COMPLEX"),
    ],
    ids=["syntax", "validation", "variables", "cursor", "name", "depth"],
)
async def test_what_cannot_begin_is_json_with_400(
    operator: Api, method: str, query: str, variables: dict[str, Any], code: str
) -> None:
    assert await refusal(operator, query, method=method, **variables) == (400, "application/json", code)


async def test_a_last_event_id_that_is_none_is_json_with_400(operator: Api) -> None:
    assert await refusal(operator, WATCH, last="nonsense") == (400, "application/json", "BAD_USER_INPUT")


async def test_a_stranger_may_query_but_not_follow(api: Api) -> None:
    async with following(api, VIEWER) as stream:
        assert (await stream.rest())[0].data == {"data": {"viewer": None}}

    status, media, code = await refusal(api, WATCH)

    assert (status, media, code) == (401, "application/json", "UNAUTHENTICATED")


async def test_a_bad_token_is_json_with_401(api: Api) -> None:
    stranger = api.with_token("nonsense")

    assert await refusal(stranger, WATCH) == (401, "application/json", "UNAUTHENTICATED")


async def test_a_mutation_by_get_is_json_with_405(operator: Api, make: Factory) -> None:
    anomaly = await make.anomaly()

    async with asking(operator, ACKNOWLEDGE, method="GET", id=id_of(anomaly)) as stream:
        body = json.loads(await stream.response.aread())

    assert (stream.response.status_code, stream.response.headers["allow"]) == (405, "POST")
    assert body["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_batch_cannot_be_streamed(operator: Api) -> None:
    batch = [{"query": VIEWER}, {"query": VIEWER}]

    answer = await operator.http.post(operator.url, json=batch, headers={"accept": EVENT_STREAM, **operator.headers})

    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (400, "application/json")
    assert (
        answer.json()["errors"][0]["message"]
        == "A batch, or a request with files, cannot be answered with an event stream."
    )


# ---------------------------------------------------------------- how many


async def test_streams_of_one_user_are_limited_and_leaving_frees_a_place(server: Server) -> None:
    async with server(max_connections=1) as api:
        viewer = await api.as_(Role.VIEWER)
        async with following(viewer):
            async with asking(viewer, WATCH) as second:
                [error] = json.loads(await second.response.aread())["errors"]
            async with following(await api.as_(Role.VIEWER)):
                pass  # somebody else's are counted by themselves

        assert second.response.status_code == 429
        assert error["extensions"]["code"] == "RATE_LIMITED"
        assert error["message"] == "You have 1 open connections; at most 1 are allowed."
        await eventually_opens(viewer)


async def test_sockets_and_streams_are_counted_together(server: Server) -> None:
    async with server(max_connections=1) as api:
        viewer = await api.as_(Role.VIEWER)
        async with viewer.socket():
            assert await refusal(viewer, WATCH) == (429, "application/json", "RATE_LIMITED")

        await eventually_opens(viewer)


async def test_streams_that_were_refused_or_are_complete_take_no_place(server: Server) -> None:
    async with server(max_connections=1) as api:
        viewer = await api.as_(Role.VIEWER)
        for _ in range(3):
            await refusal(viewer, "{ oops")
            await refusal(viewer, WATCH, last="nonsense")
        async with following(viewer, VIEWER) as stream:
            await stream.rest()

        await eventually_opens(viewer)


async def eventually_opens(api: Api) -> None:
    """The server hears of a client that left a moment later."""
    with anyio.fail_after(20):
        while True:
            async with asking(api, WATCH) as stream:
                if stream.response.status_code == 200:
                    return
            await anyio.sleep(0.02)


# ---------------------------------------------------------------- credentials

Act = Callable[[Api, User], Any]


async def deactivate(admin: Api, user: User) -> None:
    await change(admin, user, isActive=False)


async def promote(admin: Api, user: User) -> None:
    await change(admin, user, role="OPERATOR")


async def change(admin: Api, user: User, **to: Any) -> None:
    document = "mutation ($input: UpdateUserInput!) { updateUser(input: $input) { __typename } }"
    assert await admin.run(document, input={"id": id_of(user), **to}) == {"updateUser": {"__typename": "User"}}


@pytest.mark.parametrize("act", [deactivate, promote])
@pytest.mark.parametrize("processes", [1, 2], ids=["in this process", "in another process"])
async def test_a_stream_ends_when_access_changes(server: Server, make: Factory, processes: int, act: Act) -> None:
    user = await make.user()
    async with several(server, processes) as (here, there):
        theirs, admin = await here.of(user), await there.as_(Role.ADMIN)
        async with following(theirs) as stream, following(await here.as_(Role.VIEWER)) as somebody_elses:
            await act(admin, user)

            assert_signed_out(await stream.rest(PROMPTLY))
            anomaly = await acknowledge(admin, make)
            assert await somebody_elses.anomalies(1) == [anomaly]


@pytest.mark.parametrize("processes", [1, 2], ids=["in this process", "in another process"])
async def test_a_stream_ends_when_its_user_logs_out(server: Server, processes: int) -> None:
    async with several(server, processes) as (here, there):
        session = (await here.run(LOGIN))["register"]
        async with following(here.with_token(session["accessToken"])) as stream:
            await there.run(LOGOUT, token=session["refreshToken"])

            assert_signed_out(await stream.rest(PROMPTLY))


async def test_a_stream_ends_with_its_access_token(api: Api, make: Factory) -> None:
    user, lives = await make.user(), timedelta(seconds=2)  # a token's end is a whole second: this is one or two
    async with api.services.database.write() as session:
        sign_in = SignIn(user_id=user.id)
        session.add(sign_in)
    tokens = api.services.tokens
    issued_at = datetime.now(UTC) - tokens.life - tokens.leeway + lives
    token, _ = tokens.issue(user.id, sign_in.id, issued_at)

    async with following(api.with_token(token)) as stream:
        events = await stream.rest(lives.total_seconds() + PROMPTLY)

    assert_signed_out(events)


async def test_access_that_ends_while_a_stream_begins_is_not_missed(
    api: Api, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, admin, charge = await make.user(), await api.as_(Role.ADMIN), ApplicationGate.charge
    theirs = await api.of(user)

    async def charge_slowly(gate: ApplicationGate, context: Context, points: int) -> None:
        await charge(gate, context, points)
        if context.caller and context.caller.user_id == user.id:
            await deactivate(admin, user)

    monkeypatch.setattr(ApplicationGate, "charge", charge_slowly)

    assert await refusal(theirs, WATCH) == (401, "application/json", "UNAUTHENTICATED")


def assert_signed_out(events: list[Event]) -> None:
    last, end = events
    assert (last.name, last.id) == ("next", None)
    assert "data" not in last.data
    assert last.data["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert end == COMPLETE
