"""A server that is told to stop first sends its subscribers what has happened; then they come back elsewhere."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import websockets

from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.detection.anomalies import AnomalyChange, publish_changes
from resolvers.store.tables.core import Anomaly
from tests.conftest import SECRET
from tests.helpers.processes import Served
from tests.helpers.support import Api, Factory

pytestmark = pytest.mark.slow

WATCH = """subscription ($after: String) { anomalyDetected(changes: [UPDATED], after: $after) { cursor
  anomaly { id history { action } target { ... on Link { name } } } } }"""
EVENTS = 200


async def happened(services: Services, anomaly: Anomaly) -> None:
    """So many things at once."""
    async with services.database.write() as session:
        row = await session.get_one(Anomaly, anomaly.id)
        await publish_changes(session, [(AnomalyChange.UPDATED, row)] * EVENTS)


async def connected(server: Served, api: Api, after: str | None = None) -> websockets.ClientConnection:
    url = f"{server.url}/graphql".replace("http", "ws")
    socket = await websockets.connect(url, subprotocols=[websockets.Subprotocol("graphql-transport-ws")])
    payload = {"query": WATCH, "variables": {"after": after}}
    for message in ({"type": "connection_init", "payload": api.headers}, {"type": "ping"}):
        await socket.send(json.dumps(message))
        await socket.recv()
    await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
    await asyncio.sleep(0.5)
    return socket


async def cursors(socket: websockets.ClientConnection) -> list[int]:
    """Of all that comes until the server closes it."""
    found = []
    async for text in socket:
        message: dict[str, Any] = json.loads(text)
        assert message["type"] == "next", message
        found.append(int(message["payload"]["data"]["anomalyDetected"]["cursor"]))
    return found


async def test_what_has_happened_is_sent_before_the_sockets_close(
    tmp_path: Path, database_url: str, api: Api, make: Factory, services: Services
) -> None:
    viewer, anomaly = await api.as_(Role.VIEWER), await make.anomaly()
    with Served(tmp_path, SECRET_KEY=SECRET, DATABASE_URL=database_url) as server:
        sockets = await asyncio.gather(*(connected(server, viewer) for _ in range(20)))
        reading = [asyncio.create_task(cursors(socket)) for socket in sockets]

        await happened(services, anomaly)
        await asyncio.sleep(0.05)  # until the server has read of it
        await asyncio.to_thread(server.stop)
        seen = await asyncio.gather(*reading)

    assert {len(found) for found in seen} == {EVENTS}
    assert all(found == seen[0] == sorted(set(found)) for found in seen)
    assert {socket.close_code for socket in sockets} == {1001}
    assert server.stopped == 0


async def test_who_does_not_read_holds_it_up_no_longer_than_allowed(
    tmp_path: Path, database_url: str, api: Api, make: Factory, services: Services
) -> None:
    viewer, anomaly = await api.as_(Role.VIEWER), await make.anomaly()
    with Served(tmp_path, SECRET_KEY=SECRET, DATABASE_URL=database_url, SHUTDOWN_SECONDS="1") as server:
        lazy = await connected(server, viewer)
        lazy.transport.pause_reading()
        for _ in range(4):  # more than any buffer holds
            await happened(services, anomaly)

        await asyncio.to_thread(server.stop)
        lazy.transport.abort()
        await lazy.wait_closed()

    assert server.stopped == 0
    assert "Traceback" not in server.log


async def test_nothing_is_lost_over_a_restart(
    tmp_path: Path, database_url: str, api: Api, make: Factory, services: Services
) -> None:
    viewer, anomaly = await api.as_(Role.VIEWER), await make.anomaly()
    with Served(tmp_path, SECRET_KEY=SECRET, DATABASE_URL=database_url) as server:
        socket = await connected(server, viewer)
        reading = asyncio.create_task(cursors(socket))
        await happened(services, anomaly)
        await asyncio.sleep(0.05)
        await asyncio.to_thread(server.stop)
        before = await reading
        await happened(services, anomaly)
        await asyncio.to_thread(server.start)
        socket = await connected(server, viewer, after=str(before[-1]))
        reading = asyncio.create_task(cursors(socket))
        await happened(services, anomaly)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(server.stop)
        after = await reading

    assert len(before) + len(after) == 3 * EVENTS
    assert [*before, *after] == sorted({*before, *after})
