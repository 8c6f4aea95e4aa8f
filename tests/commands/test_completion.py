"""The tab key: the printed script in a real bash, and what it looks up."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("reproducible-ml")
# What bash does when the tab key is pressed: its words, the one that is begun, the function.
PRESS = """
eval "$({command} completion bash)"
COMP_WORDS=({words})
COMP_CWORD=$(({count} - 1))
_reproducible_ml_completion {command} 2>/dev/null
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def tab(*words):
    """Return what a real bash offers behind these words, the last of which is begun."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = PRESS.format(command=COMMAND, words=quoted, count=len(words))
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def in_shell(shell, words, word):
    """Return what the program answers the script of zsh or fish."""
    environment = {**os.environ, "_REPRODUCIBLE_ML_COMPLETE": f"{shell}_complete"}
    if shell == "zsh":
        environment.update(COMP_WORDS=words + word, COMP_CWORD=str(len(words.split())))
    else:
        environment.update(COMP_WORDS=words, COMP_CWORD=word)
    done = subprocess.run([COMMAND], capture_output=True, text=True, check=True, env=environment)
    return done.stdout


@pytest.fixture(autouse=True)
def _runs():
    """Three recorded runs of two experiments in ``runs``, one in ``other``."""
    for folder, run_id, name in [
        ("runs", "1", "mnist_serialize"),
        ("runs", "12", "mnist_wgan"),
        ("runs", "mine", "mnist_wgan"),
        ("other", "77", "faces"),
    ]:
        (Path(folder) / run_id).mkdir(parents=True)
        text = json.dumps({"status": "COMPLETED", "experiment": {"name": name}})
        (Path(folder) / run_id / "run.json").write_text(text)


def test_a_begun_command_is_completed():
    assert tab("reproducible-ml", "re") == ["repair", "report", "reproduce"]


def test_a_begun_option_is_completed():
    assert tab("reproducible-ml", "runs", "--st") == ["--status"]


def test_run_ids_are_completed_from_the_folder_of_runs():
    assert tab("reproducible-ml", "show", "") == ["1", "12", "mine"]
    assert tab("reproducible-ml", "compare", "1", "1") == ["1", "12"]
    assert tab("reproducible-ml", "report", "1", "12", "m") == ["mine"]


def test_run_ids_are_completed_from_the_folder_that_was_named():
    assert tab("reproducible-ml", "show", "-F", "other", "") == ["77"]


def test_where_no_runs_are_nothing_is_offered_and_nothing_is_said():
    assert tab("reproducible-ml", "show", "-F", "nowhere", "") == []
    assert tab("reproducible-ml", "runs", "-F", "nowhere", "--experiment", "") == []


def test_a_database_is_not_asked():
    assert tab("reproducible-ml", "show", "-m", "db.invalid:27017:sacred", "") == []
    assert tab("reproducible-ml", "runs", "-m", "db.invalid:27017:sacred", "--experiment", "") == []


def test_recorded_experiments_are_completed():
    assert tab("reproducible-ml", "runs", "--experiment", "") == ["mnist_serialize", "mnist_wgan"]


def test_a_sweeps_module_is_completed_from_the_folder_of_experiments():
    Path("experiments").mkdir()
    for name in ("__init__", "train", "tune"):
        Path("experiments", f"{name}.py").touch()
    found = tab("reproducible-ml", "sweep", "exp")
    assert found == ["experiments.train", "experiments.tune"]


def test_gan_types_are_completed_though_bash_splits_words_at_the_equals_sign():
    assert tab("reproducible-ml", "sweep", "x", "gan_type", "=", "wgan") == ["wgan", "wgan_gp"]
    assert {"lsgan", "hinge"} <= set(tab("reproducible-ml", "sweep", "x", "gan_type", "="))


def test_zsh_and_fish_get_the_same_values():
    assert "gan_type=lsgan" in in_shell("fish", "reproducible-ml sweep x ", "gan_type=l")
    assert in_shell("zsh", "reproducible-ml show ", "m").split() == ["plain", "mine", "_"]


@pytest.mark.parametrize(
    "words",
    [
        "re", "show ", "runs --experiment ", "sweep exp", "sweep x gan_type = w", "verify da",
        "board -F ru",
    ],
)  # fmt: skip
def test_a_key_press_waits_for_no_large_package(words):
    environment = {
        **os.environ,
        "_REPRODUCIBLE_ML_COMPLETE": "bash_complete",
        "COMP_WORDS": f"reproducible-ml {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click.shell_completion" in imported
    large = {"tensorflow", "sacred", "pymongo", "pandas", "scipy", "flask", "jinja2"}
    assert not large & imported


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_calls_the_program_by_the_variable_that_it_reads(shell):
    done = subprocess.run(
        [COMMAND, "completion", shell], capture_output=True, text=True, check=True
    )
    assert f"_REPRODUCIBLE_ML_COMPLETE={shell}_complete" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)


def test_without_a_name_the_script_is_that_of_the_users_shell():
    def script(shell):
        return subprocess.run(
            [COMMAND, "completion"],
            capture_output=True,
            text=True,
            env={**os.environ, "SHELL": shell},
        )

    assert "fish_complete" in script("/usr/bin/fish").stdout
    refused = script("/bin/tcsh")
    assert refused.returncode == 1
    assert refused.stderr == (
        "Error: $SHELL is /bin/tcsh, for which there is no completion. "
        "Name one of: bash, zsh, fish.\n"
    )


def press_tab(line, folder):
    """Type a line and the tab key into an interactive bash; return the words that it then has."""
    master, slave = pty.openpty()
    path = os.pathsep.join([str(COMMAND.parent), os.environ["PATH"]])
    process = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        cwd=folder,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "PATH": path, "PS1": "> ", "INPUTRC": "/dev/null"},
        start_new_session=True,
    )
    os.close(slave)
    try:
        # In the place of the program stands a function that tells its words; the completion, which
        # starts it by `env`, gets the program.
        load = 'eval "$(reproducible-ml completion bash)"'
        tell = 'reproducible-ml() { printf "<%s>" "$@"; echo "en""d"; }'
        read_until(master, f'{load}; {tell}; echo "rea""dy"', "ready\r\n")
        told = read_until(master, f"reproducible-ml {line}\t", "end\r\n")
        words = re.search(r"((?:<[^<>]*>)+)end\r\n", told)
        return re.findall("<(.*?)>", words[1])
    finally:
        process.kill()
        process.wait()
        os.close(master)


def read_until(terminal, typed, mark):
    os.write(terminal, f"{typed}\n".encode())
    seen = ""
    while mark not in seen:
        assert select.select([terminal], [], [], 60)[0], seen
        seen += os.read(terminal, 65536).decode()
    return seen


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("verify dat", "verify data/"),
        ("repair dat", "repair data/"),
        ("runs -F kep", "runs -F kept/"),
        ("reproduce 1 --keep kep", "reproduce 1 --keep kept/"),
        ("sweep x --sweeps kep", "sweep x --sweeps kept/"),
        ("report 1 -o rates.h", "report 1 -o rates.html"),
        ("sync kep", "sync kept/"),
        ("export kep", "export kept/"),
        ("export mi", "export mine"),
        ("export 1 -o kep", "export 1 -o kept/"),
        ("board -F kep", "board -F kept/"),
        ("reproduce 1 --input record_dir=kep", "reproduce 1 --input record_dir=kept/"),
    ],
)
def test_paths_are_completed_in_a_real_bash(line, completed, tmp_path):
    for name in ("data", "kept"):
        (tmp_path / name).mkdir()
    (tmp_path / "rates.html").touch()
    (tmp_path / "dates.txt").touch()
    assert press_tab(line, tmp_path) == completed.split()
