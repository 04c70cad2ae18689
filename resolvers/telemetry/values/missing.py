"""What stands for a value that is not available. Such words are no errors: nothing was measured."""

from typing import Final

import polars as pl

from resolvers.telemetry.values.parsed import blank

IN_ONE_WORD: Final = r"""
    n/a na n.a. n.a #n/a #na #n/a! n/d nd n.d. n/v n.v. s/d k.a. - -- --- – — − * ** ? ?? . .. ... …
    null nil none nan -nan +nan nan(ind) -nan(ind) 1.#qnan -1.#ind 1.#ind 1.#nan \n u
    (null) <null> <na> <nan> <none> (none) undefined undef unknown missing empty nodata no_data
"""  # `U` is RRDtool's, `\N` PostgreSQL's and MySQL's, `1.#QNAN` Microsoft's
IN_TWO: Final = ("not available", "no data", "no value", "not applicable", "n / a")
WORDS: Final = frozenset(IN_ONE_WORD.split()) | {*IN_TWO}
LONGEST: Final = max(map(len, WORDS))  # characters


def drop_missing(texts: pl.Series) -> pl.Series:
    """Returns the texts without blanks around them; null where one is empty or stands for a missing value."""
    stripped = texts.str.strip_chars()
    short = stripped.str.len_chars() <= LONGEST
    words = stripped.filter(short).unique().drop_nulls()
    missing = [word for word in words if not word or word.casefold() in WORDS]
    return blank(stripped, stripped.is_in(missing)) if missing else stripped
