"""`bcom-graphql train`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from bcom_graphql.cli.champions import train_one
from bcom_graphql.cli.database import database, migrated
from bcom_graphql.cli.output import console, progress_bar
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.settings import Settings
from ml.catalogue.metrics import TargetKind
from ml.catalogue.models import DETECTORS, MODELS, PRIORITY, RANKING, ROOT_CAUSE
from resolvers.base.access import SYSTEM
from resolvers.base.errors import ClientError
from resolvers.context import Context, Services
from resolvers.models import models
from resolvers.models.trainer import Outcome
from resolvers.models.training import Period

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class TrainRequest:
    """What versions somebody wants."""

    version: str | None
    period: Period | None
    seed: int
    force: bool


@dataclass(frozen=True)
class Result:
    """What became of a model's training; `problem`: why nothing new serves."""

    model: str
    outcome: Outcome | None = None
    problem: str | None = None


@app.command()
def train(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every model.")] = False,
    network: Annotated[bool, typer.Option("--network", help="The detector for networks.")] = False,
    site: Annotated[bool, typer.Option("--site", help="The detector for sites.")] = False,
    link: Annotated[bool, typer.Option("--link", help="The detector for links.")] = False,
    root_cause: Annotated[bool, typer.Option("--root-cause", help="What names root causes.")] = False,
    recommendations: Annotated[
        bool, typer.Option("--recommendations", help="What ranks recommendations, and says how soon to look at them.")
    ] = False,
    version: Annotated[
        str | None, typer.Option(help="Its name, such as 2.0.0; omitted: the next minor one.", metavar="NAME")
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Learn from the fleet's last days; omitted: from the simulator, and all outcomes of recommendations.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The same seed gives the same model.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Promote even what measures worse.")] = False,
) -> None:
    """Train new versions, and promote those that measure no worse than what serves."""
    chosen = {TargetKind.NETWORK: network, TargetKind.SITE: site, TargetKind.LINK: link}
    named = {model: chosen[kind] for model, kind in DETECTORS.items()}
    named |= {ROOT_CAUSE: root_cause, RANKING: recommendations, PRIORITY: recommendations}
    wanted = [model for model in MODELS if everything or named[model]]
    if not wanted:
        raise typer.BadParameter(
            "Choose --all, or any of --network, --site, --link, --root-cause and --recommendations."
        )
    if root_cause and days is not None:
        raise typer.BadParameter("Root causes are learned from the simulator alone: leave out --days.")
    period = None if days is None else Period(hours=timedelta(days=days).total_seconds() / 3600)
    configure_logging("console", "error")
    with database(Settings()) as settings:
        results = asyncio.run(_train(settings, wanted, TrainRequest(version, period, seed, force)))
    _report(results)
    if any(result.problem for result in results):
        raise typer.Exit(1)


async def _train(settings: Settings, wanted: Sequence[str], request: TrainRequest) -> list[Result]:
    async with migrated(settings) as services:
        with progress_bar() as bar:
            return [await _train_and_promote(services, bar, model, request) for model in wanted]


async def _train_and_promote(services: Services, bar: Progress, model: str, request: TrainRequest) -> Result:
    outcome = None
    try:
        period = None if model == ROOT_CAUSE else request.period
        outcome = await train_one(services, bar, model, period, request.version, request.seed)
        if not outcome.serves:
            await models.promote(Context(services, SYSTEM), outcome.version.id, force=request.force)
    except ClientError as error:
        return Result(model, outcome, error.message)
    return Result(model, outcome)


def _report(results: Sequence[Result]) -> None:
    """What was measured, and what serves now, or why not."""
    if outcomes := [result.outcome for result in results if result.outcome]:
        console.print(_measured(outcomes))
    for result in results:
        outcome, problem = result.outcome, result.problem
        if problem is None and outcome:
            console.print(f"{result.model} {outcome.version.version} serves from now on.", highlight=False)
        elif problem:
            message = problem if result.model in problem else f"{result.model}: {problem}"
            console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        if problem and outcome:
            command = f"bcom-graphql models promote {result.model} {outcome.version.version} --force"
            console.print(f"It is kept as a candidate: {command}", highlight=False, soft_wrap=True)


def _measured(outcomes: Sequence[Outcome]) -> Table:
    """The measures beside those of the version that was champion until now, on the same data."""
    table = Table("model", "version", "measure", "of", "it", "champion")
    for outcome in outcomes:
        rivals = {(one.name, one.dataset): f"{one.value:.4g}" for one in outcome.trained.rival_measures}
        for one in outcome.trained.measures:
            beside = rivals.get((one.name, one.dataset), "")
            version = outcome.version
            table.add_row(version.model, version.version, one.name, one.dataset, f"{one.value:.4g}", beside)
    return table
