"""Fields of the same response name: which may meet in a document, and that finding out stays cheap."""

from typing import Any

import pytest
from graphql import GraphQLError, build_schema, parse, validate
from graphql.validation import OverlappingFieldsCanBeMergedRule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcom_graphql.graphql.documents.overlapping_fields import MAX_ERRORS, MAX_STEPS, FieldsMergeRule

SCHEMA = build_schema("""
    type Query { dog: Dog  being: Being  pet: Pet }
    interface Being { name(style: Style, short: Boolean): String  friend: Being }
    union Pet = Dog | Cat
    type Dog implements Being {
      name(style: Style, short: Boolean): String  friend: Being  nickname: String
      age: Int  home: Home  toys: [String]  parent: Dog  parents: [Dog]
    }
    type Cat implements Being {
      name(style: Style, short: Boolean): String  friend: Being  nickname: String!
      age: String  home: String  toys: [String!]  parent: Cat  parents: Cat
    }
    type Home { street: String  number: Int }
    input Style { size: Int  tags: [String] }
""")
ADVICE = " Use different aliases on the fields to fetch both if this was intentional."
REFUSED = "The document combines too many fields and fragments to be checked."


def errors(document: str, rule: Any = FieldsMergeRule) -> list[GraphQLError]:
    return validate(SCHEMA, parse(document), [rule])


def conflicts(document: str) -> list[str]:
    return [error.message.removesuffix(ADVICE) for error in errors(document)]


def steps(document: str) -> int:
    """How much work the rule has with a document that is valid."""
    rules: list[FieldsMergeRule] = []

    def rule(context: Any) -> FieldsMergeRule:
        rules.append(FieldsMergeRule(context))
        return rules[0]

    assert errors(document, rule) == []
    return rules[0].steps


# ---------------------------------------------------------------- what may meet


@pytest.mark.parametrize(
    "selections",
    [
        "name nickname",
        "name name",
        "name @include(if: true) name @skip(if: true)",
        "name: nickname other: name",
        "short: name(short: true) long: name(short: false)",
        "name(short: true) name(short: true)",
        "name(short: $short) name(short: $short)",
        "name(short: true, style: {size: 1, tags: []}) name(style: {tags: [], size: 1}, short: true)",
        "friend { name } friend { name friend { name } }",
        "friend { ... { name } } ... { friend { name } } ... @include(if: true) { friend { name } }",
        "...Names ...Names ... on Dog { ...Names } friend { name ...Names }",
    ],
)
def test_the_same_field_may_be_selected_again(selections: str) -> None:
    found = conflicts(f"fragment Names on Being {{ name friend {{ name }} }} fragment Dogs on Dog {{ {selections} }}")

    assert found == []


@pytest.mark.parametrize(
    "selections",
    [
        "... on Dog { x: name } ... on Cat { x: age }",
        "... on Dog { x: name(short: true) } ... on Cat { x: name(short: false) }",
        "... on Dog { friend { x: name } } ... on Cat { friend { x: name(short: true) } }",
        "... on Dog { x: parent { y: name } } ... on Cat { x: friend { y: name(short: true) } }",
        "... on Dog { x: parent { age } } ... on Cat { x: friend { ... on Dog { age } } }",
    ],
)
def test_objects_of_different_types_may_be_asked_differently(selections: str) -> None:
    found = conflicts(f"{{ pet {{ {selections} }} }}")

    assert found == []


@pytest.mark.parametrize(
    "selections",
    [
        "unknown unknown { name }",
        "being { unknown { a { b } } } being { unknown { a { c } } }",
        "...Unknown ...Unknown ... on Unknown { name }",
        "dog { name { first } } dog { name { last } }",
        "dog { friend friend { name } }",
    ],
)
def test_what_other_rules_report_is_left_to_them(selections: str) -> None:
    found = conflicts(f"{{ {selections} }}")

    assert found == []


# ---------------------------------------------------------------- what may not


@pytest.mark.parametrize(
    ("selections", "reason"),
    [
        ("x: name x: nickname", "'name' and 'nickname' are different fields"),
        ("x: name ... on Dog { x: nickname }", "'name' and 'nickname' are different fields"),
        ("... on Being { x: name } ... on Pet { x: unknown }", "'name' and 'unknown' are different fields"),
        ("x: unknown x: missing", "'unknown' and 'missing' are different fields"),
        ("x: name ...Aged", "'name' and 'age' are different fields"),
        ("x: name(short: true) x: name", "they have differing arguments"),
        ("x: name(short: true) x: name(short: false)", "they have differing arguments"),
        ("x: name(short: $short) x: name(short: $brief)", "they have differing arguments"),
        ("x: name(style: {size: 1}) x: name(short: true)", "they have differing arguments"),
        ('x: name(style: {tags: ["1"]}) x: name(style: {tags: [1]})', "they have differing arguments"),
        ("x: name(style: {tags: []}) x: name(style: {})", "they have differing arguments"),
        ("friend { x: friend { name } } friend { x: name }", "'friend' and 'name' are different fields"),
        ("friend { friend { x: name } } friend { ...Deep }", "'name' and 'friend' are different fields"),
    ],
)
def test_different_fields_of_one_object_conflict(selections: str, reason: str) -> None:
    fragments = "fragment Aged on Dog { x: age } fragment Deep on Being { friend { x: friend { name } } }"

    found = conflicts(f"{{ dog {{ {selections} }} }} {fragments}")

    assert found == [f"Fields 'x' conflict because {reason}."]


def test_an_alias_conflicts_with_the_field_whose_name_it_takes() -> None:
    found = conflicts("{ dog { name: nickname name } }")

    assert found == ["Fields 'name' conflict because 'nickname' and 'name' are different fields."]


@pytest.mark.parametrize(
    ("selections", "types"),
    [
        ("... on Dog { x: age } ... on Cat { x: age }", "'Int' and 'String'"),
        ("... on Dog { x: nickname } ... on Cat { x: nickname }", "'String' and 'String!'"),
        ("... on Dog { x: toys } ... on Cat { x: toys }", "'[String]' and '[String!]'"),
        ("... on Dog { x: toys } ... on Cat { x: name }", "'[String]' and 'String'"),
        ("... on Dog { x: home { number } } ... on Cat { x: home }", "'Home' and 'String'"),
        ("... on Dog { x: parents { name } } ... on Cat { x: parents { name } }", "'[Dog]' and 'Cat'"),
        ("... on Dog { parent { x: age } } ... on Cat { parent { x: age } }", "'Int' and 'String'"),
        ("... on Dog { friend { x: name } } ... on Cat { friend { ...Aged } }", "'String' and 'Int'"),
        ("... on Dog { x: unknown } ... on Cat { x: age } ... on Home { x: number }", "'String' and 'Int'"),
    ],
)
def test_answers_of_different_shapes_conflict_whichever_object_gives_them(selections: str, types: str) -> None:
    found = conflicts(f"{{ pet {{ {selections} }} }} fragment Aged on Dog {{ x: age }}")

    assert found == [f"Fields 'x' conflict because they return conflicting types {types}."]


def test_the_name_of_a_type_is_a_string_like_any_other() -> None:
    document = "{ pet { ... on Dog { x: __typename } ... on Cat { x: %s } } }"

    assert conflicts(document % "nickname") == []
    assert conflicts(document % "age") == [
        "Fields 'x' conflict because they return conflicting types 'String!' and 'String'."
    ]


def test_an_error_points_at_both_fields() -> None:
    [error] = errors("{\n dog { friend { x: name } }\n dog { friend { x: friend { name } } }\n}")

    assert [(place.line, place.column) for place in error.locations or ()] == [(2, 17), (3, 17)]


@pytest.mark.parametrize(
    "document",
    [
        "query { dog { x: name x: age } }",
        "query { dog { name } } query Other { dog { x: name x: age } }",
        "query { dog { ...A } } fragment A on Dog { x: name ...B } fragment B on Dog { x: age }",
        "query { dog { name } } fragment Unused on Dog { x: name x: age }",
    ],
)
def test_every_operation_and_fragment_is_checked(document: str) -> None:
    found = conflicts(document)

    assert found == ["Fields 'x' conflict because 'name' and 'age' are different fields."]


def test_a_conflict_is_reported_once_wherever_it_is_met() -> None:
    document = (
        "{ a: dog { age ...F } b: dog { name ...F } } fragment F on Dog { friend { x: name x: friend { name } } }"
    )

    found = conflicts(document)

    assert found == ["Fields 'x' conflict because 'name' and 'friend' are different fields."]


def test_after_a_few_errors_it_is_enough() -> None:
    found = conflicts("{ dog { " + " ".join(f"x{index}: name x{index}: age" for index in range(1000)) + " } }")

    assert len(found) == MAX_ERRORS


# ---------------------------------------------------------------- as the rule that it replaces

ALIASES = st.sampled_from(["", "", "", "", "", "", "", "", "x: ", "name: "])
LEAVES = st.sampled_from(["name", "name", "nickname", "age", "toys", "unknown", "name(short: true)"])
COMPOSITES = st.sampled_from(["friend", "parent", "parents", "home", "friend", "unknown"])
TYPES = st.sampled_from(["Dog", "Cat", "Being", "Pet", "Home", "Unknown"])
OTHERS = st.sampled_from(["...F", "...G", "...Unknown", "__typename", "name"])
WRAPPERS = TYPES.map("... on {}".format) | st.builds(str.__add__, ALIASES, COMPOSITES) | st.just("... ")


def several(selections: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(selections, min_size=1, max_size=4).map(lambda some: "{ " + " ".join(some) + " }")


SELECTIONS = several(
    st.recursive(
        st.builds(str.__add__, ALIASES, LEAVES) | OTHERS,
        lambda inner: st.builds("{} {}".format, WRAPPERS, several(inner)),
        max_leaves=8,
    )
)
DOCUMENTS = st.builds(
    "{{ dog {} pet {} }} fragment F on {} {} fragment G on {} {}".format,
    *(SELECTIONS, SELECTIONS, TYPES, SELECTIONS, TYPES, SELECTIONS),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(document=DOCUMENTS)
def test_it_finds_conflicts_exactly_where_the_slow_rule_does(document: str) -> None:
    found, expected = errors(document), errors(document, OverlappingFieldsCanBeMergedRule)

    assert bool(found) == bool(expected)


# ---------------------------------------------------------------- how much work it is


def fragments_that_double(depth: int) -> str:
    """At the innermost level there are 2 to the power of the depth fields."""
    chain = "".join(
        f"fragment F{i} on Dog {{ a: parent {{ ...F{i + 1} }} b: parent {{ age ...F{i + 1} }} }}" for i in range(depth)
    )
    return f"{{ dog {{ ...F0 }} }} {chain} fragment F{depth} on Dog {{ name }}"


def fragments_that_differ(depth: int) -> str:
    """Each of the many paths merges a different set of fragments."""
    chain = "".join(
        f"fragment F{i} on Dog {{ a: parent {{ ...F{i + 1} }} b: parent {{ ...F{i + 1} ...F{i}x{i + 1} }} }}"
        + "".join(
            f"fragment F{i}x{j} on Dog {{ a: parent {{ ...F{i}x{j + 1} }} b: parent {{ ...F{i}x{j + 1} }} }}"
            for j in range(i + 1, depth)
        )
        + f"fragment F{i}x{depth} on Dog {{ name }}"
        for i in range(depth)
    )
    return f"{{ dog {{ ...F0 }} }} {chain} fragment F{depth} on Dog {{ name }}"


def types_that_alternate(depth: int) -> str:
    """Each level asks objects of two types in particular, and objects of any type."""
    inner = "name"
    for level in range(1, depth):
        own = "friend { " * level + "name" + " }" * level
        inner = f"... on Dog {{ {own} }} ... on Cat {{ {own} }} friend {{ {inner} }}"
    return f"{{ being {{ {inner} }} }}"


def cycles(*lengths: int) -> str:
    """Their fragments meet in as many combinations as the product of the lengths."""
    starts = " ".join(f"...F{length}x0" for length in lengths)
    return f"{{ dog {{ {starts} }} }}" + "".join(
        f"fragment F{length}x{i} on Dog {{ parent {{ ...F{length}x{(i + 1) % length} }} }}"
        for length in lengths
        for i in range(length)
    )


@pytest.mark.parametrize(
    "document",
    [
        lambda size: "{ dog { " + "name " * size + "} }",
        lambda size: "{ " + "dog { name } " * size + "}",
        lambda size: "{ " + "dog { friend { ... on Dog { age } ... on Cat { x: age } name } } " * size + "}",
        lambda size: "{ " + " ".join(f"dog {{ a{i}: name }}" for i in range(size)) + " }",
        lambda size: "{ " + " ".join(f"a{i}: dog {{ ...F }}" for i in range(size)) + "} fragment F on Dog { name age }",
        lambda size: "{ dog { " + "name(style: {size: 1, tags: [$a, $b]}) " * size + "} }",
        lambda size: "{ dog { ...F " + "... on Being { ...F } " * size + "} } fragment F on Being { name }",
        lambda size: fragments_that_double(size // 5),
    ],
)
def test_twice_the_document_is_twice_the_work(document: Any) -> None:
    some, twice = steps(document(200)), steps(document(400))

    assert twice <= 2.1 * some


@pytest.mark.parametrize("document", [fragments_that_differ(20), types_that_alternate(35), cycles(3, 5, 7, 11, 13, 17)])
def test_a_document_that_multiplies_its_fields_without_end_is_refused(document: str) -> None:
    assert conflicts(document) == [REFUSED]


@pytest.mark.parametrize("document", [fragments_that_differ(5), types_that_alternate(6), cycles(3, 5, 7)])
def test_a_document_that_multiplies_its_fields_a_little_is_checked(document: str) -> None:
    assert 0 < steps(document) < MAX_STEPS / 5
