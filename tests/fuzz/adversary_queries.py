"""Expensive but valid queries that a VIEWER may send: what draws the most bytes, time and memory for its points.

Each is within the default limits, or is refused before it costs anything. Whoever sends them watches the answer's size,
the server's memory and how long its event loop does nothing else.
"""

import json
import random as chance
from collections.abc import Callable, Iterator

LETTERS = "abcdefghijklmnopqrstuvwxyz%_\\ 0123456789é"
DESCRIBED = "recommendations(first: 500) { nodes { %s } }"
NESTED = (
    "networks(first: %d) { nodes { links(first: %d) { nodes { site { networks(first: 5) { nodes { id name } } } } } } }"
)


def queries(random: chance.Random) -> Iterator[tuple[str, bytes]]:
    """Endless: a name, and a JSON body."""
    while True:
        name = random.choice(list(SHAPES))
        yield name, json.dumps(SHAPES[name](random)).encode()


def _series(random: chance.Random) -> dict[str, object]:
    links, points = random.choice([1, 5, 20, 100, 500]), random.choice([1, 100, 1000, 10_000])
    aliases = random.randint(1, 40)
    of = f"series(direction: {random.choice(['IB', 'OB'])}, maxPoints: {points}, window: {{ hours: %d }})"
    fields = " ".join(
        f"a{n}: {of % random.randint(1, 87_840)} {{ times columns {{ mean min max }} }}" for n in range(aliases)
    )
    return {"query": f"{{ links(first: {links}) {{ nodes {{ {fields} }} }} }}"}


def _statistics(random: chance.Random) -> dict[str, object]:
    hours = [random.choice([168, 1000, 8784, 87_840]) + n for n in range(random.randint(1, 40))]
    fields = " ".join(
        f"s{n}: statistics(direction: IB, window: {{ hours: {h} }}) {{ p95 last }}" for n, h in enumerate(hours)
    )
    return {"query": f"{{ links(first: {random.choice([1, 50, 500])}) {{ nodes {{ {fields} }} }} }}"}


def _search(random: chance.Random) -> dict[str, object]:
    text = "".join(random.choices(LETTERS, k=random.choice([1, 2, 200, 201, 100_000])))
    kinds = random.choices(["links", "sites", "networks"], k=random.randint(1, 40))
    fields = " ".join(
        f"a{n}: {kind}(search: $s, first: 500) {{ totalCount nodes {{ id }} }}" for n, kind in enumerate(kinds)
    )
    return {"query": f"query ($s: String) {{ {fields} }}", "variables": {"s": text}}


def _copies(random: chance.Random) -> dict[str, object]:
    """The same long text under many names."""
    fields = " ".join(f"a{n}: description" for n in range(random.randint(1, 100)))
    return {"query": f"{{ {DESCRIBED % fields} }}"}


def _nested(random: chance.Random) -> dict[str, object]:
    return {"query": f"{{ {NESTED % (random.randint(1, 60), random.randint(1, 60))} }}"}


def _counts(random: chance.Random) -> dict[str, object]:
    satellites = [f"S{n}" for n in range(random.randint(1, 49))]
    fields = " ".join(
        f'a{n}: anomalies(filter: {{ satellite: "{name}" }}) {{ totalCount }}' for n, name in enumerate(satellites)
    )
    return {"query": f"{{ {fields} }}"}


def _analyses(random: chance.Random) -> dict[str, object]:
    found = "evidence { statement } hypotheses { culprit { __typename } }"
    inside = f"patterns {{ description affectedLinks {{ name site {{ name }} }} {found} }}"
    return {"query": f"{{ correlationAnalyses(first: {random.choice([20, 100, 500])}) {{ nodes {{ {inside} }} }} }}"}


def _models(_: chance.Random) -> dict[str, object]:
    inside = (
        "features hyperparameters { name value } details { name value } metrics { name value } history { action note }"
    )
    return {"query": f"{{ models {{ versions(first: 20) {{ nodes {{ {inside} parent {{ {inside} }} }} }} }} }}"}


SHAPES: dict[str, Callable[[chance.Random], dict[str, object]]] = {
    "series": _series,
    "statistics": _statistics,
    "search": _search,
    "copies of a text": _copies,
    "nested pages": _nested,
    "counts": _counts,
    "analyses": _analyses,
    "models": _models,
}
