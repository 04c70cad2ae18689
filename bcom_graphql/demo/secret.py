"""The demo's key to sign tokens with."""

import secrets
from pathlib import Path


def secret_key(folder: Path) -> str:
    """Returns the demo's own key, made once, readable by its owner only."""
    path = folder / "demo-secret"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text()
