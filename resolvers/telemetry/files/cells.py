"""Parses the cells of a file into the types that samples are recorded with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl
from polars import selectors

from resolvers.telemetry.files.headings import Field, Unsuitable
from resolvers.telemetry.files.messages import NUMBER, Job
from resolvers.telemetry.values.directions import parse_directions
from resolvers.telemetry.values.labels import READERS
from resolvers.telemetry.values.moments import MomentRules, explain_moment_type, parse_moments
from resolvers.telemetry.values.numbers import explain_type, parse_numbers, parse_whole_numbers
from resolvers.telemetry.values.parsed import LEFT_OUT, SHOWN_CHARACTERS, Parsed

LONGEST_CELL: Final = 1024  # bytes
CUT_OFF: Final = "…"  # ends what is shorter than it was, so that it cannot be read as anything
UNPRINTABLE: Final = r"[\p{C}\p{Zl}\p{Zp}]"  # of a cell that is shown


@dataclass(frozen=True)
class TypedRows:
    """Rows in their types. forms: in which forms their times came."""

    frame: pl.DataFrame
    forms: frozenset[str]


def check_types(types: Mapping[str, pl.DataType], headings: Mapping[str, str], job: Job) -> None:
    """Raises Unsuitable for a column whose type is not cast to what it should be: a truth value is no number.

    types, headings: by our names.
    """
    for name, dtype in types.items():
        if wrong := _explain(name, dtype, job):
            raise Unsuitable(f"cannot be used, as its column {headings[name]} {wrong}.")


def _explain(name: str, dtype: pl.DataType, job: Job) -> str | None:
    if name == "at":
        return explain_moment_type(dtype, MomentRules(job.time_zone, job.time_unit))
    if name == "direction":
        is_text = dtype in (pl.String, pl.Categorical, pl.Enum, pl.Binary, pl.Null)
        return None if is_text else "must hold IB and OB, and holds no text"
    holds = explain_type(dtype)
    return f"must hold numbers, and holds {holds}" if holds else None


def parse_cells(raw: pl.DataFrame, job: Job) -> TypedRows:
    """Returns typed columns; `unreadable` has a sentence on a key, `left_out` the metrics, that cannot be read.

    raw: the target's, `at` and other columns by our names in any type that `check_types` lets pass.
    """
    raw = _cut_long_texts(raw)
    target = job.required[0]
    at = parse_moments(raw["at"], MomentRules(job.time_zone, job.time_unit))
    keys = {NUMBER: parse_whole_numbers(raw[target]), "at": at}
    if "direction" in raw.columns:
        keys["direction"] = parse_directions(raw["direction"])
    metrics = {
        name: parse_numbers(raw[name], job.decimal, job.units.get(name, ""), READERS.get(name))
        for name in job.metrics
        if name in raw.columns
    }
    columns = {name: parsed.values for name, parsed in (keys | metrics).items()}
    unreadable = _describe_keys({target if name == NUMBER else name: parsed for name, parsed in keys.items()})
    frame = raw.select(**columns, unreadable=unreadable, left_out=_describe_metrics(metrics))
    return TypedRows(frame, at.forms)


def _describe_keys(keys: Mapping[str, Parsed]) -> pl.Expr:
    """Returns a sentence on the first key of a row that cannot be read; null where all can."""
    sentences = [
        pl.format("{} {}, and is {}.", pl.lit(Field(name, "").api_name), parsed.reasons, _show_cell(name))
        for name, parsed in keys.items()
        if parsed.reasons is not None
    ]
    return pl.coalesce(*sentences, pl.lit(None, pl.String))


def _describe_metrics(metrics: Mapping[str, Parsed]) -> pl.Expr:
    """Returns the cells that cannot be read of each row, as `LEFT_OUT`; null where all can."""
    cells = [
        pl.when(parsed.reasons.is_not_null()).then(
            pl.struct(
                column=pl.lit(name),
                value=_show_cell(name),
                reason=parsed.reasons,
            )
        )
        for name, parsed in metrics.items()
        if parsed.reasons is not None
    ]
    if not cells:
        return pl.lit(None, LEFT_OUT)
    listed = pl.concat_list(cells).list.drop_nulls()
    return pl.when(listed.list.len() > 0).then(listed).cast(LEFT_OUT)


def _show_cell(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.strip_chars().str.head(SHOWN_CHARACTERS).str.replace_all(UNPRINTABLE, "?")


def _cut_long_texts(raw: pl.DataFrame) -> pl.DataFrame:
    """Cuts long texts, of which one in the file may stand for millions in memory."""
    raw = raw.with_columns(selectors.by_dtype(pl.Categorical, pl.Enum, pl.Binary).cast(pl.String))
    text = selectors.string()
    if not any((column.str.len_bytes() > LONGEST_CELL).any() for column in raw.select(text)):
        return raw
    shown = text.str.head(SHOWN_CHARACTERS) + CUT_OFF
    return raw.with_columns(pl.when(text.str.len_bytes() > LONGEST_CELL).then(shown).otherwise(text))


def name_type(dtype: pl.DataType) -> str:
    """Returns what a column holds, in a word."""
    if isinstance(dtype, pl.Datetime):
        return f"times ({dtype.time_zone})" if dtype.time_zone else "times without a zone"
    return "numbers" if dtype.is_numeric() else "text"
