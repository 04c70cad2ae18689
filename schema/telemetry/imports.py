"""Importing files: what may be said of one, and what was understood of it."""

from datetime import datetime
from enum import Enum

import strawberry

from resolvers.store.tables import imports as tables
from resolvers.telemetry import import_options
from resolvers.telemetry.import_report import ImportedColumn as Counted
from schema.directives import FREE
from schema.enums import TargetKind


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
    decimal: str | None = strawberry.field(
        default=None, description="The decimal sign of numbers in texts: `.`, which is the default, or `,`."
    )
    time_zone: str | None = strawberry.field(
        default=None,
        description="The zone of times without an offset, such as `Europe/Berlin`. By default such times are refused.",
    )
    time_unit: TimeUnit | None = strawberry.field(
        default=None, description="The unit of times that are numbers. By default their size tells."
    )
    mapping: str | None = strawberry.field(
        default=None, description="The name of a saved mapping, which says what is not said here."
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
            mapping=self.mapping,
        )


@strawberry.input(description="What is said of files under a name. It takes the place of what the name stood for.")
class ImportMappingInput:
    kind: TargetKind
    name: str
    columns: list[ColumnMapping] = strawberry.field(description="Columns whose headings are not our fields' names.")
    decimal: str | None = strawberry.field(default=None, description="As in `ImportOptions`.")
    time_zone: str | None = strawberry.field(default=None, description="As in `ImportOptions`.")
    time_unit: TimeUnit | None = strawberry.field(default=None, description="As in `ImportOptions`.")

    def to_options(self) -> import_options.ImportOptions:
        """Returns what is said as the resolver takes it."""
        pairs = [(mapping.heading, mapping.field) for mapping in self.columns]
        return import_options.ImportOptions(
            pairs, self.decimal, self.time_zone, self.time_unit and self.time_unit.value
        )


@strawberry.type(description="A column of a file, and the field that it is read as.")
class MappedColumn:
    heading: str
    field: str


@strawberry.type(description="What is said of files under a name; `ImportOptions.mapping` uses it.")
class ImportMapping:
    kind: TargetKind
    name: str
    columns: list[MappedColumn] = strawberry.field(directives=[FREE])
    decimal: str | None
    time_zone: str | None
    time_unit: TimeUnit | None
    updated_at: datetime

    @classmethod
    def from_row(cls, row: tables.ImportMapping) -> "ImportMapping":
        return cls(
            kind=row.kind,
            name=row.name,
            columns=[MappedColumn(**column) for column in row.columns],
            decimal=row.decimal,
            time_zone=row.time_zone,
            time_unit=None if row.time_unit is None else TimeUnit(row.time_unit),
            updated_at=row.updated_at,
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
