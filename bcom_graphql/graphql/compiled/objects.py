"""Selections on object types as generated Python: an object's attributes straight into a dictionary of the answer.

Of `nodes { id severity target { … } }` becomes

    def complete(run, source, at, sure=False):
        if not sure and source.__class__ not in classes:
            return unusual(run, source, at)
        try:
            answer = {
                key0: value if (value := source.id).__class__ is str else leaf0(value),
                key1: members1[value] if (value := source.severity).__class__ is class1 else leaf1(value),
                key2: None,
            }
        except Exception:
            return one_by_one(run, source, at)
        run.pending[field2].append((source, answer, (at, key2, nullable2)))
        return answer

Until something fails nothing has been done but to read attributes; then `one_by_one` reads them again, field by field,
and finds what fails and where. The attributes' names come from the schema's Python classes; what a client sent, and
everything else, is passed in as values.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final, Protocol

from graphql import GraphQLError, GraphQLObjectType
from graphql.pyutils import inspect

from bcom_graphql.graphql.compiled.fields import Field
from bcom_graphql.graphql.compiled.leaves import Names, are_leaves, expression
from bcom_graphql.graphql.compiled.resolve_info import info_at
from bcom_graphql.graphql.compiled.state import Around, CompleteObject, Position, Run, Selections, is_awaitable

MOST_CLASSES: Final = 64  # of one shape's objects that are remembered; who makes more makes them all the time


class Plan(Selections, Protocol):
    """An operation's plan, which knows what is selected of each type."""

    def fields(self, owner: Field | None, type: GraphQLObjectType) -> list[Field]: ...


class Shape:
    """What is selected of objects of one type, as the value of one field; without `owner` of the operation's root."""

    def __init__(self, plan: Plan, owner: Field | None, type: GraphQLObjectType) -> None:
        self._plan, self._owner, self.type = plan, owner, type
        self.fields: list[Field] = plan.fields(owner, type)
        self.classes = set[Any]()  # of objects that need no further look

    @cached_property
    def complete(self) -> CompleteObject:
        """Completes an object."""
        names: Names = {
            "classes": self.classes,
            "unusual": self._unusual,
            "one_by_one": self._one_by_one,
        }
        source = "\n".join(self._source(names))
        exec(compile(source, f"<{self.type.name}>", "exec"), names)  # noqa: S102  see above: nothing of a client's
        complete: CompleteObject = names["complete"]
        return complete

    # ------------------------------------------------------------ generating

    def _source(self, names: Names) -> Iterator[str]:
        yield "def complete(run, source, at, sure=False):"
        yield "    if not sure and source.__class__ not in classes:"
        yield "        return unusual(run, source, at)"
        yield "    try:"
        for number, field in enumerate(self.fields):
            if field.attribute is not None and not are_leaves(field.type):
                yield f"        value{number} = source.{field.attribute}"
        yield "        answer = {"
        for number, field in enumerate(self.fields):
            names[f"key{number}"] = field.key
            yield f"            key{number}: {_value(field, number, names)},"
        yield "        }"
        yield "    except Exception:"
        yield "        return one_by_one(run, source, at)"
        for number, field in enumerate(self.fields):
            if line := _statement(field, number, names):
                yield f"    {line}"
        yield "    return answer"

    # ------------------------------------------------------------ the unusual

    def _one_by_one(self, run: Run, source: Any, at: Around) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        for field in self.fields:
            field.begin(run, source, answer, at)
        return answer

    def _unusual(self, run: Run, source: Any, at: Position) -> Any:
        """Something that may be no object of this type."""
        owner = self._owner
        assert owner is not None  # noqa: S101  the root is sure
        if owner.settled(run, source, at, self.complete):
            return None
        try:
            fits: Any = self.type.is_type_of is None or self.type.is_type_of(source, info_at(run, owner, at))
        except Exception as error:  # noqa: BLE001  told where it belongs
            return run.fail(owner, error, at)
        if is_awaitable(fits):
            return run.later(owner, fits, at, lambda run, fits, at: self._if_it_fits(run, source, at, fits=fits))
        if fits and len(self.classes) < MOST_CLASSES and self._plan.declared.tells_by_class(self.type, source):
            self.classes.add(source.__class__)
        return self._if_it_fits(run, source, at, fits=fits)

    def _if_it_fits(self, run: Run, source: Any, at: Position, *, fits: Any) -> Any:
        owner = self._owner
        assert owner is not None  # noqa: S101
        if isinstance(fits, Exception):
            return run.fail(owner, fits, at)
        if not fits:
            message = f"Expected value of type '{self.type}' but got: {inspect(source)}."
            return run.fail(owner, GraphQLError(message, owner.nodes), at)
        return self.complete(run, source, at, sure=True)


def _value(field: Field, number: int, names: Names) -> str:
    """Of a field in the dictionary: at once, or a place for it."""
    if field.is_typename:
        names[f"name{number}"] = field.parent.name
        return f"name{number}"
    if field.attribute is not None and are_leaves(field.type):
        return expression(field.type, f"source.{field.attribute}", number, names)
    return "None"


def _statement(field: Field, number: int, names: Names) -> str:
    """What else a field needs."""
    if field.is_typename or (field.attribute is not None and are_leaves(field.type)):
        return ""
    at = f"(at, key{number}, nullable{number})"
    names[f"nullable{number}"] = field.nullable
    if field.attribute is not None:
        names[f"complete{number}"] = field.complete
        return f"answer[key{number}] = complete{number}(run, value{number}, {at})"
    if field.together is not None:
        names[f"field{number}"] = field
        return f"run.pending[field{number}].append((source, answer, {at}))"
    names[f"begin{number}"] = field.begin
    return f"begin{number}(run, source, answer, at)"
