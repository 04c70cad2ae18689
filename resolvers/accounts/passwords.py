"""Passwords' hashes: Argon2id, a few at a time in threads of its own, with a short queue before them."""

import asyncio
import os
import secrets
import sys
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from resolvers.accounts.credentials import LONGEST_PASSWORD
from resolvers.base.fair_queue import FairQueue

THREADS: Final = min(4, max(1, (os.cpu_count() or 1) // 2))  # each hash takes 64 MiB, and runs on four cores if it may
NICENESS: Final = 10  # the event loop comes first, and the database
WAITING: Final = 200
MOST_GIVEN: Final = 10 * LONGEST_PASSWORD  # longer ones match no password, whatever they are normalised to

Result = TypeVar("Result")


def _made_up_hash(hasher: PasswordHasher) -> str:
    """Returns a hash of no password: as costly to verify as any other, and free to make."""
    salt, digest = (
        b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"


class Passwords:
    """Hashes and verifies; who waits for it is let in by network, those known to the account first."""

    def __init__(self, waiting: int = WAITING, threads: int = THREADS, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()  # argon2id, RFC 9106's low-memory parameters
        self._nobodys_hash = _made_up_hash(self._hasher)
        self._turns = FairQueue(threads, waiting, "Too many sign in at this moment.")
        self._threads = ThreadPoolExecutor(threads, "argon2", _step_back)  # a flood leaves other threads alone

    async def hash(self, password: str, network: str = "", *, is_known: bool = False) -> str:
        """Of a checked password. Raises Busy."""
        return await self._run_in_thread(lambda: self._hasher.hash(password), network, is_known=is_known)

    async def match(self, password: str, hash: str | None, network: str = "", *, is_known: bool = False) -> bool:
        """Takes the same time when there is no hash, so that nobody learns who has an account. Raises Busy."""
        if len(password) > MOST_GIVEN:
            password, hash = "", None
        work = partial(self._verify, password, hash or self._nobodys_hash)
        return await self._run_in_thread(work, network, is_known=is_known) and hash is not None

    async def _run_in_thread(self, work: Callable[[], Result], network: str, *, is_known: bool) -> Result:
        await self._turns.acquire(network, preferred=is_known)
        loop = asyncio.get_running_loop()
        running = self._threads.submit(work)
        running.add_done_callback(lambda _: self._release(loop))
        return await asyncio.wrap_future(running)

    def _verify(self, password: str, hash: str) -> bool:
        """As it is hashed now, in NFC, and as it was typed, which older hashes are of."""
        spellings = dict.fromkeys((unicodedata.normalize("NFC", password), password))
        return any(self._is_of(spelling, hash) for spelling in spellings)

    def _is_of(self, password: str, hash: str) -> bool:
        try:
            return self._hasher.verify(hash, password)
        except (Argon2Error, InvalidHashError):
            return False

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        """When the thread is free, which it is not when whoever waited has gone."""
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._turns.release)


def _step_back() -> None:
    """Only on Linux is niceness a thread's own, and of the threads that it starts; elsewhere it is the process's."""
    if sys.platform == "linux":
        os.nice(NICENESS)
