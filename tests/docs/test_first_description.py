"""Each claim of the first description names a test that exists."""

import re

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "first-description.md"


def test_every_claim_names_a_test_or_a_measurement():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert len(rows) == 17
    for row in rows:
        held_by = re.search(r"`([^`]+)`[^`|]*\|$", row)[1]
        if held_by.startswith("make "):
            target = held_by.removeprefix("make ")
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
            continue
        path, _, name = held_by.partition("::")
        assert f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8"), held_by
