"""Health checks, for process managers and load balancers.

    /health         the database answers; in the demo with its fleet's time, whose clock may run faster
    /health/live    this process answers; restart it otherwise
    /health/ready   it can serve; send it requests only then

The status is 200, or 503 with what is wrong, within about a second. /health/ready caches what the database said for a
few seconds, so that it is cheap.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bcom_graphql import __version__
from resolvers.base.shared_query import SharedQuery, TtlCache
from resolvers.context import Services
from resolvers.demo.clock import FleetClock
from resolvers.store.postgres.embedded import Supervised
from resolvers.store.postgres.migrations import pending

OK: Final = "ok"
UNKNOWN: Final = "unknown"
ENDED: Final = "the embedded PostgreSQL has ended and is started again; the server's log says how that goes"
UNCACHED: Final = {"cache-control": "no-store"}


@dataclass(frozen=True)
class Health:
    """The health of the process with these services. `is_stopping`: it is shutting down, but still sends events."""

    services: Services
    is_stopping: Callable[[], bool]
    embedded: Supervised | None = None

    def routes(self) -> list[Route]:
        answers, migrations, models = SharedQuery(self._answers), TtlCache(self._migrations), TtlCache(self._models)

        async def health(_: Request) -> JSONResponse:
            if await answers.get():
                return _answer({"status": "ok", "database": "up"} | self._demo(), well=True)
            return _answer({"status": "unavailable", "database": "down"} | self._reason(), well=False)

        async def ready(_: Request) -> JSONResponse:
            migrated, trained = await asyncio.gather(migrations.get(), models.get())
            checks = {
                "server": "is stopping" if self.is_stopping() else OK,
                "database": OK if migrated else self._reason().get("reason", "does not answer"),
                "migrations": migrated or UNKNOWN,
                "models": trained or UNKNOWN,
                "events": OK if self.services.feed.is_following else "are not followed",
            }
            well = all(state == OK for state in checks.values())
            return _answer({"status": "ready" if well else "unready", "checks": checks}, well=well)

        return [
            Route("/health", health),
            Route("/health/live", _live),
            Route("/health/ready", ready),
        ]

    def _reason(self) -> dict[str, str]:
        """Returns why the database does not answer, as far as that is known here."""
        return {} if self.embedded is None or self.embedded.is_running else {"reason": ENDED}

    def _demo(self) -> dict[str, object]:
        """Returns the demo's clock, which is not the real one; nothing where no demo runs."""
        clock = self.services.clock
        if not isinstance(clock, FleetClock):
            return {}
        return {"demo": {"fleet_time": f"{clock():%Y-%m-%dT%H:%M:%SZ}", "speed": clock.speed}}

    async def _answers(self) -> bool:
        async with self.services.database.read() as session:
            await session.execute(text("SELECT 1"))
        return True

    async def _migrations(self) -> str:
        return "are pending: run `bcom-graphql migrate`" if await pending(self.services.database) else OK

    async def _models(self) -> str:
        missing = await self.services.registry.list_missing()
        return f"have no champion, run `bcom-graphql train --all`: {', '.join(missing)}" if missing else OK


async def _live(_: Request) -> JSONResponse:
    """Answers in the event loop: a plain function would need a thread, and all may be busy."""
    return _answer({"status": "live"}, well=True)


def _answer(told: Mapping[str, object], *, well: bool) -> JSONResponse:
    return JSONResponse({**told, "version": __version__}, 200 if well else 503, UNCACHED)
