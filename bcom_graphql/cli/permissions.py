"""`bcom-graphql permissions`."""

from pathlib import Path
from typing import Annotated

import typer

from bcom_graphql import permissions
from bcom_graphql.cli.readme import print_or_write

app = typer.Typer(add_completion=False)


@app.command()
def show_permissions(
    *,
    write: Annotated[Path | None, typer.Option(help="Into this page, between its marks.")] = None,
) -> None:
    """Print who may use which root field, as a Markdown table."""
    print_or_write("permissions", permissions.matrix(), write)
