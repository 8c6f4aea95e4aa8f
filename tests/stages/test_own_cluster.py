"""A user's Estimator on two workers: one record, the same bits after a kill and from the record."""

import json
import os

import numpy as np
import pytest

from tests import warm
from tests.models.exact.test_distribution import free_ports
from tests.stages.test_autolog import fill, weights
from tests.tracking.lab import ROOT
from tests.tracking.toy_project import command


def start(folder, ports, index, *updates, kind="workers", kill_at=0):
    """Start one worker, with the experiment's command line."""
    chief, worker = (f"127.0.0.1:{port}" for port in ports)
    task = {"type": ("chief", "worker")[index], "index": 0}
    cluster = json.dumps({"cluster": {"chief": [chief], "worker": [worker]}, "task": task})
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "KILL_AT": str(kill_at),
        "TF_CONFIG": cluster,
    }
    settings = ("-m", "own_models", "with", f"kind={kind}", *updates)
    return warm.Python(*settings, cwd=folder, environment=environment)


def both(folder, *updates, kill_at=0):
    """Run two workers, the chief until a crash; return their exit codes and what they printed."""
    ports = free_ports(2)
    workers = [
        start(folder, ports, 0, *updates, kill_at=kill_at),
        start(folder, ports, 1, *updates),
    ]
    printed = ["".join(worker.communicate(timeout=120)) for worker in workers]
    return [worker.returncode for worker in workers], printed


@pytest.mark.slow
def test_two_workers_leave_one_record_and_resume_and_repeat_to_the_same_bits(tmp_path):
    fill(tmp_path)
    codes, printed = both(tmp_path)
    assert codes == [0, 0], printed
    assert "Run 1: runs/1" in printed[0]
    assert "the record is the chief's alone" in printed[1]
    assert "Run " not in printed[1].replace("Running", "")

    codes, printed = both(tmp_path, "model_dir=killed", kill_at=9)
    assert codes[0] == -9
    assert codes[1] == 1, printed[1]
    assert "Error: Another worker of the cluster is gone, so this one stops" in printed[1]
    codes, printed = both(tmp_path, "model_dir=killed")
    assert codes == [0, 0], printed
    assert "Continuing killed at step 6 of 20." in printed[0]
    assert weights(tmp_path / "killed") == weights(tmp_path / "model")
    logs = [np.fromfile(tmp_path / name / "steps.log", np.uint8) for name in ("killed", "model")]
    np.testing.assert_array_equal(*logs)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir() if path.name.isdigit()) == [
        *("1", "2")
    ]

    code, output = command(["reproduce", "1"], tmp_path)
    assert code == 0, output
    assert "Executing run 1 (own_models) again, on 2 workers of this machine." in output
    assert "executes run 1 again: identical." in output


def test_a_cluster_that_would_train_apart_is_refused_before_its_first_step(tmp_path):
    fill(tmp_path)
    chief = start(tmp_path, free_ports(2), 0, kind="dropout")
    printed = "".join(chief.communicate(timeout=240))
    assert chief.returncode == 1
    assert "Error: TF_CONFIG names a cluster of 2 workers, which train an Estimator in" in printed
    assert not (tmp_path / "model").exists()


def test_a_call_that_joins_no_cluster_is_refused_before_its_first_step(tmp_path):
    fill(tmp_path)
    codes, printed = both(tmp_path, "join=False")
    assert codes == [1, 1], printed
    for one in printed:
        assert "Estimator.train does not join. Call tf.estimator.train_and_evaluate" in one
    assert not (tmp_path / "model").exists()
