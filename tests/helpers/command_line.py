"""Whether `bcom-graphql` understands a command, without running it."""

import shlex

from bcom_graphql.cli.commands import COMMANDS, load


def check_command(line: str) -> None:
    """Raises what its user would read, unless the command line understands it."""
    name, command, *arguments = shlex.split(line)
    assert name == "bcom-graphql"
    assert command in COMMANDS, command
    understood = load(command)
    if arguments:  # else only the command's name is told of
        understood.make_context(command, arguments)
