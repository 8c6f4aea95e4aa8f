"""Two workers as a user starts them; the chief's run is then executed again on one machine."""

import json
import subprocess
import sys

import pytest

from tests.experiments.running import environment, experiment
from tests.models.exact.test_distribution import free_ports
from tests.tracking.toy_project import command

COMMON = ["with", "smoke", "strategy=multi_worker", "replicas=2"]


def start_worker(folder, ports, index):
    workers = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    cluster = json.dumps({"cluster": workers, "task": {"type": "worker", "index": index}})
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.mnist_wgan", *COMMON, "model_dir=models/shared"],
        cwd=folder,
        env=environment(TF_CONFIG=cluster),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def refused(folder, *settings):
    """Run the chief alone with settings that can't work; return what it says."""
    workers = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
    cluster = json.dumps({"cluster": workers, "task": {"type": "worker", "index": 0}})
    code, output = experiment("mnist_wgan", folder, "-u", *COMMON, *settings, TF_CONFIG=cluster)
    assert code == 1
    return output


def test_what_a_cluster_needs_is_said_before_anything_starts(tmp_path):
    assert "multi_worker' needs model_dir: one folder that every worker sees" in refused(tmp_path)
    output = refused(tmp_path, "model_dir=models/shared")
    assert "data/smoke holds no data set, and no worker writes it while others wait" in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_workers_leave_one_record_that_one_machine_executes_again(tmp_path):
    source = ["source=digits", "record_dir=data/smoke"]
    code, output = experiment("mnist_serialize", tmp_path, "-u", "with", *source)
    assert code == 0, output
    ports = free_ports(2)
    chief, follower = (start_worker(tmp_path, ports, index) for index in (0, 1))
    said = [worker.communicate(timeout=200)[0] for worker in (chief, follower)]
    assert [chief.returncode, follower.returncode] == [0, 0], said
    assert "Run 1:" in said[0]
    assert "Worker 1 is done; the record is the chief's" in said[1]
    assert "Run " not in said[1].replace("Running", "")
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.name.isdigit()] == ["1"]
    code, output = command(["reproduce", "1"], tmp_path)
    assert code == 0, output
    assert "Run 2 executes run 1 again: identical." in output
