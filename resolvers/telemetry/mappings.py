"""Saved mappings: what was said of files once, and is used by its name again."""

from dataclasses import replace
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from ml.catalogue.metrics import TargetKind
from resolvers.base.errors import InvalidInput, NotFound
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.store.tables.imports import ImportMapping
from resolvers.telemetry.import_options import ImportOptions, build_wanted

LONGEST_NAME: Final = 100  # characters
MOST_MAPPINGS: Final = 1000
NAMED: Final = 20  # of them, where one is unknown


async def list_mappings(context: Context) -> list[ImportMapping]:
    """Returns all, by kind and name."""
    context.require(Role.VIEWER, "list import mappings")
    async with context.database.read() as session:
        return list(await session.scalars(select(ImportMapping).order_by(ImportMapping.kind, ImportMapping.name)))


async def save_mapping(context: Context, kind: TargetKind, name: str, options: ImportOptions) -> ImportMapping:
    """Saves what is said of files' columns and values, instead of what the name stood for. Raises InvalidInput."""
    context.require(Role.OPERATOR, "save import mappings")
    _check_name(name)
    build_wanted(kind, options)
    said = {
        "columns": [{"heading": heading, "field": field} for heading, field in options.columns],
        "decimal": options.decimal,
        "time_zone": options.time_zone,
        "time_unit": options.time_unit,
        "updated_at": context.real_time,
    }
    query = insert(ImportMapping).values(kind=kind, name=name.strip(), **said)
    query = query.on_conflict_do_update(index_elements=["kind", "name"], set_=said)
    async with context.database.write() as session:
        mapping: ImportMapping = (await session.scalars(query.returning(ImportMapping))).one()
        if (await session.scalar(select(func.count()).select_from(ImportMapping)) or 0) > MOST_MAPPINGS:
            raise InvalidInput(f"There are {MOST_MAPPINGS} mappings, the most allowed. Delete one that nobody uses.")
    return mapping


def _check_name(name: str) -> None:
    if not 1 <= len(name.strip()) <= LONGEST_NAME or not name.isprintable():
        raise InvalidInput(f"A name has 1 to {LONGEST_NAME} printable characters.", ["input", "name"])


async def delete_mapping(context: Context, kind: TargetKind, name: str) -> ImportMapping:
    """Deletes a mapping. Raises NotFound."""
    context.require(Role.OPERATOR, "delete import mappings")
    query = delete(ImportMapping).filter_by(kind=kind, name=name.strip()).returning(ImportMapping)
    async with context.database.write() as session:
        mapping = await session.scalar(query)
    if mapping is None:
        raise NotFound("import mapping")
    return mapping


async def apply_mapping(context: Context, kind: TargetKind, options: ImportOptions) -> ImportOptions:
    """Returns the options, and of their saved mapping what they do not say. Raises InvalidInput for an unknown one."""
    if options.mapping is None:
        return options
    query = select(ImportMapping).filter_by(kind=kind).order_by(ImportMapping.name)
    async with context.database.read() as session:
        saved = {mapping.name: mapping for mapping in await session.scalars(query)}
    mapping = saved.get(options.mapping.strip())
    if mapping is None:
        there_are = ", ".join([*saved][:NAMED]) or "none"
        raise InvalidInput(
            f"No mapping of this name is saved for a {kind.lower()}; there are: {there_are}.", ["options", "mapping"]
        )
    said_now = {part for pair in options.columns for part in pair}
    columns = [(column["heading"], column["field"]) for column in mapping.columns]
    kept = [pair for pair in columns if not said_now.intersection(pair)]
    return replace(
        options,
        columns=[*kept, *options.columns],
        decimal=options.decimal or mapping.decimal,
        time_zone=options.time_zone or mapping.time_zone,
        time_unit=options.time_unit or mapping.time_unit,
    )
