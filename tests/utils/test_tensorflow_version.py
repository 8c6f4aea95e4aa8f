"""The check of the TensorFlow series, against real metadata folders on a path of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
sys.path[:] = [sys.argv[1], sys.argv[2]] + [p for p in sys.path if "site-packages" not in p]
sys.version_info = (*map(int, sys.argv[3].split(".")), 1)
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.tensorflow_version import require_tensorflow
try:
    print(require_tensorflow())
except ConfigError as error:
    print(f"refused: {error}")
print("imported" if "tensorflow" in sys.modules else "not imported")
"""


def ask(folder, python="3.11"):
    """Run the check where only what lies in ``folder`` is installed, for this version of Python."""
    command = [sys.executable, "-S", "-c", SCRIPT, str(folder), str(ROOT), python]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    answer, imported = done.stdout.splitlines()
    assert imported == "not imported"
    return answer


def plant(folder, name, version):
    """Write the metadata that pip leaves of an installed distribution."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", ["tensorflow", "tensorflow-cpu", "tensorflow-macos"])
def test_tensorflow_2_15_is_taken_whatever_its_distribution_is_called(tmp_path, name):
    plant(tmp_path, name, "2.15.1")
    assert ask(tmp_path) == "2.15.1"


LINES = {"3.10": "2.15.1", "3.11": "2.15.0.post1", "3.12": "2.19.1", "3.13": "2.21.0"}


@pytest.mark.parametrize("python", LINES)
def test_each_python_has_one_tensorflow(tmp_path, python):
    plant(tmp_path, "tensorflow", LINES[python])
    assert ask(tmp_path, python) == LINES[python]


@pytest.mark.parametrize(
    ("python", "version", "needed"),
    [
        *(("3.11", other, "2.15,<2.16") for other in ("2.14.1", "2.16.0", "2.150.0", "3.15.0")),
        ("3.12", "2.15.1", "2.19,<2.20"),
        ("3.12", "2.21.0", "2.19,<2.20"),
        ("3.13", "2.19.1", "2.21,<2.22"),
    ],
)
def test_another_tensorflow_is_refused_with_what_to_install(tmp_path, python, version, needed):
    plant(tmp_path, "tensorflow", version)
    answer = ask(tmp_path, python)
    assert answer.startswith(f"refused: TensorFlow {version} is installed, but on Python {python}")
    assert answer.endswith(f"pip install 'tensorflow>={needed}'")


def test_a_missing_tensorflow_is_named_with_what_to_install(tmp_path):
    answer = ask(tmp_path)
    assert answer.startswith("refused: TensorFlow is not installed")
    assert answer.endswith("pip install 'tensorflow>=2.15,<2.16'")


@pytest.mark.parametrize("python", ["3.9", "3.14"])
def test_a_python_without_a_line_is_told_which_there_are(tmp_path, python):
    plant(tmp_path, "tensorflow", "2.15.1")
    assert ask(tmp_path, python) == (
        f"refused: Python {python} is not supported; TensorFlow 2.15 runs on Python 3.10 and 3.11, "
        "TensorFlow 2.19 runs on Python 3.12, TensorFlow 2.21 runs on Python 3.13."
    )
