"""Settings → database, events, models, tokens, limits: what resolvers work with, in servers and in commands."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bcom_graphql.settings import Settings
from bcom_graphql.training_processes import TrainerProcesses
from resolvers.accounts.passwords import Passwords
from resolvers.base.rate_limits import RateLimiter
from resolvers.base.tokens import Tokens
from resolvers.context import Services
from resolvers.demo.clock import FleetClock, read_real_time
from resolvers.recommendations.playbook_files import read_playbook
from resolvers.store.events.database import EventDatabase
from resolvers.store.events.feed import POLL_SECONDS, EventFeed
from resolvers.store.events.nats import RETRY_SECONDS, NatsWakeups
from resolvers.store.events.wakeups import Wakeups
from resolvers.store.models.registry import Registry
from resolvers.telemetry.files.processes import FileReaders


@dataclass(frozen=True)
class Pace:
    """How often a process looks by itself.

    poll_seconds: for events and samples, without a wake-up. retry_seconds: for NATS, while it is away.
    """

    poll_seconds: float = POLL_SECONDS
    retry_seconds: float = RETRY_SECONDS


USUAL_PACE: Final = Pace()


def build_services(
    settings: Settings,
    clock: Callable[[], datetime] | None = None,
    passwords: Passwords | None = None,
    pace: Pace = USUAL_PACE,
) -> Services:
    """Returns what resolvers work with; DATABASE_URL must be set by now. Raises InvalidInput for a bad PLAYBOOK.

    clock: of the fleet; by default the real time, and the demo's own in the demo.
    passwords: by default as costly to guess as is usual.
    A command that serves nobody needs no SECRET_KEY: its tokens are good for nothing.
    """
    assert settings.database_url is not None  # noqa: S101
    secret = settings.secret_key.get_secret_value() if settings.secret_key else secrets.token_urlsafe()
    url = settings.database_url.get_secret_value()
    database = EventDatabase(url, settings.pool_size, settings.max_statement_seconds, wakeups(settings, pace))
    life, leeway = (
        timedelta(minutes=settings.access_token_expire_minutes),
        timedelta(seconds=settings.clock_leeway_seconds),
    )
    tokens = Tokens(secret, life, settings.algorithm, leeway)
    registry = Registry(database, settings.model_cache_size, settings.model_cache_seconds)
    trainers = TrainerProcesses(settings, database)
    feed = EventFeed(database, poll_seconds=pace.poll_seconds)
    return Services(
        database,
        feed,
        registry,
        tokens,
        trainers,
        passwords or Passwords(settings.sign_ins_waiting),
        FileReaders(settings.max_import_memory, settings.max_upload_seconds, settings.max_unpacked),
        settings.retention_days,
        settings.event_retention_days,
        rate_limits(settings),
        settings.open_registration,
        settings.api_keys_per_user,
        read_playbook(settings.playbook),
        clock or (FleetClock() if settings.demo else read_real_time),
    )


def wakeups(settings: Settings, pace: Pace = USUAL_PACE) -> Wakeups | None:
    """Returns None for PostgreSQL's own. Raises ValueError when NATS's library is missing."""
    if settings.events_url is None:
        return None
    return NatsWakeups(settings.events_url.get_secret_value(), retry_seconds=pace.retry_seconds)


def rate_limits(settings: Settings) -> RateLimiter:
    """Raises ValueError when the storage's library is missing."""
    storage = settings.rate_limit_storage.get_secret_value() if settings.rate_limit_storage else None
    return RateLimiter(settings.rates, storage)
