"""What a user may do."""

from enum import StrEnum


class Role(StrEnum):
    """Each role includes the rights of the ones before it."""

    VIEWER = "VIEWER"
    OPERATOR = "OPERATOR"
    ADMIN = "ADMIN"

    @property
    def rank(self) -> int:
        return RANKS[self]


RANKS = {role: rank for rank, role in enumerate(Role)}
