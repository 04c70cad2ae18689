"""People and what they prove who they are with."""

from datetime import datetime
from typing import Any, Self, cast

import strawberry

from resolvers.accounts import users
from resolvers.base.errors import Forbidden
from schema.batched_fields import needs
from schema.enums import Role
from schema.relay import Info, Node


@strawberry.type(
    description="A person who may sign in. Admins see all of everybody, others all of themselves; of their colleagues"
    " they see the name, and the e-mail address only as `a…@example.com`."
)
class User(Node):
    is_own: strawberry.Private[bool] = False  # given to the very person, who has just proved to be it
    full_name: str | None
    created_at: datetime
    updated_at: datetime

    @strawberry.field(description="Of others than oneself, `a…@example.com`; admins see it whole.")
    @needs("id", "email")
    def email(self, info: Info) -> str:
        row: Any = self.row
        return row.email if self._may_see(info) else users.masked(row.email)

    @strawberry.field(description="FORBIDDEN of others than oneself, but for admins.")
    @needs("id", "role")
    def role(self, info: Info) -> Role:
        return cast("Role", self._seen(info, "role"))

    @strawberry.field(description="FORBIDDEN of others than oneself, but for admins.")
    @needs("id", "is_active")
    def is_active(self, info: Info) -> bool:
        return cast("bool", self._seen(info, "is_active"))

    def _seen(self, info: Info, column: str) -> object:
        """Raises Forbidden."""
        if not self._may_see(info):
            raise Forbidden("Only admins see what their colleagues may do.", Role.ADMIN)
        return getattr(self.row, column)

    def _may_see(self, info: Info) -> bool:
        return self.is_own or users.may_see(info.context, self.row.id)

    @classmethod
    def own(cls, row: Any) -> Self:
        """For the very person."""
        node = cls.of(row)
        node.is_own = True
        return node


@strawberry.type(
    description="accessToken goes into `Authorization: Bearer …` or into connection_init's"
    ' `{"Authorization": "Bearer …"}`.'
)
class Session:
    access_token: str
    refresh_token: str
    token_type: str
    expires_at: datetime
    user: User


@strawberry.type(
    description="A long-lived credential for a collector or a frontend's server side. The secret is shown once."
)
class ApiKey(Node):
    name: str
    role: Role
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


@strawberry.type
class CreatedApiKey:
    api_key: ApiKey
    secret: str = strawberry.field(description="Shown this once; send it as `Authorization: Bearer …`.")


@strawberry.type
class UserPassword:
    user: User
    password: str = strawberry.field(description="Shown this once; its owner changes it with `changePassword`.")


@strawberry.type
class LoggedOut:
    at: datetime
