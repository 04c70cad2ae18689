"""Authenticates callers by token or API key, and charges their budgets, for all transports alike."""

from collections.abc import Mapping

from bcom_graphql.graphql.errors import RequestError
from bcom_graphql.graphql.execution.application import Client, Gate, Identity
from bcom_graphql.observability.logging import request_id
from bcom_graphql.permissions import needed
from resolvers.accounts import api_keys, sessions
from resolvers.base.access import SYSTEM, Caller
from resolvers.base.errors import ClientError, Unauthenticated
from resolvers.base.rate_limits import Budget
from resolvers.base.roles import Role
from resolvers.base.tokens import API_KEY_PREFIX, parse_bearer
from resolvers.context import Columns, Context, Services, network_of
from schema.column_selection import select_columns


class ApplicationGate(Gate):
    """The application, as the protocol server sees it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def open_context(self, client: Client) -> Context:
        """Returns a context for one operation, anonymous without `authorization`. Raises RequestError."""
        context = Context(self._services, address=client.address, resume_after=client.resume_after)
        try:
            await _identify(context, client.credentials)
        except ClientError as error:
            raise _to_request_error(error) from error
        return context

    def identify(self, context: Context) -> Identity:
        """Returns the caller; `subject` is what events of changed access name."""
        caller = context.caller
        if caller is None:
            return Identity(f"address {network_of(context.address)}", None, None, signed_in=False)
        return Identity(str(caller.user_id), caller.role, caller.expires_at, signed_in=True)

    def may_use(self, context: Context, root: str, field: str) -> bool:
        role, caller = needed(root, field), context.caller
        return role is None or (caller is not None and caller.role.rank >= role.rank)

    def check_may_upload(self, context: Context) -> None:
        """Raises RequestError for less than operators: nothing else takes files."""
        try:
            context.require(Role.OPERATOR, "send files")
        except ClientError as error:
            raise _to_request_error(error) from error

    def look_ahead(self, selected: Mapping[str, frozenset[str]]) -> Columns:
        return select_columns(selected)

    def begin_operation(self, context: Context, ahead: Columns) -> None:
        context.look_ahead(ahead)

    def make_shared_context(self, context: Context) -> Context:
        caller = context.caller
        shared = None if caller is None else Caller(SYSTEM.user_id, caller.role)
        return Context(self._services, shared, columns=context.columns)

    def allow_push(self, context: Context) -> None:
        context.pushes = True

    async def wait_until_sent(self) -> None:
        await self._services.feed.wait_until_idle()

    async def charge(self, context: Context, points: int) -> None:
        try:
            await context.consume(Budget.OPERATIONS, cost=points)
        except ClientError as error:
            raise _to_request_error(error) from error

    def request_id(self) -> str:
        return request_id.get()


def _to_request_error(error: ClientError) -> RequestError:
    """Converts an error that the application raised for clients."""
    return RequestError(error.message, error.extensions)


async def _identify(context: Context, credentials: Mapping[str, object]) -> None:
    """Sets the context's caller. Raises Unauthenticated, Unavailable."""
    authorization = next((value for name, value in credentials.items() if name.lower() == "authorization"), None)
    if authorization is None or authorization == "":
        return
    secret = parse_bearer(authorization)
    if secret is None:
        raise Unauthenticated("Authorization must be `Bearer` and an access token or an API key.")
    identify = api_keys.identify if secret.startswith(API_KEY_PREFIX) else sessions.identify
    context.caller = await identify(context, secret)
