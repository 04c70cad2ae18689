"""The parts of the docs that are made from the code: between marks, written by the command of that name."""

import textwrap
from pathlib import Path

import typer

from bcom_graphql.settings import Settings


def written(text: str, part: str, made: str) -> str:
    """The text with this part as it is now. Raises ValueError where it has no such part."""
    begin, end = f"<!-- bcom-graphql {part} -->", f"<!-- end of {part} -->"
    if not 0 <= text.find(begin) < text.find(end):
        message = f"There is no part between {begin} and {end}."
        raise ValueError(message)
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{made}\n\n{end}{rest.partition(end)[2]}"


def print_or_write(part: str, made: str, page: Path | None) -> None:
    """Prints it, or writes it into the page. Raises ValueError where the page has no such part."""
    if page is None:
        typer.echo(made)
    else:
        page.write_text(written(page.read_text(), part, made))


def settings_table() -> str:
    """A Markdown table of every setting."""
    rows = [f"| `{name}` | {f'`{default}`' if default else ''} | {what} |" for name, default, what in _settings()]
    return "\n".join(["| Setting | Default | What it is |", "|---|---|---|", *rows])


def settings_example() -> str:
    """The text of `.env.example`: every setting with its description and default."""
    lines = ["# Every setting, with its default. Copy to `.env` and change what you need."]
    for name, default, what in _settings():
        lines += ["", *(f"# {line}" for line in textwrap.wrap(what, 100)), f"{name}={default}"]
    return "\n".join(lines) + "\n"


def _settings() -> list[tuple[str, str, str]]:
    """Name, default and description of each."""
    return [
        (name.upper(), _shown(field.default), field.description or "") for name, field in Settings.model_fields.items()
    ]


def _shown(default: object) -> str:
    if default in (None, []):
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)
