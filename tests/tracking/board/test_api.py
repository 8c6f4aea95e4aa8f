"""What the board answers, over a folder and over a real database alike."""

import json
import math

import pytest

from tests.tracking.board import toy


def listed(client, **arguments):
    """Ask for the list as the page does."""
    if "query" in arguments:
        arguments["queryFilter"] = json.dumps(arguments.pop("query"))
    answer = client.get("/api/run", query_string=arguments)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def names(client, **arguments):
    return [row["experiment_name"] for row in listed(client, **arguments)["data"]]


def where(field, operator, value):
    return {"type": "and", "filters": [{"field": field, "operator": operator, "value": value}]}


def ordered(column, direction, **more):
    return {
        "order[0][column]": 1,
        "order[0][dir]": direction,
        "columns[1][name]": column,
        **more,
    }


def detail(client, run_id):
    return client.get(f"/api/run/{run_id}").get_json()["data"][0]


def test_every_run_is_listed_whatever_its_state(client):
    rows = {row["experiment_name"]: row for row in listed(client)["data"]}
    assert {name: row["status"] for name, row in rows.items()} == {
        "digits": "COMPLETED",
        "broken": "FAILED",
        toy.HOSTILE: "COMPLETED",
        "number": "COMPLETED",
        "killed": "DEAD",
        "alive": "RUNNING",
        "silent": "DEAD",
        "waiting": "QUEUED",
    }
    assert rows["silent"]["heartbeat"] is None
    assert rows["waiting"]["start_time"] is None
    assert rows["digits"]["start_time"].endswith("Z")


def test_a_dict_result_is_shown_as_text(client):
    rows = {row["experiment_name"]: row["result"] for row in listed(client)["data"]}
    assert json.loads(rows["digits"])["frechet"] == 12.5
    assert rows["number"] == "0.25"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (where("config.lr", "<", 0.1), {"digits"}),
        (where("config.lr", ">=", 0.4), {"number", "killed", "alive", "silent", "waiting"}),
        (where("config.seed", "==", 7), {"digits"}),
        (where("config.lr", "==", "0.01"), set()),
        (where("experiment.name", "regex", "^(kil|bro)"), {"killed", "broken"}),
        (where("host.hostname", "==", "toy-host"), {"killed", "alive", "silent", "waiting"}),
        (where("status", "==", "DEAD"), {"killed", "silent"}),
        (where("status", "==", "RUNNING"), {"alive"}),
        (where("status", "==", "QUEUED"), {"waiting"}),
        (where("status", "regex", "^(DEAD|QUE)"), {"killed", "silent", "waiting"}),
        (where("status", "regex", "RUN"), {"alive"}),
        (where("result", ">", 0.2), {"number"}),
        (where("result.frechet", ">", 12), {"digits"}),
        (where("start_time", ">", "2999-01-01"), set()),
    ],
)
def test_filters_find_the_same_runs_in_both_places(client, query, expected):
    assert set(names(client, query=query)) == expected


def test_a_negated_filter_finds_all_others(client):
    everything = set(names(client))
    assert set(names(client, query=where("status", "!=", "DEAD"))) == everything - {
        "killed",
        "silent",
    }
    assert set(names(client, query=where("config.seed", "!=", 7))) == everything - {"digits"}


def test_filters_are_joined_as_the_page_joins_them(client):
    either = {"type": "or", "filters": [where("status", "==", s) for s in ("FAILED", "QUEUED")]}
    both = {"type": "and", "filters": [either, *where("config.lr", "<", 0.5)["filters"]]}
    assert names(client, query=both) == ["broken"]
    assert (
        len(names(client, query={"type": "and", "filters": [{"type": "or", "filters": []}]})) == 8
    )


@pytest.mark.parametrize(
    "query",
    [
        where("$where", "==", "sleep(1000)"),
        where("config.$ne", "==", 1),
        where("status", "==", {"$gt": ""}),
        where("status", "~", "x"),
        where("command", "regex", "("),
        where("status", "<", "DEAD"),
        where("heartbeat", ">", "yesterday"),
        {"type": "nor", "filters": []},
        [1],
    ],
)
def test_a_filter_that_means_nothing_is_refused_with_a_sentence(client, query):
    answer = client.get("/api/run", query_string={"queryFilter": json.dumps(query)})
    assert answer.status_code == 400
    assert answer.get_json()["error"].endswith(".")


def test_sorting_follows_the_column_and_its_direction(client):
    rising = names(client, **ordered("experiment.name", "asc"))
    assert rising == sorted(rising)
    assert names(client, **ordered("experiment.name", "desc")) == rising[::-1]
    ids = [int(row["id"]) for row in listed(client, **ordered("_id", "asc"))["data"]]
    assert ids == sorted(ids)
    assert names(client, **ordered("heartbeat", "desc"))[0] == "alive"


def test_pages_hold_every_run_once_and_tell_both_counts(client):
    pages = [
        listed(client, start=start, length=3, **ordered("hostname", "asc")) for start in (0, 3, 6)
    ]
    seen = [row["id"] for page in pages for row in page["data"]]
    assert [len(page["data"]) for page in pages] == [3, 3, 2]
    assert len(set(seen)) == 8
    some = listed(client, query=where("status", "==", "DEAD"))
    assert (some["recordsFiltered"], some["recordsTotal"]) == (2, 8)


def test_the_details_hold_config_output_and_a_result_that_json_allows(client, recorded):
    run = detail(client, recorded.ids["trained"])
    assert run["object"]["config"]["lr"] == 0.01
    assert "first line\n" in run["object"]["captured_out"]
    assert "coloured progress" not in run["object"]["captured_out"]
    assert "progress 100%\n" in run["object"]["captured_out"]
    assert run["result"] == {"frechet": 12.5, "best": {"step": 9000, "missing": "nan"}}


def test_a_failed_run_shows_its_traceback(client, recorded):
    assert "ZeroDivisionError" in detail(client, recorded.ids["failed"])["object"]["fail_trace"]


@pytest.mark.parametrize("what", ["queued", "silent", "alive"])
def test_a_run_that_has_hardly_begun_has_details_too(client, recorded, what):
    assert detail(client, recorded.ids[what])["object"]["info"]["metrics"] == []


def test_a_metric_of_ten_thousand_points_has_its_nan_as_a_gap(client, recorded):
    run = detail(client, recorded.ids["trained"])
    metrics = {metric["name"]: metric["id"] for metric in run["object"]["info"]["metrics"]}
    assert sorted(metrics) == ["loss/critic", "loss/generator"]
    answer = client.get(f"/api/run/{run['id']}/metric/{metrics['loss/generator']}")
    metric = json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert metric["steps"] == list(range(toy.POINTS))
    assert metric["values"][3999] == math.exp(-3999 / 3000) + 0.1 * math.sin(3999 / 150)
    assert [i for i, value in enumerate(metric["values"]) if value is None] == list(
        range(4000, 5000)
    )
    assert len(metric["strtimestamps"]) == toy.POINTS
    assert metric["strtimestamps"][0].endswith("Z")


def test_images_are_shown_and_all_else_is_a_download_that_runs_nothing(client, recorded):
    artifacts = {a["name"]: a for a in detail(client, recorded.ids["trained"])["artifacts"]}
    picture = client.get(artifacts["grid_000100.png"]["url"])
    assert picture.data == (recorded.scratch / "grid_000100.png").read_bytes()
    assert picture.headers["Content-Type"] == "image/png"
    assert picture.headers["Content-Disposition"].startswith("inline")
    for name in ("notes.txt", "page.html"):
        assert not artifacts[name]["is_image"]
        download = client.get(artifacts[name]["url"])
        assert download.data == (recorded.scratch / name).read_bytes()
        assert download.headers["Content-Disposition"].startswith("attachment")
        assert download.headers["X-Content-Type-Options"] == "nosniff"
        assert download.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    drawing = client.get(artifacts["drawing.svg"]["url"])
    assert drawing.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.parametrize(
    "path",
    [
        "/api/run/999",
        "/api/run/no-such-name",
        "/api/run/999999999999999999999999",
        "/api/run/..",
        "/api/run/%2e%2e%2f%2e%2e%2fetc",
        "/api/run/999/metric/x",
        "/api/run/1/metric/bm9uZQ",
        "/api/run/999/output",
        "/api/run/1/artifact/99/grid_000100.png",
        "/api/run/1/artifact/0/..%2f..%2frun.json",
        "/api/nothing",
    ],
)
def test_what_is_not_there_is_a_404_with_a_sentence(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.get_json()["error"].endswith(".")


def test_a_missing_run_has_a_page_that_says_so(client):
    for run_id in ("999", "no-such-name", "%3Cscript%3E"):
        answer = client.get(f"/runs/{run_id}")
        assert answer.status_code == 404
        assert "There is no run" in answer.text
        assert "<script>alert" not in answer.text
        assert "<script>." not in answer.text


def test_all_of_the_output_can_be_downloaded(client, recorded):
    answer = client.get(f"/api/run/{recorded.ids['trained']}/output")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "first line\n" in answer.text


def test_a_run_with_a_name_for_an_id_is_a_run(client, recorded):
    observer = recorded.observer()
    info = {"name": "named", "base_dir": ".", "sources": [], "dependencies": []}
    observer.started_event(info, "main", dict(toy.HOST), toy.now(), {}, {}, "best of 3")
    observer.completed_event(toy.now(), 1)
    assert detail(client, "best%20of%203")["experiment_name"] == "named"
    assert client.get("/runs/best%20of%203").status_code == 200
    assert client.delete("/api/run/best%20of%203").status_code == 200
    assert client.get("/api/run/best%20of%203").status_code == 404


def test_deleting_leaves_nothing_of_the_run_and_all_of_the_others(client, recorded):
    main = toy.trained(recorded.scratch)
    run_id = toy.record(recorded.observer(), main, "to delete", {"lr": 9.0})
    before = files(recorded)
    assert client.delete(f"/api/run/{run_id}").status_code == 200
    assert client.get(f"/api/run/{run_id}").status_code == 404
    assert client.delete(f"/api/run/{run_id}").status_code == 404
    if recorded.database is None:
        assert not (recorded.folder / str(run_id)).exists()
    else:
        assert recorded.database.metrics.count_documents({"run_id": run_id}) == 0
        left = files(recorded)
        assert len(before - left) == 7, "five artifacts, two source files"
        assert not {f for f in left if f"/{run_id}/" in f[0]}
        chunks = set(recorded.database["fs.chunks"].distinct("files_id"))
        assert chunks <= {file_id for _, file_id in left}  # an empty source file has none
    artifacts = detail(client, recorded.ids["trained"])["artifacts"]
    assert all(client.get(artifact["url"]).status_code == 200 for artifact in artifacts)


def files(recorded):
    """Return name and id of what GridFS holds."""
    if recorded.database is None:
        return set()
    return {(f["filename"], f["_id"]) for f in recorded.database["fs.files"].find()}


def test_a_source_file_that_another_run_shares_stays(client, recorded):
    first = toy.record(recorded.observer(), lambda: 1, "first")
    second = toy.record(recorded.observer(), lambda: 2, "second")
    if recorded.database is None:
        stored = set((recorded.folder / "_sources").iterdir())
        assert client.delete(f"/api/run/{first}").status_code == 200
        assert set((recorded.folder / "_sources").iterdir()) == stored
        return
    runs = recorded.database.runs
    shared = runs.find_one({"_id": first})["experiment"]["sources"]
    runs.update_one({"_id": second}, {"$set": {"experiment.sources": shared}})
    assert client.delete(f"/api/run/{first}").status_code == 200
    assert recorded.database["fs.files"].find_one({"_id": shared[0][1]}) is not None
    assert client.delete(f"/api/run/{second}").status_code == 200
    assert recorded.database["fs.files"].find_one({"_id": shared[0][1]}) is None


def test_a_run_that_is_alive_is_not_deleted(client, recorded):
    answer = client.delete(f"/api/run/{recorded.ids['alive']}")
    assert answer.status_code == 409
    assert "still running" in answer.text
    assert client.get(f"/api/run/{recorded.ids['alive']}").status_code == 200


def test_a_killed_run_can_be_deleted(client, recorded):
    run_id = toy.started(recorded.observer(), toy.now().replace(year=2020), "long dead")
    assert client.delete(f"/api/run/{run_id}").status_code == 200
