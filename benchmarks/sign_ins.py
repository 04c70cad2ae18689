"""Measures other requests' times while two hundred sign-ins wait for their passwords to be hashed.

    make bench          (or: python -m benchmarks.sign_ins)

Server, PostgreSQL and clients share the machine. Every sign-in is refused, as a guesser's is; each is followed by the
next, so that the queue stays full.
"""

import asyncio
import time
from typing import Final

import numpy as np

from benchmarks.fanout import serving
from benchmarks.telemetry import tell
from benchmarks.world import Client, operation, world
from ml.numerics.arrays import Floats

WAITING: Final = 200
SECONDS: Final = 15
SIGN_IN: Final = """mutation ($email: String!) { login(input: { email: $email, password: "not the right one" }) {
  __typename } }"""
HEAD: Final = b"POST /graphql HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
LIVE: Final = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"


async def guess(client: Client, number: int, done: list[float]) -> None:
    body = operation(SIGN_IN, email=f"{number}@example.com")
    while True:
        _, content = await client.ask(HEAD % len(body) + body)
        assert b"InvalidCredentials" in content, content
        done.append(time.perf_counter())


async def health(client: Client) -> Floats:
    """Returns milliseconds of each response, to fifty requests a second."""
    took = []
    end = time.perf_counter() + SECONDS
    while (begin := time.perf_counter()) < end:
        await client.ask(LIVE)
        took.append(1000 * (time.perf_counter() - begin))
        await asyncio.sleep(0.02)
    return np.array(took)


async def main() -> None:
    async with world(trained=False) as made, serving(made, "ours") as (port, _):
        client = Client(port, "")
        await client.connect()
        idle, done = await health(client), list[float]()
        guessing = [asyncio.create_task(guess(await client.twin(), number, done)) for number in range(WAITING)]
        await asyncio.sleep(2.0)
        before = len(done)
        busy = await health(client)
        rate = (len(done) - before) / SECONDS
        for task in guessing:
            task.cancel()
        await asyncio.wait(guessing)
    most, usual = float(np.percentile(busy, 99)), float(np.percentile(idle, 99))
    print("| What | Measured | Against | Ratio | Target |\n|---|---|---|---|---|")
    tell(
        f"`/health/live` while {WAITING} sign-ins wait, of which {rate:.1f} are answered a second",
        f"p99 {most:.1f} ms, median {np.median(busy):.1f} ms",
        f"while none does: p99 {usual:.1f} ms, median {np.median(idle):.1f} ms",
        f"{most / usual:.1f}",
        "< 50 ms",
        reached=most < 50,
    )


if __name__ == "__main__":
    asyncio.run(main())
