"""Every Python block of README and documentation runs, a page's blocks one after the other.

A block that can't run here has a comment before it: ``<!-- not run: why -->``.
"""

import os
import subprocess
import sys

import pytest

from tests.docs.pages import PAGES, ROOT, blocks_of, name_of

BLOCKS = {
    name_of(page): [block for block in blocks_of(page) if block.kind == "python"] for page in PAGES
}


def program(blocks):
    """Join the blocks that are to run; line numbers of errors are then those of this program."""
    return "\n".join(block.text for block in blocks if block.why is None)


@pytest.mark.parametrize("page", [name for name, blocks in BLOCKS.items() if program(blocks)])
def test_the_python_blocks_of_a_page_run(page, tmp_path):
    # A file, since Sacred reads the source of its configurations.
    (tmp_path / "page.py").write_text(program(BLOCKS[page]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_blocks_that_do_not_run_say_why():
    reasons = [block.why for blocks in BLOCKS.values() for block in blocks if block.why is not None]
    assert all(reason.startswith("needs ") for reason in reasons)
    assert len(reasons) <= 5
