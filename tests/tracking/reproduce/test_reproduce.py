"""``reproducible-ml reproduce`` on a toy stage: identical runs, and planted differences."""

import json
import os
import shutil

import pytest
from click.testing import CliRunner

from reproducible_ml import cli
from reproducible_ml.tracking.reproduce.recorded import Recorded
from reproducible_ml.tracking.runs.run import load_run
from tests.tracking.toy_project import Project


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("project"))
    assert project.record() == 1
    return project


@pytest.fixture
def project(recorded, tmp_path):
    """A copy that a test may alter; the record names its paths, so they are inputs elsewhere."""
    copy = Project.__new__(Project)
    copy.root = tmp_path / "project"
    shutil.copytree(recorded.root, copy.root)
    copy.runs, copy.source = copy.root / "runs", copy.root / "walks" / "walk.py"
    return copy


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_run_executed_again_elsewhere_after_the_tree_was_changed_is_identical(project, tmp_path):
    project.source.write_text("raise SystemExit('the working tree was executed')")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code, output = project.reproduce(1, cwd=elsewhere)
    assert code == 0, output
    assert "Run 2 executes run 1 again: identical." in output
    # The run within has no next step to tell: its folders are gone.
    assert "Look at it" not in output
    assert "Prove it" not in output
    assert list(elsewhere.iterdir()) == []
    for run_id, key in ((1, "reproduced_by"), (2, "reproduced_from")):
        (verdict,) = project.info(run_id)["verdicts"]
        assert verdict["verdict"] == "identical"
        assert key in verdict


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({1: 1}, "The records say that run 1 builds on run 1: no stage is the first one."),
        ({1: 2, 2: 1}, "The records say that run 1 builds on run 2 builds on run 1: no stage"),
    ],
)
def test_runs_that_build_on_themselves_are_told(project, named, said):
    shutil.copytree(project.runs / "1", project.runs / "2")
    for run_id, upstream in named.items():
        stage = {"run_id": upstream, "stage": "walk"}
        path = project.runs / str(run_id) / "info.json"
        edit_json(path, lambda info, stage=stage: info.update(upstream=[stage]))
    code, output = project.reproduce(1, "--upstream")
    assert code == 2
    assert said in output
    assert sorted(os.listdir(project.runs)) == ["1", "2", "_sources"]


def test_outputs_go_elsewhere_and_are_kept_when_asked(project, tmp_path):
    shutil.rmtree(project.root / "out", ignore_errors=True)
    code, output = project.reproduce(1, "--keep", str(tmp_path / "kept"))
    assert code == 0, output
    assert (tmp_path / "kept" / "run-1" / "out_dir" / "weight.txt").exists()
    assert not (project.root / "out").exists()
    code, output = project.reproduce(1, "--keep", str(tmp_path / "kept"))
    assert code == 2
    assert f"{tmp_path}/kept/run-1 is left from an earlier rerun. Remove it" in output


def test_a_changed_line_is_named_with_the_first_step_that_it_changes(project):
    source = project.source.read_text()
    project.source.write_text(
        source.replace("weight -= rate", "weight -= (rate if step < 12 else 0.25)")
    )
    code, output = project.reproduce(1, "--sources", "current")
    assert code == 1, output
    assert "walks/walk.py is not the recorded one: 1 line added, 1 removed." in output
    assert "differs at step 12: metric weight" in output


def test_sources_that_are_not_in_the_working_directory_are_asked_for(project, tmp_path):
    code, output = project.reproduce(1, "--sources", "current", cwd=tmp_path)
    assert code == 2
    assert f"needs walks.walk in the working directory {tmp_path}" in output


def test_another_seed_differs_from_the_first_step_on(project):
    code, output = project.reproduce(1, "--set", "seed=2")
    assert code == 1, output
    assert "differs at step 1: metric weight" in output
    assert project.info(1)["verdicts"][0]["changes"] == {"seed": 2}


def test_fewer_steps_are_compared_as_far_as_they_go(project):
    code, output = project.reproduce(1, "--steps", "7")
    assert code == 0, output
    assert "identical up to step 7" in output
    code, output = project.reproduce(1, "--steps", "21")
    assert code == 2
    assert "--steps must be 1 to 20" in output


def changed(tmp_path, *replacements):
    """Return a project whose toy stage has been edited, with one run."""
    project = Project(tmp_path / "project")
    source = project.source.read_text()
    for old, new in replacements:
        assert old in source
        source = source.replace(old, new)
    project.source.write_text(source)
    project.record()
    return project


SCALAR = 'record_scalar(_run, "weight", weight, step)'
POINT = f"points.append((step, weight))\n        {SCALAR}"
EVERY_TENTH = (POINT, f"if step % 10 == 0:\n            {POINT.replace(' ' * 8, ' ' * 12)}")


def test_steps_without_a_point_are_refused_before_anything_runs(tmp_path):
    unseeded = ("np.random.Generator(np.random.Philox(seed))", "np.random.default_rng()")
    project = changed(tmp_path, unseeded, EVERY_TENTH)
    code, output = project.reproduce(1, "--steps", "9")
    assert code == 2
    assert output == (
        "Error: Run 1 recorded nothing up to step 9 that a rerun could be compared with: its first "
        "metric point is at step 10, so choose --steps 10 or more.\n"
    )
    assert not (project.runs / "2").exists()
    assert "verdicts" not in project.info(1)
    code, output = project.reproduce(1, "--steps", "10")
    assert code == 1, output
    assert "differs at step 10: metric weight" in output


def test_a_run_without_metrics_is_compared_whole_or_not_at_all(tmp_path):
    project = changed(tmp_path, (SCALAR, "pass"), ('{"weight": points}', "{}"))
    code, output = project.reproduce(1, "--steps", "9")
    assert code == 2
    assert "compared with: it has no metrics, so leave out --steps.\n" in output
    code, output = project.reproduce(1)
    assert code == 0, output


def test_a_metric_without_a_point_in_these_steps_is_told_as_that(tmp_path):
    last = (
        f"{SCALAR}\n        if step == max_steps:\n            {SCALAR.replace('weight', 'end', 1)}"
    )
    project = changed(tmp_path, (SCALAR, last))
    code, output = project.reproduce(1, "--steps", "7")
    assert code == 0, output
    (line,) = [line for line in output.splitlines() if line.startswith("metric end")]
    assert line.split() == ["metric", "end", "none", "up", "to", "step", "7"]


def test_fewer_steps_are_refused_where_a_setting_depends_on_the_last(tmp_path):
    project = changed(tmp_path, ('outputs=["out_dir"]', 'outputs=["out_dir"], scheduled=["rate"]'))
    code, output = project.reproduce(1, "--steps", "19")
    assert code == 2
    assert output == (
        "Error: --steps can't shorten run 1: the value of rate at a step depends on the last step "
        "(max_steps=20), so a shorter training has other bits.\n"
    )
    code, output = project.reproduce(1, "--steps", "20")
    assert code == 0, output
    assert "identical up to step 20" in output


def test_an_edited_metric_is_named(project):
    edit_json(
        project.runs / "1" / "metrics.json",
        lambda metrics: metrics["weight"]["values"].__setitem__(3, 0.125),
    )
    code, output = project.reproduce(1)
    assert code == 2
    assert "altered after the run: metric weight." in output
    code, output = project.reproduce(1, "--allow-altered")
    assert code == 1
    assert "differs at step 4: metric weight 0.125 / " in output


@pytest.mark.parametrize(
    ("file", "change", "name"),
    [
        ("config.json", lambda config: config.update(rate=0.4), "the configuration"),
        ("info.json", lambda info: info["digest"].update(weight="0" * 64), "entry digest"),
    ],
)
def test_an_edited_part_of_the_record_is_named(project, file, change, name):
    edit_json(project.runs / "1" / file, change)
    code, output = project.reproduce(1)
    assert code == 2
    assert f"altered after the run: {name}." in output


def test_an_edited_source_in_the_record_is_named(project):
    kept = next((project.runs / "_sources").glob("walk_*.py"))
    kept.write_text(kept.read_text().replace("0.5", "0.4"))
    code, output = project.reproduce(1)
    assert code == 2
    assert "altered after the run: the sources." in output


def test_another_package_version_is_listed_with_what_it_may_do(tmp_path):
    old = tmp_path / "packages" / "Pillow-0.0.1.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: Pillow\nVersion: 0.0.1\n")
    project = Project(tmp_path / "project")
    project.record(environment={**os.environ, "PYTHONPATH": str(old.parent)})
    code, output = project.reproduce(1)
    assert code == 0, output
    line = next(line for line in output.splitlines() if line.startswith("packages.pillow"))
    assert "recorded 0.0.1, now " in line
    assert line.endswith("effect on the bits: may change a data set that is serialized again")


def test_variables_that_change_results_are_set_as_they_were(tmp_path):
    project = Project(tmp_path / "project")
    project.source.write_text(
        project.source.read_text().replace(
            "weight = float(", "import os\n    weight = float(os.environ['OMP_NUM_THREADS'] + "
        )
    )
    project.record(environment={**os.environ, "OMP_NUM_THREADS": "3"})
    code, output = project.reproduce(1)
    assert code == 0, output
    assert "OMP_NUM_THREADS" not in output


def test_an_input_that_is_gone_is_asked_for(project, tmp_path, recorded):
    hidden = tmp_path / "moved.txt"
    original = recorded.root / "start.txt"
    original.rename(hidden)
    try:
        code, output = project.reproduce(1)
        assert code == 2
        assert f"{original}, which run 1 read as start_file, does not exist" in output
        code, output = project.reproduce(1, "--input", f"start_file={hidden}")
        assert code == 0, output
    finally:
        hidden.rename(original)


@pytest.mark.parametrize(
    "spelling", ["start.txt", "./start.txt", "start.txt/", "../project/start.txt"]
)
def test_an_input_is_found_however_its_path_was_typed(project, spelling):
    edit_json(project.runs / "1" / "config.json", lambda config: config.update(start_file=spelling))
    edit_json(
        project.runs / "1" / "info.json", lambda info: info["stage"].update(cwd="/work/project")
    )
    inputs = Recorded(load_run(1, project.runs)).stage.inputs
    assert inputs == {"start_file": "/work/project/start.txt"}


def test_a_failed_run_and_an_unknown_one_cannot_be_compared(project):
    edit_json(project.runs / "1" / "run.json", lambda entry: entry.update(status="FAILED"))
    code, output = project.reproduce(1)
    assert code == 2
    assert "Run 1 is FAILED, not COMPLETED" in output
    code, output = project.reproduce(9)
    assert code == 2
    assert "There is no run 9" in output


def test_a_run_is_reproduced_from_mongodb(tmp_path, mongo_uri):
    mongo_uri = f"{mongo_uri}/reproduced"
    project = Project(tmp_path / "project")
    run_id = project.record(mongo=mongo_uri)
    # Only the database is left of it.
    shutil.rmtree(project.runs)
    code, output = project.reproduce(run_id, mongo=mongo_uri)
    assert code == 0, output
    assert f"executes run {run_id} again: identical." in output
    from reproducible_ml.tracking.runs.opening import open_store
    from reproducible_ml.tracking.runs.run import iterate_runs

    with open_store(mongo=mongo_uri) as store:
        verdicts = [run.verdict for run in iterate_runs(store)]
    assert verdicts == ["identical", "identical"]


def in_process(project, monkeypatch, *options):
    """Reproduce run 1 without a terminal; return the exit code and the output."""
    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(cli.main, ["reproduce", "1", "-F", str(project.runs), *options])
    return done.exit_code, done.output


def planted(folder):
    """Return a value by which jsonpickle makes a file."""
    arguments = {"py/tuple": [["touch", str(folder / "planted")]]}
    return {"py/reduce": [{"py/type": "subprocess.check_call"}, arguments]}


@pytest.mark.parametrize("sources", ["current", "recorded"])
def test_a_value_that_would_call_a_function_is_refused(project, tmp_path, monkeypatch, sources):
    project.source.write_text(project.source.read_text() + "\nopen('executed', 'w').close()\n")
    edit_json(
        project.runs / "1" / "config.json", lambda config: config.update(rate=planted(tmp_path))
    )
    code, output = in_process(
        project, monkeypatch, "--sources", sources, "--yes", "--allow-altered"
    )
    assert code == 2, output
    assert "an object packed by jsonpickle" in output
    assert not (tmp_path / "planted").exists()
    assert not (project.root / "executed").exists()


@pytest.mark.parametrize("sources", ["current", "recorded"])
def test_a_record_from_elsewhere_is_not_run_without_a_word(project, monkeypatch, sources):
    def elsewhere(entry):
        entry["host"]["hostname"] = "elsewhere\x1b]52;c;aGk=\x07"

    edit_json(project.runs / "1" / "run.json", elsewhere)
    project.source.write_text("open('executed', 'w').close()\n" + project.source.read_text())
    code, output = in_process(project, monkeypatch, "--sources", sources)
    assert code == 2, output
    assert r"Run 1 was recorded on elsewhere\x1b]52;c;aGk=\x07 in" in output
    assert "then repeat with --yes" in output
    assert not (project.root / "executed").exists()
    assert [path.name for path in project.runs.iterdir() if path.name.isdigit()] == ["1"]


def test_a_record_from_elsewhere_runs_if_told_so(project, monkeypatch):
    edit_json(project.runs / "1" / "run.json", lambda run: run["host"].update(hostname="elsewhere"))
    code, output = in_process(project, monkeypatch, "--yes")
    assert code == 0, output
    assert "recorded on elsewhere" in output
    assert "Run 2 executes run 1 again: identical." in output
