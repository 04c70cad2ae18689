"""Loads any object by its type's name and its key, for `node(id)`."""

from typing import Any
from uuid import UUID

from resolvers.base.access import Caller
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.models import models
from resolvers.store.postgres.identifiers import entity_key
from resolvers.store.tables.analyses import CorrelationAnalysis
from resolvers.store.tables.core import Anomaly, ApiKey, Detection, Link, Network, Satellite, Site, Table, User
from resolvers.store.tables.incidents import Incident
from resolvers.store.tables.models import ModelVersion, TrainingRun
from resolvers.store.tables.recommendations import Recommendation

NODE_TABLES: dict[str, type[Table]] = {
    entity.__name__: entity
    for entity in (
        User,
        ApiKey,
        Satellite,
        Site,
        Network,
        Link,
        Anomaly,
        CorrelationAnalysis,
        Detection,
        Incident,
        ModelVersion,
        Recommendation,
        TrainingRun,
    )
}
KEYED_BY_UUID = {"Anomaly", "CorrelationAnalysis", "Detection", "Incident", "Recommendation", "TrainingRun"}
OWNERS = {"User": "id", "ApiKey": "user_id"}  # the column of the user who may see it, besides admins


async def load(context: Context, type_name: str, key: str) -> Any | None:
    """Returns the row. None for an unknown type, an impossible key, and a row that the caller may not see."""
    caller = context.require(Role.VIEWER, "load objects")
    if type_name == "Model":
        return await models.find_model(context, key)
    typed = _parse_key(type_name, key)
    if type_name not in NODE_TABLES or typed is None:
        return None
    entity = NODE_TABLES[type_name]
    loader = context.loaders.whole_rows(entity) if type_name in OWNERS else context.loaders.rows(entity)
    row = await loader.load(typed)
    return row if row is not None and _may_see(caller, type_name, row) else None


def _parse_key(type_name: str, key: str) -> int | UUID | None:
    try:
        return UUID(key) if type_name in KEYED_BY_UUID else entity_key(key)
    except ValueError:
        return None


def _may_see(caller: Caller, type_name: str, row: Any) -> bool:
    owner = OWNERS.get(type_name)
    if type_name == "ApiKey" and not caller.is_person:
        return False
    return owner is None or caller.role is Role.ADMIN or getattr(row, owner) == caller.user_id
