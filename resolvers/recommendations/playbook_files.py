"""Reads the playbook that the server recommends from: the default one, and an operator's own files."""

from pathlib import Path

from ml.recommendation.playbook.catalogue import Playbook
from ml.recommendation.playbook.loading import BadPlaybook, default_playbook, load
from resolvers.base.errors import InvalidInput


def read_playbook(path: Path | None) -> Playbook:
    """Returns the default playbook with the actions and lines of a TOML file, or of a folder of them.

    Raises InvalidInput for files that cannot be read, and for entries that cannot be used.
    """
    if path is None:
        return default_playbook()
    try:
        return load(_read_texts(path), default_playbook())
    except BadPlaybook as error:
        raise InvalidInput(f"PLAYBOOK cannot be used. {error}") from None


def find_changes(playbook: Playbook) -> dict[str, object]:
    """Returns what a playbook replaces and adds to the default one, for the log."""
    default = default_playbook()
    own = {key for key, action in playbook.actions.items() if action != default.actions.get(key)}
    lines, default_lines = _collect_lines(playbook), _collect_lines(default)
    return {
        "replaced": sorted(own & set(default.actions)),
        "added": sorted(own - set(default.actions)),
        "lines_replaced": sum(lines[line] != default_lines[line] for line in default_lines),
        "lines_added": len(lines) - len(default_lines),
    }


def _read_texts(path: Path) -> dict[str, str]:
    """Raises InvalidInput."""
    try:
        files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
        texts = {file.name: file.read_text("utf-8") for file in files}
    except OSError as error:
        raise InvalidInput(f"PLAYBOOK cannot be read: {error.filename}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"PLAYBOOK cannot be read: {path} is not UTF-8 text.") from None
    if not texts:
        raise InvalidInput(f"PLAYBOOK cannot be used: the folder {path} has no .toml files.")
    return texts


def _collect_lines(playbook: Playbook) -> dict[tuple[object, str], tuple[float, str]]:
    """Returns each line's chance and source, by its cause or metric and its action."""
    return {
        (of, remedy.action.key): (remedy.chance, remedy.source)
        for lists in (playbook.by_cause, playbook.by_metric)
        for of, remedies in lists.items()
        for remedy in remedies
    }
