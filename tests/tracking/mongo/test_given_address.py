"""The address of a database from a private file or a variable; its password stays there."""

import os
import re

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main as cli
from reproducible_ml.tracking.board.main import command as board
from reproducible_ml.tracking.mongo import MONGO_VARIABLE, environment_for, given_address
from reproducible_ml.tracking.mongo.address import parse_mongo
from reproducible_ml.tracking.mongo.given import with_credentials
from reproducible_ml.tracking.recording.options import Storage
from reproducible_ml.tracking.runs.resuming import resume_command
from reproducible_ml.utils.errors import ConfigError

PASSWORD = "himbeergeist"
ADDRESS = f"mongodb://anna:{PASSWORD}@127.0.0.1:9/sacred?authSource=admin"
SHOWN = "mongodb://127.0.0.1:9/sacred"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "address"
    path.write_text(f"# of the lab\n{ADDRESS}\n")
    path.chmod(0o600)
    return path


def test_typed_comes_before_a_file_and_both_before_the_variable(file):
    variables = {MONGO_VARIABLE: "other"}
    assert given_address("sacred", None, variables).address == "sacred"
    found = given_address(None, file, variables)
    assert (found.address, found.origin) == (ADDRESS, str(file))
    assert PASSWORD not in repr(found)
    found = given_address(None, None, variables)
    assert (found.address, found.origin) == ("other", "$REPRODUCIBLE_ML_MONGO")
    assert given_address(None, None, {MONGO_VARIABLE: " "}) is None
    with pytest.raises(ConfigError, match="named twice: give -m or --mongo-from"):
        given_address("sacred", file, {})


@pytest.mark.parametrize(
    ("mode", "content", "sentence"),
    [
        (
            0o644,
            ADDRESS,
            "has mode 0644, so others can read or change the address in it",
        ),
        (0o640, ADDRESS, "has mode 0640"),
        (0o602, ADDRESS, "has mode 0602"),
        (0o600, f"{ADDRESS}\n{ADDRESS}", "must hold one line, the address of a database"),
        (0o600, "\n# nothing\n", "but has 0 of them"),
        (0o600, PASSWORD, None),
        (
            0o600,
            f"mongodb://anna:{PASSWORD}/@host/db",
            "holds no MongoDB address: expected",
        ),
        (0o600, f"{PASSWORD}!!", "holds no MongoDB address: expected"),
        (0o600, "x" * 20_000, "must hold one line"),
    ],
)
def test_what_is_no_private_address_is_refused_without_its_text(file, mode, content, sentence):
    file.write_text(content)
    file.chmod(mode)
    if sentence is None:
        # A plain word is a database on this machine.
        assert given_address(None, file).address == PASSWORD
        return
    with pytest.raises(ConfigError, match=re.escape(sentence)) as error:
        given_address(None, file)
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize(("kind", "sentence"), [("gone", "No such file"), ("pipe", "no regular")])
def test_a_missing_file_and_a_pipe_are_one_sentence_and_nothing_waits(tmp_path, kind, sentence):
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match=sentence):
        given_address(None, path)


def test_a_child_gets_the_address_or_none_whatever_its_parent_has():
    assert environment_for(ADDRESS, {"A": "1"}) == {"A": "1", MONGO_VARIABLE: ADDRESS}
    assert environment_for(None, {"A": "1", MONGO_VARIABLE: ADDRESS}) == {"A": "1"}


def test_a_run_records_where_it_went_and_how_to_name_it_again(file, monkeypatch):
    told = {"--mongo_db": SHOWN}
    assert Storage({"--mongo-from": str(file)}).shown() == {**told, "--mongo-from": str(file)}
    assert Storage({"--mongo_db": ADDRESS}).shown() == {**told, "--mongo-from": "FILE"}
    assert Storage({"--mongo_db": "127.0.0.1:9:sacred"}).shown() == told
    monkeypatch.setenv(MONGO_VARIABLE, ADDRESS)
    assert Storage({}).shown() == {**told, "--mongo-from": "$REPRODUCIBLE_ML_MONGO"}
    for options, end in (
        (told, f"-m {SHOWN}"),
        ({**told, "--mongo-from": "/a/file"}, "--mongo-from /a/file"),
        ({**told, "--mongo-from": "$REPRODUCIBLE_ML_MONGO"}, "model_dir=m"),
    ):
        resumed = resume_command(
            {"module": "toys.toy"}, {"options": options}, {"model_dir": "m"}, "INTERRUPTED"
        )
        assert resumed.endswith(end)


def test_sync_takes_the_password_for_the_same_database_alone(monkeypatch):
    monkeypatch.setenv(MONGO_VARIABLE, ADDRESS)
    assert with_credentials(parse_mongo(SHOWN)) == parse_mongo(ADDRESS)
    other = parse_mongo("mongodb://127.0.0.1:9/other")
    assert with_credentials(other) == other


def test_commands_read_the_database_of_a_file_or_variable_unless_a_folder_is_named(
    file, monkeypatch
):
    def call(program, *words):
        done = CliRunner().invoke(program, words)
        said = done.output + str(done.exception)
        assert PASSWORD not in said
        return said

    assert "not both" in call(cli, "runs", "--mongo-from", str(file), "-F", "nowhere")
    assert "not both" in call(cli, "show", "1", "--mongo-from", str(file), "-m", "sacred")
    # What it says of the address shows that it reads it, and no database has to answer.
    monkeypatch.setenv(MONGO_VARIABLE, f"{PASSWORD}!")
    for line in ("show 1", "doctor", "reproduce 1 -F runs", "sweep module a=1"):
        assert "REPRODUCIBLE_ML_MONGO holds no MongoDB address" in call(cli, *line.split())
    assert "nowhere" in call(cli, "runs", "-F", "nowhere")
    file.chmod(0o644)
    for program in ([cli, "runs"], [cli, "sync"], [board]):
        assert "has mode 0644" in call(*program, "--mongo-from", str(file))
    assert "REPRODUCIBLE_ML_MONGO holds no MongoDB address" in call(board, "--no-browser")
