"""`bcom-graphql models list | export | import | promote | rollback`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bcom_graphql.cli.database import database, migrated
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.settings import Settings
from resolvers.base.access import SYSTEM
from resolvers.base.errors import InvalidInput, NotFound
from resolvers.context import Context
from resolvers.lists.loaders import Children
from resolvers.lists.pagination import Window
from resolvers.models import export as model_files
from resolvers.models import models
from resolvers.store.tables.models import ModelMetric, ModelStage, ModelVersion

SHOWN_VERSIONS = 20

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Versions of models: seeing them, moving them, and which of them serve.",
)

Model = Annotated[str, typer.Argument(help="Such as anomaly_link.")]
Note = Annotated[str | None, typer.Option(help="Kept in the version's history.")]


def _do(work: Callable[[Context], Awaitable[None]]) -> None:
    """Does the work on a migrated database, with the server's own rights."""

    async def on_database(settings: Settings) -> None:
        async with migrated(settings) as services:
            await work(Context(services, SYSTEM))

    configure_logging("console", "warning")
    with database(Settings()) as settings:
        asyncio.run(on_database(settings))


@app.command("list")
def show() -> None:
    """The newest versions of every model, and what they measured on data that they did not learn from."""

    async def work(context: Context) -> None:
        names = [model.name for model in await models.list_models(context)]
        load, window = context.loaders, Window(first=SHOWN_VERSIONS)
        pages = await load.page.load_many([((Children(models.versions), window), name) for name in names])
        rows: list[ModelVersion] = [row for page in pages for row in page.rows]
        keys = [row.id for row in rows]
        stages, metrics = await load.stage.load_many(keys), await load.model_metrics.load_many(keys)
        for line in _lines(rows, stages, metrics):
            typer.echo(line)

    _do(work)


def _lines(
    rows: Sequence[ModelVersion], stages: Sequence[ModelStage], metrics: Sequence[Sequence[ModelMetric]]
) -> Iterator[str]:
    """One for each version, and under it its training and its measures, a line each: for eyes, and for `grep`."""
    for row, stage, measured in zip(rows, stages, metrics, strict=True):
        size, at = f"{row.size_bytes / 1024:,.0f} KiB", f"{row.trained_at:%Y-%m-%d %H:%M}"
        yield f"{row.model} {row.version} {stage.lower()}, {size}"
        yield f"    trained {at} UTC on {row.training_samples:,} samples"
        yield from (f"    {one.name} {one.value:.3f} ({one.dataset})" for one in measured)


@app.command()
def export(
    *,
    folder: Annotated[Path, typer.Argument(help="Where to; each version gets a folder of its own in it.")],
    model: Annotated[str | None, typer.Option(help="Such as anomaly_link; omitted: all.")] = None,
    version: Annotated[str | None, typer.Option(help="Such as 2.0.0; omitted: the champion.")] = None,
) -> None:
    """Write versions as <model>_v<version>/model.npz and metadata.json."""

    async def work(context: Context) -> None:
        for row in await _wanted(context, model, version):
            _say(f"{await model_files.write(context, row.id, folder)}")

    _do(work)


async def _wanted(context: Context, model: str | None, version: str | None) -> list[ModelVersion]:
    """Raises InvalidInput, NotFound."""
    if version is not None:
        if model is None:
            raise InvalidInput("Say with --model whose version it is.")
        return [await models.find_version(context, model, version)]
    names = [one.name for one in await models.list_models(context) if model in (None, one.name)]
    if not names:
        raise NotFound("model")
    return [row for row in await context.loaders.champion.load_many(names) if row]


@app.command("import")
def import_(
    *, folder: Annotated[Path, typer.Argument(help="A folder that export wrote, or one with several of them.")]
) -> None:
    """Store exported versions as candidates. Safe to repeat."""

    async def work(context: Context) -> None:
        for each in await asyncio.to_thread(_version_folders, folder):
            row = await model_files.import_folder(context, each)
            _say(f"{row.model} {row.version} is stored; `models promote {row.model} {row.version}` lets it serve.")

    _do(work)


def _version_folders(folder: Path) -> list[Path]:
    """Raises InvalidInput where there are none."""
    folders = [
        path.parent for path in (folder / model_files.METADATA, *sorted(folder.glob(f"*/{model_files.METADATA}")))
    ]
    found = [each for each in folders if (each / model_files.METADATA).is_file()]
    if not found:
        raise InvalidInput(f"{folder} holds no exported model: no {model_files.METADATA} in it or one level below.")
    return found


@app.command()
def promote(
    *,
    model: Model,
    version: Annotated[str, typer.Argument(help="Such as 2.0.0.")],
    force: Annotated[bool, typer.Option("--force", help="Even if it measures worse than the champion.")] = False,
    note: Note = None,
) -> None:
    """Let a version serve, in every running server at once."""

    async def work(context: Context) -> None:
        row = await models.find_version(context, model, version)
        await models.promote(context, row.id, force=force, note=note)
        _say(f"{model} {version} serves from now on.")

    _do(work)


@app.command()
def rollback(*, model: Model, note: Note = None) -> None:
    """Go back to the champion before the present one, in every running server at once."""

    async def work(context: Context) -> None:
        row = await models.rollback(context, model, note)
        _say(f"{model} {row.version} serves from now on, as before.")

    _do(work)


def _say(sentence: str) -> None:
    Console().print(sentence, markup=False, highlight=False, soft_wrap=True)
