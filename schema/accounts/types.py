"""People, their sessions and API keys."""

from datetime import datetime
from typing import Any, Self, cast

import strawberry

from resolvers.accounts import users
from resolvers.base.errors import Forbidden
from schema.batched_fields import needs
from schema.enums import Role
from schema.relay import Info, Node


@strawberry.type(
    description="A person with an account. Admins see every field of every user. Others see every field of themselves,"
    " and of their colleagues only the name and a masked e-mail address."
)
class User(Node):
    is_own: strawberry.Private[bool] = False  # for the user who has just signed in
    full_name: str | None = strawberry.field(description="Null if the user gave no name.")
    created_at: datetime
    updated_at: datetime

    @strawberry.field(
        description="The e-mail address. Masked as `a…@example.com` unless you are this user or an admin."
    )
    @needs("id", "email")
    def email(self, info: Info) -> str:
        row: Any = self.row
        return row.email if self._may_see(info) else users.mask_email(row.email)

    @strawberry.field(description="What the user may do. The error FORBIDDEN unless you are this user or an admin.")
    @needs("id", "role")
    def role(self, info: Info) -> Role:
        return cast("Role", self._get_if_allowed(info, "role"))

    @strawberry.field(
        description="False after an admin deactivated the account. The error FORBIDDEN unless you are this user or an"
        " admin."
    )
    @needs("id", "is_active")
    def is_active(self, info: Info) -> bool:
        return cast("bool", self._get_if_allowed(info, "is_active"))

    def _get_if_allowed(self, info: Info, column: str) -> object:
        """Returns a column that only the user and admins see. Raises Forbidden."""
        if not self._may_see(info):
            raise Forbidden("Only admins can see the role and status of other users.", Role.ADMIN)
        return getattr(self.row, column)

    def _may_see(self, info: Info) -> bool:
        return self.is_own or users.may_see(info.context, self.row.id)

    @classmethod
    def from_own_row(cls, row: Any) -> Self:
        """Returns a user who sees their own fields, for somebody who has just signed in."""
        node = cls.from_row(row)
        node.is_own = True
        return node


@strawberry.type(description="The tokens of a user who has signed in.")
class Session:
    access_token: str = strawberry.field(
        description="Send it as the header `Authorization: Bearer …`; over WebSocket, in the payload of"
        ' `connection_init` as `{"Authorization": "Bearer …"}`.'
    )
    refresh_token: str = strawberry.field(
        description="Exchange it with `refreshSession` for a new session. Works once."
    )
    token_type: str = strawberry.field(description="Always `Bearer`.")
    expires_at: datetime = strawberry.field(description="When the access token expires.")
    user: User


@strawberry.type(
    description="A long-lived credential for a program: a collector, or the server side of a frontend. Its secret is"
    " shown only once, when it is created."
)
class ApiKey(Node):
    name: str
    role: Role = strawberry.field(description="The most that the key may do. Its owner's role limits it further.")
    created_at: datetime
    last_used_at: datetime | None = strawberry.field(
        description="When the key was last used, to the minute. Null if never."
    )
    expires_at: datetime | None = strawberry.field(description="Null if the key does not expire.")
    revoked_at: datetime | None = strawberry.field(description="When the key was revoked. Null if it was not revoked.")


@strawberry.type(description="A new API key with its secret.")
class CreatedApiKey:
    api_key: ApiKey
    secret: str = strawberry.field(
        description="The key itself, shown only this once. Send it as the header `Authorization: Bearer …`."
    )


@strawberry.type(description="A user with a password that the server chose.")
class UserPassword:
    user: User
    password: str = strawberry.field(
        description="Shown only this once. The user should replace it with `changePassword`."
    )


@strawberry.type(description="The session has ended.")
class LoggedOut:
    at: datetime = strawberry.field(description="When the session ended.")
