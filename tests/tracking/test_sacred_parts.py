"""Sacred is imported in one place, where its warning is known."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import reproducible_ml

PACKAGE = Path(reproducible_ml.__file__).parent


@pytest.mark.parametrize(
    "module",
    [
        "stages.training",
        "tracking.recording.facts",
        "tracking.recording.observer",
        "tracking.recording.options",
    ],
)
def test_a_module_of_the_tracking_is_imported_without_a_warning(module):
    code = f"import reproducible_ml.{module}"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "pkg_resources" not in done.stderr


def test_a_value_of_another_kind_is_flattened_without_a_warning():
    code = "from reproducible_ml.tracking.folder.plain_values import plain; print(plain(1j))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stderr == ""


def test_one_module_imports_sacred():
    found = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(import|from) sacred\b", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert found == ["sacred_parts.py"]
