"""``reproducible-ml show`` shows everything about one run."""

import json
import shutil

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from reproducible_ml.datasets.serialize.manifest import read_manifest
from tests.tracking import lab


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return lab.recorded(tmp_path_factory).parent / "runs"


def call(*arguments, width=None):
    """Return exit code and output of the command."""
    env = {"COLUMNS": "" if width is None else str(width)}
    done = CliRunner().invoke(main, ["show", *map(str, arguments)], env=env)
    return done.exit_code, done.output


def sections(output):
    """Return title -> lines, of which the first column's blanks are drawn together."""
    found, title = {}, None
    for line in output.splitlines():
        if line and not line.startswith(" "):
            title = line
            found[title] = []
        elif line:
            found[title].append(" ".join(line.split()))
    return found


def test_every_section_is_there_with_its_facts(folder):
    code, output = call("1", "-F", folder)
    found = sections(output)
    assert code == 0
    fingerprint = read_manifest(folder.parent / "data").fingerprint[:12]
    head = found[f"Run 1 of train in {folder}"]
    assert head[0] == "status COMPLETED"
    assert head[3].endswith("dirty: 1 changed, 1 new")
    assert "optimizer.momentum 0.9" in found["Config"]
    assert found["Result"] == [f"loss {0.5 / 3!r}", "step 30"]
    rows = folder.parent / "rows.npz"
    assert found["Data"] == [
        f"records fingerprint {fingerprint} data train 4",
        f"records from npz array (key rows, npz_file {rows})",
    ]
    assert found["Upstream"] == ["make run 2"]
    assert found["Metrics"] == [
        f"loss {0.5 / 3!r} at step 30 3 points",
        "odd 3.0 at step 30 3 points",
    ]
    assert found["Artifacts"][0].startswith(f"samples.png {len(lab.PICTURE)} B image/png ")
    assert found["Checkpoint"] == [f"path {folder.parent / 'model.ckpt-30'}", "step 30, 68 B"]
    environment = " ".join(found["Environment"])
    assert "tensorflow 2.15" in environment
    assert "OMP_NUM_THREADS=1" in environment
    assert lab.TOKEN not in output
    assert lab.SECRET not in output


def test_a_failed_run_shows_its_error_uncut(folder):
    code, output = call("4", "-F", folder, width=40)
    assert code == 0
    assert sections(output)["Error"][-1] == "RuntimeError: too hot"


@pytest.mark.parametrize("width", [80, 120])
def test_long_values_go_on_in_the_next_line(folder, width):
    _, output = call("1", "-F", folder, width=width)
    assert max(map(len, output.splitlines())) <= width


def test_json_holds_everything(folder):
    code, output = call("1", "-F", folder, "--json")
    run = json.loads(output)
    assert code == 0
    assert run["config"]["optimizer"] == {"kind": "sgd", "momentum": 0.9}
    assert run["info"]["environment"]["packages"]["sacred"]
    assert run["metrics"][0] == {"name": "loss", "points": 3, "step": 30, "value": 0.5 / 3}
    assert run["artifacts"][0]["content_type"] == "image/png"
    assert "lab/added.py" in run["sources"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("9", "There is no run 9 in {}; there are 1-4, the nearest 4."),
        ("mine", "There is no run mine in {}; there are 1-4."),
    ],
)
def test_an_unknown_id_is_an_error_that_names_the_nearest(folder, asked, said):
    code, output = call(asked, "-F", folder)
    assert (code, output) == (1, f"Error: {said.format(folder)}\n")


def test_the_source_is_that_of_the_data_set_and_not_the_default_of_the_configuration(tmp_path):
    # As left by a training on photographs that were serialized before, its source left alone.
    run = tmp_path / "runs" / "1"
    run.mkdir(parents=True)
    facts = {
        "record_dir": "data/photos",
        "fingerprint": "f" * 64,
        "source": {"name": "folder", "arguments": {"image_dir": "/photos"}, "digest": "d" * 64},
    }
    contents = {
        "run": {"status": "COMPLETED", "experiment": {"name": "mnist_wgan"}},
        "config": {"source": "mnist", "image_dir": None, "npz_file": None, "seed": 1},
        "info": {"dataset": {"records": facts}},
    }
    for name, content in contents.items():
        (run / f"{name}.json").write_text(json.dumps(content))
    found = sections(call("1", "-F", tmp_path / "runs")[1])
    assert found["Config"] == [
        "image_dir /photos (from data/photos)",
        "npz_file -",
        "seed 1",
        "source folder (from data/photos)",
    ]


def test_the_source_of_an_older_record_is_that_of_the_manifest_which_it_keeps(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copied")
    info = json.loads((copied / "1" / "info.json").read_text())
    del info["dataset"]["records"]["source"]
    (copied / "1" / "info.json").write_text(json.dumps(info))
    config = json.loads((copied / "1" / "config.json").read_text())
    (copied / "1" / "config.json").write_text(json.dumps({**config, "source": "mnist"}))
    found = sections(call("1", "-F", copied)[1])
    assert "source npz array (from data)" in found["Config"]
