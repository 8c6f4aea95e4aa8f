"""A notebook reads the same from a folder of runs and from MongoDB."""

import math
import warnings

import pandas as pd
import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from reproducible_ml.tracking.runs.opening import open_store
from reproducible_ml.tracking.runs.run import iterate_runs, list_runs, load_run
from reproducible_ml.tracking.runs.store import nearest_ids, shown_ids, sorted_ids
from reproducible_ml.utils.errors import ConfigError, TrackingError
from tests.tracking import lab

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sacred import Experiment
    from sacred.observers import FileStorageObserver


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    return lab.recorded(tmp_path_factory).parent / "runs"


@pytest.fixture(scope="module")
def both(tmp_path_factory, mongo_uri):
    """The same runs in a folder and in a database, as two open stores."""
    import pymongo

    project = lab.make_project(tmp_path_factory.mktemp("both"))
    address = f"{mongo_uri}/both_stores"
    with pymongo.MongoClient(mongo_uri) as client:
        client.drop_database("both_stores")
        # Run 2, which makes the data, ends well within run 1, which fails.
        updates = ("with", "stage=True", "fail=too hot")
        assert lab.run(project, "lab.train", "-m", address, *updates)[0] == 1
        with open_store(project.parent / "runs") as folder, open_store(mongo=address) as mongo:
            yield folder, mongo
        client.drop_database("both_stores")


def to_milliseconds(frame, column):
    """Return a table with times as a database keeps them."""
    return frame.assign(**{column: frame[column].dt.floor("ms")})


def test_the_table_of_runs_is_the_same_from_both(both):
    folder, mongo = (to_milliseconds(list_runs(store), "started") for store in both)
    # Wall time is the difference of two times that are cut to milliseconds.
    assert (folder.pop("duration_seconds") - mongo.pop("duration_seconds")).abs().max() < 0.002
    pd.testing.assert_frame_equal(folder, mongo, check_like=True)
    assert list(folder["status"]) == ["FAILED", "COMPLETED"]


def test_every_point_is_the_same_from_both(both):
    folder, mongo = (
        to_milliseconds(load_run(1, store).metrics, "timestamp")
        .sort_values(["name", "step"])
        .reset_index(drop=True)
        for store in both
    )
    pd.testing.assert_frame_equal(folder, mongo)
    assert len(folder) == 6


def test_everything_else_is_the_same_from_both(both):
    for run_id in (1, 2):
        folder, mongo = (load_run(run_id, store) for store in both)
        for part in ("config", "result", "status", "experiment", "sources", "log", "git_commit"):
            assert getattr(folder, part) == getattr(mongo, part), part
        assert folder.environment == mongo.environment
        assert folder.info["dataset"] == mongo.info["dataset"]
        assert dict(folder.artifacts) == dict(mongo.artifacts)
        contents = [sorted(one.store.resources(run_id).values()) for one in (folder, mongo)]
        assert contents[0] == contents[1] != []
        for name, one in folder.artifacts.infos.items():
            other = mongo.artifacts.infos[name]
            assert (one.bytes, one.content_type) == (other.bytes, other.content_type)


def test_the_commands_print_the_same_from_both(both):
    folder, mongo = both
    places = (["-F", folder.shown], ["-m", mongo.shown])
    for command in (["runs"], ["compare", "1", "1"], ["compare", "1", "2", "--all"]):
        printed = [CliRunner().invoke(main, [*command, *place]) for place in places]
        assert printed[0].exit_code == printed[1].exit_code
        assert printed[0].output == printed[1].output
    shown = [CliRunner().invoke(main, ["show", "1", *place]).output for place in places]
    lines = [
        [line for line in text.splitlines()[1:] if "samples.png" not in line] for text in shown
    ]
    assert lines[0] == lines[1]


def test_an_unknown_id_is_the_same_error_from_both(both):
    for store in both:
        with pytest.raises(TrackingError, match=r"There is no run 9 in .*; there are 1-2"):
            load_run(9, store)


def test_the_table_has_a_row_a_run_with_config_result_and_last_values(runs):
    table = list_runs(runs)
    assert list(table.index) == [1, 2, 3, 4]
    assert list(table["experiment"]) == ["train", "make", "train", "train"]
    assert list(table["status"]) == ["COMPLETED", "COMPLETED", "COMPLETED", "FAILED"]
    assert table.loc[3, "config.lr"] == 1.0
    assert table.loc[1, "config.optimizer.kind"] == "sgd"
    assert table.loc[1, "result.step"] == 30
    assert table.loc[1, "metrics.loss"] == 0.5 / 3
    assert table.loc[1, "duration_seconds"] > table.loc[2, "duration_seconds"] > 0
    assert math.isnan(table.loc[2, "metrics.loss"])


def test_the_table_can_be_filtered_and_may_be_empty(runs):
    assert list(list_runs(runs, experiment="train", status="completed").index) == [1, 3]
    assert list(list_runs(runs, metrics=["odd"]).filter(like="metrics.")) == ["metrics.odd"]
    assert not list(list_runs(runs, metrics=False).filter(like="metrics."))
    empty = list_runs(runs, experiment="nothing")
    assert len(empty) == 0
    assert "status" in empty


def test_metrics_are_one_row_a_point(runs):
    loss = load_run("1", runs).metrics.query("name == 'loss'")
    assert list(loss["step"]) == [10, 20, 30]
    assert list(loss["value"]) == [0.5, 0.25, 0.5 / 3]
    assert loss["timestamp"].is_monotonic_increasing


def test_a_run_without_metrics_has_an_empty_table(runs):
    assert list(load_run(2, runs).metrics.columns) == ["name", "step", "value", "timestamp"]
    assert len(load_run(2, runs).metrics) == 0


def test_artifacts_are_read_and_saved_by_name(runs, tmp_path):
    artifacts = load_run(1, runs).artifacts
    assert dict(artifacts) == {"samples.png": lab.PICTURE}
    assert artifacts.save("samples.png", tmp_path).read_bytes() == lab.PICTURE
    with pytest.raises(KeyError):
        artifacts["other.png"]
    with pytest.raises(TrackingError, match="leads out of"):
        artifacts.save("../samples.png", tmp_path)


def test_a_damaged_run_is_listed_as_unreadable_beside_the_others(runs, tmp_path):
    import shutil

    shutil.copytree(runs, tmp_path / "runs")
    (tmp_path / "runs" / "2" / "run.json").write_text("{")
    found = {run.id: run.status for run in iterate_runs(tmp_path / "runs")}
    assert found == {1: "COMPLETED", 2: "UNREADABLE", 3: "COMPLETED", 4: "FAILED"}
    assert list(list_runs(tmp_path / "runs")["status"]).count("UNREADABLE") == 1
    with pytest.raises(TrackingError, match=r"2.run\.json"):
        load_run(2, tmp_path / "runs")


@pytest.mark.parametrize("run_id", ["..", "../runs/1", "_sources", "", ".", "1/..", "a\0b"])
def test_an_id_that_leaves_the_folder_does_not_exist(runs, run_id):
    with pytest.raises(TrackingError, match="There is no run"):
        load_run(run_id, runs)


def test_a_missing_folder_and_two_places_at_once_are_errors(runs):
    with pytest.raises(TrackingError, match="There is no folder of runs 'nowhere'"):
        load_run(1, "nowhere")
    with pytest.raises(ConfigError, match="not both"):
        open_store(runs, "sacred")


def test_ids_are_ordered_shown_as_ranges_and_the_nearest_are_found():
    assert sorted_ids(["b", 10, 2, "a"]) == [2, 10, "a", "b"]
    assert shown_ids([1, 2, 3, 7, "mine"]) == "1-3, 7 and mine"
    assert shown_ids(list(range(0, 100, 2))) == "0, 2, …, 96 and 98"
    assert nearest_ids("5", [1, 3, 8, 9, "x"]) == [3, 8]
    assert nearest_ids("99", [1, 3]) == [3]
    assert nearest_ids("trail", ["trial", "other"]) == ["trial"]


def test_an_integer_beyond_all_floats_stays_what_it_is(tmp_path):
    huge = 10**400
    for learning_rate, value in ((huge, huge), (0.5, 1.0)):
        ex = Experiment("huge", save_git_info=False)
        ex.observers.append(FileStorageObserver(str(tmp_path)))
        ex.add_config({"lr": learning_rate})

        def record(_run, value=value):
            _run.log_scalar("loss", value, 1)
            _run.log_scalar("loss", 0.5, 2)
            return value

        ex.main(record)
        ex.run()
    table = list_runs(tmp_path)
    for column in ("config.lr", "result"):
        assert table.loc[1, column] == huge
        assert table.loc[2, column] in (0.5, 1.0)
    assert list(load_run(1, open_store(tmp_path)).metrics["value"]) == [huge, 0.5]
