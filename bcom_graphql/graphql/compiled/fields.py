"""Resolves the fields of a selection, for one object or for all pending ones.

Most fields are attributes, which generated code reads by itself (see `objects.py`). A resolver that can resolve many
objects at once (its function has `resolve_many`) is called once for all of them. Any other is called for each object;
their awaitables run side by side.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    Undefined,
    default_field_resolver,
    is_non_null_type,
)

from bcom_graphql.graphql.compiled.arguments import Arguments
from bcom_graphql.graphql.compiled.completion import make_completer
from bcom_graphql.graphql.compiled.resolve_info import ResolveInfo
from bcom_graphql.graphql.compiled.state import (
    Complete,
    ExecutionState,
    ParentPosition,
    PendingValue,
    Position,
    Selections,
    await_all_or_errors,
    await_or_error,
    is_awaitable,
)
from bcom_graphql.graphql.compiled.strawberry_adapter import Resolve, get_wrapper, make_caller

TYPENAME = "__typename"
ResolveMany = Callable[[Sequence[Any], Any], Awaitable[Sequence[Any]]]


class Field:
    """One field of the response: all nodes of one response key, in a selection on one object type."""

    def __init__(
        self,
        plan: Selections,
        parent: GraphQLObjectType,
        key: str,
        nodes: list[FieldNode],
        definition: GraphQLField,
    ) -> None:
        self.plan, self.parent, self.key, self.nodes, self.definition = plan, parent, key, nodes, definition
        self.name = nodes[0].name.value
        self.is_typename = self.name == TYPENAME
        self.type = definition.type
        self.nullable = not is_non_null_type(self.type)
        self.attribute = plan.declared.attribute(definition)
        self._arguments_of_node = Arguments(definition, nodes[0])
        self._resolve: Resolve = definition.resolve or default_field_resolver
        self._declared = plan.declared.find_plain_field(definition)
        self.resolve_many: ResolveMany | None = None
        if self._declared is not None:
            resolver: Any = self._declared.base_resolver
            self.resolve_many = getattr(resolver.wrapped_func, "resolve_many", None)
            self._resolve = get_wrapper(definition)(make_caller(resolver))
            self._converted = plan.declared.arguments(definition, self._declared)

    @cached_property
    def complete(self) -> Complete:
        """Completes a value of the field."""
        return make_completer(self, self.type)

    def complete_special(self, state: ExecutionState, value: Any, at: Position, complete: Complete) -> bool:
        """Handles null, a returned exception, and an awaitable. Returns False for any other value."""
        if value is None or value is Undefined:
            state.set_null(self, at)
        elif isinstance(value, Exception):
            state.add_error(self, value, at)
        elif is_awaitable(value):
            state.defer(self, value, at, complete)
        else:
            return False
        return True

    # ------------------------------------------------------------ for one object

    def begin(self, state: ExecutionState, source: Any, into: dict[str, Any], within: ParentPosition) -> None:
        """Puts the field's value into an object, or leaves its place empty and the field pending."""
        at = (within, self.key, self.nullable)
        into[self.key] = self.parent.name if self.is_typename else None
        if self.is_typename:
            return
        if self.resolve_many is not None:
            state.pending[self].append((source, into, at))
            return
        try:
            value = self._make_value_source(state, source, within)
            waits = is_awaitable(value)
        except Exception as error:  # noqa: BLE001  reported at its position
            state.add_error(self, error, at)
            return
        if waits:
            state.pending[self].append((value, into, at))
        else:
            into[self.key] = self.complete(state, value, at)

    def _make_value_source(self, state: ExecutionState, source: Any, within: ParentPosition) -> Any:
        if self.attribute is not None:
            return getattr(source, self.attribute)
        info = self._info(state, within)
        return self._resolve(source, info, **self._arguments(state, info))

    def _info(self, state: ExecutionState, within: ParentPosition) -> Any:
        raw = ResolveInfo(state, self, within)
        return raw if self._declared is None else self.plan.declared.info(raw, self._declared)

    def _arguments(self, state: ExecutionState, info: Any) -> dict[str, Any]:
        """Returns the arguments, coerced once per execution. Raises the error again for each object."""
        if not self.definition.args:
            return {}
        if self not in state.arguments:
            try:
                state.arguments[self] = self._read(state, info)
            except Exception as error:  # noqa: BLE001  see above
                state.arguments[self] = error
        arguments = state.arguments[self]
        if isinstance(arguments, Exception):
            raise arguments
        return arguments  # type: ignore[no-any-return]

    def _read(self, state: ExecutionState, info: Any) -> dict[str, Any]:
        values = self._arguments_of_node.values(state.variables, hide_suggestions=state.hide_suggestions)
        return values if self._declared is None else self._converted(values, info)

    # ------------------------------------------------------------ for all that wait

    async def resolve_pending(self, state: ExecutionState, waiting: list[PendingValue]) -> None:
        """Resolves and completes the values of all pending objects, and everything below them."""
        key, complete = self.key, self.complete
        for (_, into, at), value in zip(waiting, await self._values(state, waiting), strict=True):
            into[key] = complete(state, value, at)
        await state.resolve_pending()

    async def _values(self, state: ExecutionState, waiting: list[PendingValue]) -> Sequence[Any]:
        sources = [value[0] for value in waiting]
        if self.resolve_many is None or not waiting:
            return await await_all_or_errors(sources)
        values = await await_or_error(self.resolve_many(sources, self._info(state, waiting[0][2][0])))
        if not isinstance(values, Exception) and len(values) != len(sources):
            values = ValueError(f"{self.parent}.{self.name} has {len(values)} values for {len(sources)} objects")
        return [values] * len(sources) if isinstance(values, Exception) else values
