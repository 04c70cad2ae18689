"""What comments, docstrings and pages name exists: files, modules and what they hold, classes and their members.

A heuristic. A dotted name in backticks begins with a module, class or table of ours that has the rest, with what the
same file uses, or with a library. What readers are sent to ("see `…`") is a module or class, or in the same file.
"""

import ast
import importlib.util
import io
import itertools
import re
import subprocess
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.places import ROOT

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

LISTED = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
FILES = [file for file in LISTED.splitlines() if (ROOT / file).exists()]
MODULES = [file for file in FILES if file.endswith(".py")]
PAGES = [file for file in FILES if file.endswith(".md") and file != "CHANGELOG.md"]  # that tells of the past
FOLDERS = sorted({file.split("/")[0] for file in MODULES})
OF_OTHERS = ("PROTOCOL.md", "postmaster.pid")


# ------------------------------------------------------------------ what is named


def read_prose(file: str) -> Iterator[tuple[int, str]]:
    """Yields comments and docstrings with the lines where they begin; all of a page."""
    text = (ROOT / file).read_text()
    if not file.endswith(".py"):
        yield 1, text
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(parse(file)):
        if isinstance(node, Documented) and (docstring := ast.get_docstring(node, clean=False)):
            yield node.body[0].lineno, docstring


def find_missing(file: str) -> Iterator[str]:
    for line, text in read_prose(file):
        yield from (f"{file}:{line}: {name}" for name in find_missing_in(text, file))


def find_missing_in(text: str, file: str) -> Iterator[str]:
    """Yields the names in a text that lead nowhere. file: where the text stands."""
    for name in re.findall(r"\b[\w/.-]*\w\.(?:py|toml|md)\b", text):
        if not has_file(name) and not name.endswith(OF_OTHERS):
            yield name
    for name in re.findall(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\(\S*\))?`", text):
        if not has_file(name) and not name.endswith(OF_OTHERS) and not is_dotted_name(name, file):
            yield name
    for name in re.findall(r"\b[Ss]ee `([A-Za-z_]\w*)(?:\(\))?`", text):
        if name not in list_members() and name not in find_used(file):
            yield name


def has_file(name: str) -> bool:
    return any(file == name or file.endswith(f"/{name}") for file in FILES)


def is_dotted_name(name: str, file: str) -> bool:
    parts = name.split(".")
    if not file.endswith(".py") and parts[0] not in FOLDERS:  # pages name JSON, files of others and much else
        return True
    if parts[0] in list_members():
        return all(has_member(*pair) for pair in itertools.pairwise(parts))
    return parts[0] in find_used(file) or importlib.util.find_spec(parts[0]) is not None


def has_member(name: str, member: str) -> bool:
    """Whether it has; an instance is called as its class: `database.read` is `Database.read`."""
    named = (name, name.title().replace("_", ""))
    return name not in list_members() or any(member in list_members().get(each, ()) for each in named)


# ------------------------------------------------------------------ what there is


@cache
def parse(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text())


@cache
def find_used(file: str) -> frozenset[str]:
    """Every name that the code of a module uses, whatever for."""
    names = set[str]()
    for node in ast.walk(parse(file)) if file.endswith(".py") else ():
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.alias(name=name, asname=alias):
                names.add(alias or name)
    return frozenset(names)


def find_members(body: list[ast.stmt]) -> Iterator[str]:
    """Yields what a module or class has: functions, classes, fields, and what its methods set."""
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign() | ast.AnnAssign():
                yield from (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
            case ast.Import(names=imported) | ast.ImportFrom(names=imported):
                yield from (alias.asname or alias.name for alias in imported)
        for node in ast.walk(statement):
            match node:
                case ast.Attribute(value=ast.Name(id="self"), attr=name):
                    yield name


def find_tables(entity: ast.ClassDef) -> Iterator[str]:
    for statement in entity.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__tablename__")], value=ast.Constant(value=str(name))):
                yield name


@cache
def list_members() -> dict[str, set[str]]:
    """The members of every package, module, class and table, by its bare name."""
    members = defaultdict[str, set[str]](set)
    for file in MODULES:
        *folders, name = Path(file).with_suffix("").parts
        for parent, child in itertools.pairwise([*folders, name]):
            members[parent].add(child)
        members[folders[-1] if name == "__init__" and folders else name].update(find_members(parse(file).body))
        for node in ast.walk(parse(file)):
            if isinstance(node, ast.ClassDef):
                members[node.name].update(find_members(node.body))
                members.update(dict.fromkeys(find_tables(node), members[node.name]))
    return members


def is_package(file: str) -> bool:
    return file.endswith("/__init__.py") and not file.startswith(("tests/", "alembic/"))


# ------------------------------------------------------------------ the tests


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_in_comments_and_docstrings_lead_somewhere(folder: str) -> None:
    modules = [file for file in MODULES if file.startswith(f"{folder}/")]

    assert [name for file in modules for name in find_missing(file)] == []


@pytest.mark.parametrize("page", PAGES)
def test_names_on_pages_lead_somewhere(page: str) -> None:
    assert list(find_missing(page)) == []


@pytest.mark.parametrize("package", [file for file in MODULES if is_package(file)])
def test_a_package_says_what_it_is_for_and_must_not_know(package: str) -> None:
    docstring = ast.get_docstring(parse(package)) or ""

    assert re.search(r"\b(Must not|Knows|nothing but)\b", docstring), "say what it must not know"


def test_a_name_that_leads_nowhere_is_found() -> None:
    here = "tests/system/test_references.py"
    text = "See `nowhere`, `database.dance`, `Database.dance`, `tables/nothing.py` and `nothing.at_all`."

    missing = list(find_missing_in(text, here))

    assert missing == ["tables/nothing.py", "database.dance", "Database.dance", "nothing.at_all", "nowhere"]
    assert list(find_missing_in("See `Database`, `Database.write`, `database.py` and `streams.unrolled`.", here)) == []
