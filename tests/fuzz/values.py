"""Values for arguments: plausible ones, and nasty ones."""

import json
from typing import Any

import graphql
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.graphql import nodes

from tests.helpers.support import ago, iso, ms

PASSWORD = "a password for fuzzing"


class Known:
    """Values that mean something to the server: the fleet's, and what its answers have taught."""

    def __init__(self) -> None:
        self.ids: list[str] = ["VXNlcjox"]
        self.texts: list[str] = [PASSWORD, "fuzz@example.com", "*", "%", "_"]
        self.documents: list[str] = ["{ __typename }", "{ viewer { id } }"]

    def learn(self, data: Any, name: str = "") -> None:
        if isinstance(data, dict):
            for key, value in data.items():
                self.learn(value, key)
        elif isinstance(data, list):
            for value in data[:20]:
                self.learn(value, name)
        elif isinstance(data, str):
            self._keep(self.ids if name == "id" else self.texts, data)

    def remember(self, document: str) -> None:
        self._keep(self.documents, document)

    def _keep(self, values: list[str], value: str) -> None:
        if len(values) < 2000:
            values.append(value)
        else:
            values[hash(value) % len(values)] = value


KNOWN = Known()


def known(values: list[str]) -> st.SearchStrategy[str]:
    """One of a list that grows meanwhile."""
    return st.integers(0, 10_000).map(lambda index: values[index % len(values)])


def mostly(plain: st.SearchStrategy[Any], nasty: st.SearchStrategy[Any], times: int = 5) -> st.SearchStrategy[Any]:
    return st.sampled_from([*[plain] * times, nasty]).flatmap(lambda chosen: chosen)


SURROGATE = "\ue000"  # stands for half a character, which JSON can express and a document cannot
NASTY_TEXTS = [
    "",
    "\0",
    SURROGATE,
    f"a{SURROGATE}b",
    "\u202e",
    "💥" * 50,
    "x" * 10_000,
    "'; --",
    "null",
    "\n\r\t",
    "%00",
    "1e999",
]
TEXTS = mostly(known(KNOWN.texts), st.sampled_from(NASTY_TEXTS) | st.text(max_size=20), 2)
NASTY_NUMBERS = [0, -1, 2**31 - 1, -(2**31), 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**400]
NASTY_FLOATS = [0.0, -0.0, 5e-324, 1e308, -1e308, 1.7976931348623157e308, 0.1 + 0.2]
NUMBERS = mostly(st.integers(0, 12), st.sampled_from(NASTY_NUMBERS[:4]), 8)  # the fleet's are among the small ones
FLOATS = mostly(
    st.floats(0, 1) | st.integers(0, 100).map(float), st.sampled_from(NASTY_FLOATS) | st.floats(allow_nan=False), 5
).filter(lambda number: abs(number) != float("inf"))
SCALARS = (
    st.none() | st.booleans() | st.sampled_from([*NASTY_NUMBERS, *NASTY_FLOATS, *NASTY_TEXTS]) | st.text(max_size=5)
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=3)
)
NASTY_TIMES = [
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-14:00", "0001-01-01T00:00:00+14:00", "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00", "2026-01-01", "1969-12-31T23:59:59Z", "-2026-01-01T00:00:00Z", "2026-W01-1T00:00:00Z",
    "٢٠٢٦-01-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00+23:59:59.999999",
]  # fmt: skip
MINUTES = st.integers(-10, 3000)
TIMES = mostly(MINUTES.map(lambda minutes: iso(ago(minutes=minutes))), st.sampled_from(NASTY_TIMES) | ANYTHING)
ROWS = 3


def column(plain: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Of a length that fits its siblings', as a rule."""
    fitting = st.lists(plain, min_size=ROWS, max_size=ROWS)
    return mostly(fitting, st.lists(plain | SCALARS, max_size=5) | ANYTHING, 12)


CUSTOM = {
    "Int": NUMBERS,
    "Float": FLOATS,
    "String": TEXTS,
    "ID": mostly(known(KNOWN.ids), TEXTS | st.integers(), 4),
    "DateTime": TIMES,
    "FloatArray": column(FLOATS | st.none()),
    "IntArray": column(NUMBERS),
    "TimeArray": column(MINUTES.map(lambda minutes: ms(ago(minutes=minutes)))),
    "DirectionArray": column(st.sampled_from(["IB", "OB"])),
    "Upload": ANYTHING,
}


SCALAR_NODES = {bool: nodes.Boolean, int: nodes.Int, float: nodes.Float, str: nodes.String}


def literal(value: Any) -> graphql.ValueNode:
    """A JSON value as it stands in a document."""
    if value is None:
        return nodes.Null
    if isinstance(value, list):
        return nodes.List([literal(each) for each in value])
    if isinstance(value, dict):
        named = [(graphql.NameNode(value=key), literal(each)) for key, each in value.items()]
        return nodes.Object([graphql.ObjectFieldNode(name=name, value=each) for name, each in named])
    return SCALAR_NODES[type(value)](value)


def as_json(value: Any) -> str:
    """With escapes for all that UTF-8 cannot express."""
    return json.dumps(value, ensure_ascii=True, default=repr)


def examples(strategy: st.SearchStrategy[Any], count: int, number: int) -> list[Any]:
    """What hypothesis draws with this seed."""
    drawn: list[Any] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(example: Any) -> None:
        drawn.append(example)

    draw()
    return drawn
