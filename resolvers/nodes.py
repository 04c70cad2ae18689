"""Any object by its type's name and its key, if the caller may see it."""

from typing import Any
from uuid import UUID

from resolvers import models
from resolvers.access import Caller
from resolvers.context import Context
from resolvers.store.identifiers import entity_key
from resolvers.store.tables import Role

KEYED_BY_UUID = {"Anomaly", "CorrelationAnalysis", "Detection", "Recommendation", "TrainingRun"}


async def load(context: Context, type_name: str, key: str) -> Any | None:
    """The row, or None: for an unknown type, a key that is none, and what the caller may not see alike."""
    caller = context.require(Role.VIEWER, "load objects")
    loaders = context.loaders
    by_type: dict[str, Any] = {
        "User": loaders.user,
        "ApiKey": loaders.api_key,
        "Satellite": loaders.satellite,
        "Site": loaders.site,
        "Network": loaders.network,
        "Link": loaders.link,
        "Anomaly": loaders.anomaly,
        "CorrelationAnalysis": loaders.analysis,
        "Detection": loaders.detection,
        "ModelVersion": loaders.model_version,
        "Recommendation": loaders.recommendation,
        "TrainingRun": loaders.training_run,
    }
    if type_name == "Model":
        return await models.named(context, key)
    typed = _typed(type_name, key)
    if type_name not in by_type or typed is None:
        return None
    row = await by_type[type_name].load(typed)
    return row if row is not None and _may_see(caller, type_name, row) else None


def _typed(type_name: str, key: str) -> int | UUID | None:
    try:
        return UUID(key) if type_name in KEYED_BY_UUID else entity_key(key)
    except ValueError:
        return None


def _may_see(caller: Caller, type_name: str, row: Any) -> bool:
    owner = {"User": "id", "ApiKey": "user_id"}.get(type_name)
    return owner is None or caller.role is Role.ADMIN or getattr(row, owner) == caller.user_id
