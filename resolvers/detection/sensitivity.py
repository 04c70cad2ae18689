"""The sensitivity of detection: how many false alarms a kind of target may raise."""

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from ml.catalogue.metrics import TargetKind
from resolvers.base.errors import InvalidInput
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.store.events.log import Event, publish
from resolvers.store.models.sensitivities import TOPIC
from resolvers.store.tables.models import Sensitivity


async def get_sensitivity(context: Context, kind: TargetKind) -> Sensitivity:
    """Returns what was set, else the default."""
    context.require(Role.VIEWER, "see sensitivities")
    return await context.loaders.sensitivity.load(kind)


async def set_sensitivity(context: Context, kind: TargetKind, value: float) -> Sensitivity:
    """Sets it for all that is scored from now on, in every process. Raises InvalidInput outside of 0 to 1."""
    caller = context.require(Role.ADMIN, "set sensitivities")
    if not 0.0 <= value <= 1.0:  # nor is NaN
        raise InvalidInput(f"The sensitivity is between 0 and 1, not {value:g}.", ["value"])
    setting = insert(Sensitivity).values(kind=kind, value=value, set_at=func.now(), set_by_id=caller.author_id)
    changed = {name: setting.excluded[name] for name in ("value", "set_at", "set_by_id")}
    query = setting.on_conflict_do_update(index_elements=["kind"], set_=changed).returning(Sensitivity)
    async with context.database.write() as session:
        row: Sensitivity = (await session.scalars(query)).one()
        publish(session, Event(TOPIC, "SET", kind, {"value": value}))
    context.services.sensitivity.forget()
    return row
