"""What was understood of a file, and what a person should look at."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from resolvers.base.errors import to_camel_case
from resolvers.base.files import Columns
from resolvers.telemetry.files.messages import NUMBER
from resolvers.telemetry.left_out import LeftOutCells

LARGE_SHARE: Final = 0.2  # of a column's cells, or of the rows, that cannot be used: then something is wrong


@dataclass(frozen=True)
class ImportedColumn:
    """A column that was read.

    values, missing, left_out: how many of its cells could be used, were empty, could not be used.
    """

    heading: str
    field: str
    type: str
    values: int
    missing: int
    left_out: int


@dataclass
class FileReport:
    """What was understood of a file so far.

    rows: read so far.
    notes: sentences on what was found out about the file rather than said.
    """

    rows: int = 0
    columns: Columns = field(default_factory=Columns)
    notes: list[str] = field(default_factory=list)
    _present: Counter[str] = field(default_factory=Counter)

    def count(self, frame: pl.DataFrame) -> None:
        """Counts the cells of a batch that are there, whether they can be used or not."""
        self.rows += len(frame)
        for name in frame.columns:
            shown = self._name(name)
            self._present[shown] += len(frame) - frame[name].null_count()
        if frame["left_out"].null_count() < len(frame):
            cells = frame["left_out"].drop_nulls().explode().struct.field("column")
            self._present.update({to_camel_case(column): count for column, count in cells.value_counts().iter_rows()})

    def _name(self, column: str) -> str:
        targets = [read.field for read in self.columns.read if read.field in ("network", "site", "link")]
        return targets[0] if column == NUMBER and targets else to_camel_case(column)

    def list_columns(self, left_out: Sequence[LeftOutCells]) -> list[ImportedColumn]:
        """Returns the columns that were read with what became of their cells."""
        lost = Counter[str]()
        for cells in left_out:
            lost[cells.column] += cells.count
        return [
            ImportedColumn(
                read.heading,
                read.field,
                read.type,
                self._present[read.field] - lost[read.field],
                self.rows - self._present[read.field],
                lost[read.field],
            )
            for read in self.columns.read
        ]

    def list_warnings(self, rejected: int, left_out: Sequence[LeftOutCells]) -> list[str]:
        """Returns sentences on what a person should look at."""
        return [*self.list_alarms(rejected, left_out), *self.columns.hints, *self.notes]

    def list_alarms(self, rejected: int, left_out: Sequence[LeftOutCells]) -> list[str]:
        """Returns sentences on large shares that cannot be used: hardly anybody wants such an import."""
        alarms = [f"{rejected:,} of {self.rows:,} rows were rejected."] if rejected > LARGE_SHARE * self.rows else []
        for column in self.list_columns(left_out):
            cells = column.values + column.left_out
            if column.left_out > LARGE_SHARE * cells:
                reason = next(cells_.reason for cells_ in left_out if cells_.column == column.field)
                alarms.append(f"{column.left_out:,} of {cells:,} values of {column.field} were left out: it {reason}.")
        return alarms
