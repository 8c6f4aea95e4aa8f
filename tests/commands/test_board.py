"""``reproducible-ml board`` is the command ``sacredboard``."""

import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main


def test_it_takes_what_sacredboard_takes():
    help_text = CliRunner().invoke(main, ["board", "--help"]).output
    for option in ("-m ", "-mu ", "-mc ", "-F ", "--host", "--port", "--sub-url", "--no-browser"):
        assert option in help_text


def test_a_folder_that_is_missing_is_one_sentence():
    ended = CliRunner().invoke(main, ["board", "-F", "nowhere"])
    assert ended.exit_code == 1
    assert ended.output.startswith("Error: There is no folder of runs 'nowhere'")


@pytest.mark.alone
def test_its_help_answers_at_once():
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "reproducible_ml.cli", "board", "--help"],
            check=True,
            capture_output=True,
        )
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.5
