"""The command line, run as processes of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from bcom_graphql.settings import Settings
from tests.helpers.commands import run_forked
from tests.helpers.places import ROOT

GIVE_UP_SECONDS = 240  # the first start of a demo fills a fleet, in a test run beside other tests
COMMAND = [sys.executable, "-m", "bcom_graphql"]


def environment(folder: Path, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return {**kept, "DATA_FOLDER": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "120", **settings}


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """What became of a command."""
    return run_forked([*arguments], environment(folder, **settings), folder, seconds=60)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


class Served:
    """`bcom-graphql serve` as a process, from its start to its end."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._command = [*COMMAND, "serve", "--port", str(port), *arguments]
        self._environment = environment(folder, **settings)
        self._log = folder / "serve.log"

    def __enter__(self) -> "Served":
        self.start()
        return self

    def start(self) -> None:
        began = time.monotonic()
        self.stopped: int | None = None
        with self._log.open("w") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        self.wait_until_healthy()
        self.seconds = time.monotonic() - began

    def wait_until_healthy(self) -> None:
        """Fails with what the server said, at once where it has ended."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while not self.is_healthy():
            assert self._process.poll() is None, f"it has ended: {self.log}"
            assert time.monotonic() < deadline, f"it is not healthy: {self.log}"
            time.sleep(0.1)

    def is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").json()["status"] == "ok"
        except httpx.HTTPError:
            return False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def ask(self, token: str | None, document: str, **variables: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = {"query": document, "variables": variables}
        answer = httpx.post(f"{self.url}/graphql", json=body, headers=headers, timeout=30).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def sign_in(self, email: str, password: str) -> str:
        login = """mutation ($input: LoginInput!) { login(input: $input) { ... on Session { accessToken } } }"""
        token: str = self.ask(None, login, input={"email": email, "password": password})["login"]["accessToken"]
        return token

    def kill(self) -> None:
        """As the machine's out-of-memory killer would; it may be started again."""
        self._process.kill()
        self._process.wait(30)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self.stopped = self._process.wait(30)

    def __exit__(self, *_: object) -> None:
        if self.stopped is None:
            self.stop()
