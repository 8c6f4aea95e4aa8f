"""What a run records after its main function, and what ``finish`` adds to it."""

import os
import sys

import numpy as np
import pytest

from reproducible_ml.tracking import experiment, finish
from reproducible_ml.tracking.recording import broken_parts, seal_of
from reproducible_ml.tracking.runs import load_run
from reproducible_ml.tracking.sacred_parts import FileStorageObserver
from reproducible_ml.utils.digests import array_digest
from reproducible_ml.utils.errors import ConfigError, TrackingError


def ran(main, config=None, **options):
    """Run a function as the main function of an experiment, and return the run as recorded."""
    ex = experiment("toy", **options)
    ex.add_config({"seed": 1, **(config or {})})
    ex.main(main)
    ex.run()
    return load_run(1)


def test_every_run_is_sealed_with_all_it_logged(tmp_path):
    def main(_run):
        for step, value in enumerate([0.5, float("nan"), True, "high"]):
            _run.log_scalar("a.b", value, step)
        _run.log_scalar("$odd", np.float32(0.1), 0.5)
        (tmp_path / "made.txt").write_text("made")
        _run.add_artifact("made.txt")
        # What a record holds is sealed, and not what Python makes of it.
        _run.info["array"] = np.arange(3)
        return {"x.y": (1, np.float64(2)), 3: "postgres://anna:secret@host/x"}

    run = ran(main, {"url": "postgres://anna:secret@host/x", "none": None})
    seal = run.info["seal"]
    assert sorted(seal["metrics"]) == ["@odd", "a_b"]
    assert "result" in seal
    assert broken_parts(seal, seal_of(run)) == []
    # echo -n made | sha256sum
    assert run.info["artifacts"] == [
        ["made.txt", "ea0890697a77af0a2e054cccec587c8a42feb5cf38e778c6c6e2a96bfb945c0b", 4]
    ]


def test_a_file_that_changed_keeps_its_first_content_and_is_named(tmp_path, monkeypatch, caplog):
    """The experiment is defined here, so its base directory is set to where its files are."""
    # TensorFlow's settings, which other tests apply, leave out warnings.
    caplog.set_level("WARNING")
    (tmp_path / "early.py").write_text("OF = 1\n")
    (tmp_path / "late.py").write_text("OF = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    program = tmp_path / "program.py"
    program.write_text(
        "from reproducible_ml.tracking import experiment\n"
        "import early\n"
        "from pathlib import Path\n"
        "ex = experiment()\n"
        "@ex.main\n"
        "def main(_run):\n"
        "    import late\n"
        "    Path('early.py').write_text('OF = 3')\n"
        "    Path('new.py').write_text('OF = 4')\n"
        "    import new\n"
        "    return early.OF\n"
        "@ex.command\n"
        "def fails():\n"
        "    import late\n"
        "    raise ValueError\n"
    )
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    import program as module

    with pytest.raises(ValueError, match=r"^$"):
        module.ex.run("fails")
    # What a failed run has imported is recorded, too.
    assert load_run(1).sources["late.py"] == b"OF = 2\n"
    del sys.modules["late"]
    module.ex.run()
    run = load_run(2)
    assert run.experiment == "program"
    own = {name: text for name, text in run.sources.items() if "/" not in name}
    assert own == {
        "early.py": b"OF = 1\n",
        "late.py": b"OF = 2\n",
        "new.py": b"OF = 4",
        "program.py": program.read_bytes(),
    }
    assert run.entry["experiment"]["changed_sources"] == ["early.py", "new.py"]
    assert "Source files changed during the run: early.py, new.py." in caplog.text
    assert broken_parts(run.info["seal"], seal_of(run)) == []


def test_finish_digests_arrays_in_one_form_on_every_machine():
    array = np.arange(6, dtype=">f4").reshape(2, 3)

    def main(_run):
        finish(_run, digests={"net": {"layer.w": array, "b": [1, 2]}, "n": 3})
        finish(_run, digests={"flags": [array > 2, {"text": "abc"}]})

    run = ran(main)
    assert run.info["digest"] == {
        "net/layer/w": array_digest(array.astype("<f4")),
        "net/b": array_digest(np.array([1, 2], np.int64)),
        "n": array_digest(np.array(3, np.int64)),
        "flags/0": array_digest(np.arange(6).reshape(2, 3) > 2),
        "flags/1/text": array_digest(np.array("abc")),
    }
    kept = np.load(run.artifacts.infos["digested-arrays.npz"].place)
    with kept:
        assert {name: kept[name].tolist() for name in kept.files} == {
            "0": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
            "1": [1, 2],
            "2": 3,
            "3": [[False, False, False], [True, True, True]],
            "4": "abc",
        }


REFUSED = [
    ({"inputs": ["fil"]}, ConfigError, "'fil', which is no configuration key; did you mean"),
    ({"inputs": "file"}, ConfigError, r"takes a list of names; write \['file'\]"),
    ({"outputs": ["rate"]}, ConfigError, "names rate as a path, but its value is 0.5"),
    ({"inputs": ["file"]}, TrackingError, "names file as an input, but .*gone.csv does not"),
    ({"digests": {"m": object()}}, TrackingError, "'m' can't be taken of a object"),
    ({"digests": {"m": 2**70}}, TrackingError, "'m' can't be taken of a int"),
]


def test_what_finish_cannot_record_is_refused():
    def main(_run):
        for arguments, error, message in REFUSED:
            with pytest.raises(error, match=message):
                finish(_run, **arguments)
        # Lists of unequal length are lists of arrays.
        finish(_run, digests={"m": [[1], [1, 2]]})

    run = ran(main, {"file": "gone.csv", "rate": 0.5})
    assert sorted(run.info["digest"]) == ["m/0", "m/1"]


def test_the_folder_of_a_sacred_observer_is_used_with_all_that_a_run_records():
    ex = experiment("moved", interactive=True, save_git_info=False)
    ex.observers.append(FileStorageObserver("mine"))
    ex.main(lambda _run: 1)
    ex.run()
    ex.run(options={"--file_storage": "elsewhere"})
    assert sorted(os.listdir()) == ["elsewhere", "mine"]
    for folder in ("mine", "elsewhere"):
        assert "seal" in load_run(1, folder).info


def test_threads_do_not_depend_on_the_machine(monkeypatch):
    from threadpoolctl import threadpool_info, threadpool_limits

    for name in [name for name in os.environ if name.endswith("_NUM_THREADS")]:
        monkeypatch.delenv(name)
    seen = []

    def main(_run):
        seen.append({one["internal_api"]: one["num_threads"] for one in threadpool_info()})
        seen.append(os.environ["OMP_NUM_THREADS"])

    with threadpool_limits(1):
        run = ran(main, threads=3)
        assert seen == [dict.fromkeys(seen[0], 3), "3"]
        # Another program's part of this process gets its own settings back.
        assert {one["num_threads"] for one in threadpool_info()} == {1}
    assert "OMP_NUM_THREADS" not in os.environ
    assert run.environment["variables"]["OMP_NUM_THREADS"] == "3"
    assert run.environment["threads"]["pools"]


def test_a_variable_of_the_user_decides_on_the_threads(monkeypatch):
    from threadpoolctl import threadpool_info

    for name in [name for name in os.environ if name.endswith("_NUM_THREADS")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "4,1")
    seen = []
    run = ran(lambda: seen.extend(one["num_threads"] for one in threadpool_info()))
    assert set(seen) == {4}
    variables = run.environment["variables"]
    assert variables["OMP_NUM_THREADS"] == "4,1"
