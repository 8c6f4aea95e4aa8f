"""A page's commands and Python blocks, executed in its order, in one shell and one folder.

``scaled_down`` says what is done less of; what a page shows is then compared in its form, else with
its numbers (``comparing``).
"""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tests.docs import warm_shell
from tests.docs.comparing import LOG, difference
from tests.docs.pages import ROOT, Command, File, steps_of
from tests.docs.scaled_down import scaled_down

# What no reader should get to see: warnings of Python, TensorFlow and absl.
NOISE = re.compile(r"(.*:\d+: )?\w+Warning: |\d{4}-\d\d-\d\d .*: [IWEF] \w+/|WARNING:|[IWEF]\d{4} ")
# Progress goes to stderr, and is wanted there.
PROGRESS = re.compile(r"step \d+/\d+  |[\d,]+ of [\d,]+ records ")
QUIETING = ("TF_CPP_MIN_LOG_LEVEL", "PYTHONWARNINGS")


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
        **{name: value for name, value in os.environ.items() if name not in QUIETING},
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "KERAS_HOME": str(folder / "keras"),
    }


class Step(NamedTuple):
    """A line of shell, and what is expected of it.

    Attributes:
        said: What the page says.
        line: What the shell executes.
        shown: The lines that the page shows of the output.
        is_smaller: Whether the line, or one before it, does less than the page's.
    """

    said: str
    line: str
    shown: list[str]
    is_smaller: bool

    @property
    def fails(self):
        """Whether the page shows it to fail."""
        return any(line.startswith("Error: ") for line in self.shown)

    @property
    def is_logged(self):
        """Whether the page shows Sacred's log too, which goes to stderr."""
        return any(LOG.match(line) for line in self.shown)

    @property
    def is_program(self):
        """Whether these are Python blocks: what they print to stderr, their reader sees."""
        return self.said.startswith("python block")


def to_steps(page, files, mongo):
    """Return the steps of a page; programs and files are put into the folder ``files``."""
    steps, smaller = [], False
    files.mkdir()
    for number, step in enumerate(steps_of(page)):
        if isinstance(step, Command):
            line, is_smaller = scaled_down(step.line, mongo)
            # What follows works on what the smaller work left.
            smaller = smaller or is_smaller
            steps.append(Step(f"$ {step.line}", line, step.shown, smaller))
            continue
        path = files / f"block_{number}.py"
        # The address of the tests' own server.
        text = step.text.replace('mongo="sacred"', f'mongo="{mongo}"')
        path.write_text(text, encoding="utf-8")
        if isinstance(step, File):
            steps.append(Step(f"file {step.name}", f'cp "{path}" {step.name}', [], smaller))
        else:
            # Here, and as a file, since Sacred reads the source of its configurations.
            line = f'cp "{path}" . && python {path.name}'
            steps.append(Step(f"python block {number}", line, [], smaller))
    return steps


def what_is_seen(step, output, errors):
    """Return what a step printed: of stderr, where Sacred's log is too, steps and errors."""
    if step.is_logged:
        return output
    seen = [line for line in errors.splitlines() if line.startswith(("step ", "Error: "))]
    # In a terminal the steps come before what the training says at its end.
    before, end, after = output.partition("\nStep ")
    return "\n".join([before, *seen] if end else [*seen, before]) + end + after


def noise(step, errors):
    """Return what a step printed that its reader should not have to read."""
    lines = errors.splitlines()
    if step.is_program:
        return "\n".join(line for line in lines if not PROGRESS.match(line))
    return "\n".join(line for line in lines if NOISE.match(line))


def run_page(page, folder, mongo="", is_warm=False):
    """Do what a page says in one shell, until a step ends otherwise than the page says.

    Args:
        page: The page's path.
        folder: An empty folder.
        mongo: The address of a database, for pages that record into one.
        is_warm: Whether processes start warm (`tests.docs.warm_shell`).
    """
    work, environment = surroundings(folder)
    steps = to_steps(page, folder / "files", mongo)
    outputs, errors = folder / "outputs", folder / "errors"
    outputs.mkdir()
    errors.mkdir()
    script = []
    for number, step in enumerate(steps):
        aside = "2>&1" if step.is_logged else f'2> "$ERRORS/{number}"'
        script.append(f'{{ {step.line}\n}} > "$OUT/{number}" {aside}; code=$?')
        script.append(f"[ $code {'!=' if step.fails else '='} 0 ] || exit 99")
    warm = warm_shell.commands(folder / "warm") if is_warm else contextlib.nullcontext()
    with warm as commands:
        if commands:
            environment["PATH"] = os.pathsep.join([str(commands), environment["PATH"]])
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=work,
            env={**environment, "OUT": str(outputs), "ERRORS": str(errors)},
            stdin=subprocess.DEVNULL,
            check=False,
        )
    wrong, last = [], len(list(outputs.iterdir())) - 1
    for number, step in enumerate(steps[: last + 1]):
        log = errors / str(number)
        log = log.read_text("utf-8") if log.exists() else ""
        output = (outputs / str(number)).read_text("utf-8")
        seen = what_is_seen(step, output, log).replace(f"{work}{os.sep}", "")
        if step.shown and (
            found := difference(step.shown, seen, not step.is_smaller, step.is_logged)
        ):
            wrong.append(f"{step.said}\n{found}")
        if found := noise(step, log):
            wrong.append(f"{step.said}\nprinted what its reader should not have to read:\n{found}")
        if number == last and done.returncode != 0:
            wrong.append(f"{step.said}\nended otherwise than shown:\n{seen}\n{log[-3000:]}")
    assert not wrong, "\n\n".join(wrong)
