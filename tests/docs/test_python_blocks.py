"""The Python blocks of pages that hold no command to run; ``test_commands`` runs them elsewhere.

A page's blocks run one after the other, and print no warning. A block that can't run here has a
comment before it: ``<!-- not run: why -->``.
"""

import pytest

from tests.docs.pages import PAGES, Command, blocks_of, name_of, steps_of
from tests.docs.running import run_page


def has_blocks_alone(page):
    steps = steps_of(page)
    return bool(steps) and not any(isinstance(step, Command) for step in steps)


@pytest.mark.parametrize("page", list(filter(has_blocks_alone, PAGES)), ids=name_of)
def test_the_python_blocks_of_a_page_run_and_print_no_warning(page, tmp_path):
    run_page(page, tmp_path)


def test_every_python_block_runs():
    blocks = [(name_of(page), block) for page in PAGES for block in blocks_of(page)]
    assert [page for page, block in blocks if block.kind == "python" and block.why] == []
