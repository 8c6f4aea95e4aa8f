"""``reproducible-ml runs`` lists recorded runs in plain aligned text."""

import json
import shutil

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from reproducible_ml.commands.layout import as_json
from reproducible_ml.utils.text import duration, shown, size, table
from tests.tracking import lab


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return lab.recorded(tmp_path_factory).parent / "runs"


def call(*arguments, width=None):
    """Return exit code and output of the command."""
    env = {"COLUMNS": "" if width is None else str(width)}
    done = CliRunner().invoke(main, ["runs", *map(str, arguments)], env=env)
    return done.exit_code, done.output


def test_a_row_shows_id_dirty_mark_experiment_status_step_and_result(folder):
    code, output = call("-F", folder)
    header, *rows, blank, legend = output.splitlines()
    assert code == 0
    assert header.split() == (
        ["ID", "EXPERIMENT", "STATUS", "STARTED", "(UTC)", "TIME", "STEP", "RESULT"]
    )
    assert [row.split()[:3] for row in rows] == [
        ["1*", "train", "COMPLETED"],
        ["2*", "make", "COMPLETED"],
        ["3*", "train", "COMPLETED"],
        ["4*", "train", "FAILED"],
    ]
    assert " 30  loss 0.16667" in rows[0]
    assert "fingerprint " in rows[1]
    assert rows[3].endswith(" 30  RuntimeError: too hot")
    assert (blank, legend) == ("", "* files differed from the git commit, or were new")


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(folder, width):
    _, output = call("-F", folder, width=width)
    assert max(map(len, output.splitlines())) <= width
    assert "COMPLETED" in output


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--status", "failed"), [4]),
        (("--status", "COMPLETED", "--experiment", "train"), [1, 3]),
        (("--experiment", "make"), [2]),
        (("--limit", "2"), [3, 4]),
        (("--limit", "1", "--experiment", "train", "--status", "completed"), [3]),
        (("--experiment", "nothing"), []),
        (("--filter", "lr=1"), [3]),
        (("--filter", "optimizer.kind=sgd", "--filter", "npz_file=None"), [1, 3, 4]),
        (("--filter", "name='plain'", "--limit", "1"), [4]),
        (("--filter", "shape=[4,3]", "--filter", "steps=4"), []),
    ],
)
def test_filters_and_limit_choose_runs(folder, options, ids):
    code, output = call("-F", folder, "--json", *options)
    assert code == 0
    assert [one["id"] for one in json.loads(output)] == ids


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--filter", "lrr=1"], "No run in {} has a configuration key 'lrr'; did you mean 'lr'?"),
        (
            ["--experiment", "make", "--filter", "lr=1"],
            "No run of make in {} has a configuration key 'lr'; there are: record_dir, seed.",
        ),
        (["--filter", "lr"], "--filter lr must be KEY=VALUE, such as gen_lr=0.0005."),
    ],
)
def test_a_filter_that_can_match_nothing_says_why(folder, options, said):
    code, output = call("-F", folder, *options)
    assert (code, output) == (1, f"Error: {said.format(folder)}\n")


def test_a_filter_that_matches_nothing_says_what_there_is(folder):
    code, output = call("-F", folder, "--filter", "lr=7", "--experiment", "train")
    assert code == 0
    assert output == (
        f"There are no runs of experiment train with lr=7 in {folder}; "
        "there are runs of make, train.\n"
    )


def test_json_holds_what_the_table_shows_uncut(folder):
    _, output = call("-F", folder, "--json", "--limit", "2")
    run = json.loads(output)[0]
    assert run["result"] == {"step": 30, "loss": 1 / 3}
    assert run["config"]["lr"] == 1.0
    assert run["last_step"] == 30
    assert run["dirty"] is True
    assert len(run["git_commit"]) == 40
    assert run["duration_seconds"] > 0


def test_runs_are_below_the_working_directory_by_default(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert call("--limit", "1")[1].count("train") == 1


def test_a_verdict_has_a_column(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copied")
    info = json.loads((copied / "3" / "info.json").read_text())
    info["verdicts"] = [{"verdict": "identical"}, {"verdict": "differs at step 7: loss 1 / 2"}]
    (copied / "3" / "info.json").write_text(json.dumps(info))
    header, *rows = call("-F", copied)[1].splitlines()
    at = header.index("VERDICT")
    assert [row[at : at + 17].strip() for row in rows[:4]] == ["-", "-", "differs at step 7", "-"]
    assert "loss 1 / 2" not in "".join(rows)


def test_a_narrow_terminal_leaves_a_short_verdict_whole(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copied")
    info = json.loads((copied / "3" / "info.json").read_text())
    (copied / "3" / "info.json").write_text(json.dumps({**info, "verdicts": ["identical"]}))
    _, output = call("-F", copied, width=80)
    assert " identical " in output
    assert max(map(len, output.splitlines())) <= 80


def test_an_unreadable_run_is_listed_with_the_reason(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copied")
    (copied / "2" / "run.json").write_text("{")
    code, output = call("-F", copied, "--status", "unreadable")
    assert code == 0
    assert "UNREADABLE" in output
    assert "run.json" in output


def test_no_runs_is_a_sentence_that_names_what_there_is(folder, tmp_path):
    code, output = call("-F", folder, "--experiment", "tarin")
    assert code == 0
    assert output == (
        f"There are no runs of experiment tarin in {folder}; there are runs of make, train.\n"
    )
    assert call("-F", tmp_path)[1] == f"There are no runs in {tmp_path}.\n"


def test_a_missing_folder_and_two_places_are_errors(tmp_path):
    code, output = call("-F", "nowhere")
    assert code == 1
    assert output == (
        "Error: There is no folder of runs 'nowhere'; name a folder with -F DIR, or a database "
        "with -m.\n"
    )
    code, output = call("-F", tmp_path, "-m", "sacred")
    assert (code, "not both" in output) == (1, True)


def test_durations_and_sizes_read_well():
    seconds = [None, 0.04, 9.94, 59.4, 200, 7500, 100_000]
    assert [duration(one) for one in seconds] == (
        ["-", "0.0 s", "9.9 s", "59 s", "3 min 20 s", "2 h 05 min", "1 d 3 h"]
    )
    assert [size(one) for one in (0, 999, 1000, 999_949, 999_950, 161_400_000, 2 * 10**9)] == (
        ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "161.4 MB", "2.0 GB"]
    )


def test_what_a_record_holds_cannot_steer_the_terminal():
    assert shown("a\x1b[31mb\r\nc") == "a [31mb c"


def test_a_wide_table_gives_way_in_its_elastic_columns_only():
    rows = [("ID", "TEXT"), ("1", "x" * 50), ("22", "short")]
    assert table(rows, right=(0,), elastic=(1,), width=20) == (
        ["ID  TEXT", " 1  " + "x" * 15 + "…", "22  short"]
    )


def test_json_has_no_values_that_json_does_not_know():
    value = {"a": [float("nan"), float("inf"), -float("inf"), 0.5]}
    assert json.loads(as_json(value)) == {"a": ["NaN", "Infinity", "-Infinity", 0.5]}


@pytest.mark.parametrize("name", ["runs", "show", "report"])
def test_before_the_first_run_it_is_said_how_there_comes_to_be_one(name, tmp_path):
    words = [name] if name == "runs" else [name, "1"]
    neutral = CliRunner().invoke(main, words).output
    assert neutral == (
        "Error: There is no folder of runs 'runs': no experiment has run here yet. Else name a "
        "folder with -F DIR, or a database with -m.\n"
    )
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mnist_wgan.py").touch()
    said = CliRunner().invoke(main, words).output
    assert "has run here yet: python -m experiments.mnist_wgan with digits. Else" in said


def recorded_run(folder, run_id, **info):
    """Write the record of a training with a long result."""
    directory = folder / str(run_id)
    directory.mkdir(parents=True)
    run = {
        "status": "COMPLETED",
        "experiment": {"name": "mnist_serialize"},
        "start_time": "2026-11-24T10:00:00.000000",
        "stop_time": "2026-11-24T10:03:20.000000",
        "result": {"step": 1000, "loss": 0.25, "digest": "0123456789abcdef" * 4},
    }
    (directory / "run.json").write_text(json.dumps(run))
    (directory / "info.json").write_text(json.dumps(info))


def test_in_80_columns_a_verdict_is_whole_and_the_result_gives_way(tmp_path):
    recorded_run(tmp_path / "runs", 1, verdicts=["identical up to step 200"])
    recorded_run(tmp_path / "runs", 2, verdicts=["differs at step 7: loss 1 / 2"])
    lines = call(width=80)[1].splitlines()
    assert max(map(len, lines)) <= 80
    assert "identical to 200 " in lines[1]
    assert "differs at 7 " in lines[2]
    assert "identical up to step 200 " in call()[1]


def test_a_digest_has_the_same_digits_in_a_list_of_runs_as_elsewhere(tmp_path):
    recorded_run(tmp_path / "runs", 1, digest={"run": "0123456789abcdef" * 4})
    assert "digest 0123456789ab, loss" in call()[1]
    shown_run = CliRunner().invoke(main, ["show", "1"], env={"COLUMNS": ""}).output
    assert "0123456789ab\n" in shown_run
