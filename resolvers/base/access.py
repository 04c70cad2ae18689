"""Callers and their rights."""

from dataclasses import dataclass
from uuid import UUID

from resolvers.base.errors import Forbidden, Unauthenticated
from resolvers.base.roles import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller: by an access token, which sets `sign_in_id`, or by an API key."""

    user_id: int
    role: Role
    sign_in_id: UUID | None = None
    expires_at: float | None = None  # epoch seconds

    @property
    def is_person(self) -> bool:
        """Whether it is no API key; the server itself counts as a person."""
        return self.sign_in_id is not None or self.user_id == 0

    @property
    def author_id(self) -> int | None:
        """The user to store as the author; None for the server itself, which is no user. Use it for foreign keys."""
        return self.user_id or None


SYSTEM = Caller(user_id=0, role=Role.ADMIN)  # the server's own work: the command line, the demo


def require(caller: Caller | None, role: Role, to: str) -> Caller:
    """Returns the caller if they have at least this role. Raises Unauthenticated, Forbidden."""
    if caller is None:
        raise Unauthenticated(f"Sign in to {to}.")
    if caller.role.rank < role.rank:
        raise Forbidden(f"You need the role {role} to {to}; yours is {caller.role}.", role)
    return caller


def require_person(caller: Caller | None, role: Role, to: str) -> Caller:
    """As `require`, and refuses API keys: a leaked one must not create others. Raises Unauthenticated, Forbidden."""
    caller = require(caller, role, to)
    if not caller.is_person:
        raise Forbidden(f"An API key cannot {to}; sign in as yourself.")
    return caller
