"""`bcom-graphql user`: makes accounts and resets passwords, even when nobody can sign in."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bcom_graphql.cli.database import database, migrated
from bcom_graphql.cli.output import console
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.settings import Settings
from resolvers.accounts import users
from resolvers.base.access import SYSTEM
from resolvers.base.errors import NotFound
from resolvers.base.roles import Role
from resolvers.context import Context, Services


class _AddUnlessSaid(TyperGroup):
    """`user EMAIL` means `user add EMAIL`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if is_named else ["add", *args])


app = typer.Typer(
    cls=_AddUnlessSaid,
    no_args_is_help=True,
    add_completion=False,
    help="Make accounts (`user EMAIL`), reset passwords.",
)


@app.command("add")
def add(
    email: str,
    role: Annotated[Role, typer.Option(case_sensitive=False)] = Role.VIEWER,
    password: Annotated[
        str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, envvar="BCOM_PASSWORD")
    ] = "",
) -> None:
    """Create an account; while nobody is an admin, an ADMIN's."""

    async def work(services: Services) -> None:
        created = await users.add_user(Context(services, SYSTEM), email, password, None, role)
        console.print(f"{created.email} is {created.role}.", highlight=False)

    _run(work)


@app.command("reset")
def reset(email: str) -> None:
    """Print a new password for somebody; end their sessions and revoke their API keys."""

    async def work(services: Services) -> None:
        async with services.database.read() as session:
            user = await users.find_user(session, email)
        if user is None:
            raise NotFound("user")
        given = await users.reset_password(Context(services, SYSTEM), user.id)
        typer.echo(given.password)
        active = "" if given.user.is_active else " The account stays deactivated."
        console.print(f"This is the new password of {given.user.email}.{active}", highlight=False)

    _run(work)


def _run(work: Callable[[Services], Awaitable[Any]]) -> None:
    async def on_database(settings: Settings) -> None:
        async with migrated(settings) as services:
            await work(services)

    configure_logging("console", "warning")
    with database(Settings()) as settings:
        asyncio.run(on_database(settings))
