"""Secrets of a record: hidden alike wherever it is shown, and never cut out of other words."""

import json

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main as cli
from reproducible_ml.report import make_report
from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.board.server import create_app
from reproducible_ml.tracking.recording import broken_parts, seal_of
from reproducible_ml.tracking.runs import list_runs, load_run, open_store
from reproducible_ml.utils.redaction import redact, redact_tree, remember_secret, without_secrets

PASSWORD = "wolkenbruch"
HELD = "sichtbar-nie-77"
PIN = 48151623


@pytest.fixture(scope="module", autouse=True)
def known():
    remember_secret(f"anna:{PASSWORD}")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs whose configuration, command and result hold secrets, and a path like one."""
    home = tmp_path / "home" / PASSWORD / "proj"
    home.mkdir(parents=True)
    monkeypatch.chdir(home)
    ex = experiment("secretive")
    keys = {"api_key": HELD, "db": {"password": PIN, "credentials": {"user": HELD}}}
    ex.add_config({"seed": 1, "max_tokens": 512, "out": "", **keys})

    @ex.main
    def main(_run, out):
        _run.info["cwd"] = out
        _run.log_scalar("loss", 0.5, 1)
        return {"token": HELD, "score": 2.0}

    for updates in ({"out": str(home)}, {"api_key": HELD + "x", "out": str(home)}):
        run = ex.run(config_updates=updates)
        path = home / "runs" / str(run._id) / "run.json"
        entry = json.loads(path.read_text())
        # As the command line records it.
        entry["meta"]["options"]["UPDATE"] = [f"api_key={HELD}", f"out={home}"]
        path.write_text(json.dumps(entry))
    return home / "runs"


def test_a_path_with_the_password_as_a_folder_stays_and_the_seal_holds(runs):
    run = load_run(1, runs)
    assert run.config["out"] == str(runs.parent)
    assert broken_parts(run.info["seal"], seal_of(run)) == []
    assert "***" not in (runs / "1" / "config.json").read_text()
    assert run.info["cwd"] == str(runs.parent)


def test_every_view_of_a_run_hides_the_same_and_shows_the_rest(runs):
    views = {}
    for words in (
        ["runs"],
        ["runs", "--json"],
        ["show", "1"],
        ["show", "1", "--json"],
        ["compare", "1", "2"],
        ["compare", "1", "2", "--json", "--all"],
    ):
        views[" ".join(words)] = CliRunner().invoke(cli, [*words, "-F", str(runs)]).output
    with open_store(runs) as store:
        one, two = load_run(1, store), load_run(2, store)
        views["report"] = make_report([one, two])
        views["notebook"] = list_runs(store).to_string()
        client = create_app(store, "test").test_client()
        views["board's list"] = client.get("/api/run").text
        views["board's run"] = client.get("/api/run/1").text
        # The record itself keeps what a rerun needs.
        assert one.config["api_key"] == HELD
    for name, text in views.items():
        assert HELD not in text, name
        assert str(PIN) not in text, name
        assert "***" in text, name
    for name in ("show 1", "show 1 --json", "notebook", "board's run", "report"):
        assert "512" in views[name], name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"home/{PASSWORD}/proj", None),
        (f"/{PASSWORD}", None),
        (f"{PASSWORD}-2", None),
        (f"{PASSWORD}.txt", None),
        (f"my{PASSWORD}", None),
        (f"{PASSWORD}s", None),
        (PASSWORD, "***"),
        (f"It was {PASSWORD}.", "It was ***."),
        (f"password={PASSWORD}, user=anna", "password=***, user=anna"),
        (f"['{PASSWORD}']", "['***']"),
        (f"anna:{PASSWORD}@host", "anna:***@host"),
        (f"mongodb://anna:{PASSWORD}@host/{PASSWORD}", f"mongodb://***@host/{PASSWORD}"),
        ("https://host/x?access_token=abc&page=2", "https://host/x?access_token=***&page=2"),
        ("https://host/x?page=2", None),
    ],
)
def test_a_password_is_hidden_as_a_word_and_an_address_as_an_address(text, expected):
    assert redact(text) == (text if expected is None else expected)


def test_a_key_that_is_a_password_is_still_a_key():
    assert redact_tree({PASSWORD: {"x": PASSWORD}}) == {PASSWORD: {"x": "***"}}


def test_below_a_secret_name_all_is_hidden_and_counts_and_switches_are_shown():
    held = {"credentials": {"user": "anna", "more": [{"a": "b"}]}, "pw": 12345, "secret_key": "s"}
    assert without_secrets(held) == {
        "credentials": {"user": "***", "more": [{"a": "***"}]},
        "pw": "***",
        "secret_key": "***",
    }
    plain = {"max_tokens": 128, "private": True, "label_key": "label", "passes": 3, "auth": None}
    assert without_secrets(plain) == plain
    assert without_secrets(["api_key=x y", "lr=1"]) == ["api_key=***", "lr=1"]
