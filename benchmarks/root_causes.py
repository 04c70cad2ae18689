"""Measures how often root causes are right, on 300 simulated incidents and 100 healthy windows that no training uses.

Run `python -m benchmarks.root_causes`; it takes some minutes. The figures are simulated accuracy: call them that.
"""

from ml.root_cause.incidents import LARGEST
from ml.root_cause.model import RootCauseModel
from ml.root_cause.training import measure_held_out, train

INCIDENTS, HEALTHY_WINDOWS = 300, 100


def main() -> None:
    model = RootCauseModel.from_bytes(train().artefact, "measured")
    print("| Measure | Value | Of |\n|---|---|---|")
    for one in measure_held_out(model, INCIDENTS, HEALTHY_WINDOWS, LARGEST):
        print(f"| {one.name} | {one.value:.3f} | {one.samples} |", flush=True)


if __name__ == "__main__":
    main()
