"""How commands speak: on standard error, so that standard output holds results only."""

import sys
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

console = Console(stderr=True)


def fail(message: str) -> NoReturn:
    """Ends the command with this message and exit code 1."""
    console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)


def progress_bar() -> Progress:
    return Progress(TextColumn("{task.description:45}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
