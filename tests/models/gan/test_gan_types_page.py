"""docs/gan-types.md says what the table GAN_TYPES holds."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from reproducible_ml.models import GAN_TYPES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "gan-types.md").read_text(encoding="utf-8")


@pytest.fixture
def script():
    """Return the script that writes the tables, as a module."""
    path = ROOT / "scripts" / "gan_types_page.py"
    spec = importlib.util.spec_from_file_location("gan_types_page", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_tables_as_they_are(script):
    assert script.page(PAGE) == PAGE, "run: make pages"


def test_every_type_has_a_row_in_both_tables():
    for name in GAN_TYPES:
        assert PAGE.count(f"\n| `{name}` | ") == 2


def test_a_row_says_what_the_type_is(script):
    what, sources = script.tables().values()
    assert what[list(GAN_TYPES).index("wgan")] == (
        "| `wgan` | wasserstein | wasserstein | clipping | RMSProp "
        "| 0.0005 / 0.0005, 2, 32, clip 0.03 | 5e-5 / 5e-5, 5, 64, clip 0.01 |"
    )
    assert what[list(GAN_TYPES).index("hinge")] == (
        "| `hinge` | wasserstein | hinge | spectral norm, dense head "
        "| Adam 0.5, 0.999; paper 0, 0.9 | 0.001 / 0.0002, 1, 32 | 0.0002 / 0.0002, 5, 64 |"
    )
    assert "arXiv:1611.04076, equation 9 |" in sources[list(GAN_TYPES).index("lsgan")]


def test_a_type_that_is_new_gets_its_rows_and_nothing_else_changes(script, monkeypatch):
    new = replace(GAN_TYPES["lsgan"], source="Nobody, 2030", remark="Made up.")
    monkeypatch.setitem(GAN_TYPES, "mine", new)
    found = script.page(PAGE).split("\n")
    added = [line for line in found if line.startswith("| `mine` | ")]
    assert added == [
        next(line for line in found if line.startswith("| `lsgan` | least")).replace(
            "lsgan", "mine"
        ),
        "| `mine` | Nobody, 2030 | Made up. |",
    ]
    assert [line for line in found if line not in added] == PAGE.split("\n")


def test_a_page_without_the_table_is_refused(script):
    with pytest.raises(SystemExit, match="lacks the line '\\| `gan_type` \\| source"):
        script.page(PAGE.replace("| source | remark |", "| paper |"))
