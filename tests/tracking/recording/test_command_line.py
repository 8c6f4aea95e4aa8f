"""A mistake on an experiment's command line is one sentence with what was probably meant."""

import json
import subprocess
import sys

import pytest

from reproducible_ml.tracking import experiment
from tests.tracking import lab

THIS = "python -m tests.tracking.recording.test_command_line"

ex = experiment("words", types={"lr": (float, None)})


@ex.config
def config():
    seed = 1  # noqa: F841
    lr = 0.5  # noqa: F841
    crit_rate = 0.5  # noqa: F841
    steps = 3  # noqa: F841
    record_dir = "data"  # noqa: F841


@ex.named_config
def quick():
    steps = 1  # noqa: F841


@ex.main
def main(steps):
    return steps


@pytest.fixture
def said(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def answer(*words):
        """Return the exit code and the error of a command line that must start nothing."""
        with pytest.raises(SystemExit) as stopped:
            ex.run_commandline(["words", *words])
        error = capsys.readouterr().err
        assert not {"Traceback", "dummy"} & set(error.split())
        assert not (tmp_path / "runs").exists()
        return stopped.value.code, error

    return answer


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["quick"], "with quick"),
        (["quick", "lr=0.25"], "with quick lr=0.25"),
        (["lr=0.25", "-F", "kept", "-u"], "-F kept -u with lr=0.25"),
        (["--file_storage", "quick", "name=a b"], "--file_storage quick with 'name=a b'"),
        (["quick", "with", "lr=0.25"], "with quick lr=0.25"),
        (["main", "lr=0.25"], "main with lr=0.25"),
    ],
)
def test_settings_without_with_are_told_with_the_command_that_was_meant(said, words, meant):
    assert said(*words) == (1, f'Error: settings go after "with": {THIS} {meant}\n')


def test_a_pasted_sequence_does_not_reach_the_terminal(said):
    code, error = said("quick", "name=\x1b]52;c;aGk=\x07")
    assert code == 1
    assert not {"\x1b", "\x07"} & set(error)
    assert r"name=\x1b]52;c;aGk=\x07" in error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["wiht", "quick"],
            f"There is no command 'wiht'; did you mean \"with\"? {THIS} with quick",
        ),
        (["print_confg"], "There is no command 'print_confg'; did you mean 'print_config'?"),
        (["quik"], f"There is no command 'quik'; did you mean the settings 'quick'? {THIS} with"),
        (["evaluate"], "There is no command 'evaluate'; there are: print_config,"),
        (["help", "mian"], "There is no command 'mian'; did you mean 'main'?"),
        (["with"], f'"with" needs settings after it: {THIS} with KEY=VALUE'),
        (["main", "with"], '"with" needs settings after it'),
        (
            ["with", "--lr=3"],
            f'There is no option --lr; settings go after "with": {THIS} with lr=3',
        ),
        (["--steps", "4"], 'There is no option --steps; settings go after "with"'),
        (["--file-storage=x"], "There is no option --file-storage; did you mean '--file_storage'?"),
        (["-Z"], "There is no option -Z"),
        (["-uZ"], "There is no option -uZ"),
        (["-F"], "-F needs a value after it."),
        (["-b", "often"], "--beat-interval must be seconds above 0, found 'often'."),
        (["-b", "0"], "--beat-interval must be seconds above 0, found '0'."),
        (["-l", "LOUD"], "--loglevel must be a number from 0 to 50 or one of DEBUG, INFO,"),
        (["-C", "all"], "--capture must be one of no, sys, fd, found 'all'."),
        (["-P", "high"], "--priority must be a number, found 'high'."),
        (["-t", "db"], "--tiny_db needs the package tinydb, which is not installed"),
        (["with", "rate=3"], "There is no configuration key 'rate'; did you mean 'crit_rate'?"),
        (["with", "Seed=3"], "There is no configuration key 'Seed'; did you mean 'seed'?"),
    ],
)
def test_a_wrong_word_is_told_with_the_one_that_was_meant(said, words, sentence):
    code, error = said(*words)
    assert code == 1
    assert error.startswith(f"Error: {sentence}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("typed", ["2024_01_01", "0x10", "1e3", "None", "007.50"])
def test_the_hint_to_quote_a_string_repeats_what_was_typed(said, typed):
    code, error = said("with", f"record_dir={typed}")
    assert (code, error.endswith(f"Quote it to pass a string: record_dir=\"'{typed}'\".\n")) == (
        1,
        True,
    )


FILES = {
    "broken.yaml": ("lr: [1\n", "broken.yaml is not valid YAML: expected ',' or ']', but got"),
    "tabs.yml": ("\tlr: 1\n", "tabs.yml is not valid YAML: found character '\\t'"),
    "list.yaml": ("- 1\n", "list.yaml must hold settings by name, such as seed: 1; found a list."),
    "empty.yaml": ("", "empty.yaml must hold settings by name, such as seed: 1; found nothing."),
    "numbers.yaml": ("1: 2\n", "numbers.yaml has a key that is not a string: 1."),
    "broken.json": ('{"lr": 4,', "broken.json is not valid JSON: Expecting property name"),
    "list.json": ("[1]", 'list.json must hold settings by name, such as {"seed": 1}; found a list'),
    "binary.json": (b"\xff\xfe\x00", "binary.json is not valid JSON: 'utf-8' codec can't decode"),
    "broken.pickle": (
        b"no pickle",
        "broken.pickle is a pickle, which can run any code when it is read; ",
    ),
    "notes.txt": ("lr: 1", "The file notes.txt must end with .json or .yaml or .yml"),
    "quick": (
        "lr: 1",
        "The file quick must end with .json or .yaml or .yml to be read ",
    ),
    "unknown.yaml": ("lrr: 1\n", "There is no configuration key 'lrr'; did you mean 'lr'?"),
    "text.yaml": ("lr: 1e-4\n", "lr must be a number or None, like its default 0.5, found '1e-4'"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_holds_no_settings_is_one_sentence(said, tmp_path, name):
    content, sentence = FILES[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    code, error = said("with", name)
    assert code == 1
    assert error.startswith(f"Error: {sentence}")


def test_a_file_that_is_not_there_is_told_with_its_neighbour(said, tmp_path):
    assert "no file conf.yaml with settings; there are none." in said("with", "conf.yaml")[1]
    (tmp_path / "config.yaml").write_text("lr: 1.0e-4")
    assert "settings; did you mean 'config.yaml'?" in said("with", "conf.yaml")[1]
    (tmp_path / "folder.yaml").mkdir()
    assert "folder.yaml is not a file with settings" in said("with", "folder.yaml")[1]


def test_a_number_that_yaml_reads_as_text_is_told_in_yamls_spelling(said, tmp_path):
    (tmp_path / "text.yaml").write_text("lr: 1e-4\n")
    assert said("with", "text.yaml")[1].endswith("In YAML, write 0.0001 as 0.0001.\n")
    (tmp_path / "text.yaml").write_text("lr: 1e-9\n")
    assert said("with", "text.yaml")[1].endswith("In YAML, write 1e-09 as 1.0e-09.\n")


def test_what_the_parser_takes_is_still_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.json").write_text(json.dumps({"steps": 7}))
    for words, steps in (
        (["-u"], 3),
        (["-du", "with", "quick"], 1),
        (["--unobs", "with", "good.json", "lr=None"], 7),
        (["main", "-u", "-l", "30", "-b", "2.5", "with", "steps=4", "-cnote"], 4),
        (["with", "steps=5", "-u", "-F", "-odd"], 5),
    ):
        assert ex.run_commandline(["words", *words]).result == steps
    with pytest.raises(SystemExit) as stopped:
        ex.run_commandline(["words", "--help"])
    assert stopped.value.code is None
    assert f"\n  {THIS} [(with UPDATE...)] [options]\n" in capsys.readouterr().out


def test_an_experiment_in_a_package_runs_as_a_file_and_its_help_says_so(tmp_path):
    """As an IDE's button starts it: the folder that holds its package is not on the path."""
    package = tmp_path / "trials"
    package.mkdir()
    for file in (lab.ROOT / "experiments").glob("*.py"):
        (package / file.name).write_text(file.read_text().replace("experiments", "trials"))

    def run(*words):
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=package, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "max_steps = 4" in run("mnist_wgan.py", "print_config", "with", "smoke")
    help_text = run("mnist_evaluate.py", "--help")
    assert "  python mnist_evaluate.py [(with UPDATE...)] [options]" in help_text
    for file in package.glob("*.py"):
        assert ("from trials import" in file.read_text()) == ("not __package__" in file.read_text())
