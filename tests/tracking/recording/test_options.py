"""Where a run goes, as the command line says it."""

import json
import re

import pytest

from reproducible_ml.tracking.recording.options import Storage
from reproducible_ml.utils.errors import ConfigError
from tests.tracking import lab


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return lab.make_project(tmp_path_factory.mktemp("options"))


def test_without_options_runs_go_to_runs(project, tmp_path):
    code, output = lab.run(project, "lab.train", "with", "steps=1", cwd=tmp_path)
    assert code == 0, output
    assert json.loads((tmp_path / "runs" / "1" / "run.json").read_text())["status"] == "COMPLETED"
    assert "Run 1: runs/1\n" in output


def test_the_folder_of_f_is_made_and_ids_go_on_in_it(project, tmp_path):
    options = ("-F", "deep/er", "with", "steps=1")
    for number in ("1", "2"):
        code, output = lab.run(project, "lab.train", *options, cwd=tmp_path)
        assert (code, lab.run_id(output)) == (0, number)
    assert (tmp_path / "deep" / "er" / "2" / "run.json").is_file()
    assert not (tmp_path / "runs").exists()


def test_u_records_nothing(project, tmp_path):
    code, output = lab.run(project, "lab.train", "-u", "with", "steps=1", cwd=tmp_path)
    assert code == 0, output
    assert "the last line" in output
    assert not list(tmp_path.glob("**/run.json"))


def test_m_delivers_the_run_and_still_writes_it_locally(project, tmp_path, mongo_uri, mongo_client):
    name = f"options_{tmp_path.name}"[:60].rstrip("_")
    options = ("-m", f"{mongo_uri}/{name}", "with", "steps=2")
    try:
        code, output = lab.run(project, "lab.train", *options, cwd=tmp_path)
        assert code == 0, output
        (stored,) = mongo_client[name].runs.find()
        assert (stored["status"], stored["result"]["step"]) == ("COMPLETED", 20)
        assert (tmp_path / "runs" / str(stored["_id"]) / "run.json").is_file()
    finally:
        mongo_client.drop_database(name)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sacred", "mongodb://localhost:27017/sacred"),
        ("sacred.trials", "mongodb://localhost:27017/sacred.trials"),
        ("10.0.0.7:27018", "mongodb://10.0.0.7:27018/sacred"),
        ("10.0.0.7:27018:mine", "mongodb://10.0.0.7:27018/mine"),
        ("localhost:mine", "mongodb://localhost:27017/mine"),
        ("[::1]:27017:mine", "mongodb://[::1]:27017/mine"),
        ("mongodb://anna:pw@db.example.org:1/mine?tls=true", "mongodb://db.example.org:1/mine"),
        ("mongodb+srv://anna:pw@db.example.org", "mongodb+srv://db.example.org/sacred"),
    ],
)
def test_every_form_of_m_names_its_database(address, shown):
    storage = Storage({"--mongo_db": address})
    assert storage.mongo.shown == shown
    # What a later command must be given again, since it is kept nowhere.
    password = {"--mongo-from": "FILE"} if ":pw@" in address else {}
    assert storage.shown() == {"--mongo_db": shown, **password}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "is not a MongoDB address"),
        ("a b", "is not a MongoDB address"),
        ("http://host/db", "must begin with mongodb://"),
        ("host:99999:db", "99999"),
        ("anna:geheim@host", "and password as a URI"),
        ("sacred.metrics", "is reserved"),
    ],
)
def test_an_address_that_is_none_is_refused_with_the_reason(address, said):
    with pytest.raises(ConfigError, match=re.escape(said)) as raised:
        Storage({"--mongo_db": address})
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("given", ["../out", "", "a/b", ".hidden", "a" * 101, "\n"])
def test_an_id_that_would_leave_the_folder_is_refused(given):
    with pytest.raises(ConfigError, match="run id"):
        Storage({"--id": given})


def test_ids_of_digits_are_numbers_and_others_texts():
    assert Storage({"--id": "12"}).run_id == 12
    assert Storage({"--id": "012"}).run_id == "012"
    assert Storage({"--id": "trial-1.b"}).run_id == "trial-1.b"
    assert Storage({}).run_id is None


def test_the_help_of_an_experiment_tells_of_our_options(project, tmp_path):
    code, output = lab.run(project, "lab.train", "--help", cwd=tmp_path)
    assert code == 0
    assert "mongodb://USER:PASSWORD@HOST:PORT/DATABASE" in " ".join(output.split())
    assert "Write the run to this folder instead of runs" in " ".join(output.split())
