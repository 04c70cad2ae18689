"""Messages between a server and the process that reads a file for it.

The job comes as JSON in the process's arguments; the file is open as a descriptor. Back come messages on its standard
output, each with its kind and length: what was understood of the columns, the number of rows, batches as Arrow IPC
streams, then the end with what was understood of the rows, or what is wrong.
"""

import json
from dataclasses import asdict, dataclass, field
from enum import Enum
from struct import Struct
from typing import Final

HEADER: Final = Struct(">cI")  # kind, bytes that follow
NUMBER: Final = "number"  # the target's, in a batch
LARGEST_MESSAGE: Final = 64 << 20  # bytes: several times a batch of all columns, each cell unreadable


class Kind(Enum):
    """The kind of a message."""

    COLUMNS = b"C"  # a `Columns`, as JSON
    ROWS = b"R"  # how many there are, in digits
    BATCH = b"B"  # an Arrow IPC stream
    REFUSED = b"X"  # what is wrong with the file, to be said after its name
    END = b"E"  # sentences on what was understood of the rows, as JSON


@dataclass(frozen=True)
class Job:
    """One file to read."""

    descriptor: int
    required: list[str]  # columns, in snake case; the first is the target's number
    metrics: list[str]  # columns of which at least one must be there
    batch_rows: int
    memory: int  # bytes that reading may take
    seconds: float  # of a processor, from one message to the next
    decimal: str = "."  # what separates decimals in a CSV file
    max_unpacked: int = 4 << 30  # bytes that a file may unpack to which is compressed
    units: dict[str, str] = field(default_factory=dict)  # of metrics, by column
    columns: dict[str, str] = field(default_factory=dict)  # our columns by headings, where somebody said so
    time_zone: str | None = None  # of times without an offset
    time_unit: str | None = None  # of times that are numbers: s, ms, us or ns

    def as_json(self) -> str:
        """Returns the job for the command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Reads what `as_json` wrote."""
        return cls(**json.loads(text))


def make_printable(text: str, longest: int) -> str:
    """Returns the beginning of a text, fit for a sentence."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])
