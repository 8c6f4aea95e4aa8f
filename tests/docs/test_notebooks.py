"""Every notebook runs from its first cell to its last, opened as Jupyter opens it.

Its kernel works in the notebook's folder and finds nothing but what is installed.
"""

import os
import shutil
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRESS = "application/vnd.jupyter.widget-view+json"
# What a notebook shows besides its text.
SHOWN = {
    "first-steps": {"image/png", PROGRESS},
    "looking-at-runs": {"image/png", "text/html"},
    "your-own-data": {"image/png", PROGRESS},
}
FIRST_STEPS_SECONDS = 180


def outputs_of(notebook):
    """Return all outputs of a notebook's cells."""
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_runs_in_its_own_folder_and_shows_pictures_and_progress_and_no_warning(
    path, tmp_path, monkeypatch
):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for folder in ("notebooks", "experiments"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=lambda *_: {"data", "models"})
    notebook = nbformat.read(path, as_version=4)
    assert not outputs_of(notebook), "outputs are not committed"
    for variable in ("PYTHONPATH", "PYTHONWARNINGS", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.delenv(variable, raising=False)
    # The kernel's own files, which would go to the home directory.
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    resources = {"metadata": {"path": str(tmp_path / "notebooks")}}
    start = time.monotonic()
    done = nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    seconds = time.monotonic() - start
    outputs = outputs_of(done)
    written = os.environ.get("REPRODUCIBLE_ML_OUTPUT")
    if written:
        nbformat.write(done, Path(written) / path.name)
    assert {name for output in outputs for name in output.get("data", {})} >= SHOWN[path.stem]
    assert "".join(output.text for output in outputs if output.get("name") == "stderr") == ""
    if path.stem == "first-steps":
        assert seconds < FIRST_STEPS_SECONDS
