"""Follows anomalies as they open, through lost connections and restarts of either side."""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict

from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed

from client import Away, Refused, Session, run

FOLLOW = """
subscription Follow($after: String!, $filter: AnomalyFilter) {
  anomalyDetected(after: $after, filter: $filter) {
    cursor
    anomaly {
      severity confidence startedAt direction
      contributions { metric deviation }
      target { kind: __typename ... on Network { name } ... on Site { name } ... on Link { name } }
    }
  }
}"""
FORBIDDEN = 4403  # the close code for credentials that do not hold any more
HOPELESS = {4400, 4401, 4406, 4409}  # our own mistakes against the protocol
PASSING = {"LAGGED", "CURSOR_EXPIRED", "SERVICE_UNAVAILABLE", "RATE_LIMITED", "TIMEOUT", "UNAUTHENTICATED"}
LONGEST_WAIT_SECONDS = 30.0


class Contribution(TypedDict):
    metric: str
    deviation: float


class Target(TypedDict):
    kind: str
    name: str


class Anomaly(TypedDict):
    severity: str
    confidence: float
    startedAt: str
    direction: str | None
    contributions: list[Contribution]
    target: Target


class Event(TypedDict):
    cursor: str
    anomaly: Anomaly


class Bookmark:
    """Where we are in the log, in a file that is always whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
            self._write({"after": "0", "filter": {"startedAfter": hour_ago}})

    @property
    def variables(self) -> dict[str, Any]:
        """Before the first event there is no cursor: then all that the server keeps, but only what is young."""
        kept: dict[str, Any] = json.loads(self._path.read_text())
        return kept

    def move(self, cursor: str) -> None:
        """Behind an event."""
        self._write({"after": cursor})

    def skip(self, cursor: str) -> None:
        """To where the server says."""
        self._write({**self.variables, "after": cursor})

    def _write(self, variables: dict[str, Any]) -> None:
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_text(json.dumps(variables))
        new.replace(self._path)


async def follow(session: Session, bookmark: Bookmark) -> AsyncIterator[Event]:
    """Every event once. The bookmark moves when the caller asks for the next one, and so is done with this one."""
    failures = 0
    while True:
        pause = 0
        try:
            async for event in connected(session, bookmark):
                failures = 0
                yield event
                bookmark.move(event["cursor"])
        except Away as error:
            say(str(error))
        except Refused as refused:
            if refused.code not in PASSING:
                raise
            say(str(refused))
            recover(refused, session, bookmark)
            pause = refused.extensions.get("retryAfter", 0)
        await asyncio.sleep(max(pause, wait_seconds(failures)))
        failures += 1


async def connected(session: Session, bookmark: Bookmark) -> AsyncIterator[Event]:
    """Events as long as one connection lasts."""
    transport = WebsocketsTransport(
        url=session.url.replace("http", "ws", 1),
        init_payload=await session.headers(),
        subprotocols=["graphql-transport-ws"],
    )
    try:
        async with Client(transport=transport) as client:
            say(f"Connected; following behind cursor {bookmark.variables['after']}.")
            async for data in client.subscribe(GraphQLRequest(FOLLOW, variable_values=bookmark.variables)):
                yield data["anomalyDetected"]
    except TransportQueryError as error:
        raise Refused.of(error) from error
    except (TransportError, TimeoutError) as error:
        raise closed(error, session) from error


def closed(error: Exception, session: Session) -> Exception:
    """What the end of a connection means."""
    cause = error.__cause__
    if not isinstance(cause, ConnectionClosed) or cause.rcvd is None:
        return Away(f"The connection is lost: {cause or error}")
    code, reason = cause.rcvd.code, cause.rcvd.reason
    if code == FORBIDDEN:
        session.distrust()
    ended = f"The server closed the connection ({code}). {reason}".rstrip()
    return Refused(ended, "PROTOCOL") if code in HOPELESS else Away(ended)


def recover(refused: Refused, session: Session, bookmark: Bookmark) -> None:
    """Take from the error where to go on."""
    if refused.code == "UNAUTHENTICATED":
        session.distrust()
    # LAGGED: we were too slow, and nothing is lost. CURSOR_EXPIRED: we were away for too long, and events are.
    if after := refused.extensions.get("resumeAfter") or refused.extensions.get("oldestCursor"):
        bookmark.skip(after)


def wait_seconds(failures: int) -> float:
    """Longer each time, and by chance, so that a thousand clients do not come back at once."""
    return random.uniform(0.5, 1) * min(LONGEST_WAIT_SECONDS, 0.5 * 2.0 ** min(failures, 10))  # noqa: S311


def told(event: Event) -> str:
    anomaly, target = event["anomaly"], event["anomaly"]["target"]
    where = " ".join(filter(None, (target["kind"], target["name"], anomaly["direction"])))
    why = "; ".join(described(part) for part in anomaly["contributions"][:1])
    return f"{anomaly['startedAt']} {anomaly['severity']:<8} {anomaly['confidence']:4.0%} {where:<32} {why}".rstrip()


def described(part: Contribution) -> str:
    side = "above" if part["deviation"] > 0 else "below"
    return f"{part['metric']} is {abs(part['deviation']):.0f} deviations {side} the usual"


def say(message: str) -> None:
    """Events go to standard output, everything else here."""
    print(message, file=sys.stderr, flush=True)


async def main() -> None:
    bookmark = Bookmark(Path(sys.argv[1] if len(sys.argv) > 1 else "anomalies.cursor"))
    async for event in follow(Session(), bookmark):
        print(told(event), flush=True)


if __name__ == "__main__":
    run(main())
