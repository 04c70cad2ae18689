"""What was sent, what came back, and what must not."""

import json
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import structlog

from bcom_graphql.observability.logging import with_request_id

OURS = ("INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT")
LEAKS = ("Traceback", "SELECT ", "sqlalchemy", "asyncpg", '.py"', '.py\\"', "/site-packages/")
CLOSED_PROPERLY = {1000, 1007, 1009, *range(4400, 4500)}  # 1007: a text frame that is no UTF-8 (RFC 6455)
CLOSED_WITH_1007 = "Invalid UTF-8 sequence received from client."  # uvicorn takes it for an error of its own
LONGEST_SHOWN = 1200


@dataclass
class Finding:
    """The shortest of what provoked the same, what came back, and how often."""

    sent: str
    came: str
    times: int = 1


@dataclass
class Report:
    """Counts, and everything that must not happen."""

    started: float = field(default_factory=time.monotonic)
    sent: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    closed: Counter[int] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)  # by request id
    stall: float = 0.0

    def find(self, where: str, what: str, sent: object, came: object) -> None:
        shown = sent if isinstance(sent, str) else json.dumps(sent, default=repr)
        found = self.findings.setdefault((where, what), Finding(shown, str(came), 0))
        found.times += 1
        if len(shown) < len(found.sent):
            found.sent, found.came = shown, str(came)

    def logged(self, what: str, text: str) -> None:
        """Whatever is logged as an error is one, even where no client learned of it."""
        self.find("the log", what, "", text)

    def shown(self) -> str:
        elapsed = time.monotonic() - self.started
        lines = [f"{times:6} {name}" for name, times in sorted(self.sent.items())]
        lines.append(f"{self.sent.total():6} in {elapsed:.0f} s, {self.sent.total() / elapsed:.0f}/s")
        for title, counter in (("codes", self.codes), ("statuses", self.statuses), ("sockets closed", self.closed)):
            lines.append(f"{title}: {', '.join(f'{key} {times}' for key, times in counter.most_common())}")
        lines.append(f"longest stall of the event loop: {self.stall:.2f} s")
        for (where, what), found in self.findings.items():
            lines.append(f"\nFINDING {where}: {what}, {found.times} times")
            lines += [f"  sent  {found.sent[:LONGEST_SHOWN]}", f"  came  {found.came[:LONGEST_SHOWN]}"]
        return "\n".join([*lines, f"{len(self.findings)} findings", ""])


class LogCollector(logging.Handler):
    """Errors of uvicorn, asyncio and everybody else who logs."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.ERROR)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == CLOSED_WITH_1007:
            return
        text = logging.Formatter().format(record)
        self._report.logged(f"{record.name}: {text.splitlines()[-1][:100]}", text[-LONGEST_SHOWN:])


def collect_logs(report: Report) -> None:
    def collect(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        trace = str(event.get("exception", ""))
        id = event.get("request_id")
        if id:
            report.logs[id] = trace[-LONGEST_SHOWN:]
        else:
            report.logged(str(event["event"]), trace[-LONGEST_SHOWN:])
        raise structlog.DropEvent

    structlog.configure(processors=[with_request_id, structlog.processors.format_exc_info, collect])
    logging.getLogger("uvicorn").handlers.clear()
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    for name in (None, "uvicorn.error"):
        logging.getLogger(name).addHandler(LogCollector(report))
