"""People and what they prove who they are with."""

from datetime import datetime

import strawberry

from schema.enums import Role
from schema.node import Node


@strawberry.type(description="A person who may sign in.")
class User(Node):
    email: str
    full_name: str | None
    role: Role
    is_active: bool
    created_at: datetime
    updated_at: datetime


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
