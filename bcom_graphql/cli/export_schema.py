"""`bcom-graphql export-schema`."""

from pathlib import Path
from typing import Annotated

import typer

from bcom_graphql.cli.output import fail
from schema.root import schema

SCHEMA_FILE = Path("schema/schema.graphql")

app = typer.Typer(add_completion=False)


@app.command()
def export_schema(
    *,
    path: Annotated[Path, typer.Argument(help="Where to.")] = SCHEMA_FILE,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the file is current.")] = False,
) -> None:
    """Write the schema as SDL."""
    current = schema.as_str() + "\n"
    if not check:
        path.write_text(current)
    elif not path.exists() or path.read_text() != current:
        fail(f"{path} is not current; run `bcom-graphql export-schema`.")
