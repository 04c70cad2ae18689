"""Behind PgBouncer: in session mode all works, in transaction mode the server says that it does not."""

import shutil
from functools import partial

import pytest

from resolvers.base.errors import Unavailable
from resolvers.store.postgres import requirements
from resolvers.store.postgres.database import Database
from tests.helpers.poolers import Pooler, pgbouncer

pytestmark = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="there is no pgbouncer here")


@pytest.fixture
def pooler(database_url: str) -> Pooler:
    return partial(pgbouncer, database_url)


@pytest.mark.parametrize("query", ["", "?pgbouncer=true"])
async def test_a_session_s_settings_come_through_a_pooler_in_session_mode(pooler: Pooler, query: str) -> None:
    async with pooler("session") as url:
        database = Database(url + query)
        await requirements.check(database)
        async with database.driver() as connection:
            names = ("statement_timeout", "plan_cache_mode")
            shown = [await connection.fetchval("SELECT current_setting($1)", name) for name in names]
        await database.close()

    assert shown == ["30s", "force_custom_plan"]


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_that_shares_sessions_is_recognised_and_refused(pooler: Pooler, mode: str) -> None:
    async with pooler(mode) as url:
        database = Database(url)
        with pytest.raises(requirements.UnusableDatabase, match="shares connections between transactions"):
            await requirements.check(database)
        await database.close()


async def test_a_start_up_parameter_that_a_pooler_refuses_is_told_with_the_remedy(pooler: Pooler) -> None:
    async with pooler("session") as url:
        database = Database(f"{url}?options=-csearch_path%3Dpublic")
        with pytest.raises(Unavailable) as failed:
            await requirements.check(database)
        await database.close()

    assert "ignore_startup_parameters = options" in failed.value.reason
