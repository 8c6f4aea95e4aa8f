"""Every Python block of README and documentation runs, a page's blocks one after the other.

A block that can't run here has a comment before it: ``<!-- not run: why -->``.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]+) -->\n+)?```python\n(?P<code>.*?)^```", re.M | re.S
)
PAGES = {
    str(page.relative_to(ROOT)): list(BLOCK.finditer(page.read_text("utf-8")))
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}


def program(blocks):
    """Join the blocks that are to run; line numbers of errors are then those of this program."""
    return "\n".join(found["code"] for found in blocks if found["why"] is None)


@pytest.mark.parametrize("page", [name for name, blocks in PAGES.items() if program(blocks)])
def test_the_python_blocks_of_a_page_run(page, tmp_path):
    # A file, since Sacred reads the source of its configurations.
    (tmp_path / "page.py").write_text(program(PAGES[page]), encoding="utf-8")
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
    left_out = {name: [found["why"] for found in blocks] for name, blocks in PAGES.items()}
    reasons = [why for whys in left_out.values() for why in whys if why is not None]
    assert all(reason.startswith("needs ") for reason in reasons)
    assert len(reasons) <= 5
