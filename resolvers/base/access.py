"""Who asks, and what they may do."""

from dataclasses import dataclass
from uuid import UUID

from resolvers.base.errors import Forbidden, Unauthenticated
from resolvers.base.roles import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who proved who they are, by an access token (then `sign_in_id` is set) or by an API key."""

    user_id: int
    role: Role
    sign_in_id: UUID | None = None
    expires_at: float | None = None  # epoch seconds

    @property
    def is_person(self) -> bool:
        """Not an API key; the server itself counts as one."""
        return self.sign_in_id is not None or self.user_id == 0

    @property
    def author_id(self) -> int | None:
        """Whom to note as having done it; None for the server itself, which is no user."""
        return self.user_id or None


SYSTEM = Caller(user_id=0, role=Role.ADMIN)  # the server's own work: the command line, the demo


def require(caller: Caller | None, role: Role, to: str) -> Caller:
    """The caller, if they have at least this role.

    Raises Unauthenticated when nobody is signed in, Forbidden when the role does not suffice.
    """
    if caller is None:
        raise Unauthenticated(f"Sign in to {to}.")
    if caller.role.rank < role.rank:
        raise Forbidden(f"You need the role {role} to {to}; yours is {caller.role}.", role)
    return caller


def require_person(caller: Caller | None, role: Role, to: str) -> Caller:
    """The same, and not by an API key: a leaked one must not make itself at home.

    Raises Unauthenticated, Forbidden.
    """
    caller = require(caller, role, to)
    if not caller.is_person:
        raise Forbidden(f"An API key cannot {to}; sign in as yourself.")
    return caller
