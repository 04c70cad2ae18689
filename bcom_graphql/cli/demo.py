"""`bcom-graphql demo score`: how well incidents told of the demo's faults, while it runs or afterwards."""

import asyncio
from typing import Annotated

import orjson
import typer

from bcom_graphql.cli.database import connected, database
from bcom_graphql.cli.output import fail
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.settings import Settings
from resolvers.base.access import SYSTEM
from resolvers.context import Context
from resolvers.demo.clock import FleetClock
from resolvers.demo.evidence import Judgement, judge_demo
from resolvers.demo.report import describe_judgement, to_json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The demo: how well its faults were told.")


@app.callback()
def _group() -> None:
    """Keeps `score` a command of its own: a lone command would be the group itself."""


@app.command()
def score(*, as_json: Annotated[bool, typer.Option("--json", help="As JSON, in seconds and counts.")] = False) -> None:
    """Print the scorecard: faults injected and noticed, incidents, causes, culprits and advice."""
    configure_logging("console", "warning")
    with database(Settings()) as settings:
        judged = asyncio.run(judge(settings))
    if judged is None:
        fail("No demo ever ran in this database. Start one with `bcom-graphql serve --demo`.")
    if as_json:
        typer.echo(orjson.dumps(to_json(judged), option=orjson.OPT_INDENT_2).decode())
        return
    for line in describe_judgement(judged):
        typer.echo(line)


async def judge(settings: Settings) -> Judgement | None:
    """Returns the scorecard of a database, None where no demo ever ran."""
    async with connected(settings.model_copy(update={"demo": True})) as services:
        assert isinstance(services.clock, FleetClock)  # noqa: S101  the demo's
        await services.clock.read(services.database)
        return await judge_demo(Context(services, SYSTEM))
