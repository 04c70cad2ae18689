"""Loads playbooks from TOML texts, and says which entry and field cannot be used."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError

from ml.catalogue.metrics import CATALOGUE, Direction, Metric, TargetKind
from ml.catalogue.root_causes import RootCause
from ml.recommendation.playbook.actions import Action, CasePhrases, Effort, Purpose, Remedy, Tag
from ml.recommendation.playbook.catalogue import CausePair, MetricOfKind, Playbook

EMPTY: Final = Playbook({}, {}, {}, {})
PHRASES: Final = frozenset(CasePhrases.__dataclass_fields__) - {"usual"}
METRICS: Final = frozenset(metric.column for metric in Metric)
PURPOSES: Final = {purpose.value.lower(): purpose for purpose in Purpose}
WANTED: Final = "cause and no metric has"
REASONS: Final = {"missing": "is missing", "extra_forbidden": "is not a field here"}

Listed = RootCause | MetricOfKind | CausePair


class BadPlaybook(ValueError):
    """A playbook cannot be used. The message names the file, the entry and the field."""


@cache
def default_playbook() -> Playbook:
    """Returns the playbook of this package's TOML files."""
    folder = files("ml.recommendation.playbook")
    return load({file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".toml")})


def load(texts: Mapping[str, str], base: Playbook = EMPTY) -> Playbook:
    """Returns `base` with the actions and lines of TOML texts, by file name. Raises BadPlaybook.

    An action replaces that of the same key. A line replaces that of the same action for the same cause, metric or pair
    of causes, in its place; others are added behind.
    """
    documents = {file: _parse(file, text) for file, text in sorted(texts.items())}
    added = _collect_actions(documents, base)
    actions = {**base.actions, **added}
    lists = {of: {remedy.action.key: remedy for remedy in remedies} for of, remedies in _lists_of(base)}
    for file, document in documents.items():
        for of, lines in document.lists():
            for key, line in lines.items():
                _require_fit(f"{file}: {_path(of)}.{key}", of, actions.get(key))
                lists.setdefault(of, {})[key] = Remedy(actions[key], line.chance, line.source)
    _require_lines(documents, lists)
    complete = {
        of: tuple(Remedy(actions[key], remedy.chance, remedy.source) for key, remedy in remedies.items())
        for of, remedies in lists.items()
    }
    return Playbook(
        actions,
        {of: remedies for of, remedies in complete.items() if isinstance(of, RootCause)},
        {of: remedies for of, remedies in complete.items() if isinstance(of, tuple)},
        {of: remedies for of, remedies in complete.items() if isinstance(of, frozenset)},
    )


# ---------------------------------------------------------------- what stands in a file


def _unwrap(text: Any) -> Any:
    """Makes one line of a text that is wrapped in the file."""
    return re.sub(r"\s*\n\s*", " ", text.strip()) if isinstance(text, str) else text


def _purpose(name: Any) -> Any:
    if name not in PURPOSES:
        raise ValueError(f"should be one of {', '.join(PURPOSES)}")
    return PURPOSES[name]


def _effort(name: Any) -> Any:
    if name not in Effort.__members__:
        raise ValueError(f"should be one of {', '.join(Effort.__members__)}")
    return Effort[name]


def _require_names(text: str, names: frozenset[str]) -> str:
    for _, name, form, conversion in Formatter().parse(text):
        if name is not None and (name not in names or form or conversion):
            raise ValueError(f"{{{name}}} is not one of {', '.join(sorted(PHRASES))}, nor, in `check`, a metric")
    return text


def _require_unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("should name each only once")
    return values


Text = Annotated[str, Field(min_length=1), BeforeValidator(_unwrap)]
Title = Annotated[str, Field(min_length=1, max_length=80), BeforeValidator(_unwrap)]
HasPhrases = AfterValidator(lambda text: _require_names(text, PHRASES))
HasPhrasesAndMetrics = AfterValidator(lambda text: _require_names(text, PHRASES | METRICS))
Key = Annotated[str, Field(pattern=r"^[a-z]+(_[a-z0-9]+)*$", max_length=60)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Action(_Entry):
    title: Annotated[Title, HasPhrases]
    who: Text
    steps: Annotated[Text, HasPhrases]
    check: Annotated[Text, HasPhrasesAndMetrics]
    watch: Annotated[tuple[Metric, ...], Field(min_length=1), AfterValidator(_require_unique)]
    tags: Annotated[tuple[Tag, ...], Field(min_length=1, max_length=4), AfterValidator(_require_unique)]
    effort: Annotated[Effort, BeforeValidator(_effort)]
    minutes: Annotated[int, Field(strict=True, ge=1)]
    direction: Direction | None = None
    mobile: StrictBool = False
    purpose: Annotated[Purpose, BeforeValidator(_purpose)] = Purpose.REPAIR


class _Line(_Entry):
    chance: Annotated[float, Field(strict=True, gt=0, le=1)]
    source: Text


class _Document(_Entry):
    actions: dict[Key, _Action] = {}
    causes: dict[RootCause, dict[str, _Line]] = {}
    metrics: dict[TargetKind, dict[Metric, dict[str, _Line]]] = {}
    pairs: dict[RootCause, dict[RootCause, dict[str, _Line]]] = {}

    def lists(self) -> Iterator[tuple[Listed, Mapping[str, _Line]]]:
        """Yields the lines of each cause, each metric and each pair of causes, whichever of it is named first."""
        yield from self.causes.items()
        for one, by_other in self.pairs.items():
            yield from ((frozenset({one, other}), lines) for other, lines in by_other.items())
        for kind, by_metric in self.metrics.items():
            yield from (((kind, metric), lines) for metric, lines in by_metric.items())


def _parse(file: str, text: str) -> _Document:
    """Raises BadPlaybook."""
    try:
        document = _Document.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise BadPlaybook(f"{file}: {_sentence(error)}") from None
    except tomllib.TOMLDecodeError as error:
        raise BadPlaybook(f"{file}: {error}.") from None
    for kind, by_metric in document.metrics.items():
        for metric in by_metric:
            if metric not in CATALOGUE[kind].metrics:
                raise BadPlaybook(f"{file}: {_path((kind, metric))}: a {kind.lower()} does not have this metric.")
    return document


def _sentence(error: ValidationError) -> str:
    """Tells of the first problem: where, and what."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "[key]")
    reason = REASONS.get(first["type"]) or first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{place}: {reason}."


# ---------------------------------------------------------------- putting files together


def _lists_of(playbook: Playbook) -> Iterator[tuple[Listed, tuple[Remedy, ...]]]:
    yield from playbook.by_cause.items()
    yield from playbook.by_metric.items()
    yield from playbook.by_pair.items()


def _require_fit(place: str, of: Listed, action: Action | None) -> None:
    """Raises BadPlaybook for a line of no action, or of one whose purpose is another."""
    if action is None:
        raise BadPlaybook(f"{place}: no action has this id.")
    if (action.purpose is Purpose.NARROW_DOWN) != isinstance(of, frozenset):
        wanted = "narrow_down" if isinstance(of, frozenset) else "repair"
        raise BadPlaybook(f"{place}: only actions with the purpose {wanted} can be listed here.")


def _collect_actions(documents: Mapping[str, _Document], base: Playbook) -> dict[str, Action]:
    """Raises BadPlaybook for an action that two files have, and for one that replaces another of another purpose."""
    actions: dict[str, Action] = {}
    for file, document in documents.items():
        for key, entry in document.actions.items():
            if key in actions:
                raise BadPlaybook(f"{file}: actions.{key}: another file has this action, too.")
            if key in base.actions and base.actions[key].purpose is not entry.purpose:
                raise BadPlaybook(f"{file}: actions.{key}.purpose: should be that of the action it replaces.")
            actions[key] = Action(key=key, **dict(entry))
    return actions


def _require_lines(documents: Mapping[str, _Document], lists: Mapping[Listed, Mapping[str, Remedy]]) -> None:
    """Raises BadPlaybook for an action that is listed nowhere, and so would never be recommended."""
    helpful = {key for remedies in lists.values() for key in remedies}
    for file, document in documents.items():
        for key in document.actions:
            if key not in helpful:
                wanted = "pair of causes has" if document.actions[key].purpose is Purpose.NARROW_DOWN else WANTED
                raise BadPlaybook(f"{file}: actions.{key}: no {wanted} a line for this action.")


def _path(of: Listed) -> str:
    match of:
        case RootCause():
            return f"causes.{of}"
        case frozenset():
            return f"pairs.{min(of)}.{max(of)}"
        case _:
            return f"metrics.{of[0]}.{of[1]}"
