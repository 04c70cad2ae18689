"""`bcom-graphql settings`."""

from pathlib import Path
from typing import Annotated

import typer

from bcom_graphql.cli.readme import print_or_write, settings_example, settings_table

app = typer.Typer(add_completion=False)


@app.command()
def show_settings(
    *,
    write: Annotated[Path | None, typer.Option(help="As a table into this page, between its marks.")] = None,
) -> None:
    """Print every setting with its description and default: the text of .env.example."""
    if write is None:
        typer.echo(settings_example(), nl=False)
    else:
        print_or_write("settings", settings_table(), write)
