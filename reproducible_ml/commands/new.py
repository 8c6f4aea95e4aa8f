"""``reproducible-ml new``: write a new experiment repository that is ready to run."""

from __future__ import annotations

import keyword
from pathlib import Path

import click
from click.core import ParameterSource

from reproducible_ml.commands.layout import echo
from reproducible_ml.utils.paths import complete_folder

# Path in the new repository -> template; "NAME" in a path stands for the package's name.
_OF_ALL = {
    "README.md": "README.md.jinja",
    "pyproject.toml": "pyproject.toml.jinja",
    ".gitignore": "gitignore.jinja",
    "NAME/__init__.py": "package.py.jinja",
    "experiments/__init__.py": "experiments.py.jinja",
}
_WITH_RECORDS = {**_OF_ALL, "experiments/serialize.py": "serialize.py.jinja"}
_OF_DIGITS = {
    **_WITH_RECORDS,
    "NAME/handlers.py": "handlers.py.jinja",
    "NAME/source.py": "source.py.jinja",
    "tests/test_NAME.py": "test_digits.py.jinja",
}
# Kind of project -> its files. A template may extend others, named ..._base.
KINDS = {
    "gan": {
        **_OF_DIGITS,
        "NAME/networks.py": "networks.py.jinja",
        "NAME/losses.py": "losses.py.jinja",
        "experiments/train.py": "train_gan.py.jinja",
    },
    "classifier": {
        **_OF_DIGITS,
        "NAME/model.py": "model_classifier.py.jinja",
        "experiments/train.py": "train_classifier.py.jinja",
    },
    "table": {
        **_WITH_RECORDS,
        "flowers.csv": "flowers.csv.jinja",
        "NAME/model.py": "model_table.py.jinja",
        "experiments/train.py": "train_table.py.jinja",
        "tests/test_NAME.py": "test_table.py.jinja",
    },
    "sklearn": {
        **_OF_ALL,
        "flowers.csv": "flowers.csv.jinja",
        "NAME/data.py": "data.py.jinja",
        "NAME/model.py": "model_sklearn.py.jinja",
        "experiments/train.py": "train_sklearn.py.jinja",
        "tests/test_NAME.py": "test_sklearn.py.jinja",
    },
}
DEFAULT_KIND = "gan"
_TEMPLATES = "templates/project"
_TAKEN = ("experiments", "tests", "data", "models", "runs")


@click.command()
@click.argument("folder", metavar="NAME", shell_complete=complete_folder)
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    default=DEFAULT_KIND,
    show_default=True,
    help="gan: networks, losses and a learning rate of your own; classifier: a model_fn of your "
    "own; table: a CSV file and a canned Estimator; sklearn: without TensorFlow.",
)
@click.option(
    "--mnist",
    is_flag=True,
    help="The README's experiments instead, such as mnist_wgan, to run and to change.",
)
def command(folder: str, kind: str, mnist: bool) -> None:
    """Write a small experiment repository to the new folder NAME.

    It contains data, a model to change, an experiment that trains it, and their tests. The data is
    bundled, so everything works without a network.
    """
    from importlib.util import find_spec

    target = Path(folder)
    if mnist:
        given = click.get_current_context().get_parameter_source("kind")
        if given is not ParameterSource.DEFAULT:
            raise click.UsageError("--mnist writes the README's experiments, of no --kind.")
        _say_what_was_written(target, write_mnist(target))
        echo("  python -m experiments.mnist_wgan with digits")
        return
    name = checked_name(target)
    write_project(target, name, kind)
    _say_what_was_written(target, len(KINDS[kind]))
    if find_spec("pytest") is None:
        echo('  python -m pip install -e ".[test]"')
    echo("  python -m experiments.train with smoke")
    echo("  python -m pytest")
    echo("\nREADME.md explains the files, and how to adapt them to your data.")


def _say_what_was_written(target: Path, files: int) -> None:
    echo(f"Wrote {files} files to {target}. Next:")
    echo(f"\n  cd {_quoted(target)}")
    # Committed first, since a run records the commit of its source files.
    echo("  git init && git add . && git commit -m Begin")


def checked_name(target: Path) -> str:
    """Return the name of a new project and its package.

    Args:
        target: Folder of the project.

    Raises:
        ConfigError: A package can't have that name, or the folder is not empty.
    """
    from importlib.util import find_spec

    from reproducible_ml.utils.errors import ConfigError

    name = target.resolve().name
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name):
        raise ConfigError(
            f"{name!r} can't be the name of a package: use letters, digits and _, but no digit "
            "first, for example my_project."
        )
    if name in _TAKEN:
        raise ConfigError(f"{name!r} is a folder in every new project; choose another name.")
    spec = find_spec(name)
    # find_spec also finds an empty folder of that name, as a package without a file.
    if spec is not None and spec.origin is not None:
        raise ConfigError(f"There is already a module {name!r}; choose another name.")
    _check_new(target)
    return name


def _check_new(target: Path) -> None:
    from reproducible_ml.utils.errors import ConfigError

    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} already exists and is not an empty folder; choose another.")
    if not target.resolve().parent.is_dir():
        name = target.resolve().name
        raise ConfigError(f"There is no folder {target.parent} for {name}; create it first.")


def write_mnist(target: Path) -> int:
    """Write the experiments on MNIST and on scikit-learn's digits to a folder.

    Args:
        target: The folder, empty or new.

    Returns:
        The number of files.

    Raises:
        ConfigError: It is not empty, or its parent is missing.
    """
    import shutil

    _check_new(target)
    package = Path(__file__).resolve().parents[1]
    installed = package / "templates" / "mnist"
    # In a checkout they lie beside the package.
    origin = installed if installed.is_dir() else package.parent / "experiments"
    found = sorted(origin.glob("*.py"))
    place = target / "experiments"
    place.mkdir(parents=True)
    for path in found:
        shutil.copyfile(path, place / path.name)
    ignored = package / _TEMPLATES / "gitignore.jinja"
    shutil.copyfile(ignored, target / ".gitignore")
    return len(found) + 1


def write_project(target: Path, name: str, kind: str = DEFAULT_KIND) -> None:
    """Write every file of a new project.

    Args:
        target: Folder of the project, empty or new.
        name: Name of the project's package.
        kind: A key of ``KINDS``.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from reproducible_ml import __version__

    environment = Environment(
        loader=PackageLoader("reproducible_ml", _TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        # A line that holds a tag alone leaves no line.
        trim_blocks=True,
        lstrip_blocks=True,
        # The files are Python and Markdown, where HTML escapes would be wrong.
        autoescape=False,
    )
    values = {"name": name, "kind": kind, "version": __version__}
    for place, template in KINDS[kind].items():
        path = target / place.replace("NAME", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = environment.get_template(template).render(values)
        path.write_text(text, encoding="utf-8")


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
