"""Importing files: what may be said of one, and what was understood of it."""

from enum import Enum

import strawberry

from resolvers.telemetry import import_options
from resolvers.telemetry.import_report import ImportedColumn as Counted


@strawberry.enum(description="The unit of times that are numbers: the time since 1970-01-01T00:00:00Z.")
class TimeUnit(Enum):
    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"


@strawberry.input(description="Which column of a file is which of ours.")
class ColumnMapping:
    heading: str = strawberry.field(description="The column's heading in the file, such as `Es/No [dB]`.")
    field: str = strawberry.field(description="The field of the sample input, such as `esnoDb`.")


@strawberry.input(description="What may be said of a file that cannot be known from it. By default nothing.")
class ImportOptions:
    columns: list[ColumnMapping] | None = strawberry.field(
        default=None,
        description="Columns whose headings are not the names of our fields. Case, blanks and signs never matter.",
    )
    decimal: str = strawberry.field(default=".", description="The decimal sign of numbers in texts: `.` or `,`.")
    time_zone: str | None = strawberry.field(
        default=None,
        description="The zone of times without an offset, such as `Europe/Berlin`. By default such times are refused.",
    )
    time_unit: TimeUnit | None = strawberry.field(
        default=None, description="The unit of times that are numbers. By default their size tells."
    )
    dry_run: bool = strawberry.field(
        default=False, description="Whether to record nothing, and only say what was understood and refused."
    )

    def to_options(self, *, overwrite: bool) -> import_options.ImportOptions:
        """Returns them as the resolver takes them. overwrite: stored values."""
        return import_options.ImportOptions(
            [(mapping.heading, mapping.field) for mapping in self.columns or []],
            self.decimal,
            self.time_zone,
            self.time_unit and self.time_unit.value,
            dry_run=self.dry_run,
            overwrite=overwrite,
        )


@strawberry.type(description="A column of a file that was read.")
class ImportedColumn:
    heading: str = strawberry.field(description="Its heading in the file.")
    field: str = strawberry.field(description="The field of the sample input that it was read as.")
    type: str = strawberry.field(description="What it holds: text, numbers or times.")
    values: int = strawberry.field(description="How many values could be used.")
    missing: int = strawberry.field(description="How many cells are empty, or say that nothing was measured.")
    left_out: int = strawberry.field(description="How many values could not be used, and count as not measured.")

    @classmethod
    def from_counted(cls, column: Counted) -> "ImportedColumn":
        return cls(**vars(column))
