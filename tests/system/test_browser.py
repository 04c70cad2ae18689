"""The page in a real browser, Debian's Chromium: sign in, run a query, see an anomaly arrive."""

import asyncio
import shutil
import subprocess
from itertools import count
from pathlib import Path

import pytest

from bcom_graphql.graphql.transports import ide
from resolvers.base.roles import Role
from tests.helpers.places import ROOT
from tests.helpers.support import EXTREME, LINK_CENTRE, LINK_SPREAD, Api, Factory, Server, ago, record_levels
from tests.system.test_clients import clients, node

EMAIL, PASSWORD = "noc@example.com", "long enough"
REGISTER = """mutation ($email: String!, $password: String!) { register(input: {email: $email, password: $password}) {
  ... on Session { user { role } } } }"""
STEPS = [
    "the editor",
    "a wrong password is told",
    "who is signed in",
    "the query's answer",
    "an anomaly, live",
    "a reload keeps the session",
    "nothing in localStorage",
    "signed out",
]
missing = [command for command in ("npm", "chromium") if shutil.which(command) is None]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing), reason=f"not here: {', '.join(missing)}")]
__all__ = ["clients"]  # a fixture


@pytest.fixture(scope="session")
def _built() -> None:
    """The page from our own files."""
    if not ide.is_built():
        subprocess.run(["make", "web"], cwd=ROOT, check=True, capture_output=True)


async def fail_on(operator: Api, make: Factory) -> None:
    """One link after the other, until nobody watches any more."""
    for _ in count():
        link = await make.link()
        await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
        await record_levels(operator, link, {ago(minutes=1): EXTREME})
        await asyncio.sleep(1.0)


def pictures(folder: Path) -> list[Path]:
    return [*folder.glob("*.png")]


@pytest.mark.usefixtures("_built")
async def test_somebody_signs_in_runs_a_query_and_sees_an_anomaly_arrive(
    server: Server, make: Factory, clients: Path, tmp_path: Path
) -> None:
    async with server() as api:
        await api.run(REGISTER, email=EMAIL, password=PASSWORD)
        failing = asyncio.create_task(fail_on(await api.as_(Role.OPERATOR), make))
        browser = await node(ROOT / "web" / "check.mjs", api.url, EMAIL, PASSWORD, tmp_path, cwd=clients)
        said, complaints = await browser.communicate()
        failing.cancel()

    lines = said.decode().splitlines()
    assert lines == [f"ok: {step}" for step in STEPS], complaints.decode()
    assert browser.returncode == 0
    assert {picture.stem for picture in pictures(tmp_path)} == {
        f"graphiql-light-{name}" for name in ("opening", "query", "subscription")
    }
