"""Every command of README and documentation runs, with the Python blocks between them."""

import re

import pytest

from tests.docs.comparing import difference, form
from tests.docs.pages import PAGES, Command, blocks_of, name_of, steps_of
from tests.docs.running import NOISE, run_page

# Pages whose commands are done in seconds; the others train often.
QUICK = ["docs/board.md", "docs/components.md", "docs/report.md"]
REASONS = {
    "needs a package index",
    "needs docker",
    "needs a cluster",
    "needs a file",
    "needs other machines",
    "needs two machines",
    "needs Dataflow, Flink or Spark",
}


def commands_in(page):
    return [step.line for step in steps_of(page) if isinstance(step, Command)]


# Only against a hang: the README's steps start cold, one after the other, beside other tests.
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page, id=name_of(page), marks=[] if name_of(page) in QUICK else pytest.mark.slow
        )
        for page in PAGES
        if commands_in(page)
    ],
)
def test_the_commands_of_a_page_run_and_print_what_it_shows(page, tmp_path, request):
    mongo = ""
    if any("-m sacred" in line for line in commands_in(page)):
        database = request.getfixturevalue("mongo_database").name
        mongo = f"{request.getfixturevalue('mongo_uri').rstrip('/')}/{database}"
    # The quick pages and the README show that nothing else is printed where processes start cold.
    run_page(page, tmp_path, mongo, is_warm=name_of(page) not in [*QUICK, "README.md"])


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
    assert len(reasons) <= 20


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


def test_a_warning_is_noise_and_a_line_of_progress_is_not():
    for line in (
        "x.py:3: UserWarning: pkg_resources is deprecated as an API.",
        "2026-11-24 13:51:02.123456: I tensorflow/core/util/port.cc:113] oneDNN custom operations",
        "WARNING:tensorflow:From page.py:3: RunConfig.__init__ is deprecated",
    ):
        assert NOISE.match(line)
    assert not NOISE.match("step 4/4  generator +0.0015  critic -0.0034  0.6 steps/s  00:00 left")


def test_no_page_holds_a_path_of_a_machine():
    for page in PAGES:
        assert not re.search(r"/(root|home|work|Users)/\w", page.read_text("utf-8")), name_of(page)
