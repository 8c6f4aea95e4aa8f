"""The plan of the house: few modules side by side, short modules, packages with a short list."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "reproducible_ml"
MODULES = sorted(LIBRARY.rglob("*.py"))
# The modules of these are tools and commands of their own, imported one by one.
OPEN = {
    "reproducible_ml",
    "reproducible_ml.commands",
    "reproducible_ml.datasets",
    "reproducible_ml.utils",
}
MOST_MODULES = 16
LONG_LINES, SHORT_SHARE = 300, 0.9
# What a terminal of usual height shows.
MOST_NAMES = 50


def package_name(init):
    return ".".join(init.parent.relative_to(LIBRARY.parent).parts)


FACADES = [
    path
    for path in MODULES
    if path.name == "__init__.py"
    and package_name(path) not in OPEN
    and len(list(path.parent.glob("*.py"))) > 1
]


def test_no_folder_holds_more_modules_than_a_reader_takes_in():
    parts = [path for name in ("reproducible_ml", "tests") for path in (ROOT / name).rglob("*.py")]
    counts = {
        folder.relative_to(ROOT).as_posix(): len(list(folder.glob("*.py")))
        for folder in {path.parent for path in parts}
    }
    assert {name: count for name, count in counts.items() if count > MOST_MODULES} == {}


def test_nine_of_ten_modules_are_short():
    long = [path for path in MODULES if len(path.read_text().splitlines()) >= LONG_LINES]
    assert len(long) <= (1 - SHORT_SHARE) * len(MODULES), long


@pytest.mark.parametrize("init", FACADES, ids=package_name)
def test_a_package_lists_names_that_fit_a_screen_and_exist(init):
    package = importlib.import_module(package_name(init))
    assert 0 < len(package.__all__) <= MOST_NAMES
    missing = [name for name in package.__all__ if not hasattr(package, name)]
    assert missing == []
    # A notebook's completion and the documentation find them, too.
    assert set(package.__all__) <= set(dir(package))
    imported = {
        alias.name
        for node in ast.walk(ast.parse(init.read_text()))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith(f"{package.__name__}.")
        for alias in node.names
    }
    # What others may use stands in the list, whether it loads at once or on first use.
    assert set(package.__all__) >= imported


def test_an_unknown_name_of_a_package_is_an_ordinary_error():
    package = importlib.import_module("reproducible_ml.models")
    with pytest.raises(AttributeError, match=r"module 'reproducible_ml.models' has no attribute"):
        _ = package.no_such_name


def test_a_package_loads_its_modules_on_first_use():
    program = (
        "import sys\n"
        "import reproducible_ml.tracking.runs as runs, reproducible_ml.models as models\n"
        "loaded = lambda: [name for name in sys.modules if name.count('.') > 2\n"
        "                  and name.startswith('reproducible_ml.tracking.runs.')]\n"
        "assert loaded() == [], loaded()\n"
        "assert runs.DEFAULT_FOLDER == 'runs'\n"
        "assert loaded() == ['reproducible_ml.tracking.runs.store'], loaded()\n"
        "assert not {'tensorflow', 'sacred', 'pymongo'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# Modules outside ``models/gan`` that speak of a GAN's two networks, and why.
SPEAK_OF_GANS = {
    "input_fn/gan.py": "the input function of GANs, whose argument is critic_steps",
    "models/__init__.py": "lists the public names generator_fn and critic_fn",
    "models/evaluation/evaluate.py": "records hold the digest of the generator by that name",
    "models/evaluation/while_training.py": "is called with the generator that trains",
    "models/exact/step_log.py": "files of version 1.0 hold the two losses without their names",
    "models/export/gan.py": "exports the generator",
    "models/export/saved_generator.py": "exports the generator",
    "stages/own_gan.py": "its arguments are networks and losses of a GAN",
}
# Modules in which a generator is Python's, NumPy's or a random stream's.
OTHER_GENERATORS = {
    "datasets/rows.py",
    "datasets/serialize/encoding/encoder.py",
    "datasets/serialize/writing/parallel.py",
    "datasets/serialize/writing/records.py",
    "input_fn/noise.py",
    "tracking/recording/config_check.py",
    "tracking/recording/draws.py",
    "utils/seeds.py",
}


def test_what_serves_every_estimator_names_no_generator_and_no_critic():
    found = set()
    for path in MODULES:
        name = path.relative_to(LIBRARY).as_posix()
        words = ["critic(?!al)", "discriminator"]
        words += [] if name in OTHER_GENERATORS else ["generator"]
        if re.search(rf"(?i)(?<![a-z])({'|'.join(words)})", path.read_text(encoding="utf-8")):
            found.add(name)
    found = {name for name in found if not name.startswith("models/gan/")}
    assert found == SPEAK_OF_GANS.keys()
