"""What is wanted of a file of samples, and what was understood of its columns."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a file, and what is said of it.

    required: columns, in snake case; the first is the target's number.
    units: of all metrics, by column; any of them will do.
    columns: our fields by the file's headings, where somebody said which is which.
    decimal: the decimal sign of texts.
    time_zone: of times without an offset; None: they are refused.
    time_unit: of times that are numbers: 's', 'ms', 'us' or 'ns'; None: their size tells.
    """

    required: Sequence[str]
    units: Mapping[str, str]
    columns: Mapping[str, str] = field(default_factory=dict)
    decimal: str = "."
    time_zone: str | None = None
    time_unit: str | None = None


@dataclass(frozen=True)
class ReadColumn:
    """A column that is read. field: ours, as the API names it; type: what it holds, in a word."""

    heading: str
    field: str
    type: str


@dataclass(frozen=True)
class Columns:
    """What was understood of a file's columns. ignored: headings; hints: sentences on those that look like ours."""

    read: list[ReadColumn] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def as_json(self) -> bytes:
        """Returns it as a message's content."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Columns":
        """Reads what `as_json` wrote."""
        given = json.loads(content)
        return cls([ReadColumn(**column) for column in given["read"]], given["ignored"], given["hints"])
