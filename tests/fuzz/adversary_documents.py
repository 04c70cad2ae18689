"""What somebody without credentials sends to cost the most: documents and variables, as bodies of a POST.

Each shape is one that cost some server too much, this one or another; the random generator chooses how large it is, up
to what a stranger's body may have, and mixes in a few that are random all through.
"""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from graphql import get_introspection_query

BODY = 900_000  # bytes, below what somebody unknown may send
LARGEST = 199_000  # characters, just below what a document may have
TYPES = ("User", "Link", "Site", "Network", "Anomaly")
ALPHABET = "{}()[]:!$@=\"\\ \n#.,aZ_09-é'&|"
Make = Callable[[Random], str | tuple[str, dict[str, Any]]]


def _repeated(begin: str, again: str, end: str = "") -> Make:
    """So often that it is just about allowed, or far less."""
    return lambda random: begin + again * (random.choice((LARGEST, LARGEST // 20)) // max(len(again), 1)) + end


def _numbered(begin: str, again: str, end: str, most: int) -> Make:
    """`#` is a number that is another each time."""

    def make(random: Random) -> str:
        number = random.randint(max(1, most // 10), most)
        return begin + "".join(again.replace("#", str(one)) for one in range(number)) + end

    return make


def _doubling(random: Random) -> str:
    depth, spreads = random.choice(((40, 2), (13, 2), (90, 2), (180, 2), (8, 3), (99, 1)))
    fragments = "".join(f"fragment F{n} on User {{ {f'...F{n + 1} ' * spreads} }} " for n in range(depth))
    return f"{{ viewer {{ ...F0 }} }} {fragments} fragment F{depth} on User {{ id }}"


def _grid(random: Random) -> str:
    """Each fragment spreads many of those behind it."""
    size, wide = random.randint(10, 60), random.randint(2, 30)
    spread = ("".join(f"...F{other} " for other in range(n + 1, min(n + wide, size + 1))) for n in range(size))
    fragments = "".join(f"fragment F{n} on Query {{ {spreads} }} " for n, spreads in enumerate(spread))
    return f"{{ ...F0 }} {fragments} fragment F{size} on Query {{ viewer {{ id }} }}"


def _chain(random: Random) -> str:
    length = random.choice((50, 99, 150, 600))
    fragments = "".join(f"fragment F{n} on Query {{ ...F{n + 1} }} " for n in range(length))
    return f"{{ ...F0 }} {fragments} fragment F{length} on Query {{ viewer {{ id }} }}"


def _operations(random: Random) -> str:
    number, fields = random.choice(((50, 300), (50, 50), (700, 1))), "node(id: $id) { id }"
    operations = "".join(f"query Q{n}($id: ID!) {{ ...F }} " for n in range(number[0]))
    return f"{operations} fragment F on Query {{ {fields * number[1]} }}"


def _types(random: Random) -> str:
    some = "".join(f"... on {random.choice(TYPES)} {{ id }} " for _ in range(random.randint(10, 800)))
    return f'{{ node(id: "x") {{ {some} }} }}'


def _nested(random: Random) -> str:
    depth = random.choice((99, 150, 195, 1_000, 2_400))
    before, after = random.choice((("{ viewer ", "}"), ("{ ... ", "}"), ("[", "]"), ("{ a: ", "}")))
    whole = before * depth + "1" + after * depth
    return (
        whole
        if before.startswith("{ v") or "..." in before
        else f"{{ anomalies(filter: {whole}) {{ nodes {{ id }} }} }}"
    )


def _introspection(random: Random) -> str:
    again = random.choice(("fields { type {", "fields { args { type {", "possibleTypes {", "interfaces {"))
    loop = again * random.randint(1, 6)
    one = f"types {{ {loop} name {'}' * loop.count('{')} }}"
    aliases = "".join(f"a{n}: {one} " for n in range(random.choice((1, 10, 100))))
    return random.choice((get_introspection_query(), f"{{ __schema {{ {aliases} }} }}"))


def _topology(random: Random) -> tuple[str, dict[str, Any]]:
    sites = [{"number": n, "name": "A", "role": "HUB"} for n in range(random.choice((1_000, 20_000)))]
    return "mutation ($i: TopologyInput!) { upsertTopology(input: $i) { __typename } }", {"i": {"sites": sites}}


def _samples(random: Random) -> tuple[str, dict[str, Any]]:
    row = {"link": 1, "direction": "OB", "at": "2026-01-01T00:00:00Z", "esnoDb": 9}
    rows = [row] * random.choice((1_000, 10_000)) + [{}]
    return "mutation ($s: [LinkSampleInput!]!) { recordLinkMetrics(samples: $s) { __typename } }", {"s": rows}


def _wrong_variables(random: Random) -> tuple[str, dict[str, Any]]:
    wrong = random.choice(({f"a{n}": n for n in range(30_000)}, [0] * 200_000, "x" * 800_000, {"x" * 400_000: 1}))
    document = "query ($f: AnomalyFilter) { anomalies(filter: $f) { nodes { id } } }"
    return document, {"f": wrong}


def _login(random: Random) -> tuple[str, dict[str, Any]]:
    """Anybody may call it, so what it is given is looked through."""
    given: Any = random.choice(([{}] * 100_000, {"email": [1] * 100_000}, {f"a{n}": 1 for n in range(40_000)}))
    return "mutation ($i: LoginInput!) { login(input: $i) { __typename } }", {"i": given}


def _noise(random: Random) -> str:
    return "".join(random.choices(ALPHABET, k=random.choice((100, 5_000, 100_000))))


SHAPES: dict[str, Make] = {
    "an open string of escapes": _repeated('"', '\\"'),
    "an open block string of escapes": _repeated('"""', '\\"'),
    "a block string of lines": _repeated('{a(b:"""', "\n x", '""")}'),
    "numbers without blanks": _repeated("{nodes(ids:[", "-1", "]){id}}"),
    "brackets": _repeated("", "["),
    "comments": _repeated("", "#\n"),
    "a name": _repeated("{", "a", "}"),
    "a name of a variable": _repeated("query($", "a", ":Int){viewer{id}}"),
    "a name of an operation": _repeated("query ", "a", "{viewer{id}}"),
    "blanks": _repeated("{viewer{id}", " ", "}"),
    "fragments that double": _doubling,
    "fragments that spread many": _grid,
    "a chain of fragments": _chain,
    "many fragments": _numbered("{viewer{id}}", "fragment F# on User{id}", "", 700),
    "a conflict of many": _numbered("{", "viewer{a:id} ... on Query{viewer{a:email}}", "}", 300),
    "many operations": _operations,
    "many types": _types,
    "the same field": _numbered("{viewer{", "id ", "}}", 4_990),
    "aliases": _numbered("{viewer{", "a#:id ", "}}", 1_600),
    "unknown fields": _numbered("{viewer{", "a# ", "}}", 2_400),
    "unknown arguments": _numbered("{nodes(", "a#:1 ", "){id}}", 1_600),
    "the same argument": _numbered("{nodes(", "ids:1 ", "){id}}", 1_600),
    "unknown fields of an input": _numbered("{anomalies(filter:{", "a#:1 ", "}){nodes{id}}}", 1_600),
    "unknown fields of a long input": _numbered(
        '{anomalies(filter:{s:"' + "x" * 190_000 + '"', "a#:1 ", "}){nodes{id}}}", 104
    ),
    "variables": _numbered("query(", "$a#:Int ", "){viewer{id}}", 1_200),
    "the same variable": _numbered("query(", "$a:Int ", "){viewer{id}}", 1_200),
    "defaults": _numbered("query(", "$a#:[[Int]]=[[1]] ", "){viewer{id}}", 350),
    "directives": _numbered("{viewer{id ", "@include(if:true)", "}}", 600),
    "conditions": _numbered("query($a:Boolean!){viewer{", "a#:id @include(if:$a)", "}}", 99),
    "a long list": _numbered("{nodes(ids:[", '"a#" ', "]){id}}", 2_400),
    "nesting": _nested,
    "introspection": _introspection,
    "sites": _topology,
    "samples": _samples,
    "wrong variables": _wrong_variables,
    "credentials of many parts": _login,
    "noise": _noise,
}


def documents(random: Random) -> Iterator[tuple[str, bytes]]:
    """Names of shapes and JSON bodies, for ever; each shape once before any comes again."""
    while True:
        for name in random.sample([*SHAPES], len(SHAPES)):
            made = SHAPES[name](random)
            query, variables = (made, {}) if isinstance(made, str) else made
            body = json.dumps({"query": query, "variables": variables, "operationName": _name(query)}).encode()
            if len(body) <= BODY:
                yield name, body


def _name(query: str) -> str | None:
    return "Q0" if query.startswith("query Q0(") else None
