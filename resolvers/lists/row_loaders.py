"""Loads rows by id, one query for all operations of a process that ask at the same time."""

from functools import partial
from typing import Any, Final, TypeVar

from resolvers.base.dataloader import Loader
from resolvers.store.postgres.database import Database
from resolvers.store.postgres.rows import Columns, fetch_by_keys
from resolvers.store.tables.core import Table

Row = TypeVar("Row", bound=Table)
KEPT: Final = 1000  # clients choose columns


class RowLoaders:
    """Loaders without a cache: rows are as they are in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loaders: dict[tuple[type[Table], Columns], Loader[Any, Any]] = {}

    def rows(self, entity: type[Row], columns: Columns) -> Loader[Any, Row | None]:
        """Returns the loader of rows with these columns, by id."""
        loader = self._loaders.get((entity, columns))
        if loader is None:
            if len(self._loaders) >= KEPT:
                self._loaders.clear()
            fetch = partial(fetch_by_keys, self._database, entity, columns)
            loader = self._loaders[entity, columns] = Loader(fetch, cache=False)
        return loader
