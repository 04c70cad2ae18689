"""The data folder: created completely or not at all, and protected by a password."""

import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from resolvers.store.postgres.embedded.programs import Account, EmbeddedFailed, run

VERSION: Final = "18"
SUPERUSER: Final = "postgres"
UNFINISHED: Final = "postgres.new-"
TRUSTING: Final = re.compile(r"^(\s*(?:local|host)\b.*\s)trust[ \t]*$", re.MULTILINE)


def is_ready(data: Path) -> bool:
    """Returns whether the data exists and requires a password. Raises EmbeddedFailed if the folder has other files."""
    if not data.exists() or not any(data.iterdir()):
        return False
    if not (data / "PG_VERSION").exists():
        raise EmbeddedFailed(f"{data} is not empty, and contains no data of PostgreSQL.")
    if (version := (data / "PG_VERSION").read_text().strip()) != VERSION:
        raise EmbeddedFailed(f"{data} is of PostgreSQL {version}; the embedded one is {VERSION}.")
    return password_file(data).exists() and not TRUSTING.search((data / "pg_hba.conf").read_text())


def prepare(data: Path, account: Account) -> None:
    """Creates the data folder, or sets the password that an earlier version did not set. Raises EmbeddedFailed.

    The server must not be running.
    """
    for left in data.parent.glob(f"{UNFINISHED}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    if data.exists() and any(data.iterdir()):
        _close(data, data, account)
        return
    made = Path(mkdtemp(prefix=UNFINISHED, dir=data.parent))
    try:
        account.give(made)
        run(account, "initdb", "--auth=trust", "--encoding=utf8", "-U", SUPERUSER, "-D", str(made))
        _close(made, data, account)
        made.rename(data)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _close(where: Path, data: Path, account: Account) -> None:
    """Sets the password and requires it. `--single` runs no server, so nobody can connect meanwhile."""
    statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{_password(data)}';\n"
    said = run(account, "postgres", "--single", "-D", str(where), "postgres", given=statement)
    if "ERROR:" in said:
        raise EmbeddedFailed(f"The embedded PostgreSQL's password cannot be set. {said}")
    rules = where / "pg_hba.conf"
    rules.write_text(TRUSTING.sub(r"\1scram-sha-256", rules.read_text()))
    with suppress(FileNotFoundError):
        (where / ".handle_pids.json").unlink()  # written by an earlier version


def password_file(data: Path) -> Path:
    return data.with_name("postgres.password")


def password(data: Path) -> str:
    """Returns the superuser's password. Raises EmbeddedFailed if this account may not read it."""
    try:
        return password_file(data).read_text()
    except OSError as error:
        raise EmbeddedFailed(f"The embedded PostgreSQL's password cannot be read: {error}") from error


def _password(data: Path) -> str:
    """Returns the stored password, or stores a new one in a file that only this account can read."""
    file = password_file(data)
    with suppress(FileNotFoundError):
        return file.read_text()
    new = secrets.token_urlsafe(24)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as opened:  # noqa: PTH123
        opened.write(new)
    return new
