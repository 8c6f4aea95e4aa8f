"""Published figures: pages and recorded results say the same, by one protocol."""

import json
import re

import pytest

from benchmarks import floor, quality
from tests.docs.pages import ROOT

RESULTS = ROOT / "benchmarks" / "results"


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows():
    return json.loads((RESULTS / "quality.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def real(rows):
    (found,) = (one for one in rows if one["type"] == quality.REAL)
    return found


def printed_figures(page):
    """Return name -> (N of the floor, floor, against) of the table that mnist_evaluate printed."""
    block = text(page).partition("figure                ")[2].partition("Classifier ")[0]
    found = {}
    for line in block.splitlines()[1:]:
        if not line.startswith("Floor"):
            name, _, _, value, count, *against = line.split()
            found[name] = (count, value, against)
    return found


def test_the_tables_are_those_of_the_results(rows):
    assert f"\n{quality.table(rows)}\n" in text("docs/benchmarks.md")
    choices = json.loads((RESULTS / "floor.json").read_text(encoding="utf-8"))
    assert f"\n{floor.table(choices)}\n" in text("docs/evaluation.md")


def test_every_page_has_the_same_floor(real):
    page = "docs/experiments-on-mnist.md"
    printed = printed_figures(page)
    expected = {name: value for name, value in real["figures"].items() if name in printed}
    assert len(expected) == len(printed) == 9
    assert {name: value for name, (_, value, _) in printed.items()} == {
        name: f"{value:.4f}" for name, value in expected.items()
    }
    assert {count for count, _, _ in printed.values()} == {f"{real['samples']:,}"} == {"10,000"}
    assert printed["recall"][2][:2] == [f"{real['references']['test']:,}", "test"]
    assert printed["memorized_share"][2][3] == f"{real['references']['train']:,})"
    assert f"Classifier {real['classifier'][:12]}" in text(page)
    choices = json.loads((RESULTS / "floor.json").read_text(encoding="utf-8"))
    assert choices["distances"]["drawn, seed 1"] == [real["figures"]["frechet_distance"]]
    assert choices["classifier"] == real["classifier"]


@pytest.mark.parametrize("page", ["docs/evaluation.md", "docs/decisions.md", "CHANGELOG.md"])
def test_every_page_says_the_same_of_hinge(rows, page):
    (hinge,) = (one["figures"]["frechet_distance"] for one in rows if one["type"] == "hinge")
    said = re.findall(
        r"`hinge`[^`]*?(?:reaches|fell from 80 to|with) (\d+(?:\.\d+)?)\b", text(page)
    )
    assert said
    assert set(said) == {f"{hinge:.3g}"}


def test_every_figure_states_its_protocol(rows):
    for one in rows:
        assert one["protocol"] in (1, 2)
        assert one["samples"] == 10_000
        assert re.fullmatch("[0-9a-f]{64}", one["classifier"])
        # Measured in batches of the written order, by the first protocol alone.
        assert (one["protocol"] == 2) == any("batches" in name for name in one["figures"])
