"""Parsed code: a move or other comments make no difference, another value or operation does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reproducible_ml.models.exact import code as code_module
from reproducible_ml.models.exact import code_digests
from reproducible_ml.models.exact.code import parsed_code

ROOT = Path(__file__).parents[3]
TEXT = '''"""A module."""

from mine.layers import dense
import numpy as np

RATE = 0.5


def network(x, width=3):
    """Build it."""
    # A comment.
    from mine.inner import relu

    if width < 1:
        raise ValueError(f"width is {width}")
    return relu(dense(x, width) * RATE + np.pi)


class Layer:
    """A layer."""

    size = 1

    def call(self, x):
        """Call it."""
        return x + 'a'
'''


def digests(folder, files, package="mine"):
    folder.mkdir()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return parsed_code(sorted(folder.rglob("*.py")), package)


def changed(tmp_path, text):
    before = digests(tmp_path / "before", {"a.py": TEXT})
    after = digests(tmp_path / "after", {"a.py": text})
    return {name for name in set(before) | set(after) if before.get(name) != after.get(name)}


def test_definitions_are_known_by_name(tmp_path):
    found = digests(tmp_path / "code", {"a.py": TEXT})
    assert set(found) == {"RATE", "network", "Layer", "import np"}
    assert all(len(digest) == 16 for digest in found.values())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# A comment.", "# Another one, which is\n    # longer."),
        ('"""Build it."""', '"""Build something else."""'),
        ('    """Build it."""\n', ""),
        ('"""A module."""\n', ""),
        ("x + 'a'", 'x + (\n            "a"\n        )'),
        ("RATE = 0.5\n", "\n\n\nRATE = 0.50\n"),
        ("from mine.layers import dense", "from mine.net.layers import dense"),
        ("from mine.inner import relu", "from mine import relu"),
        ('f"width is {width}"', '"A width must be 1 or more."'),
    ],
)
def test_what_computes_nothing_is_no_change(tmp_path, old, new):
    assert old in TEXT
    assert changed(tmp_path, TEXT.replace(old, new)) == set()


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("RATE = 0.5", "RATE = 0.6", {"RATE"}),
        ("width=3", "width=4", {"network"}),
        ("* RATE", "- RATE", {"network"}),
        ("width < 1", "width <= 1", {"network"}),
        ("ValueError", "TypeError", {"network"}),
        ("x + 'a'", "x + 'b'", {"Layer"}),
        ("size = 1", "size = 1.0", {"Layer"}),
        ("class Layer", "@frozen\nclass Layer", {"Layer"}),
        ("RATE = 0.5", "RATE = 0.5\nprint(RATE)", {"statements of modules"}),
        ("import numpy as np", "import other as np", {"import np"}),
        ("from mine.inner import relu", "from other import relu", {"network"}),
        ("from mine.inner import relu", "from mine.inner import elu as relu", {"network"}),
        ("class Layer", "class Tier", {"Layer", "Tier"}),
    ],
)
def test_a_change_is_named_by_its_definition(tmp_path, old, new, names):
    assert old in TEXT
    assert changed(tmp_path, TEXT.replace(old, new)) == names


def test_a_move_to_another_module_is_no_change(tmp_path):
    head, _, layer = TEXT.partition("class Layer")
    before = digests(tmp_path / "before", {"a.py": TEXT})
    after = digests(tmp_path / "after", {"x/b.py": head, "y/c.py": "class Layer" + layer})
    assert after == before


def test_definitions_of_one_name_are_all_counted(tmp_path):
    before = digests(tmp_path / "before", {"a.py": "def f():\n    return 1\n", "b.py": "f = 2\n"})
    after = digests(tmp_path / "after", {"a.py": "def f():\n    return 1\n", "b.py": "f = 3\n"})
    assert set(before) == set(after) == {"f"}
    assert before != after


def test_the_library_is_digested_alike_by_every_python(tmp_path):
    """A cluster's workers, and a later resume, may run another Python than the first start."""
    versions = [f"3.{minor}" for minor in range(9, 14) if minor != sys.version_info.minor]
    command = ["sh", str(ROOT / "scripts" / "find_pythons.sh"), *versions]
    others = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    if not others:
        pytest.skip("there is no second Python on this machine")
    program = (
        "import json, runpy, sys\n"
        "from pathlib import Path\n"
        "parsed_code = runpy.run_path(sys.argv[1])['parsed_code']\n"
        "files = sorted(Path(sys.argv[2]).rglob('*.py'))\n"
        "print(json.dumps(parsed_code(files, 'reproducible_ml')))\n"
    )
    folder = ROOT / "reproducible_ml" / "models" / "gan"
    expected = parsed_code(sorted(folder.rglob("*.py")), "reproducible_ml")
    assert "generator_fn" in expected
    for python in others:
        command = [python, "-c", program, code_module.__file__, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == expected, python


def test_the_code_of_a_training_has_what_computes_and_not_what_looks_on():
    found = code_digests()
    assert {"generator_fn", "GANEstimator", "build_step", "input_fn", "child_seed"} <= set(found)
    assert not {"evaluate_gan", "export_gan", "write_records", "verify"} & set(found)
