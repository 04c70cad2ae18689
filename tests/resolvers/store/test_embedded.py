"""The embedded PostgreSQL: kept running, closed to others, and no danger to other processes."""

import asyncio
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from threading import get_native_id
from typing import NoReturn

import asyncpg
import psutil
import pytest

from bcom_graphql import app
from bcom_graphql.services import build_services
from resolvers.store.postgres.embedded import EmbeddedFailed, Supervised, embedded_postgres
from resolvers.store.postgres.embedded.postmaster import find_postmaster
from resolvers.store.postgres.embedded.programs import Account, program
from resolvers.store.postgres.embedded.sockets import socket_folder
from resolvers.store.postgres.migrations import migrate
from tests.conftest import settings_of
from tests.helpers.processes import Served
from tests.helpers.support import Api, serving, until

GIVE_UP_SECONDS = 240.0
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root may become somebody else, or mount")


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A folder with data: making it takes longer than all else here."""
    with TemporaryDirectory(prefix="bcom-") as folder:
        with embedded_postgres(Path(folder)):
            pass
        with (Path(folder) / "postgres" / "postgresql.auto.conf").open("a") as settings:
            settings.write("fsync = off\n")  # or each test waits for the disk, after a crash above all
        yield Path(folder)


@pytest.fixture
def folder(made: Path) -> Iterator[Path]:
    """A copy of it, where everybody may come by, as no folder of pytest's is."""
    with TemporaryDirectory(prefix="bcom-") as own:
        copy_of(made, Path(own))
        yield Path(own)


def copy_of(made: Path, folder: Path) -> None:
    """With its owners."""
    subprocess.run(["cp", "-a", f"{made}/.", str(folder)], check=True)


def postmaster(folder: Path) -> psutil.Process:
    found = find_postmaster(folder / "postgres")
    assert found is not None
    return found


def kill(folder: Path) -> None:
    postmaster(folder).kill()


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


async def asked(url: str) -> int:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    answer: int = await connection.fetchval("SELECT 42")
    await connection.close()
    return answer


# ---------------------------------------------------------------- kept running


async def test_it_is_started_again_when_it_was_killed(folder: Path) -> None:
    with embedded_postgres(folder) as url:
        seen = Supervised.at(url, folder)
        assert seen is not None
        before = seen.restarts
        kill(folder)
        wait_until(lambda: seen.restarts == before + 1, "it was not started again")

        assert await asked(url) == 42
        assert seen.is_running


def test_of_several_that_watch_over_it_one_starts_it_again(folder: Path) -> None:
    with ExitStack() as stack:
        [url] = {stack.enter_context(embedded_postgres(folder)) for _ in range(3)}
        seen = Supervised.at(url, folder)
        assert seen is not None
        before = seen.restarts
        kill(folder)
        wait_until(lambda: seen.restarts > before, "it was not started again")
        time.sleep(1.5)  # for others that would do it once more

        assert seen.restarts == before + 1


async def test_it_is_tried_again_until_what_is_in_its_way_is_gone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control, hidden = folder / "postgres" / "global" / "pg_control", folder / "hidden"
    said = ""

    def is_told() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "does not start, trying again" in said and "pg_control" in said

    with embedded_postgres(folder) as url:
        seen = Supervised.at(url, folder)
        assert seen is not None
        control.rename(hidden)
        kill(folder)
        wait_until(is_told, "nobody said that it does not start")
        assert not seen.is_running
        hidden.rename(control)
        wait_until(lambda: seen.is_running, "it was not started again")


@needs_root
async def test_after_a_full_disk_it_comes_back_by_itself(made: Path) -> None:
    with TemporaryDirectory(prefix="bcom-") as own, mounted(Path(own), "100m") as folder:
        copy_of(made, folder)
        with embedded_postgres(folder) as url:
            connection = await asyncpg.connect(url.replace("+asyncpg", ""))
            ballast = folder / "ballast"
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(b"x" * 4096):
                    pass
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await fill_the_log(connection)
            ballast.unlink()
            await until(lambda: answers(url), GIVE_UP_SECONDS)


async def answers(url: str) -> bool:
    try:
        return await asked(url) == 42
    except (asyncpg.PostgresError, OSError):
        return False


async def fill_the_log(connection: "asyncpg.Connection[asyncpg.Record]") -> NoReturn:
    """Until there is no space for it any more, which ends the server."""
    try:
        while True:
            await connection.execute("SELECT pg_logical_emit_message(false, 'test', 'text'), pg_switch_wal()")
    finally:
        connection.terminate()


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A small disk."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_health_and_metrics_tell_that_it_has_ended_and_how_often_it_was_started_again(folder: Path) -> None:
    control, hidden = folder / "postgres" / "global" / "pg_control", folder / "hidden"
    with embedded_postgres(folder) as url:
        settings = settings_of(url, data_folder=folder)
        services = build_services(settings)
        await migrate(services.database)
        async with serving(app.application(services, settings)) as address, Api.to(address, services) as api:
            seen = Supervised.at(url, folder)
            assert seen is not None
            before = seen.restarts
            control.rename(hidden)
            kill(folder)
            ended = (await api.http.get(address.replace("/graphql", "/health"))).json()
            hidden.rename(control)
            wait_until(lambda: seen.restarts > before, "it was not started again")
            metrics = (await api.http.get(address.replace("/graphql", "/metrics"))).text

    assert (ended["status"], ended["database"]) == ("unavailable", "down")
    assert "the embedded PostgreSQL has ended" in ended["reason"]
    assert f"bcom_embedded_postgres_restarts_total {seen.restarts:.1f}" in metrics


async def test_health_answers_while_the_database_is_frozen(folder: Path) -> None:
    with embedded_postgres(folder) as url:
        settings = settings_of(url)
        services = build_services(settings)
        await migrate(services.database)
        async with serving(app.application(services, settings)) as address, Api.to(address, services) as api:
            health = address.replace("/graphql", "/health")
            well = await api.http.get(health)
            frozen = [postmaster(folder), *postmaster(folder).children()]
            for process in frozen:
                process.suspend()
            try:
                asks = [api.http.get(health + path, timeout=8.0) for path in ("", "/ready", "") for _ in range(15)]
                answers = await asyncio.gather(*asks)
            finally:
                for process in frozen:
                    process.resume()
            await until(lambda: is_up(api, health), GIVE_UP_SECONDS)

    assert well.status_code == 200
    assert {answer.status_code for answer in answers} == {503}


async def is_up(api: Api, health: str) -> bool:
    return (await api.http.get(health)).status_code == 200


@pytest.mark.slow
def test_a_server_goes_on_after_its_embedded_postgresql_was_killed(tmp_path: Path) -> None:
    with TemporaryDirectory(prefix="bcom-") as own, Served(Path(own), "--demo", "--workers", "2") as server:
        kill(Path(own))
        wait_until(lambda: "runs again" in server.log, "it was not started again")
        server.wait_until_healthy()
        token = server.sign_in("noc@example.com", "demo-password")

        assert server.ask(token, "{ links { totalCount } }")["links"]["totalCount"] == 120


def test_a_frozen_one_is_stopped_as_politely_as_another(folder: Path) -> None:
    with embedded_postgres(folder):
        for process in (postmaster(folder), *postmaster(folder).children()):
            process.suspend()

    assert find_postmaster(folder / "postgres") is None
    assert "received fast shutdown request" in (log := (folder / "postgres.log").read_text())
    assert "immediate shutdown" not in log


# ---------------------------------------------------------------- what a killed one leaves


def test_a_stale_pid_file_is_not_believed_and_its_process_lives(folder: Path) -> None:
    with stranger() as innocent:
        (folder / "postgres" / "postmaster.pid").write_text(
            f"{innocent.pid}\n{folder / 'postgres'}\n1800000000\n5432\n{folder / 'postgres'}\n\n  1234 5\nready   \n"
        )

        with embedded_postgres(folder):
            assert postmaster(folder).pid != innocent.pid

        assert innocent.poll() is None


@contextmanager
def stranger() -> Iterator["subprocess.Popen[bytes]"]:
    """A process of the same user's that has nothing to do with any of this."""
    data = {"user": "pgserver"} if ROOT else {}
    process = subprocess.Popen(["sleep", "600"], start_new_session=True, **data)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("left", ["", "4711", "no number\n"])
def test_a_pid_file_that_was_half_written_is_in_nobodys_way(folder: Path, left: str) -> None:
    (folder / "postgres" / "postmaster.pid").write_text(left)

    with embedded_postgres(folder):
        pass


def test_the_number_of_a_thread_of_ours_is_no_server(folder: Path) -> None:
    """As numbers are given again in a container: https://github.com/cagriekin/charts/issues/346"""
    with ThreadPoolExecutor(1) as threads:
        thread = threads.submit(get_native_id).result()
        (folder / "postgres" / "postmaster.pid").write_text(f"{thread}\n{folder / 'postgres'}\n")

        with embedded_postgres(folder):
            pass


def test_the_lock_of_a_socket_may_name_a_living_process(folder: Path) -> None:
    """https://github.com/samugit83/redamon/issues/28"""
    (folder / "postgres" / ".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n{folder / 'postgres'}\n")

    with embedded_postgres(folder):
        pass


def test_a_stuck_process_of_a_killed_server_is_ended(folder: Path) -> None:
    """It would keep the shared memory: https://github.com/yugabyte/yugabyte-db/issues/12784"""
    with embedded_postgres(folder) as url:
        seen = Supervised.at(url, folder)
        assert seen is not None
        before = seen.restarts
        postmaster(folder).children()[0].suspend()
        kill(folder)
        wait_until(lambda: seen.restarts > before, "it was not started again")


def test_it_starts_at_once_after_everything_was_killed(folder: Path) -> None:
    for _ in range(3):
        command = [sys.executable, "-c", HOLD, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            holder.kill()
            kill(folder)

        with embedded_postgres(folder):
            pass

    assert find_postmaster(folder / "postgres") is None


HOLD = """
import sys, time, pathlib
from resolvers.store.postgres.embedded import embedded_postgres
with embedded_postgres(pathlib.Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(600)
"""


def test_the_server_of_somebody_who_was_killed_is_stopped_by_the_next_who_leaves(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
    assert find_postmaster(folder / "postgres") is not None

    with embedded_postgres(folder):
        pass

    assert find_postmaster(folder / "postgres") is None


def test_what_a_killed_initdb_has_left_goes(made: Path) -> None:
    with TemporaryDirectory(prefix="bcom-") as own:
        (left := Path(own) / "postgres.new-12345678").mkdir()
        (left / "PG_VERSION").write_text("18\n")

        with embedded_postgres(Path(own)):
            pass

        assert not left.exists()


def test_data_of_another_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("16\n")

    with (
        pytest.raises(EmbeddedFailed, match="is of PostgreSQL 16; the embedded one is 18"),
        embedded_postgres(tmp_path),
    ):
        pass


def test_a_folder_of_something_else_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "thesis.tex").touch()

    with (
        pytest.raises(EmbeddedFailed, match="is not empty, and contains no data of PostgreSQL"),
        embedded_postgres(tmp_path),
    ):
        pass


def test_data_that_is_damaged_is_a_sentence_with_the_log(folder: Path) -> None:
    (folder / "postgres" / "global" / "pg_control").unlink()

    with (
        pytest.raises(EmbeddedFailed, match=r"did not start: .*pg_control.* Its log: "),
        embedded_postgres(folder),
    ):
        pass


# ---------------------------------------------------------------- several processes


def test_the_last_one_stops_it(folder: Path) -> None:
    with ThreadPoolExecutor(4) as threads, ExitStack() as stack:
        urls = set(threads.map(lambda _: stack.enter_context(embedded_postgres(folder)), range(4)))
        assert len(urls) == 1
        with embedded_postgres(folder):
            pass
        assert find_postmaster(folder / "postgres") is not None

    assert find_postmaster(folder / "postgres") is None
    assert not (folder / "postgres" / "postmaster.pid").exists()


# ---------------------------------------------------------------- closed to others


@pytest.fixture(params=["short", "long"])
def path(request: pytest.FixtureRequest, made: Path) -> Iterator[Path]:
    """A data folder; in a long one there is no room for a socket."""
    with TemporaryDirectory(prefix="bcom-") as own:
        folder = Path(own) / ("x" * 90 if request.param == "long" else "data")
        folder.mkdir()
        Path(own).chmod(0o755)
        copy_of(made, folder)
        yield folder


def psql(host: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    ask = [str(program("psql", Account())), "-w", "-h", str(host), "-U", "postgres", "-c", "SELECT 'in'"]
    return subprocess.run([*command, *ask], env=variables, capture_output=True, text=True, check=False, timeout=60)


async def test_nobody_comes_in_without_the_password(path: Path) -> None:
    with embedded_postgres(path) as url:
        host = socket_folder(path / "postgres")
        assert host is not None
        without = psql(host)
        wrong = psql(host, PGPASSWORD="postgres")
        right = psql(host, PGPASSWORD=(path / "postgres.password").read_text())

        assert await asked(url) == 42

    assert "no password supplied" in without.stderr
    assert "password authentication failed" in wrong.stderr
    assert right.returncode == 0


async def test_only_who_runs_it_may_come_to_its_socket_and_its_password(path: Path) -> None:
    with embedded_postgres(path):
        host = socket_folder(path / "postgres")
        assert host is not None
        owner = pwd.getpwuid(host.stat().st_uid).pw_name
        modes = [
            oct(each.stat().st_mode & 0o777) for each in (host, host / ".s.PGSQL.5432", path / "postgres.password")
        ]

    assert owner == ("pgserver" if ROOT else pwd.getpwuid(os.geteuid()).pw_name)
    assert modes == ["0o700", "0o700", "0o600"]
    assert host == path / "postgres" or not host.exists(), "of what is elsewhere nothing stays"


@needs_root
async def test_another_user_comes_neither_to_its_socket_nor_to_its_password(path: Path) -> None:
    nobody = ("setpriv", "--reuid=nobody", "--clear-groups")
    with embedded_postgres(path):
        host = socket_folder(path / "postgres")
        assert host is not None
        refused = psql(host, *nobody, PGPASSWORD=(path / "postgres.password").read_text())
        read = subprocess.run([*nobody, "cat", str(path / "postgres.password")], check=False, capture_output=True)

    assert "Permission denied" in refused.stderr
    assert read.returncode != 0


@needs_root
def test_it_is_in_no_group_of_root(folder: Path) -> None:
    with embedded_postgres(folder):
        status = Path(f"/proc/{postmaster(folder).pid}/status").read_text()

    [groups] = [line.split()[1:] for line in status.splitlines() if line.startswith("Groups:")]
    [gids] = [line.split()[1:] for line in status.splitlines() if line.startswith("Gid:")]
    assert "0" not in groups + gids


async def test_where_its_socket_was_somebody_else_is_not_trusted(made: Path) -> None:
    with TemporaryDirectory(prefix="bcom-") as own:
        folder = Path(own) / ("x" * 90)
        folder.mkdir()
        copy_of(made, folder)
        with embedded_postgres(folder):
            first = socket_folder(folder / "postgres")
        assert first is not None
        first.mkdir()
        (first / "theirs").touch()
        first.chmod(0o777)
        try:
            with embedded_postgres(folder) as url:
                second = socket_folder(folder / "postgres")
                assert await asked(url) == 42
        finally:
            rmtree(first)

    assert second != first


async def test_the_address_stays_the_same(path: Path) -> None:
    with embedded_postgres(path) as first:
        pass
    with embedded_postgres(path) as again:
        assert await asked(again) == 42

    assert again == first


async def test_data_that_trusted_everybody_wants_a_password_from_now_on(folder: Path) -> None:
    rules, password = folder / "postgres" / "pg_hba.conf", folder / "postgres.password"
    rules.write_text(rules.read_text().replace("scram-sha-256", "trust"))
    (folder / "postgres" / ".handle_pids.json").write_text("[1, 2]")
    password.unlink()

    with embedded_postgres(folder) as url:
        assert await asked(url) == 42
        refused = psql(folder / "postgres")

    assert "no password supplied" in refused.stderr
    assert not (folder / "postgres" / ".handle_pids.json").exists()


async def test_a_path_may_have_blanks_and_signs(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6543")  # meant for another server
    with TemporaryDirectory(prefix="bcom-") as own:
        folder = Path(own) / 'it\'s, "so" & $HOME?#%20'
        folder.mkdir()
        copy_of(made, folder)
        with embedded_postgres(folder) as url:
            assert await asked(url) == 42


def test_somebody_else_s_server_is_not_taken_for_it(folder: Path) -> None:
    with embedded_postgres(folder) as url:
        assert Supervised.at("postgresql+asyncpg://me@db.example.com/bcom", folder) is None
        assert Supervised.at(url, folder.parent) is None


def test_a_server_of_which_nobody_can_tell_is_not_taken_for_dead(folder: Path) -> None:
    """As when too many files are open: whoever took it for dead would end its processes, and start another."""
    (folder / "postgres" / "postmaster.pid").mkdir()

    with pytest.raises(IsADirectoryError):
        find_postmaster(folder / "postgres")

    assert Supervised(folder).is_running
