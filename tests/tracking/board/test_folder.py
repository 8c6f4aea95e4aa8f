"""A folder in any state: half-written, damaged, hostile, large."""

import json
import shutil

import pytest

from reproducible_ml.tracking.board.present import PLOT_POINTS, curve
from reproducible_ml.tracking.board.server import create_app
from reproducible_ml.tracking.runs.opening import open_store
from tests.tracking.board import toy
from tests.tracking.board.conftest import FileStorageObserver


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def client(runs):
    return create_app(open_store(runs), "runs").test_client()


@pytest.fixture
def observer(runs):
    return FileStorageObserver(str(runs))


def listed(client):
    answer = client.get("/api/run")
    assert answer.status_code == 200
    return {row["id"]: row for row in answer.get_json()["data"]}


def test_an_empty_folder_or_one_that_is_gone_has_no_runs(client, runs):
    assert listed(client) == {}
    (runs / "_sources").mkdir()
    (runs / "notes.txt").write_text("no run")
    assert listed(client) == {}
    shutil.rmtree(runs)
    assert listed(client) == {}


def test_a_run_file_cut_in_half_is_shown_as_unreadable(client, runs, observer):
    toy.record(observer, lambda: 1)
    path = runs / "1" / "run.json"
    path.write_text(path.read_text()[:100])
    assert listed(client)["1"]["status"] == "UNREADABLE"
    assert client.get("/api/run/1").status_code == 200


def test_a_time_at_a_full_second_is_read(client, runs, observer):
    toy.record(observer, lambda: 1)
    path = runs / "1" / "run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps({**run, "heartbeat": "2026-01-31T12:00:00"}))
    assert listed(client)["1"]["heartbeat"] == "2026-01-31T12:00:00Z"


def test_ids_sort_as_numbers(client, observer):
    for _ in range(11):
        toy.record(observer, lambda: 1)
    arguments = {"order[0][column]": 1, "order[0][dir]": "asc", "columns[1][name]": "_id"}
    answer = client.get("/api/run", query_string=arguments).get_json()
    assert [row["id"] for row in answer["data"]] == [str(i) for i in range(1, 12)]


def test_an_artifact_name_cannot_lead_out_of_its_run(client, runs, observer, tmp_path):
    toy.record(observer, lambda: 1)
    (tmp_path / "secret.txt").write_text("secret")
    (runs / "1" / "link.txt").symlink_to(tmp_path / "secret.txt")
    path = runs / "1" / "run.json"
    run = json.loads(path.read_text())
    run["artifacts"] = ["../../secret.txt", str(tmp_path / "secret.txt"), "link.txt", "a\0b", "."]
    path.write_text(json.dumps(run))
    assert client.get("/api/run/1").get_json()["data"][0]["artifacts"] == []
    for name in ("link.txt", "..%2f..%2fsecret.txt"):
        assert client.get(f"/api/run/1/artifact/0/{name}").status_code == 404


def test_a_run_that_is_a_link_out_of_the_folder_does_not_exist(client, runs, observer, tmp_path):
    toy.record(observer, lambda: 1)
    toy.record(FileStorageObserver(str(tmp_path / "elsewhere")), lambda: 1)
    (runs / "2").symlink_to(tmp_path / "elsewhere" / "1")
    assert set(listed(client)) == {"1"}
    assert client.get("/api/run/2").status_code == 404
    assert client.delete("/api/run/2").status_code == 404
    assert (tmp_path / "elsewhere" / "1" / "run.json").exists()


@pytest.mark.parametrize("run_id", ["..", ".", "_sources", "..%2fruns%2f1", "%2fetc", "1%2f..%2f1"])
def test_no_id_leads_out_of_the_folder(client, runs, observer, run_id):
    toy.record(observer, lambda: 1)
    assert client.get(f"/api/run/{run_id}", follow_redirects=True).status_code == 404
    assert client.delete(f"/api/run/{run_id}").status_code in (404, 405, 308)
    assert (runs / "1" / "run.json").exists()


def test_a_run_being_deleted_is_in_no_list(client, runs, observer):
    toy.record(observer, lambda: 1)
    (runs / "1").rename(runs / "_deleted_77_1")
    assert listed(client) == {}
    assert client.get("/api/run/_deleted_77_1").status_code == 404


def test_a_long_output_is_cut_on_the_page_and_whole_in_the_download(client, runs, observer):
    toy.record(observer, lambda: 1)
    text = "start\n" + "line of output\n" * 200_000 + "end\n"
    (runs / "1" / "cout.txt").write_text(text)
    shown = client.get("/api/run/1").get_json()["data"][0]["object"]["captured_out"]
    assert shown.endswith("end\n")
    assert len(shown) <= 1_000_000
    assert client.get("/api/run/1/output").text == text


def test_values_that_are_no_numbers_become_gaps():
    values = [1, True, None, "text", float("inf"), {"py/object": "numpy.float64", "value": 2.5}]
    points = curve(range(6), ["2026-01-01T00:00:00"] * 6, values)
    assert points["values"] == [1.0, 1.0, None, None, None, 2.5]
    assert json.loads(json.dumps(points)) == points


def test_a_million_points_are_thinned_and_no_spike_or_gap_is_lost():
    values = [0.0] * 1_000_000
    values[123_456], values[777_777], values[500_000] = 9.0, -9.0, float("nan")
    points = curve(range(1_000_000), ["2026-01-01T00:00:00"] * 1_000_000, values)
    kept = dict(zip(points["steps"], points["values"]))
    assert len(kept) <= PLOT_POINTS + 2
    assert (kept[123_456], kept[777_777], kept[500_000]) == (9.0, -9.0, None)
    assert points["steps"] == sorted(points["steps"])
    assert (points["steps"][0], points["steps"][-1]) == (0, 999_999)
