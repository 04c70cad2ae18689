"""Who did what to an object, and when."""

from datetime import datetime
from uuid import UUID

import strawberry

from resolvers.store.tables import core as tables
from schema.accounts.types import User
from schema.batched_fields import polymorphic_relation
from schema.relay import Info


@strawberry.type(description="An entry of a history: who did what, and when. It never changes.")
class AuditEntry:
    at: datetime
    action: str = strawberry.field(description="What was done, such as `ACKNOWLEDGED` or `JUDGED: TRUE_ALARM`.")
    note: str | None = strawberry.field(description="The note that was given, if any.")
    details: str | None = strawberry.field(
        default=None,
        description="What exactly was done, in a sentence, where `action` does not say it: such as who was assigned.",
    )
    by_id: strawberry.Private[int | None]

    by = polymorphic_relation(
        User | None, lambda entry: (tables.User, entry.by_id), description="Null if the server did it on its own."
    )


async def load_history(info: Info, subject: UUID) -> list[AuditEntry]:
    """Returns the history of an anomaly, an incident or a recommendation, oldest first."""
    entries = await info.context.loaders.history.load(subject)
    return [AuditEntry(at=e.at, action=e.action, note=e.note, details=e.details, by_id=e.by_id) for e in entries]
