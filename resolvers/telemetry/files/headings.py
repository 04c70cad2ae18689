"""Which column of a file is which of ours: by its heading, whatever its case, blanks, signs and spelling of units.

A unit is never guessed: a heading that lacks ours, or has another one, is not read, but named.
"""

import difflib
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from resolvers.telemetry.files.messages import Job, make_printable
from resolvers.telemetry.values.numbers import simplify_unit

LONGEST_HEADING: Final = 200  # characters that count
SHOWN_CHARACTERS: Final = 50  # of a heading
SHOWN_HEADINGS: Final = 20  # where something is missing
SHOWN_HINTS: Final = 10
ALIKE: Final = 0.75  # of two names, from 0 to 1, for a hint
TIMES: Final = frozenset({"time", "timestamp", "datetime", "measuredat"})  # instead of `at`
NUMBER_WORDS: Final = ("", "no", "nr", "num", "number")  # behind a target's kind
COUNTS: Final = frozenset({"", "count", "counts", "1", "frames", "ratio", "fraction"})  # where we have no unit
DEGREES: Final = "deg"  # need not be said: nobody writes positions in another unit, and their ranges would show it
IN_BRACKETS: Final = re.compile(r"(?P<base>.*?)[\[({<](?P<unit>[^\])}>]*)[\])}>]\W*")
OTHERS: Final = (
    "kbps kbits kbit bps bits gbps gbits mb kb dbw dbmv dbuv dbi dbhz s sec seconds us ns min h ratio fraction"
    " sps msps gsps hz khz mhz baud mbaud rad mrad radians"
)
# Other names of what is measured, without its unit, as modems, antenna controllers and GPS receivers have them.
ALIASES: Final = {
    "modcod": ["modcodindex", "modcodid", "modcodnumber", "modcodname", "currentmodcod", "rxmodcod", "acmmodcod"],
    "symbol_rate_ksps": ["symrate", "symbrate", "rxsymbolrate", "rxsymrate", "carriersymbolrate", "baudrate"],
    "beam": ["beamid", "beamno", "beamnr", "beamnumber", "currentbeam", "activebeam", "spotbeam", "spotbeamid"],
    "latitude_deg": (
        [
            "lat",
            "gpslat",
            "gpslatitude",
            "sitelatitude",
            "remotelatitude",
            "starlinkdishlatitude",
            "starlinkdishgpslatitude",
        ]
    ),
    "longitude_deg": (
        [
            "lon",
            "lng",
            "long",
            "gpslon",
            "gpslong",
            "gpslongitude",
            "sitelongitude",
            "remotelongitude",
            "starlinkdishlongitude",
            "starlinkdishgpslongitude",
        ]
    ),
    "heading_deg": [
        "hdg",
        "shiphdg",
        "trueheading",
        "headingtrue",
        "vesselheading",
        "shipheading",
        "starlinkdishheading",
    ],
}
OTHER_UNITS: Final = frozenset(OTHERS.split())  # none of them is one of ours


class Unsuitable(Exception):
    """The table is not what samples need; the message follows the file's name."""


@dataclass(frozen=True)
class Field:
    """One of our columns. name: in snake case; unit: '' where it has none, or is no metric."""

    name: str
    unit: str

    @property
    def api_name(self) -> str:
        first, *rest = self.name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    @cached_property
    def bases(self) -> tuple[str, ...]:
        """The name's letters, without its unit."""
        words = self.name.split("_")[: -1 if self.unit else None]
        base = "".join(words)
        return (base, "esn0") if base == "esno" else (base,)  # as many write Es/N0

    @property
    def aliases(self) -> Sequence[str]:
        """Other names for it, in letters. They count only where none has its own."""
        return ALIASES.get(self.name, [])

    def reads(self, heading: "Heading") -> bool:
        """Whether a heading is certainly this field."""
        if self.unit:
            return any(self._is_own(unit) for unit in self._list_units(heading))
        if heading.letters == "".join(self.name.split("_")):
            return True
        return heading.base == self.bases[0] and heading.unit in COUNTS

    def reads_alias(self, heading: "Heading") -> bool:
        """Whether a heading is another name of this field, in its unit."""
        if not self.unit:
            return heading.base in self.aliases and (heading.unit is None or heading.unit in COUNTS)
        if heading.unit is not None:
            return heading.base in self.aliases and self._is_own(simplify_unit(heading.unit))
        letters = heading.letters
        units = [letters.removeprefix(alias) for alias in self.aliases if letters.startswith(alias)]
        return any(self._is_own(simplify_unit(unit)) for unit in units)

    def _is_own(self, unit: str) -> bool:
        return unit == simplify_unit(self.unit) or (self.unit == DEGREES and unit == "")

    def _list_units(self, heading: "Heading") -> list[str]:
        """Returns in which units this heading may have what is measured here; '' for none."""
        if heading.unit is not None and heading.base in (*self.bases, simplify(self.name)):
            return [simplify_unit(heading.unit)]
        bases = [base for base in self.bases if heading.letters.startswith(base)]
        return [simplify_unit(heading.letters.removeprefix(base)) for base in bases]

    def explain_unit(self, heading: "Heading") -> str | None:
        """Returns why a heading is not this field, if it is only its unit that differs."""
        units = self._list_units(heading) if self.unit else []
        if self.unit and heading.base in self.aliases:
            units = [simplify_unit(heading.unit or "")]
        if any(self._is_own(unit) for unit in units):
            return None
        if "" in units:
            return f"as it has no unit; if it is {self.api_name}, say {_map(heading.text, self.api_name)}"
        others = [unit for unit in units if heading.unit is not None or unit in OTHER_UNITS]
        return f"as its unit is not that of {self.api_name}, {self.unit}; convert it" if others else None


class Heading:
    """A column's heading. letters: all that matter; base, unit: where a unit stands in brackets, else None."""

    def __init__(self, text: str) -> None:
        self.text = make_printable(text.strip(), SHOWN_CHARACTERS)
        normal = unicodedata.normalize("NFKC", text).casefold()
        self.letters = simplify(normal)
        brackets = IN_BRACKETS.fullmatch(normal.strip())
        self.base = simplify(brackets["base"]) if brackets else self.letters
        self.unit = "".join(brackets["unit"].split()) if brackets else None


@dataclass(frozen=True)
class Matched:
    """Which columns are read as what.

    fields: our names by the columns' names.
    ignored: headings of the others.
    hints: sentences on those that look like ours.
    """

    fields: dict[str, str]
    ignored: list[str]
    hints: list[str]


def simplify(text: str) -> str:
    """Returns the letters and digits of a name; a percent sign is one."""
    return "".join(letter for letter in text.casefold() if letter.isalnum() or letter == "%")


def match_headings(headings: Mapping[str, str], job: Job) -> Matched:
    """Finds our columns. Raises Unsuitable where one is missing, or is there twice.

    headings: by the columns' names in the table.
    """
    headings = {name: heading[:LONGEST_HEADING] for name, heading in headings.items()}  # the rest may be megabytes
    fields = [Field(name, job.units.get(name, "")) for name in (*job.required, *job.metrics)]
    parsed = {name: Heading(heading) for name, heading in headings.items()}
    matched, unclear = _apply_mapping(headings, job, fields), dict[str, str]()
    for field in fields:
        if field.name in matched.values():
            continue
        candidates = [name for name, heading in parsed.items() if name not in matched and _is_read(field, heading, job)]
        candidates = candidates or [
            name for name, heading in parsed.items() if field.name == "at" and heading.base in TIMES
        ]
        if not candidates:
            candidates = [name for name, one in parsed.items() if name not in matched and field.reads_alias(one)]
        if len(candidates) > 1:
            texts = [parsed[name].text for name in candidates]
            if field.name not in ALIASES:
                _refuse_twice(field, texts)
            unclear |= dict.fromkeys(candidates, _explain_unclear(field, texts))  # the rest of the file can be read
            continue
        matched |= dict.fromkeys(candidates, field.name)
    others = [heading for name, heading in parsed.items() if name not in matched]
    strange = [heading for name, heading in parsed.items() if name not in matched and name not in unclear]
    missing = [field for field in fields if field.name not in matched.values()]
    hints = [*dict.fromkeys(unclear.values()), *_find_hints(strange, missing)][:SHOWN_HINTS]
    _check_complete(matched.values(), fields, job, [heading.text for heading in parsed.values()], hints)
    return Matched(matched, [heading.text for heading in others], hints)


def _is_read(field: Field, heading: Heading, job: Job) -> bool:
    if field.name == job.required[0]:
        return heading.base in {field.name + word for word in NUMBER_WORDS}
    return field.reads(heading)


def _apply_mapping(headings: Mapping[str, str], job: Job, fields: Sequence[Field]) -> dict[str, str]:
    """Returns our names by the columns' names, as far as somebody said which is which."""
    named = {simplify(field.name): field.name for field in fields}
    matched = dict[str, str]()
    for wanted, target in job.columns.items():
        exact = [name for name, heading in headings.items() if heading.strip() == wanted.strip()]
        candidates = exact or [name for name, heading in headings.items() if simplify(heading) == simplify(wanted)]
        if not candidates:
            raise Unsuitable(f"has no column {_show(wanted)}; it has {_list([*headings.values()])}.")
        if len(candidates) > 1:
            raise Unsuitable(f"has the column {_show(wanted)} twice; which is {target}, cannot be told.")
        matched[candidates[0]] = named[simplify(target)]
    return matched


def _refuse_twice(field: Field, texts: Sequence[str]) -> None:
    first, other = texts[:2]
    if first == other:
        raise Unsuitable(f"has the column {first} twice; leave one out.")
    said = _map(first, field.api_name)
    raise Unsuitable(f"has two columns for {field.api_name}, {first} and {other}; leave one out, or say {said}.")


def _explain_unclear(field: Field, texts: Sequence[str]) -> str:
    first, other = texts[:2]
    return (
        f"Columns {first} and {other} are not read, as both may be {field.api_name}; say {_map(first, field.api_name)}."
    )


def _find_hints(others: Sequence[Heading], fields: Sequence[Field]) -> list[str]:
    """Returns sentences on headings that look like a column which is not read."""
    hints = []
    for heading in others:
        units = [why for field in fields if (why := field.explain_unit(heading))]
        if units:
            hints.append(f"Column {heading.text} is not read, {units[0]}.")
            continue
        names = {name: field for field in fields for name in (*field.bases, simplify(field.name))}
        if alike := difflib.get_close_matches(heading.base, names, 1, ALIKE):
            shown = names[alike[0]].api_name
            hints.append(
                f"Column {heading.text} is not read; did you mean {shown}? Then say {_map(heading.text, shown)}."
            )
    return hints[:SHOWN_HINTS]


def _check_complete(
    matched: Collection[str], fields: Sequence[Field], job: Job, headings: list[str], hints: Sequence[str]
) -> None:
    missing = [field.api_name for field in fields if field.name in job.required and field.name not in matched]
    metrics = [field.api_name for field in fields if field.name in job.metrics]
    if not missing and any(name in matched for name in job.metrics):
        return
    wanted = ", ".join(missing) or f"any of {', '.join(metrics)}"
    required = ", ".join(field.api_name for field in fields if field.name in job.required)
    raise Unsuitable(
        " ".join(
            [
                f"lacks the column {wanted}; it has {_list(headings)}.",
                *hints,
                f"A file needs {required}, and any of {', '.join(metrics)}.",
                f"If they have other names, say which is which: {_map('your name', (missing or metrics)[0])}.",
            ]
        )
    )


def _map(heading: str, field: str) -> str:
    return f'--map "{heading}={field}" (columns)'


def _show(heading: str) -> str:
    return make_printable(heading.strip(), SHOWN_CHARACTERS)


def _list(headings: Sequence[str]) -> str:
    shown = [_show(heading) for heading in headings[:SHOWN_HEADINGS]]
    return ", ".join(shown if len(headings) <= SHOWN_HEADINGS else [*shown, "…"])
