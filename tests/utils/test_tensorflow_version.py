"""The check of the TensorFlow series, against real metadata folders on a path of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
sys.path[:] = [sys.argv[1], sys.argv[2]] + [p for p in sys.path if "site-packages" not in p]
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.tensorflow_version import require_tensorflow
try:
    print(require_tensorflow())
except ConfigError as error:
    print(f"refused: {error}")
print("imported" if "tensorflow" in sys.modules else "not imported")
"""


def ask(folder):
    """Run the check in a process whose only installed distributions lie in ``folder``."""
    command = [sys.executable, "-S", "-c", SCRIPT, str(folder), str(ROOT)]
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


@pytest.mark.parametrize("version", ["2.14.1", "2.16.0", "2.150.0", "3.15.0"])
def test_another_tensorflow_is_refused_with_what_to_install(tmp_path, version):
    plant(tmp_path, "tensorflow", version)
    answer = ask(tmp_path)
    assert answer.startswith(f"refused: TensorFlow {version} is installed")
    assert answer.endswith("pip install 'tensorflow>=2.15,<2.16'")


def test_a_missing_tensorflow_is_named_with_what_to_install(tmp_path):
    answer = ask(tmp_path)
    assert answer.startswith("refused: TensorFlow is not installed")
    assert answer.endswith("pip install 'tensorflow>=2.15,<2.16'")
