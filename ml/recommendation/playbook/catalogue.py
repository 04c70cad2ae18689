"""The playbook: what to do about each cause and each metric, in the order of a good runbook.

A new action is one entry in the TOML file of the place where hands are laid on, and a line with its chance for each
cause (`by_cause.toml`) and metric (`by_metric.toml`) that it helps with. What tells causes apart is an entry in
`narrow_down.toml`, and a line for each pair of causes (`by_pair.toml`). Tests prove that none is half added.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ml.catalogue.metrics import Metric, TargetKind
from ml.catalogue.root_causes import RootCause
from ml.recommendation.playbook.actions import Action, Purpose, Remedy

MetricOfKind = tuple[TargetKind, Metric]
CausePair = frozenset[RootCause]  # of one cause: the same cause in two places


@dataclass(frozen=True)
class Playbook:
    """Actions by their key, what to try for each cause and leading metric, and what tells two causes apart."""

    actions: Mapping[str, Action]
    by_cause: Mapping[RootCause, tuple[Remedy, ...]]
    by_metric: Mapping[MetricOfKind, tuple[Remedy, ...]]
    by_pair: Mapping[CausePair, tuple[Remedy, ...]]

    @cached_property
    def repairs(self) -> frozenset[str]:
        """The keys of the actions that may end a fault; the others tell causes apart."""
        return frozenset(key for key, action in self.actions.items() if action.purpose is Purpose.REPAIR)

    def cause_chances(self, cause: RootCause) -> Mapping[str, float]:
        """Returns the chances of the actions for a cause, by the action's key."""
        return self._cause_chances.get(cause, {})

    def metric_chances(self, kind: TargetKind, metric: Metric) -> Mapping[str, float]:
        """Returns the chances of the actions for a metric, by the action's key."""
        return self._metric_chances.get((kind, metric), {})

    @cached_property
    def _cause_chances(self) -> Mapping[RootCause, Mapping[str, float]]:
        return {cause: _chances(remedies) for cause, remedies in self.by_cause.items()}

    @cached_property
    def _metric_chances(self) -> Mapping[MetricOfKind, Mapping[str, float]]:
        return {metric: _chances(remedies) for metric, remedies in self.by_metric.items()}


def _chances(remedies: tuple[Remedy, ...]) -> Mapping[str, float]:
    return {remedy.action.key: remedy.chance for remedy in remedies}
