"""Expected failures as types: a ClientError of a resolver becomes a member of the field's result union."""

from typing import Any

import strawberry
from strawberry import ID
from strawberry.types.nodes import SelectedField

from resolvers.base import errors
from resolvers.base.roles import Role
from schema.relay import Info, global_id


@strawberry.interface(description="An expected failure. Show `message` to the user.")
class Problem:
    message: str = strawberry.field(description="What went wrong and what to do next, in English.")


@strawberry.type(description="The server does not accept an input value.")
class InvalidInput(Problem):
    path: list[str] = strawberry.field(
        description='The path of the rejected value in the arguments, such as `["input", "email"]`. Empty if it is no'
        " single value."
    )


@strawberry.type(description="No object has this id, name or number.")
class NotFound(Problem):
    id: ID | None = strawberry.field(description="The id that was asked for. Null if the field takes no id.")


@strawberry.type(description="You may not do this with your role.")
class Forbidden(Problem):
    required_role: Role | None = strawberry.field(description="The lowest role that may. Null if no role would help.")


@strawberry.type(description="The current state does not allow this, or has just changed.")
class Conflict(Problem):
    id: ID | None = strawberry.field(
        default=None, description="What to act on instead, such as the incident that this one was merged into."
    )

    @classmethod
    def from_error(cls, error: errors.Conflict) -> "Conflict":
        if error.instead is None:
            return cls(message=error.message)
        id = global_id(*error.instead)
        return cls(message=f"{error.message} Its id is {id}.", id=id)


@strawberry.type(description="The e-mail address, password or token is wrong or no longer valid.")
class InvalidCredentials(Problem):
    pass


class HandleInvalidInput(strawberry.ExceptionHandler[errors.InvalidInput, InvalidInput]):
    def handle(self, exception: errors.InvalidInput, *, field: Any, info: Info) -> InvalidInput:
        return InvalidInput(message=exception.message, path=exception.path)


class HandleNotFound(strawberry.ExceptionHandler[errors.NotFound, NotFound]):
    def handle(self, exception: errors.NotFound, *, field: Any, info: Info) -> NotFound:
        return NotFound(message=exception.message, id=_find_requested_id(info))


def _find_requested_id(info: Info) -> ID | None:
    """Returns the id in the field's arguments or in its input; None if there is none."""
    [field] = [selected for selected in info.selected_fields if isinstance(selected, SelectedField)]
    arguments = field.arguments
    given = {**(arguments.get("input") or {}), **(arguments.get("for") or {}), **arguments}
    names = ("id", "into", "network", "site", "link", "version", "recommendation", "anomaly", "detection", "analysis")
    return next((given[name] for name in names if given.get(name) is not None), None)


class HandleForbidden(strawberry.ExceptionHandler[errors.Forbidden, Forbidden]):
    def handle(self, exception: errors.Forbidden, *, field: Any, info: Info) -> Forbidden:
        return Forbidden(message=exception.message, required_role=exception.required_role)


class HandleConflict(strawberry.ExceptionHandler[errors.Conflict, Conflict]):
    def handle(self, exception: errors.Conflict, *, field: Any, info: Info) -> Conflict:
        return Conflict.from_error(exception)


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
