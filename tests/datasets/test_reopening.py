"""A source is opened again from what a manifest records, and nothing else is called."""

import sys
from pathlib import Path

import pytest

from reproducible_ml.datasets.sources import SOURCES, ArraySource, make_source, reopen
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.datasets.small_data import images_and_labels

MODULE = '''
from reproducible_ml.datasets.sources import ArraySource, Source, SOURCES
import numpy as np


def annotated(size_file, shade=1) -> Source:
    """Not in the table."""
    return ArraySource("annotated", {}, {"train": (np.full((2, 4, 4), shade), [0, 1])}, 2, "")


def bare(size_file):
    raise SystemExit("called")


class Table(Source):
    def __init__(self, size):
        self.arguments = {"other": size}
'''


@pytest.fixture
def module(tmp_path, request):
    """A module in the working directory, with a name of its own in each test."""
    name = f"reopened_{abs(hash(request.node.name))}"
    Path(f"{name}.py").write_text(MODULE)
    path = list(sys.path)
    yield name
    sys.path[:] = path
    sys.modules.pop(name, None)


def recorded(code, **arguments):
    return {"name": "mine", "code": code, "arguments": arguments, "digest": ""}


def test_a_function_is_found_by_module_and_name_and_its_arguments_are_recorded(module):
    source = reopen(recorded(f"{module}:annotated", size_file="a.txt", shade=7), "data")
    assert source.arguments == {"size_file": str(Path("a.txt").absolute()), "shade": 7}
    assert source.describe()["code"] == f"{module}:annotated"
    assert source.rows_gen("train")[0]["image"].max() == 7


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("shutil:rmtree", "shutil has no source rmtree: expected a subclass of Source"),
        ("os:path.join", "os has no source path.join"),
        ("MODULE:bare", "has no source bare"),
        ("MODULE:nothing", "has no source nothing"),
        ("builtins:dict", "builtins has no source dict"),
        ("not_here.at_all:Table", "the module not_here.at_all, which is not found from"),
        ("../evil:Table", "which is not found"),
        ("MODULE:Table", r"can't be opened with the arguments that were recorded, {'other': 3}"),
    ],
)
def test_what_is_no_source_is_not_called(module, code, message):
    with pytest.raises(DataError, match=message):
        reopen(recorded(code.replace("MODULE", module), other=3), "data")


@pytest.mark.parametrize("place", [".", "part_of/it", "deep/er"])
def test_no_code_is_imported_from_a_data_set(module, place):
    """Nor from a folder in it, which Python would take for a package."""
    path = Path(place, f"{module}.py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("raise SystemExit('imported')")
    name = ".".join([*path.parent.parts, module])
    for record_dir in {Path("."), path.parent}:
        with pytest.raises(DataError, match="is in the folder of the data set"):
            reopen(recorded(f"{name}:Table"), record_dir)


def test_the_arguments_of_a_source_are_those_of_its_function(monkeypatch):
    def squares(side_file, shade=3):
        images, labels = images_and_labels(6)
        return ArraySource("squares", {"shade": shade}, {"train": (images, labels)}, 10, "")

    monkeypatch.setitem(SOURCES, "squares", squares)
    # It need not take those of the others.
    source = make_source("squares", side_file="a.txt", shade=None, image_shape=[1, 1, 1])
    assert source.arguments == {"shade": None, "side_file": str(Path("a.txt").absolute())}
    assert "code" not in make_source("digits").describe()


def test_a_source_that_was_not_recorded_with_its_code_is_looked_up_by_name():
    with pytest.raises(ConfigError, match="no source 'squares'"):
        reopen({"name": "squares", "arguments": {}}, "data")
