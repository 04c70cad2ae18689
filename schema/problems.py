"""Expected failures as data: what the resolvers raise becomes a member of the field's result union."""

from typing import Any

import strawberry
from strawberry import ID
from strawberry.types.nodes import SelectedField

from resolvers.base import errors
from resolvers.base.roles import Role
from schema.relay import Info


@strawberry.interface(description="An expected failure; the message says what to do.")
class Problem:
    message: str


@strawberry.type(
    description="The input is well-formed GraphQL but not acceptable; `path` names the offending input field."
)
class InvalidInput(Problem):
    path: list[str]


@strawberry.type(description="There is nothing with this id or number.")
class NotFound(Problem):
    id: ID | None


@strawberry.type(description="The caller's role does not suffice.")
class Forbidden(Problem):
    required_role: Role | None


@strawberry.type(description="The state of things does not allow it.")
class Conflict(Problem):
    pass


@strawberry.type(description="The credentials do not belong together, or not any more.")
class InvalidCredentials(Problem):
    pass


class HandleInvalidInput(strawberry.ExceptionHandler[errors.InvalidInput, InvalidInput]):
    def handle(self, exception: errors.InvalidInput, *, field: Any, info: Info) -> InvalidInput:
        return InvalidInput(message=exception.message, path=exception.path)


class HandleNotFound(strawberry.ExceptionHandler[errors.NotFound, NotFound]):
    def handle(self, exception: errors.NotFound, *, field: Any, info: Info) -> NotFound:
        return NotFound(message=exception.message, id=_asked_for(info))


def _asked_for(info: Info) -> ID | None:
    """The id among the field's arguments, or in its input."""
    [field] = [selected for selected in info.selected_fields if isinstance(selected, SelectedField)]
    arguments = field.arguments
    given = {**(arguments.get("input") or {}), **(arguments.get("for") or {}), **arguments}
    names = ("id", "network", "site", "link", "version", "recommendation", "anomaly", "detection", "analysis")
    return next((given[name] for name in names if given.get(name) is not None), None)


class HandleForbidden(strawberry.ExceptionHandler[errors.Forbidden, Forbidden]):
    def handle(self, exception: errors.Forbidden, *, field: Any, info: Info) -> Forbidden:
        return Forbidden(message=exception.message, required_role=exception.required_role)


class HandleConflict(strawberry.ExceptionHandler[errors.Conflict, Conflict]):
    def handle(self, exception: errors.Conflict, *, field: Any, info: Info) -> Conflict:
        return Conflict(message=exception.message)


class HandleInvalidCredentials(strawberry.ExceptionHandler[errors.InvalidCredentials, InvalidCredentials]):
    def handle(
        self,
        exception: errors.InvalidCredentials,
        *,
        field: Any,
        info: Info,
    ) -> InvalidCredentials:
        return InvalidCredentials(message=exception.message)


HANDLERS = (
    HandleInvalidInput(),
    HandleNotFound(),
    HandleForbidden(),
    HandleConflict(),
    HandleInvalidCredentials(),
)
