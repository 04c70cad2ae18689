"""What may be said of a file: which column is which, its decimal sign, its times, and what to do with it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ml.catalogue.metrics import CATALOGUE, TargetKind
from resolvers.base.errors import InvalidInput, to_camel_case
from resolvers.base.files import Wanted
from resolvers.telemetry.files.headings import LONGEST_HEADING, simplify
from resolvers.telemetry.values.epochs import UNITS
from resolvers.telemetry.values.moments import is_time_zone

COLUMNS: Final = ["options", "columns"]
MOST_COLUMNS: Final = 100


@dataclass(frozen=True)
class ImportOptions:
    """What may be said of a file.

    columns: pairs of a heading in the file and our field, such as ('Es/No [dB]', 'esnoDb').
    decimal: the decimal sign of texts, '.' or ','; None: a point.
    time_zone: of times without an offset; None: they are refused.
    time_unit: of times that are numbers: 's', 'ms', 'us' or 'ns'; None: their size tells.
    dry_run: whether to record nothing, and only say what would be.
    mapping: the name of a saved mapping, which says what is not said here.
    overwrite: whether to replace stored values with the file's, which only an ADMIN may.
    """

    columns: Sequence[tuple[str, str]] = ()
    decimal: str | None = None
    time_zone: str | None = None
    time_unit: str | None = None
    dry_run: bool = False
    overwrite: bool = False
    mapping: str | None = None


def list_keys(kind: TargetKind) -> list[str]:
    """Returns the columns that a file must have, the target's number first."""
    return [kind.value.lower(), "at", *(["direction"] if kind is TargetKind.LINK else [])]


def build_wanted(kind: TargetKind, options: ImportOptions) -> Wanted:
    """Returns what is wanted of a file of this kind. Raises InvalidInput for options that mean nothing."""
    fields = [*list_keys(kind), *CATALOGUE[kind].recorded_columns]
    _check_columns(options.columns, [to_camel_case(name) for name in fields])
    if options.decimal not in (None, ".", ","):
        raise InvalidInput("The decimal sign is . or a comma.", ["options", "decimal"])
    if options.time_zone is not None and not is_time_zone(options.time_zone):
        raise InvalidInput(
            "The time zone must be one of the Time Zone Database, such as Europe/Berlin or UTC.",
            ["options", "timeZone"],
        )
    if options.time_unit is not None and options.time_unit not in UNITS:
        raise InvalidInput(f"The unit of times is one of {', '.join(UNITS)}.", ["options", "timeUnit"])
    units = {spec.column: spec.unit for spec in CATALOGUE[kind].recorded_specs}
    said = (dict(options.columns), options.decimal or ".", options.time_zone, options.time_unit)
    return Wanted(list_keys(kind), units, *said)


def _check_columns(columns: Sequence[tuple[str, str]], fields: list[str]) -> None:
    """Raises InvalidInput for a field that is none, or what comes twice."""
    if len(columns) > MOST_COLUMNS or any(len(heading) > LONGEST_HEADING for heading, _ in columns):
        raise InvalidInput(f"At most {MOST_COLUMNS} columns of {LONGEST_HEADING} characters can be mapped.", COLUMNS)
    names = {simplify(name): name for name in fields}
    for _, name in columns:
        if simplify(name) not in names:
            raise InvalidInput(f"There is no {name[:LONGEST_HEADING]}; it must be one of {', '.join(fields)}.", COLUMNS)
    for what, count in Counter(names[simplify(name)] for _, name in columns).items():
        if count > 1:
            raise InvalidInput(f"Two columns are mapped to {what}; one must do.", COLUMNS)
    for what, count in Counter(heading.strip() for heading, _ in columns).items():
        if count > 1:
            raise InvalidInput(f"The column {what} is mapped twice.", COLUMNS)
