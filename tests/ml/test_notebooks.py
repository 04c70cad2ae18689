import ast
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.places import ROOT

FOLDER = ROOT / "ml" / "notebooks"
NOTEBOOKS = pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings of these tools must not leak in, nor ours out."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.delenv("MPLBACKEND", raising=False)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_is_a_notebook_on_how_anomalies_are_found() -> None:
    assert (FOLDER / "anomaly_detection.ipynb").is_file()


@NOTEBOOKS
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = read(path)

    nbformat.validate(notebook)
    assert [cell.id for cell in code(notebook) if cell.outputs or cell.execution_count] == []
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert [cell.id for cell in notebook.cells if cell.metadata] == []


@NOTEBOOKS
def test_what_a_notebook_imports_from_us_is_there(path: Path) -> None:
    nodes = [node for cell in code(read(path)) for node in ast.walk(ast.parse(cell.source))]
    ours = [node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ml.")]

    assert ours
    for node in ours:
        imported = import_module(str(node.module))
        for name in node.names:
            assert hasattr(imported, name.name) or import_module(f"{node.module}.{name.name}")


@pytest.mark.slow
@pytest.mark.usefixtures("own_folders")
@NOTEBOOKS
async def test_a_notebook_runs_from_top_to_bottom_and_draws_its_plots(path: Path) -> None:
    notebook = read(path)

    await NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).async_execute()

    outputs = {cell.id: cell.outputs for cell in code(notebook)}
    complaints = [one.text for given in outputs.values() for one in given if one.get("name") == "stderr"]
    drawn = {id for id, given in outputs.items() if any("image/png" in one.get("data", {}) for one in given)}
    assert complaints == []
    assert drawn == {cell.id for cell in code(notebook) if "plt.subplots(" in cell.source}
