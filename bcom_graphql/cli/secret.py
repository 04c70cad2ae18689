"""`bcom-graphql secret`."""

import secrets

import typer

app = typer.Typer(add_completion=False)


@app.command()
def secret() -> None:
    """Print a new SECRET_KEY."""
    typer.echo(secrets.token_urlsafe(48))
