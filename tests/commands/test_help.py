"""``--help`` answers at once because nothing heavy is imported for it."""

import json
import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "pandas", "numpy", "sacred", "pymongo", "flask", "scipy", "matplotlib")
SCRIPT = """
import json, sys
from reproducible_ml.cli import main
try:
    main(json.loads(sys.argv[1]))
except SystemExit as ended:
    code = ended.code
print(json.dumps([code, sorted(set(json.loads(sys.argv[2])) & set(sys.modules))]))
"""


def call(*arguments):
    """Call the command in a process; return its exit code, heavy modules and output."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments), json.dumps(HEAVY)],
        capture_output=True,
        text=True,
        check=True,
    )
    output, _, last = done.stdout.rstrip("\n").rpartition("\n")
    code, loaded = json.loads(last)
    return code, loaded, output


@pytest.mark.parametrize(
    "arguments", [("--help",), ("-h",), ("--version",), ("runs", "--help"), ("compare", "--help")]
)
def test_help_and_version_import_nothing_heavy(arguments):
    code, loaded, output = call(*arguments)
    assert (code, loaded) == (0, [])
    assert output


def test_listing_runs_of_a_folder_needs_none_of_it_either(tmp_path):
    (tmp_path / "runs" / "1").mkdir(parents=True)
    (tmp_path / "runs" / "1" / "run.json").write_text(
        '{"status": "COMPLETED", "experiment": {"name": "old"}, "result": 0.5}'
    )
    code, loaded, output = call("runs")
    assert "old" in output
    assert (code, set(loaded) - {"numpy"}) == (0, set())


def test_the_help_names_every_command():
    from reproducible_ml.cli import COMMANDS

    _, _, output = call("--help")
    for name, sentence in COMMANDS.items():
        assert name in output
        assert sentence.split()[0] in output


@pytest.mark.parametrize("name", ["runs", "show", "compare"])
def test_commands_that_read_runs_take_sacreds_m_and_f(name):
    _, _, output = call(name, "--help")
    assert "-m, --mongo_db DB" in output
    assert "-F, --file_storage DIR" in output


def test_every_command_that_reads_runs_names_their_place_by_the_same_options():
    from reproducible_ml.cli import COMMANDS, main

    places = set()
    for name in COMMANDS:
        command = main.get_command(None, name)
        for parameter in command.params:
            if set(parameter.opts) & {"-F", "-m", "--folder", "--mongo", "--mongo_db"}:
                places.add((name, *parameter.opts))
    names = {"board", "compare", "copy", "doctor", "export", "report", "reproduce"}
    names |= {"pack", "runs", "show", "sweep", "sync"}
    wanted = (("-F", "--file_storage"), ("-m", "--mongo_db"))
    assert places == {(name, *options) for name in names for options in wanted}


@pytest.mark.parametrize("name", ["repair", "reproduce", "doctor", "sync", "verify"])
def test_every_command_has_h_for_help(name):
    code, loaded, output = call(name, "-h")
    assert (code, loaded) == (0, [])
    assert output.startswith("Usage: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rusn"], "There is no command 'rusn'; did you mean 'runs'?"),
        (["train"], "There is no command 'train'; there are: board, compare,"),
        (["runs", "--jsno"], "No such option '--jsno'"),
        (["reproduce", "1", "--steps", "-3"], "-3 is not in the range x>=1."),
    ],
)
def test_a_wrong_word_is_one_sentence_with_the_nearest_one(words, said):
    from click.testing import CliRunner

    from reproducible_ml.cli import main

    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output
