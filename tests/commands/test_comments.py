"""The comment of a run is shown wherever the run is; that of a rerun says what its verdict says."""

import json
import re
import signal
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from reproducible_ml.report import make_report
from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.board.present import row
from reproducible_ml.tracking.runs import load_run
from reproducible_ml.utils.environment import changes_results, result_variables


@pytest.fixture(scope="module")
def commented(tmp_path_factory):
    """A folder with four runs."""
    folder = str(tmp_path_factory.mktemp("noted") / "runs")
    ex = experiment("noted")
    ex.main(lambda: 7)
    for comment in (None, "executes run 1 again", "with the old optics"):
        ex.run(options={"--comment": comment, "--file_storage": folder})

    @ex.main
    def main():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        ex.run(options={"--comment": "once more", "--file_storage": folder})
    return folder


def call(*words):
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return done.output


def test_it_is_in_every_view(commented):
    listed = call("runs", "-F", commented).splitlines()
    assert listed[0].endswith("COMMENT")
    assert [line.rpartition("  ")[2] for line in listed[1:4]] == ["-", "-", "with the old optics"]
    assert (
        json.loads(call("runs", "--json", "-F", commented))[2]["comment"] == "with the old optics"
    )
    shown = call("show", "3", "-F", commented)
    assert re.search(r"^  comment +with the old optics$", shown, re.MULTILINE)
    assert "comment" not in call("show", "2", "-F", commented)
    assert (
        json.loads(call("show", "3", "--json", "-F", commented))["comment"] == "with the old optics"
    )
    assert "with the old optics" in make_report([load_run(3, commented)])
    entry = {**load_run(3, commented).entry, "_id": 3, "status": "COMPLETED"}
    assert row(entry)["command"] == "<lambda> · with the old optics"


def test_a_report_does_not_advise_to_reproduce_a_failed_run(commented):
    page = make_report([load_run(4, commented)])
    assert "it did not complete, so there is no result to compare" in page
    assert "reproducible-ml reproduce 4" not in page
    assert "reproducible-ml reproduce 1" in make_report([load_run(1, commented)])


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("TF_CLI_CONFIG_FILE", False),
        ("TF_VAR_region", False),
        ("TF_LOG", False),
        ("TF_DATA_DIR", False),
        ("TF_CPP_MIN_LOG_LEVEL", False),
        ("PYTHONSTARTUP", False),
        ("PYTHONUNBUFFERED", False),
        ("TF_ENABLE_ONEDNN_OPTS", True),
        ("TF_XLA_FLAGS", True),
        ("TF_CUDNN_DETERMINISTIC", True),
        ("TF_DETERMINISTIC_OPS", True),
        ("PYTHONHASHSEED", True),
        ("OMP_NUM_THREADS", True),
        ("EDITOR", False),
    ],
)
def test_only_variables_that_can_change_a_result_are_recorded(name, changes):
    assert changes_results(name) is changes
    assert (name in result_variables({name: "1"})) is changes


def test_ctrl_c_in_a_command_ends_it_with_130(tmp_path):
    """It waits for a database that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        address = f"mongodb://127.0.0.1:{server.getsockname()[1]}/db"
        command = [sys.executable, "-m", "reproducible_ml.cli", "runs", "-m", address]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell that started the tests in the background has them ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        with server.accept()[0]:
            process.send_signal(signal.SIGINT)
            printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed, errors) == (130, "", "Stopped.\n")
