"""What a run records of git, and the lines that it leaves out of it: those of secret files."""

import json

import pytest

from reproducible_ml.tracking.recording.source_files import git_state, is_secret, notices
from tests.tracking import lab

LINE = "geheim = 'hier-steht-es'"
SECRET_FILES = (
    *(".env", "deploy/.env.production", "keys/id_rsa", "tls/server.pem", "tls/server.key"),
    *("credentials.json", "conf/secrets.yaml", ".aws/config", "prod.tfvars", "Secrets.TOML"),
)
OTHERS = ("train.py", "environment.yml", "keyboard.txt", "tokenizer.json", "pemmican.txt")


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose every file was changed after its commit."""
    for name in (*SECRET_FILES, *OTHERS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before\n" * 20)
    lab.git(tmp_path, "init", "-q")
    lab.git(tmp_path, "add", "-A", "-f")
    lab.git(tmp_path, "commit", "-q", "-m", "first")
    for name in (*SECRET_FILES, *OTHERS):
        kind = LINE if name in SECRET_FILES else "plain change"
        (tmp_path / name).write_text("before\n" * 20 + kind + "\n")
    return tmp_path


def test_lines_of_secret_files_are_in_no_diff_and_their_names_say_so(checkout):
    state = git_state(checkout)
    assert LINE not in json.dumps(state)
    assert state["diff"].count("+plain change") == len(OTHERS)
    for name in SECRET_FILES:
        assert f"(left out: {name}, whose name is one of secrets)" in state["diff"]
        assert any(one.endswith(name) for one in state["changed"])
    (sentence,) = notices(state)
    assert sentence == (
        f"The record holds the changed lines of 5 tracked files in {checkout}; "
        "10 files named like secrets left out."
    )


def test_a_secret_file_that_got_another_name_is_left_out_under_both(checkout):
    lab.git(checkout, "mv", "tls/server.key", "notes.txt")
    lab.git(checkout, "mv", "keyboard.txt", "keys.gpg")
    state = git_state(checkout)
    assert LINE not in state["diff"]
    assert "(left out: notes.txt, " in state["diff"]
    assert "(left out: keyboard.txt, " in state["diff"]


def test_a_clean_checkout_records_no_lines_and_says_nothing(checkout):
    lab.git(checkout, "commit", "-q", "-a", "-m", "second")
    state = git_state(checkout)
    assert (state["diff"], notices(state)) == ("", [])


@pytest.mark.parametrize("name", [*SECRET_FILES, "id_ed25519.pub", ".npmrc", "a/b/.ssh/known"])
def test_names_of_secret_files_are_known(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", OTHERS)
def test_names_that_only_resemble_them_are_not(name):
    assert not is_secret(name)
