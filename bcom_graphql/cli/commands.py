"""The command line: which commands there are, and what it says when one fails."""

from importlib import import_module
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from bcom_graphql.cli.output import fail


class Entry(NamedTuple):
    """A command in the list that `--help` shows; `module` offers it as `app`."""

    module: str
    help: str
    is_hidden: bool = False


COMMANDS: Final = {
    "serve": Entry("serve", "Serve GraphQL, /health and /metrics; migrations and missing models come first."),
    "migrate": Entry("migrate", "Bring the database up to date."),
    "train": Entry("train", "Train new versions, and promote those that measure no worse than what serves."),
    "train-run": Entry(
        "train_run",
        "Work on one waiting training run, until it is done or the server that started this ends.",
        is_hidden=True,
    ),
    "evaluate": Entry("evaluate", "Compare the detector with simpler ones on labelled series unseen by all."),
    "import": Entry("import_file", "Record a file's samples, scored like any others. Safe to repeat."),
    "mappings": Entry("mappings", "List or delete saved mappings of files' columns."),
    "demo": Entry("demo", "The demo: how well its faults were told."),
    "models": Entry("models", "Versions of models: seeing them, moving them, and which of them serve."),
    "user": Entry("user", "Make accounts (`user EMAIL`), reset passwords."),
    "export-schema": Entry("export_schema", "Write the schema as SDL."),
    "permissions": Entry("permissions", "Print who may use which root field, as a Markdown table."),
    "settings": Entry("settings", "Print every setting with its description and default: the text of .env.example."),
    "secret": Entry("secret", "Print a new SECRET_KEY."),
}


class LazyCommands(TyperGroup):
    """Imports a command's module when the command is called: no other command pays for it."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.help, hidden=entry.is_hidden))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        assert name is not None  # noqa: S101  the command line was parsed to be run
        return name, load(name), rest


def load(name: str) -> Any:
    """Returns the command itself, or the group of commands."""
    return typer.main.get_command(import_module(f"bcom_graphql.cli.{COMMANDS[name].module}").app)


commands = typer.Typer(cls=LazyCommands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@commands.callback()
def _root() -> None:
    """GraphQL for satellite operators: serve it, and manage what it works with."""


def main() -> None:
    """Runs a command; what its user can mend is said in a sentence, with exit code 1."""
    try:
        commands()
    except Exception as error:
        from bcom_graphql.cli.failures import explain

        if (sentence := explain(error)) is None:
            raise
        fail(sentence)
