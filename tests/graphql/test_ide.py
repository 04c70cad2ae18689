"""The page for browsers: from our own files when built, else from a CDN, and never with inline code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

from bcom_graphql.graphql.transports import ide
from tests.helpers.places import ROOT

EXAMPLES = sorted((ROOT / "web" / "src" / "examples").glob("*.graphql"))
TEMPLATES = [ide.STATIC / "graphiql.html", ide.STATIC / "graphiql-cdn.html"]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "graphiql").mkdir()
    (tmp_path / "graphiql" / "graphiql.js").touch()
    return tmp_path


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    sdl = ROOT / "schema" / "schema.graphql"
    if not sdl.exists():
        pytest.skip("schema/schema.graphql is not written yet")
    return build_schema(sdl.read_text(encoding="utf-8"))


def directives(policy: str) -> dict[str, list[str]]:
    return {name: sources for name, *sources in (part.split() for part in policy.split(";"))}


def test_a_built_page_loads_nothing_from_elsewhere(built: Path) -> None:
    html = ide.page(built)

    assert ide.is_built(built)
    assert "/static/graphiql/graphiql.js" in html
    assert "//" not in html


def test_without_a_build_the_page_says_that_it_comes_from_a_cdn(tmp_path: Path) -> None:
    html = ide.page(tmp_path)

    assert not ide.is_built(tmp_path)
    assert "npm was missing" in html
    assert set(re.findall(r'(?:src|href)="(https://[^/]+/npm/)', html)) == {"https://cdn.jsdelivr.net/npm/"}


def test_what_comes_from_the_cdn_is_pinned_and_verified(tmp_path: Path) -> None:
    tags = re.findall(r"<(?:script|link)[^>]*https://[^>]*>", ide.page(tmp_path))

    assert len(tags) == 4
    assert all(re.search(r"@\d+\.\d+\.\d+/", tag) for tag in tags)
    assert all('integrity="sha384-' in tag and 'crossorigin="anonymous"' in tag for tag in tags)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_page_has_no_inline_code(template: Path) -> None:
    html = template.read_text(encoding="utf-8")

    assert all(not body.strip() for body in re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL))
    assert "<style" not in html
    assert not re.search(r"\s(?:on\w+|style)=", html)
    assert "javascript:" not in html


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_committed_file_a_page_names_exists(template: Path) -> None:
    names = re.findall(r'"/static/([^"]+)"', template.read_text(encoding="utf-8"))

    assert names
    assert all((ide.STATIC / name).is_file() for name in names if not name.startswith("graphiql/"))


@pytest.mark.parametrize("is_built", [True, False])
def test_the_policy_lets_no_inline_or_evaluated_script_run(is_built: bool) -> None:
    policy = directives(ide.policy("noc.example.com", built=is_built))

    assert policy["default-src"] == ["'none'"]
    assert not any("unsafe-eval" in sources or "blob:" in sources for sources in map(" ".join, policy.values()))


def test_a_policy_names_exactly_what_its_page_does(tmp_path: Path) -> None:
    """Any package of the CDN could be made to run anything."""
    policy = directives(ide.policy("noc.example.com", built=False))
    named = policy["script-src"][1:] + policy["style-src"][1:-1]

    assert len(named) == 4
    assert all(f'"{address}"' in ide.page(tmp_path) and not address.endswith("/") for address in named)
    assert "//" not in ide.policy("", built=True)


@pytest.mark.parametrize(
    ("host", "sockets"),
    [
        ("noc.example.com:8443", ["ws://noc.example.com:8443", "wss://noc.example.com:8443"]),
        ("[::1]:8010", ["ws://[::1]:8010", "wss://[::1]:8010"]),
        ("x; script-src *", []),
        ("x *", []),
        ("", []),
    ],
)
def test_the_page_opens_sockets_to_its_own_host_only(host: str, sockets: list[str]) -> None:
    assert directives(ide.policy(host, built=True))["connect-src"] == ["'self'", *sockets]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid(path: Path, schema: GraphQLSchema) -> None:
    document = parse(path.read_text(encoding="utf-8"))

    assert validate(schema, document) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_examples_variables_fit(path: Path, schema: GraphQLSchema) -> None:
    [operation] = parse(path.read_text(encoding="utf-8")).definitions
    assert isinstance(operation, OperationDefinitionNode)

    assert problems(schema, operation, variables_of(path)) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_a_title_and_a_place_in_the_menu(path: Path) -> None:
    index = (path.parent / "index.js").read_text(encoding="utf-8")

    assert re.match(r"# \w.+\n", path.read_text(encoding="utf-8"))
    assert f'"./{path.name}"' in index


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 20


def test_the_page_signs_in_with_a_valid_operation(schema: GraphQLSchema) -> None:
    source = (ROOT / "web" / "src" / "transport.js").read_text(encoding="utf-8")
    [login] = re.findall(r"const LOGIN = `(.*?)`", source, re.DOTALL)

    assert validate(schema, parse(login)) == []


def test_the_stand_in_page_opens_with_a_valid_operation(schema: GraphQLSchema) -> None:
    source = (ide.STATIC / "graphiql-cdn.js").read_text(encoding="utf-8")
    [query] = re.findall(r"const QUERY = `(.*?)`;", source, re.DOTALL)

    assert validate(schema, parse(query)) == []


def variables_of(path: Path) -> dict[str, Any]:
    file = path.with_suffix(".json")
    text = file.read_text(encoding="utf-8") if file.exists() else "{}"
    variables: dict[str, Any] = json.loads(text.replace("NOW", "2026-01-01T00:00:00Z"))
    return variables


def problems(schema: GraphQLSchema, operation: OperationDefinitionNode, variables: dict[str, Any]) -> list[Any]:
    values = get_variable_values(schema, operation.variable_definitions or (), variables)
    return values if isinstance(values, list) else []
