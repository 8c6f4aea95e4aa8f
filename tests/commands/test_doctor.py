"""What the doctor says of installations in several states."""

import os
import socket
import subprocess
import sys
import time
from importlib.metadata import version

import pytest
from click.testing import CliRunner

from reproducible_ml.commands.doctor import check_folder, check_script, command
from reproducible_ml.tracking.board.main import main as board_main
from reproducible_ml.utils.tensorflow_version import series_for


def examine(*options, **environment):
    """Run the doctor as a process; return its code and {check: (level, sentence)}."""
    ended = subprocess.run(
        [sys.executable, "-m", "reproducible_ml.cli", "doctor", *options],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    lines = [line.split(None, 2) for line in ended.stdout.splitlines()]
    return ended.returncode, {name: (level, sentence) for level, name, sentence in lines}


def nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def distribution(folder, name, version):
    """Make what an installed package leaves for others to find its version."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.alone
def test_a_sound_installation_passes_within_three_seconds():
    began = time.monotonic()
    code, found = examine("-m", f"127.0.0.1:{nobody_listens()}:sacred")
    assert time.monotonic() - began < 3
    assert code == 0
    assert all(level != "fail" for level, _ in found.values())
    assert set(found) == {
        *("python", "tensorflow", "packages", "lock", "sacredboard", "mongodb", "runs", "cpu")
    }
    level, sentence = found["tensorflow"]
    assert (level, sentence.partition(":")[0]) == ("ok", f"TensorFlow {version('tensorflow')}")


def test_no_database_is_a_warning_that_hides_the_password():
    port = nobody_listens()
    code, found = examine("-m", f"mongodb://anna:geheimnis1@127.0.0.1:{port}/sacred")
    level, sentence = found["mongodb"]
    assert (code, level) == (0, "warn")
    assert "runs/" in sentence
    assert "geheimnis1" not in str(found)


def test_a_database_that_answers_is_named_with_its_version(mongo_uri):
    _, found = examine("-m", f"{mongo_uri}/sacred")
    level, sentence = found["mongodb"]
    assert level == "ok"
    assert "at mongodb://" in sentence


def test_another_tensorflow_or_package_fails_with_what_to_do(tmp_path):
    distribution(tmp_path, "tensorflow", "2.18.0")
    distribution(tmp_path, "sacredboard", "0.3")
    code, found = examine("-m", f"127.0.0.1:{nobody_listens()}:x", PYTHONPATH=str(tmp_path))
    assert code == 1
    assert found["tensorflow"][0] == "fail"
    assert "2.18.0" in found["tensorflow"][1]
    assert "pip install" in found["tensorflow"][1]
    assert found["packages"][0] == "fail"
    assert "sacredboard 0.3 is not ==0.4.2" in found["packages"][1]


def test_a_post_release_of_tensorflow_is_of_its_series(tmp_path):
    series = series_for(sys.version_info[:2])
    distribution(tmp_path, "tensorflow", f"{series}.0.post1")
    _, found = examine("-m", f"127.0.0.1:{nobody_listens()}:x", PYTHONPATH=str(tmp_path))
    assert found["tensorflow"][0] == "ok"
    assert f"TensorFlow {series}.0.post1: " in found["tensorflow"][1]


@pytest.mark.parametrize(
    ("script", "level", "said"),
    [
        ("from reproducible_ml.tracking.board.main import main", "warn", "another environment"),
        ("from sacredboard.bootstrap import run", "warn", "reproducible-ml board"),
        (None, "warn", "no command sacredboard"),
    ],
)
def test_it_says_whose_command_sacredboard_is(tmp_path, monkeypatch, script, level, said):
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        path = tmp_path / "sacredboard"
        path.write_text(f"#!/usr/bin/python3\n{script}\n")
        path.chmod(0o755)
    finding = check_script()
    assert finding.level == level
    assert said in finding.sentence


def test_the_installed_command_sacredboard_is_this_projects(monkeypatch):
    from importlib.metadata import distribution

    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))
    assert check_script().level == "ok"
    scripts = distribution("reproducible-ml").entry_points
    assert board_main in [one.load() for one in scripts if one.name == "sacredboard"]


def test_a_folder_that_cannot_be_written_fails(tmp_path):
    assert check_folder(tmp_path / "not" / "yet").level == "ok"
    assert not (tmp_path / "not").exists()
    finding = check_folder(type(tmp_path)("/proc/runs"))
    assert finding.level == "fail"
    assert "cannot be written" in finding.sentence


def test_a_failure_is_exit_code_1():
    port = nobody_listens()
    ended = CliRunner().invoke(command, ["-F", "/proc/runs", "-m", f"127.0.0.1:{port}:x"])
    assert ended.exit_code == 1


@pytest.mark.slow
def test_the_deep_examination_lets_tensorflow_compute():
    code, found = examine("--deep", "-m", f"127.0.0.1:{nobody_listens()}:x")
    assert code == 0
    assert found["computing"][0] == "ok"
    # The tests run on machines without a GPU; with one the sentence warns.
    assert "sees no GPU, so runs use the CPU" in found["computing"][1]
