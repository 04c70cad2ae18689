"""Token or API key → Caller, for HTTP and WebSocket alike."""

from collections.abc import Mapping

from resolvers import accounts, api_keys
from resolvers.context import Context, Services
from resolvers.errors import Unauthenticated
from resolvers.tokens import API_KEY_PREFIX


async def open_context(services: Services, headers: Mapping[str, object]) -> Context:
    """A context for one operation, anonymous without `authorization`. Raises Unauthenticated, Unavailable."""
    context = Context(services)
    given = next((value for name, value in headers.items() if name.lower() == "authorization"), None)
    if given is None or given == "":
        return context
    scheme, _, secret = given.partition(" ") if isinstance(given, str) else ("", "", "")
    if scheme.lower() != "bearer" or not secret:
        raise Unauthenticated("Authorization must be `Bearer` and an access token or an API key.")
    identify = api_keys.identify if secret.startswith(API_KEY_PREFIX) else accounts.identify
    context.caller = await identify(context, secret.strip())
    return context
