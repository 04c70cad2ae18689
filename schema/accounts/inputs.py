"""What clients send to manage accounts."""

import strawberry
from strawberry import ID

from schema.enums import Role


@strawberry.input(description="A new account for yourself.")
class RegisterInput:
    email: str
    password: str = strawberry.field(description="8 to 128 characters.")
    full_name: str | None = None
    token: str | None = strawberry.field(
        default=None,
        description="The token of the first admin, from the server's log. Needed only if registration is closed.",
    )


@strawberry.input(description="What a user signs in with.")
class LoginInput:
    email: str
    password: str


@strawberry.input(description="A new account for somebody else.")
class CreateUserInput:
    email: str
    full_name: str | None = None
    role: Role | None = Role.VIEWER


@strawberry.input(description="Changes to a user. A field that is null or omitted stays as it is.")
class UpdateUserInput:
    id: ID
    full_name: str | None = None
    role: Role | None = None
    is_active: bool | None = strawberry.field(
        default=None,
        description="False ends the user's sessions and revokes their API keys; true lets them sign in again.",
    )
