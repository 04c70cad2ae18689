"""Measures reading a document, with the document store and without, as shares of a small query's time in one run.

    make bench          (or: python -m benchmarks.documents)

The query is signed in, selects one site by its number, and is answered by the whole server in this process (Starlette
app, no socket) from a real PostgreSQL. `hit` is what the store does for a document it knows; `miss` is what it does for
a new one, and what a server without a store does for every request: lexing, measuring, validating, pricing.
"""

import asyncio
import statistics
import time
from collections.abc import Callable

import httpx

from bcom_graphql import app
from bcom_graphql.graphql.documents.store import DocumentStore
from bcom_graphql.graphql.limits import Limits
from benchmarks.world import SITE, world
from resolvers.base.roles import Role
from schema.root import schema

QUERY = "query Site($number: Int!) { site(number: $number) { id number name role latitude longitude } }"
ROUNDS = 15
REQUESTS = 100
TARGET = 0.05


async def main() -> None:
    async with world() as made:
        headers = {"authorization": f"Bearer {await made.token(Role.VIEWER)}"}
        transport = httpx.ASGITransport(app.application(made.services, made.settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as client:
            await _report(client)


async def _report(client: httpx.AsyncClient) -> None:
    store = DocumentStore(schema._schema, Limits())  # noqa: SLF001  graphql-core's
    store.read(QUERY)
    whole, hit, miss = [], [], []
    for _ in range(ROUNDS):  # interleaved, so that a noisy neighbour disturbs all three alike
        whole.append(await _seconds_of_requests(client))
        hit.append(_seconds(lambda: (store.contains(QUERY), store.read(QUERY))))
        miss.append(_seconds(lambda: DocumentStore(schema._schema, Limits()).read(QUERY)))  # noqa: SLF001
    request, known, new = (statistics.median(times) for times in (whole, hit, miss))
    share = known / request
    print(f"one small query, whole server   {request * 1e6:8.0f} µs")
    print(f"reading its document: hit       {known * 1e6:8.1f} µs  {share:7.2%} of the query")
    print(f"                      miss      {new * 1e6:8.0f} µs  {new / request:7.2%} of the query")
    print(f"target: a hit below {TARGET:.0%}        {'reached' if share < TARGET else 'MISSED'}")


async def _seconds_of_requests(client: httpx.AsyncClient) -> float:
    began = time.perf_counter()
    for _ in range(REQUESTS):
        answer = await client.post("/graphql", json={"query": QUERY, "variables": {"number": SITE}})
    took = (time.perf_counter() - began) / REQUESTS
    assert answer.json()["data"]["site"]["name"] == "Somewhere", answer.text
    return took


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(REQUESTS):
        work()
    return (time.perf_counter() - began) / REQUESTS


if __name__ == "__main__":
    asyncio.run(main())
