"""Every command of README and documentation is run, and the output that is shown compared.

Trainings are shortened, data are made, and times, numbers and paths are not compared. A page's
commands run one after the other in a folder of the page's own.
"""

import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.docs.pages import PAGES, ROOT, blocks_of, commands_of, name_of

SHORT = "max_steps=4 log_every_steps=1 grid_every_steps=2 checkpoint_every_steps=2 "
SHORT += "digest_every_steps=2 batch_size=8"
# Experiment -> what its command gets in addition.
SHORTER = {
    "mnist_wgan": SHORT,
    "mnist_classifier": "max_steps=20 log_every_steps=10",
    "mnist_evaluate": "samples=150",
}
SERVERS = ("sacredboard", "reproducible-ml board")
# Of what stands for the same in two runs: a number, a digest, a path below a folder.
CHANGING = re.compile(r"\b[0-9a-f]{16,}\b|[-+]?\d[\d.,:]*(?:e[-+]?\d+)?|(?<=[ ])/\S+/|\s+")


def to_run(page):
    """Return the blocks of a page whose commands are run."""
    return [block for block in blocks_of(page) if block.kind in ("bash", "console")]


def scripts(page):
    """Return (hidden command, commands, shown output) of each block that is run."""
    found = []
    for block in blocks_of(page):
        if block.kind in ("bash", "console"):
            found.append(None if block.why else (block.before, commands_of(block), []))
        elif block.kind == "" and found and found[-1] is not None and "$" not in block.text[:2]:
            found[-1][2].extend(block.text.splitlines())
    return [one for one in found if one is not None]


def plain(line):
    """Take out of a line what differs from run to run."""
    return CHANGING.sub(lambda found: " " if found[0].isspace() else "N", line.strip())


def shortened(line, mongo):
    """Make a command quick, and let it find the test's database."""
    line = line.replace(".venv/bin/", "")
    line = re.sub(r"-m sacred\b", f"-m {mongo}", line) if mongo else line
    line = line.replace("1..5", "1..2").replace("1..3 --dry-run", "1..2 --dry-run")
    found = re.match(r"python -m experiments\.(\w+)(?P<rest>.*)", line)
    if found and found[1] in SHORTER:
        options = SHORTER[found[1]]
        line += f" {options}" if " with " in line else f" with {options}"
    if line.startswith("reproducible-ml sweep"):
        line = re.sub(r"experiments\.mnist_wgan( digits)?", r"\g<0> " + SHORT, line)
        line = re.sub(r" max_steps=20", "", line)
    return line


class Terminal:
    """Runs commands one after the other as a shell does, in a folder."""

    def __init__(self, folder, mongo):
        self.folder, self.mongo = folder, mongo
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
            "BROWSER": "true",
        }

    def run(self, line, fails=False):
        """Run one command; return what it printed."""
        if line.startswith("cd "):
            self.folder /= line[3:]
            # A project of its own is imported from where it lies.
            self.environment["PYTHONPATH"] = os.pathsep.join([str(self.folder), str(ROOT)])
            return ""
        if line.startswith("source "):
            return ""
        if line.startswith(SERVERS):
            return self._visit(shortened(line, self.mongo) + " --no-browser")
        done = subprocess.run(
            ["bash", "-c", shortened(line, self.mongo)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) is fails, f"$ {line}\n{done.stdout}"
        return done.stdout

    def _visit(self, line):
        """Start a server, fetch the page that it names, stop it."""
        log = self.folder / "server.log"
        with open(log, "w", encoding="utf-8") as output:
            server = subprocess.Popen(
                shlex.split(line),
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            until = time.monotonic() + 60
            while not (address := re.search(r"http://127\.0\.0\.1:\d+/?", log.read_text())):
                assert server.poll() is None, f"$ {line}\n{log.read_text()}"
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
            with urllib.request.urlopen(address[0], timeout=30) as page:
                assert b"<html" in page.read().lower()
        finally:
            server.terminate()
            server.wait(timeout=30)
        return log.read_text()


def make_inputs(folder):
    """Make what the pages take for granted: MNIST's file, and a folder of pictures."""
    random = np.random.default_rng(1)
    arrays = {}
    for name, count in (("train", 60_000), ("test", 10_000)):
        arrays[f"x_{name}"] = np.zeros((count, 28, 28), np.uint8)
        arrays[f"x_{name}"][:, 7:21, 7:21] = random.integers(0, 256, (count, 1, 1), np.uint8)
        arrays[f"y_{name}"] = np.arange(count, dtype=np.uint8) % 10
    np.savez(folder / "mnist.npz", **arrays)
    for kind in ("cat", "dog"):
        (folder / "photos" / kind).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / kind / f"{number}.png")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [page for page in PAGES if scripts(page)], ids=name_of)
def test_the_commands_of_a_page_run_and_print_what_it_shows(page, tmp_path, request):
    mongo = None
    if "-m sacred" in page.read_text(encoding="utf-8"):
        database = request.getfixturevalue("mongo_database").name
        mongo = f"{request.getfixturevalue('mongo_uri').rstrip('/')}/{database}"
    make_inputs(tmp_path)
    terminal = Terminal(tmp_path, mongo)
    for before, commands, shown_below in scripts(page):
        if before is not None:
            for line in before.split(";"):
                terminal.run(line.strip())
        output = ""
        for command in commands:
            shown = command.shown if command is not commands[-1] else command.shown + shown_below
            output = terminal.run(command.line, fails=any("Error: " in one for one in shown))
            printed = [plain(line) for line in output.splitlines()]
            for line in shown:
                assert plain(line) in printed, f"$ {command.line}\n{line}\n---\n{output}"


def test_commands_that_are_not_run_say_why():
    reasons = [block.why for page in PAGES for block in to_run(page) if block.why is not None]
    assert all(reason.startswith("needs ") for reason in reasons)
    assert len(reasons) <= 10


def test_no_page_shows_commands_in_a_block_that_no_test_reads():
    command = re.compile(
        r"^(\$ |python -m |reproducible-ml |sacredboard |docker |make |pip )", re.M
    )
    for page in PAGES:
        for block in blocks_of(page):
            if block.kind == "":
                assert not command.search(block.text), f"{name_of(page)}: {block.text}"


def test_the_shortening_leaves_no_training_long():
    line = shortened("python -m experiments.mnist_wgan with digits -m sacred", "h:1:db")
    assert line == f"python -m experiments.mnist_wgan with digits -m h:1:db {SHORT}"
    assert shortened("python -m experiments.mnist_wgan", None).endswith(f" with {SHORT}")
