"""The command: its options, what it listens on, and what it says when it cannot start."""

import socket
import subprocess
import sys
import urllib.request
from urllib.error import HTTPError

import pymongo
import pytest
from click.testing import CliRunner

from reproducible_ml.tracking.board.main import command
from tests.browser import ROOT
from tests.tracking.board import toy
from tests.tracking.board.conftest import FileStorageObserver, MongoObserver


@pytest.fixture
def runs(tmp_path):
    toy.record(FileStorageObserver(str(tmp_path / "runs")), lambda: 1, "in a folder")
    return tmp_path / "runs"


def fetch(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def refused(*options):
    """Run the command, which must end at once, and return its code and what it says."""
    ended = subprocess.run(
        [sys.executable, "-m", "reproducible_ml.tracking.board.main", "--no-browser", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


def test_both_commands_take_the_options_of_sacredboard():
    taken = {option for parameter in command.params for option in parameter.opts}
    originals = {"-m", "-mu", "-mc", "-F", "--no-browser", "--port", "--sub-url", "--debug"}
    assert originals | {"--version", "--host"} <= taken
    from reproducible_ml.cli import main

    assert main.get_command(None, "board") is command
    assert "0.4.2" in CliRunner().invoke(command, ["--version"]).output


def test_it_listens_to_this_machine_alone_and_ends_when_told(runs, start_board):
    board = start_board("-F", str(runs))
    assert board.url.startswith("http://127.0.0.1:")
    assert fetch(board.url)[0] == 200
    port = int(board.url.rsplit(":", 1)[1].strip("/"))
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # taken already, if it listened to every address
    assert board.stop() == 0


def test_a_busy_port_is_followed_by_the_next_free_one(runs, start_board):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        board = start_board("-F", str(runs), "--port", str(port))
    assert port < int(board.url.rsplit(":", 1)[1].strip("/")) < port + 50


@pytest.mark.parametrize("sub_url", ["/lab/board", "/lab/board/"])
def test_under_a_sub_url_every_link_begins_with_it(runs, start_board, sub_url):
    board = start_board("-F", str(runs), "--sub-url", sub_url)
    assert board.url.endswith("/lab/board")
    status, page = fetch(f"{board.url}/runs")
    assert status == 200
    assert 'href="/lab/board/static/css/board.css"' in page
    assert 'data-root="/lab/board/"' in page
    root = board.url[: -len("/lab/board")]
    assert fetch(f"{root}/api/run")[0] == 200, "a proxy may have taken the path off"


@pytest.mark.parametrize("form", ["short", "uri", "apart"])
def test_a_database_is_named_in_every_form(mongo_client, mongo_database, start_board, form):
    observer = MongoObserver(client=mongo_client, db_name=mongo_database.name)
    toy.record(observer, lambda: 1, "in a database")
    host, port = mongo_client.address
    options = {
        "short": ["-m", f"{host}:{port}:{mongo_database.name}"],
        "uri": ["-m", f"mongodb://{host}:{port}/{mongo_database.name}"],
        "apart": ["-mu", f"mongodb://{host}:{port}", mongo_database.name],
    }[form]
    board = start_board(*options)
    assert "in a database" in fetch(f"{board.url}api/run")[1]


def test_a_prefixed_collection_has_its_metrics(mongo_client, mongo_database, start_board):
    observer = MongoObserver(
        client=mongo_client, db_name=mongo_database.name, collection_prefix="mine"
    )

    def main(_run):
        _run.log_scalar("loss", 1.0, 0)

    toy.record(observer, main, "prefixed")
    host, port = mongo_client.address
    address = f"{host}:{port}:{mongo_database.name}"
    board = start_board("-m", address, "-mc", "mine_runs")
    assert '"name":"loss"' in fetch(f"{board.url}api/run/1")[1]


def test_no_database_is_said_within_seconds_and_without_the_password():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, said = refused("-m", f"mongodb://anna:geheimnis1@127.0.0.1:{port}/sacred")
    assert code == 1
    assert "did not answer" in said
    assert "-F runs" in said
    assert "geheimnis1" not in said
    assert "anna" not in said


def test_nothing_to_show_or_a_missing_folder_is_one_sentence(tmp_path):
    assert refused() == (
        1,
        "Error: Say what to show: -m sacred for a MongoDB database, or -F runs for a folder of "
        "runs.\n",
    )
    code, said = refused("-F", str(tmp_path / "nowhere"))
    assert code == 1
    assert "nowhere" in said


def test_an_unknown_locale_does_not_stop_it(runs):
    ended = subprocess.run(
        [sys.executable, "-c", "import reproducible_ml.tracking.board.upstream"],
        cwd=ROOT,
        env={"LC_ALL": "xx_XX.UTF-8", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_database_that_goes_away_is_a_sentence_on_the_page(killable_mongo, start_board):
    with pymongo.MongoClient(killable_mongo.uri) as client:
        toy.record(MongoObserver(client=client, db_name="sacred"), lambda: 1, "here")
    board = start_board("-m", f"{killable_mongo.uri}/sacred")
    assert "here" in fetch(f"{board.url}api/run")[1]
    killable_mongo.kill()
    status, text = fetch(f"{board.url}api/run")
    assert status == 503
    assert "Is it running?" in text
    killable_mongo.start()
    assert "here" in fetch(f"{board.url}api/run")[1]
