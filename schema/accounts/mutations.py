"""Mutations of users, sessions and API keys."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID

from resolvers.accounts import accounts, api_keys, sessions, users
from resolvers.accounts.sessions import SignedIn
from resolvers.accounts.users import GivenPassword
from schema.accounts.inputs import CreateUserInput, LoginInput, RegisterInput, UpdateUserInput
from schema.accounts.types import ApiKey, CreatedApiKey, LoggedOut, Session, User, UserPassword
from schema.enums import Role
from schema.problems import Conflict, Forbidden, InvalidCredentials, InvalidInput, NotFound
from schema.relay import Info
from schema.root_fields import ANYBODY, mutation

SessionResult = Annotated[Session | InvalidInput | InvalidCredentials | Conflict, strawberry.union("SessionResult")]
UserResult = Annotated[User | InvalidInput | NotFound | Forbidden | Conflict, strawberry.union("UserResult")]
UserPasswordResult = Annotated[
    UserPassword | InvalidInput | NotFound | Forbidden | Conflict, strawberry.union("UserPasswordResult")
]
ApiKeyResult = Annotated[CreatedApiKey | InvalidInput | Forbidden, strawberry.union("ApiKeyResult")]


def _to_session(signed_in: SignedIn) -> Session:
    return Session(
        access_token=signed_in.access_token,
        refresh_token=signed_in.refresh_token,
        token_type="Bearer",  # noqa: S106  RFC 6750's name of it
        expires_at=signed_in.expires_at,
        user=User.from_own_row(signed_in.user),
    )


def _to_user_password(given: GivenPassword) -> UserPassword:
    return UserPassword(user=User.from_row(given.user), password=given.password)


@strawberry.type
class AccountMutations:
    @mutation(
        ANYBODY,
        description="Creates an account for you and signs you in. The first user becomes ADMIN, later ones VIEWER. If"
        " registration is closed (the setting REGISTRATION; the default in production), only the first admin can"
        " register, with the token that the server logs when it starts. Everybody else gets the error FORBIDDEN.",
    )
    async def register(self, info: Info, input: RegisterInput) -> SessionResult:
        given = input.email, input.password, input.full_name, input.token
        return _to_session(await accounts.register(info.context, *given))

    @mutation(ANYBODY, description="Signs you in.")
    async def login(self, info: Info, input: LoginInput) -> SessionResult:
        return _to_session(await accounts.login(info.context, input.email, input.password))

    @mutation(
        ANYBODY,
        description="Exchanges a refresh token for a new session. A refresh token works once: using it again ends the"
        " session for good, as it may have been stolen.",
    )
    async def refresh_session(self, info: Info, refresh_token: str) -> SessionResult:
        return _to_session(await sessions.refresh(info.context, refresh_token))

    @mutation(
        ANYBODY,
        description="Ends the session of this refresh token and its open connections. No error if there is none.",
    )
    async def logout(self, info: Info, refresh_token: str) -> LoggedOut:
        return LoggedOut(at=await sessions.logout(info.context, refresh_token))

    @mutation(
        Role.VIEWER,
        description="Changes your password, ends all your sessions and starts a new one. Your API keys stay valid"
        " unless `revokeApiKeys` is true. An API key cannot do this.",
    )
    async def change_password(
        self, info: Info, current: str, new: str, revoke_api_keys: bool | None = False
    ) -> SessionResult:
        changed = await accounts.change_password(info.context, current, new, revoke_keys=bool(revoke_api_keys))
        return _to_session(changed)

    @mutation(
        Role.ADMIN,
        description="For admins. Changes a user's name or role, or deactivates them, with immediate effect."
        " Deactivating a user ends their sessions and revokes their API keys for good. An API key cannot do this.",
    )
    async def update_user(self, info: Info, input: UpdateUserInput) -> UserResult:
        key = User.parse_key(input.id)
        user = await users.update_user(info.context, key, input.full_name, input.role, input.is_active)
        return User.from_row(user)

    @mutation(
        Role.ADMIN,
        description="For admins. Creates an account for somebody else. The server chooses the password and shows it"
        " only this once. An API key cannot do this.",
    )
    async def create_user(self, info: Info, input: CreateUserInput) -> UserPasswordResult:
        role = input.role or Role.VIEWER
        return _to_user_password(await users.create_user(info.context, input.email, input.full_name, role))

    @mutation(
        Role.ADMIN,
        description="For admins. Gives a user a new password, which the server chooses and shows only this once. Ends"
        " their sessions and revokes their API keys. An API key cannot do this.",
    )
    async def reset_password(self, info: Info, user: ID) -> UserPasswordResult:
        return _to_user_password(await users.reset_password(info.context, User.parse_key(user)))

    @mutation(
        Role.VIEWER,
        description="Creates an API key with your own role or a lower one. You can have 50 active keys (the setting"
        " API_KEYS_PER_USER). They are revoked for good if you are deactivated. An API key cannot do this.",
    )
    async def create_api_key(
        self, info: Info, name: str, role: Role, expires_at: datetime | None = None
    ) -> ApiKeyResult:
        created = await api_keys.create(info.context, name, role, expires_at)
        return CreatedApiKey(api_key=ApiKey.from_row(created.api_key), secret=created.secret)

    @mutation(
        Role.VIEWER,
        description="Revokes one of your API keys; admins can revoke anybody's. No error if it is revoked already. An"
        " API key cannot do this.",
    )
    async def revoke_api_key(self, info: Info, id: ID) -> ApiKey | None:
        return ApiKey.from_row(await api_keys.revoke(info.context, ApiKey.parse_key(id)))
