"""Whether `bcom-graphql` understands a command, without running it."""

import shlex

from typer.main import get_command

from bcom_graphql.cli.commands import commands


def check_command(line: str) -> None:
    """Raises what its user would read, unless the command line understands it."""
    name, command, *arguments = shlex.split(line)
    assert name == "bcom-graphql"
    group = get_command(commands)
    understood = group.commands[command]  # type: ignore[attr-defined]
    if arguments:  # else only the command's name is told of
        understood.make_context(command, arguments)
