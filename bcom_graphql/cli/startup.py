"""What must be there before anybody is served: a database, its migrations, a champion of every model."""

import structlog
from rich.progress import Progress

from bcom_graphql import demo_account
from bcom_graphql.cli.champions import ensure_champions
from bcom_graphql.cli.database import migrated
from bcom_graphql.demo.runs import start_run
from bcom_graphql.settings import Settings
from resolvers.accounts import users
from resolvers.context import Services
from resolvers.operations.maintenance import make_partitions
from resolvers.recommendations.playbook_files import find_changes, read_playbook
from resolvers.store.models import training_runs

logger = structlog.get_logger(__name__)


async def make_ready(settings: Settings, bar: Progress) -> None:
    """Migrates, gives every model a champion, and for the demo fills the fleet. Raises Unavailable."""
    if settings.playbook:
        changes = find_changes(read_playbook(settings.playbook))
        logger.info("recommending from a playbook of the operator", path=str(settings.playbook), **changes)
    async with migrated(settings) as services:
        await (demo_account.move_in(services) if settings.demo else demo_account.move_out(services))
        await _tell_first_admin(services)
        await make_partitions(services)
        await training_runs.fail_orphans(services.database)
        await ensure_champions(services, bar)
        if settings.demo:
            await _start_demo(services, settings, bar)


async def _tell_first_admin(services: Services) -> None:
    """Logs how to become an admin while nobody is one and registration is closed."""
    async with services.database.read() as session:
        if services.open_registration or await users.has_admin(session):
            return
    logger.warning(
        "nobody is an admin yet: make one with `bcom-graphql user EMAIL --role admin`, or register with this token,"
        " which works once",
        token=services.tokens.first_admin_token,
    )


async def _start_demo(services: Services, settings: Settings, bar: Progress) -> None:
    task = bar.add_task("Demo fleet", total=1.0)
    await start_run(
        services,
        settings.demo_options,
        lambda done, what: bar.update(task, completed=done, description=f"Demo: {what}"),
    )
    bar.update(task, completed=1.0)
