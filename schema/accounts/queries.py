"""Queries of users and API keys."""

import strawberry
from strawberry import ID

from resolvers.accounts import api_keys, users
from resolvers.lists.pagination import DEFAULT_PAGE, Window
from schema.accounts.types import ApiKey, User
from schema.connections import Connection, page_to_connection
from schema.directives import connection_size, list_size
from schema.enums import Role
from schema.relay import Info
from schema.root_fields import ANYBODY, query


@strawberry.type
class AccountQueries:
    @query(ANYBODY, description="You. Null if you are not signed in.")
    async def viewer(self, info: Info) -> User | None:
        return User.from_optional_row(await users.find_viewer(info.context))

    @query(Role.ADMIN, connection_size(), description="For admins. All users, with these values if they are given.")
    async def users(
        self,
        info: Info,
        role: Role | None = None,
        is_active: bool | None = None,
        first: int | None = None,
        after: str | None = None,
    ) -> Connection[User]:
        page = await users.list_users(info.context, role, is_active, Window(first, after))
        return page_to_connection(info, User, users.user_listing(role, is_active), page)

    @query(
        Role.VIEWER,
        list_size(DEFAULT_PAGE, "first"),
        description="Your API keys, oldest first; admins see everybody's. `first` limits the number, 50 by default."
        " `after` is the id of the last key of the page before. An API key cannot do this.",
    )
    async def api_keys(self, info: Info, first: int | None = None, after: ID | None = None) -> list[ApiKey]:
        last_seen = None if after is None else ApiKey.parse_key(after)
        return [ApiKey.from_row(key) for key in await api_keys.list_keys(info.context, first, last_seen)]
