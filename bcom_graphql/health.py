"""How the server is, for what starts, watches and balances it.

    /health         the database answers
    /health/live    this process does: start it anew when not
    /health/ready   it can serve: send it requests only then

Answers are 200, or 503 with what is wrong. What the database said is remembered for a few seconds: asking is cheap.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bcom_graphql import __version__
from resolvers.context import Services
from resolvers.errors import ClientError
from resolvers.observing import Lately
from resolvers.store.migrations import pending

OK: Final = "ok"
UNKNOWN: Final = "unknown"
UNCACHED: Final = {"cache-control": "no-store"}


@dataclass(frozen=True)
class Health:
    """Of the process with these services. `is_stopping`: it was told to, and sends what has happened still."""

    services: Services
    is_stopping: Callable[[], bool]

    def routes(self) -> list[Route]:
        migrations, models = Lately(self._migrations), Lately(self._models)

        async def ready(_: Request) -> JSONResponse:
            migrated = await migrations.get()
            checks = {
                "server": "is stopping" if self.is_stopping() else OK,
                "database": OK if migrated else "does not answer",
                "migrations": migrated or UNKNOWN,
                "models": await models.get() or UNKNOWN,
                "events": OK if self.services.feed.is_following else "are not followed",
            }
            well = all(state == OK for state in checks.values())
            return _answer({"status": "ready" if well else "unready", "checks": checks}, well=well)

        return [
            Route("/health", self._answers),
            Route("/health/live", lambda _: _answer({"status": "live"}, well=True)),
            Route("/health/ready", ready),
        ]

    async def _answers(self, _: Request) -> JSONResponse:
        try:
            async with self.services.database.read() as session:
                await session.execute(text("SELECT 1"))
        except ClientError:
            return _answer({"status": "unavailable", "database": "down"}, well=False)
        return _answer({"status": "ok", "database": "up"}, well=True)

    async def _migrations(self) -> str:
        return "are pending: run `bcom-graphql migrate`" if await pending(self.services.database) else OK

    async def _models(self) -> str:
        missing = await self.services.registry.missing()
        return f"have no champion, run `bcom-graphql train --all`: {', '.join(missing)}" if missing else OK


def _answer(told: Mapping[str, object], *, well: bool) -> JSONResponse:
    return JSONResponse({**told, "version": __version__}, 200 if well else 503, UNCACHED)
