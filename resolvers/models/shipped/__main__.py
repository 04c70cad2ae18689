"""`make models` runs this: trains the shipped models anew, from the default seed. Takes minutes."""

from rich.progress import Progress

from ml.catalogue.models import MODELS
from resolvers.models.export import write_files
from resolvers.models.shipped.versions import FOLDER, train_version

with Progress() as bar:
    for model in MODELS:
        task = bar.add_task(model, total=1.0)

        def advance(done: float, what: str, task: object = task, model: str = model) -> None:
            bar.update(task, completed=done, description=f"{model}: {what}")  # type: ignore[arg-type]

        write_files(train_version(model, advance), FOLDER / model)
