"""Generates Python for selections on object types: it copies an object's attributes into a dictionary of the response.

`nodes { id severity target { … } }` becomes

    def complete(state, source, at, sure=False):
        if not sure and source.__class__ not in classes:
            return complete_unusual(state, source, at)
        try:
            data = {
                key0: value if (value := source.id).__class__ is str else leaf0(value),
                key1: members1[value] if (value := source.severity).__class__ is class1 else leaf1(value),
                key2: None,
            }
        except Exception:
            return complete_one_by_one(state, source, at)
        state.pending[field2].append((source, data, (at, key2, nullable2)))
        return data

Until something fails it only reads attributes; then `complete_one_by_one` reads them again, field by field, and finds
what fails and where. The attributes' names come from the schema's Python classes. What a client sent, and everything
else, is passed in as values.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final, Protocol

from graphql import GraphQLError, GraphQLObjectType
from graphql.pyutils import inspect

from bcom_graphql.graphql.compiled.fields import Field
from bcom_graphql.graphql.compiled.leaves import Names, is_leaf_or_leaf_list, make_expression
from bcom_graphql.graphql.compiled.resolve_info import info_at
from bcom_graphql.graphql.compiled.state import (
    CompleteObject,
    ExecutionState,
    ParentPosition,
    Position,
    Selections,
    is_awaitable,
)

MAX_CLASSES: Final = 64  # remembered per selection; a program with more makes new ones all the time


class Plan(Selections, Protocol):
    """An operation's plan, which knows the fields that are selected of a type."""

    def fields(self, owner: Field | None, type: GraphQLObjectType) -> list[Field]: ...


class ObjectSelection:
    """What is selected of one object type, as the value of the field `owner`; of the root type if that is None."""

    def __init__(self, plan: Plan, owner: Field | None, type: GraphQLObjectType) -> None:
        self._plan, self._owner, self.type = plan, owner, type
        self.fields: list[Field] = plan.fields(owner, type)
        self.classes = set[Any]()  # whose objects are known to be of the type

    @cached_property
    def complete(self) -> CompleteObject:
        """The generated function that completes an object."""
        names: Names = {
            "classes": self.classes,
            "complete_unusual": self._complete_unusual,
            "complete_one_by_one": self._complete_one_by_one,
        }
        source = "\n".join(self._source(names))
        exec(compile(source, f"<{self.type.name}>", "exec"), names)  # noqa: S102  see above: nothing of a client's
        complete: CompleteObject = names["complete"]
        return complete

    # ------------------------------------------------------------ generating

    def _source(self, names: Names) -> Iterator[str]:
        yield "def complete(state, source, at, sure=False):"
        yield "    if not sure and source.__class__ not in classes:"
        yield "        return complete_unusual(state, source, at)"
        yield "    try:"
        for number, field in enumerate(self.fields):
            if field.attribute is not None and not is_leaf_or_leaf_list(field.type):
                yield f"        value{number} = source.{field.attribute}"
        yield "        data = {"
        for number, field in enumerate(self.fields):
            names[f"key{number}"] = field.key
            yield f"            key{number}: {_make_value_source(field, number, names)},"
        yield "        }"
        yield "    except Exception:"
        yield "        return complete_one_by_one(state, source, at)"
        for number, field in enumerate(self.fields):
            if line := _make_statement(field, number, names):
                yield f"    {line}"
        yield "    return data"

    # ------------------------------------------------------------ values that are unusual

    def _complete_one_by_one(self, state: ExecutionState, source: Any, at: ParentPosition) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for field in self.fields:
            field.begin(state, source, data, at)
        return data

    def _complete_unusual(self, state: ExecutionState, source: Any, at: Position) -> Any:
        """Completes a value that may be no object of this type."""
        owner = self._owner
        assert owner is not None  # noqa: S101  the root is sure
        if owner.complete_special(state, source, at, self.complete):
            return None
        try:
            fits: Any = self.type.is_type_of is None or self.type.is_type_of(source, info_at(state, owner, at))
        except Exception as error:  # noqa: BLE001  reported at its position
            return state.add_error(owner, error, at)
        if is_awaitable(fits):
            return state.defer(
                owner, fits, at, lambda state, fits, at: self._complete_checked(state, source, at, fits=fits)
            )
        if fits and len(self.classes) < MAX_CLASSES and self._plan.declared.identifies_by_class(self.type, source):
            self.classes.add(source.__class__)
        return self._complete_checked(state, source, at, fits=fits)

    def _complete_checked(self, state: ExecutionState, source: Any, at: Position, *, fits: Any) -> Any:
        owner = self._owner
        assert owner is not None  # noqa: S101
        if isinstance(fits, Exception):
            return state.add_error(owner, fits, at)
        if not fits:
            message = f"Expected value of type '{self.type}' but got: {inspect(source)}."
            return state.add_error(owner, GraphQLError(message, owner.nodes), at)
        return self.complete(state, source, at, sure=True)


def _make_value_source(field: Field, number: int, names: Names) -> str:
    """Returns the expression of a field in the dictionary: its value, or None as a place for it."""
    if field.is_typename:
        names[f"name{number}"] = field.parent.name
        return f"name{number}"
    if field.attribute is not None and is_leaf_or_leaf_list(field.type):
        return make_expression(field.type, f"source.{field.attribute}", number, names)
    return "None"


def _make_statement(field: Field, number: int, names: Names) -> str:
    """Returns the statement that a field needs after the dictionary, if any."""
    if field.is_typename or (field.attribute is not None and is_leaf_or_leaf_list(field.type)):
        return ""
    at = f"(at, key{number}, nullable{number})"
    names[f"nullable{number}"] = field.nullable
    if field.attribute is not None:
        names[f"complete{number}"] = field.complete
        return f"data[key{number}] = complete{number}(state, value{number}, {at})"
    if field.resolve_many is not None:
        names[f"field{number}"] = field
        return f"state.pending[field{number}].append((source, data, {at}))"
    names[f"begin{number}"] = field.begin
    return f"begin{number}(state, source, data, at)"
