"""`make audit` fails for what is known to be vulnerable, and for nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.places import ROOT

VULNERABLE = '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}]}'
SOUND = '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}'
SILENT = '{"dependencies": [{"name": "a", "skip_reason": "not found"}]}'


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (VULNERABLE, 1, "a 1: CVE-1"),
        (SOUND, 0, "1 of 1 packages were audited."),
        (SILENT, 0, "could not be audited: the index answers no questions"),
        ("no network", 0, "could not be audited: pip-audit or the index is not to be had"),
    ],
)
def test_only_a_known_vulnerability_fails(tmp_path: Path, answer: str, code: int, said: str) -> None:
    (uv := tmp_path / "uv").write_text(f"#!/bin/sh\necho '{answer}'\nexit 1\n")
    uv.chmod(0o755)

    audited = subprocess.run(
        [sys.executable, ".ci/audit", str(uv)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (audited.returncode, said in audited.stdout) == (code, True)
