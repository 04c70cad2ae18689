"""Measures how fast samples go in and come out over HTTP, as ratios to PostgreSQL alone in the same run.

    make bench          (or: python -m benchmarks.telemetry)

Server, PostgreSQL and client share the machine. The clock does not count encoding requests; responses are not decoded.
Rounds of what is compared alternate, so that a noisy neighbour disturbs both alike; figures are medians.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import polars as pl
from graphql import OperationDefinitionNode, parse
from graphql.execution.values import get_variable_values
from sqlalchemy import text
from strawberry.types import get_object_definition
from strawberry.types.arguments import convert_argument
from strawberry.types.base import StrawberryList

from bcom_graphql.graphql.documents.batch_inputs import BatchInputs
from benchmarks.world import Client, World, operation, world
from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.numerics.arrays import Floats
from resolvers.base.errors import to_camel_case
from resolvers.operations.maintenance import maintain
from resolvers.store.telemetry import partitions
from resolvers.store.telemetry import samples as telemetry
from schema.root import schema
from schema.telemetry.samples import LinkSampleInput, samples_to_frame

LINKS = 1000
BATCH = 10_000  # rows: of each direction of each link, five times
WARM_UP = 36  # batches: each stream has learned what is usual, and learns again as often as later
ROUNDS = 24
MINUTE = timedelta(minutes=1)
NOW = datetime.now(UTC).replace(second=0, microsecond=0)
LINK = CATALOGUE[TargetKind.LINK]
RECORDED = "{ ... on RecordedMetrics { accepted } ... on InvalidInput { message } }"
COLUMNS = f"mutation ($columns: LinkColumns!) {{ recordLinkColumns(columns: $columns) {RECORDED} }}"
ROWS = f"mutation ($samples: [LinkSampleInput!]!) {{ recordLinkMetrics(samples: $samples) {RECORDED} }}"
SERIES = """query ($link: Int!, $hours: Float!, $maxPoints: Int!) { link(number: $link) {
  series(direction: OB, metrics: [ESNO_DB, LATENCY_MS, THROUGHPUT_MBPS, GRADE], window: { hours: $hours },
    maxPoints: $maxPoints) { bucketSeconds times columns { metric unit mean min max } } } }"""


class Fleet:
    """Returns samples of healthy links, each around its own level; the same for the same seed."""

    def __init__(self, links: int) -> None:
        self.rng = np.random.default_rng(1)
        self.links = links
        self.level = LINK.usual + self.rng.normal(0, 0.5, (2 * links, len(LINK.specs))) * LINK.usual_spread

    def batch(self, times: list[datetime]) -> dict[str, Any]:
        """Returns the columns of every link and direction at each of these times."""
        streams = np.tile(np.arange(2 * self.links), len(times))
        noise = self.rng.normal(0, 1, (len(streams), len(LINK.specs))) * LINK.least_spread
        readings = _possible(self.level[streams] + noise)
        at = np.repeat([round(moment.timestamp() * 1000) for moment in times], 2 * self.links)
        columns = {
            to_camel_case(name): np.ascontiguousarray(readings[:, place]) for place, name in enumerate(LINK.columns)
        }
        direction = np.where(streams % 2, "IB", "OB").tolist()
        return {"link": streams // 2, "direction": direction, "at": at.astype(np.int64), **columns}


def _possible(readings: Floats) -> Floats:
    low, high = (np.array([getattr(spec, end) for spec in LINK.specs]) for end in ("low", "high"))
    whole = np.array([spec.whole for spec in LINK.specs])
    clipped = np.clip(readings, low, high).round(2)
    return np.where(whole, clipped.round(), clipped)


def as_rows(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the same as the rows API takes them."""
    whole = {to_camel_case(spec.column) for spec in LINK.specs if spec.whole}
    lists = {
        name: values if name == "direction" else (values.astype(int) if name in whole else values).tolist()
        for name, values in columns.items()
    }
    lists["at"] = [datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in lists["at"]]
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def as_records(columns: dict[str, Any], links: list[int]) -> list[tuple[Any, ...]]:
    """Returns the same as COPY takes them, of targets without other samples."""
    ids = [links[number] + 10_000_000 for number in columns["link"]]
    at = [datetime.fromtimestamp(ms / 1000, UTC) for ms in columns["at"].tolist()]
    return list(
        zip(ids, columns["direction"], at, *(columns[to_camel_case(c)].tolist() for c in LINK.columns), strict=True)
    )


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def compared(
    one: Callable[[], Awaitable[object]], other: Callable[[], Awaitable[object]], rounds: int = ROUNDS
) -> tuple[float, float]:
    """Returns the median seconds of each; they take turns."""
    both = [(await seconds(one), await seconds(other)) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in both), statistics.median(pair[1] for pair in both)


def tell(what: str, ours: str, theirs: str, ratio: str, target: str, *, reached: bool) -> None:
    print(f"| {what} | {ours} | {theirs} | {ratio} | {target}{'' if reached else ' MISSED'} |", flush=True)


# ---------------------------------------------------------------- in


async def columns_in(world: World, client: Client, connection: Any) -> None:
    fleet, per_batch = Fleet(LINKS), BATCH // (2 * LINKS)
    took: list[tuple[float, float]] = []
    for number in range(WARM_UP + ROUNDS):
        start = NOW - timedelta(days=1) + MINUTE * number * per_batch
        columns = fleet.batch([start + MINUTE * index for index in range(per_batch)])
        body, records = operation(COLUMNS, columns=columns), as_records(columns, world.links)
        took.append((await seconds(lambda: client.answer(body)), await seconds(lambda: copy_in(connection, records))))  # noqa: B023
    ours, bare = (statistics.median(pair[which] for pair in took[WARM_UP:]) for which in (0, 1))
    tell(
        "`recordLinkColumns`, batches of 10 000 rows, one client, scored",
        f"{BATCH / ours:,.0f} rows/s",
        f"bare COPY of asyncpg: {BATCH / bare:,.0f} rows/s",
        f"{bare / ours:.2f}",
        "≥ 0.30",
        reached=bare / ours >= 0.30,
    )


async def copy_in(connection: Any, records: list[tuple[Any, ...]]) -> None:
    columns = ["link_id", "direction", "at", *LINK.columns]
    await connection.copy_records_to_table("link_samples", records=records, columns=columns)


async def rows_parsed() -> None:
    """Measures from a request's JSON to the frame that is recorded, without a server. stock: an object for each row."""
    core, inputs = schema._schema, BatchInputs(schema._schema)  # noqa: SLF001  graphql-core's
    [asked] = parse(ROWS).definitions
    assert isinstance(asked, OperationDefinitionNode)
    body = operation(ROWS, samples=as_rows(Fleet(LINKS).batch([NOW + MINUTE * index for index in range(10)])))
    definition = get_object_definition(LinkSampleInput, strict=True)
    as_it_is = definition.from_input

    def converted(samples: object) -> Any:
        of = StrawberryList(LinkSampleInput)
        return convert_argument(samples, of, schema.schema_converter.scalar_registry, schema.config)

    async def ours() -> None:
        coerced = inputs.coerce(asked, orjson.loads(body)["variables"])
        assert len(samples_to_frame(TargetKind.LINK, converted(coerced["samples"]))) == 2 * BATCH

    async def stock() -> None:
        variables: Any = get_variable_values(core, asked.variable_definitions or (), orjson.loads(body)["variables"])
        definition.from_input = None
        samples = converted(variables.coerced["samples"])
        definition.from_input = as_it_is
        columns = ("link", "at", *LINK.columns)
        assert len(pl.DataFrame({name: [getattr(row, name) for row in samples] for name in columns})) == 2 * BATCH

    took, objects = await compared(ours, stock, 5)
    rate = 2 * BATCH / took
    tell(
        "`recordLinkMetrics`, 20 000 rows from JSON to a polars frame",
        f"{rate:,.0f} rows/s",
        f"graphql-core and Strawberry's objects: {2 * BATCH / objects:,.0f} rows/s",
        f"{objects / took:.0f}",
        "≥ 60 000 rows/s",
        reached=rate >= 60_000,
    )


async def rows_in(client: Client) -> None:
    fleet, took = Fleet(LINKS), []
    per_batch = BATCH // (2 * LINKS)
    for number in range(ROUNDS):
        start = NOW - timedelta(hours=12) + MINUTE * number * per_batch
        body = operation(ROWS, samples=as_rows(fleet.batch([start + MINUTE * index for index in range(per_batch)])))
        took.append(await seconds(lambda: client.answer(body)))  # noqa: B023
    rate = BATCH / statistics.median(took)
    tell(
        "`recordLinkMetrics`, batches of 10 000 rows, one client, scored",
        f"{rate:,.0f} rows/s",
        "",
        "",
        "≥ 20 000 rows/s",
        reached=rate >= 20_000,
    )


# ---------------------------------------------------------------- out


async def history(world: World, link: int, days: int, minutes: int) -> None:
    """Has the database make samples, one each so many minutes up to now, to be rolled up."""
    first = NOW - timedelta(days=days)
    weeks = [partitions.find_week(first) + number * partitions.WEEK for number in range(days // 7 + 2)]
    await partitions.create_partitions(world.services.database, TargetKind.LINK, weeks)
    columns = ", ".join(LINK.columns)
    values = ", ".join(f"{spec.usual:g} + {spec.least_spread:g} * random()" for spec in LINK.specs)
    async with world.services.database.write() as session:
        for direction in ("IB", "OB"):
            await session.execute(
                text(
                    f"INSERT INTO link_samples (link_id, direction, at, {columns})"
                    f" SELECT :link, :direction, at, {values} FROM"
                    " generate_series(CAST(:first AS timestamptz), :last, make_interval(mins => :minutes)) AS at"
                ),
                {"link": link, "direction": direction, "first": first, "last": NOW, "minutes": minutes},
            )
            await session.execute(
                text(
                    "INSERT INTO streams (target_id, kind, direction, samples, last_at, unrolled)"
                    " VALUES (:link, 'LINK', :direction, 1, :last,"
                    " tstzmultirange(tstzrange(date_trunc('hour', CAST(:first AS timestamptz)),"
                    " date_trunc('hour', CAST(:last AS timestamptz)) + interval '1 hour')))"
                ),
                {"link": link, "direction": direction, "first": first, "last": NOW},
            )


async def day_out(world: World, client: Client, connection: Any, number: int) -> None:
    body = operation(SERIES, link=number, hours=24, maxPoints=2000)
    query = (
        "SELECT at, esno_db, latency_ms, throughput_mbps, grade FROM link_samples"
        " WHERE link_id = $1 AND direction = 'OB' AND at >= $2 AND at < $3 ORDER BY at"
    )
    end = datetime.now(UTC)
    given = (world.links[number], end - timedelta(days=1), end)
    ours, bare = await compared(lambda: client.answer(body), lambda: connection.fetch(query, *given), 100)
    tell(
        "`series`, 24 h each minute, 4 metrics, raw",
        f"{ours * 1e3:.1f} ms",
        f"the bare SQL query: {bare * 1e3:.1f} ms",
        f"{ours / bare:.1f}",
        "≤ 3",
        reached=ours / bare <= 3,
    )


async def months_out(client: Client, number: int) -> None:
    body = operation(SERIES, link=number, hours=90 * 24, maxPoints=1000)
    ours = statistics.median([await seconds(lambda: client.answer(body)) for _ in range(50)])
    tell(
        "`series`, 90 days recorded each minute, 4 metrics, from roll-ups",
        f"{ours * 1e3:.1f} ms",
        "",
        "",
        "≤ 50 ms",
        reached=ours <= 0.050,
    )


async def fleet_out(world: World, connection: Any) -> None:
    end = NOW - timedelta(days=10)
    weeks = [partitions.find_week(end - timedelta(days=day)) for day in (0, 1)]
    await partitions.create_partitions(world.services.database, TargetKind.LINK, weeks)
    fleet, start = Fleet(LINKS), end - timedelta(days=1)
    for hour in range(24):
        times = [start + timedelta(hours=hour, minutes=5 * index) for index in range(12)]
        await copy_in(
            connection, [(row[0] - 10_000_000, *row[1:]) for row in as_records(fleet.batch(times), world.links)]
        )
    await connection.execute("VACUUM ANALYZE link_samples")
    query = (
        f"SELECT link_id, direction, at, {', '.join(LINK.columns)} FROM link_samples"
        " WHERE link_id = ANY($1) AND at >= $2 AND at < $3"
    )

    async def ours() -> None:
        async with world.services.database.driver() as held:
            frame = await telemetry.load(held, TargetKind.LINK, world.links[:LINKS], start, end)
        assert frame.shape == (LINKS * 2 * 288, 3 + len(LINK.columns))

    async def bare() -> None:
        chunks: list[bytes] = []

        async def take(chunk: bytes) -> None:
            chunks.append(chunk)

        await connection.copy_from_query(query, world.links[:LINKS], start, end, output=take, format="binary")

    took, copied = await compared(ours, bare, 9)
    tell(
        "1 000 links, both directions, 24 h each 5 minutes (576 000 rows), as a polars frame",
        f"{took * 1e3:,.0f} ms",
        f"asyncpg's binary COPY out: {copied * 1e3:,.0f} ms",
        f"{took / copied:.2f}",
        "≤ 1.2",
        reached=took / copied <= 1.2,
    )


async def main() -> None:
    print("| What | Measured | Against | Ratio | Target |\n|---|---|---|---|---|")
    await rows_parsed()
    async with world(LINKS + 1) as made, made.server() as client:
        connection = await made.connect()
        await columns_in(made, client, connection)
        await rows_in(client)
        await history(made, made.links[LINKS], 90, 1)
        await day_out(made, client, connection, LINKS)
        await maintain(made.services)
        await months_out(client, LINKS)
        await fleet_out(made, connection)
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
