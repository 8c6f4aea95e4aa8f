"""Every command of README and documentation runs, a page's commands one after the other.

They run in one shell and one folder of the page's own. ``scaled_down`` says what is done less of;
what a page shows is then compared in its form, else with its numbers (``comparing``).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.docs.comparing import difference, form
from tests.docs.pages import PAGES, ROOT, Command, blocks_of, commands_of, name_of
from tests.docs.scaled_down import scaled_down

# Pages whose commands are done in seconds; the others train often.
QUICK = ["docs/board.md", "docs/report.md"]
REASONS = {
    "needs a package index",
    "needs docker",
    "needs other machines",
    "needs two machines",
    "needs Dataflow, Flink or Spark",
}


def to_run(page):
    """Return the commands of a page that are run, with the hidden ones before them."""
    found = []
    for block in blocks_of(page):
        if block.kind in ("bash", "console") and block.why is None:
            found += [Command(block.before, [])] if block.before else []
            found += commands_of(block)
    return found


def small_mnist(path):
    """Write a file of MNIST's form: scikit-learn's digits, enlarged and repeated."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.kron(digits.images * 15, np.ones((3, 3))).astype(np.uint8)
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    rows = np.arange(70_000) % len(images)
    x, y = images[rows], digits.target[rows].astype(np.uint8)
    path.parent.mkdir(parents=True)
    np.savez(path, x_train=x[:60_000], y_train=y[:60_000], x_test=x[60_000:], y_test=y[60_000:])


def photos(folder):
    """Make a folder of colour images, one sub-folder a class."""
    draw = np.random.default_rng(0)
    for number in range(400):
        path = folder / ("cats", "dogs")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (20, 24, 3), np.uint8)).save(path)


def surroundings(folder):
    """Make what pages take for granted: the package, MNIST's file, a folder of photographs."""
    cache = folder / "keras" / "datasets" / "mnist.npz"
    small_mnist(cache)
    work = folder / "work"
    work.mkdir()
    (work / "mnist.npz").symlink_to(cache)
    photos(work / "photos")
    return work, {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "KERAS_HOME": str(folder / "keras"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def fails(command):
    """Tell whether a page shows the command to fail."""
    return any(line.startswith("Error: ") for line in command.shown)


def what_is_seen(output, errors):
    """Return what a command printed: of stderr, where Sacred's log is too, steps and errors."""
    lines = errors.read_text("utf-8").splitlines()
    seen = [line for line in lines if line.startswith(("step ", "Error: "))]
    # In a terminal the steps come before what the training says at its end.
    before, end, after = output.read_text("utf-8").partition("\nStep ")
    return "\n".join([before, *seen] if end else [*seen, before]) + end + after


def run_page(page, folder, mongo):
    """Run the commands of a page in one shell, until one ends otherwise than the page says."""
    commands = to_run(page)
    work, environment = surroundings(folder)
    outputs = folder / "outputs"
    errors = folder / "errors"
    outputs.mkdir()
    errors.mkdir()
    script, smaller = [], []
    for number, command in enumerate(commands):
        text, is_smaller = scaled_down(command.line, mongo)
        # What follows works on what the smaller work left.
        smaller.append(is_smaller or any(smaller))
        script.append(f'{{ {text}\n}} > "$OUT/{number}" 2> "$ERRORS/{number}"; code=$?')
        script.append(f"[ $code {'!=' if fails(command) else '='} 0 ] || exit 99")
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=work,
        env={**environment, "OUT": str(outputs), "ERRORS": str(errors)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    last = len(list(outputs.iterdir())) - 1
    printed = [
        what_is_seen(outputs / str(number), errors / str(number)).replace(f"{work}{os.sep}", "")
        for number in range(last + 1)
    ]
    wrong = [
        f"$ {command.line}\n{found}"
        for command, output, less in zip(commands, printed, smaller)
        if command.shown and (found := difference(command.shown, output, numbers=not less))
    ]
    if done.returncode != 0:
        log = (errors / str(last)).read_text("utf-8")[-3000:]
        wrong.append(f"$ {commands[last].line}\nended otherwise than shown:\n{printed[-1]}\n{log}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page, id=name_of(page), marks=[] if name_of(page) in QUICK else pytest.mark.slow
        )
        for page in PAGES
        if to_run(page)
    ],
)
def test_the_commands_of_a_page_run_and_print_what_it_shows(page, tmp_path, request):
    mongo = ""
    if any("-m sacred" in command.line for command in to_run(page)):
        database = request.getfixturevalue("mongo_database").name
        mongo = f"{request.getfixturevalue('mongo_uri').rstrip('/')}/{database}"
    run_page(page, tmp_path, mongo)


def test_every_block_says_what_it_is():
    for page in PAGES:
        assert all(block.kind for block in blocks_of(page)), name_of(page)


def test_commands_that_are_not_run_say_what_they_need():
    reasons = [
        block.why
        for page in PAGES
        for block in blocks_of(page)
        if block.why is not None and block.kind in ("bash", "console")
    ]
    assert set(reasons) <= REASONS
    assert len(reasons) <= 10


def test_the_quick_pages_are_there():
    assert set(QUICK) <= {name_of(page) for page in PAGES}


def test_times_and_digests_are_no_difference_and_everything_else_is():
    shown = ["Step 500, digest 55688c8c0a8e34f5", "...", "Run 1: runs/1"]
    real = "Step 500, digest 0123456789abcdef\nrecords\nmore\nRun 1: runs/1\n"
    assert difference(shown, real, numbers=True) == ""
    assert difference(shown, real.replace("500", "501"), numbers=True)
    assert difference(shown, real.replace("500", "501"), numbers=False) == ""
    assert difference(shown, real.replace("runs/1", "runs/2"), numbers=False)
    assert difference(shown[:2], real.replace("Step", "Stop"), numbers=False)
    assert difference(shown[:1], real, numbers=True)


def test_a_form_keeps_words():
    assert form("loss -0.25  5.7 steps/s  00:06 left") == "loss DECIMAL DECIMAL steps/s TIME left"


def test_no_page_holds_a_path_of_a_machine():
    for page in PAGES:
        assert not re.search(r"/(root|home|work|Users)/\w", page.read_text("utf-8")), name_of(page)
