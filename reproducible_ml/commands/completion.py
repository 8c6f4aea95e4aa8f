"""``reproducible-ml completion``, and the values that only this project can complete.

Each function of the second half is the ``shell_complete`` of a command's parameter: click calls it
at a key press with the context of the line so far, the parameter and the begun word.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from reproducible_ml.utils.paths import complete_folder

PROGRAM = "reproducible-ml"
VARIABLE = "_REPRODUCIBLE_ML_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_EXPERIMENTS = "experiments"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def command(shell: str | None) -> None:
    """Print the script that completes commands, options, run ids, experiments and GAN types.

    SHELL is the one in $SHELL when left out. Put the line of your shell into the file behind it:

    \b
      eval "$(reproducible-ml completion bash)"        ~/.bashrc
      eval "$(reproducible-ml completion zsh)"         ~/.zshrc, after compinit
      reproducible-ml completion fish | source         ~/.config/fish/config.fish
    """  # noqa: D301 - click's own mark
    from reproducible_ml.utils.errors import ConfigError

    shell = shell or Path(os.environ.get("SHELL", "")).name
    completion = get_completion_class(shell) if shell in SHELLS else None
    if completion is None:
        raise ConfigError(
            f"$SHELL is {os.environ.get('SHELL') or 'not set'}, for which there is no completion. "
            f"Name one of: {', '.join(SHELLS)}."
        )
    source = completion(click.Group(), {}, PROGRAM, VARIABLE).source()
    # Where nothing of ours fits, as behind --input key=, bash goes on with its own: files.
    click.echo(
        source.replace("complete -o nosort -F", "complete -o nosort -o bashdefault -o default -F")
    )


def files(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Have the shell complete a file, wherever it lies."""
    return [CompletionItem(begun, type="file")]


def run_ids(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return the ids of the runs in the folder that ``-F`` names, or in ``runs``.

    A database is not asked: a key press must not wait for a network.
    """
    from reproducible_ml.tracking.runs import open_store
    from reproducible_ml.utils.errors import ReproducibleMLError

    if context.params.get("mongo"):
        return []
    try:
        with open_store(context.params.get("folder")) as store:
            return _fitting(map(str, store.ids()), begun)
    except ReproducibleMLError:
        return []


def run_ids_and_folders(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Return the ids of runs; the shell offers folders where none fits."""
    return [*complete_folder(context, parameter, begun), *run_ids(context, parameter, begun)]


def run_experiments(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Return the names of the experiments that the recorded runs are of."""
    from reproducible_ml.tracking.runs import iterate_runs
    from reproducible_ml.utils.errors import ReproducibleMLError

    if context.params.get("mongo"):
        return []
    try:
        runs = iterate_runs(context.params.get("folder"))
        return _fitting(sorted({run.experiment for run in runs}), begun)
    except ReproducibleMLError:
        return []


def experiment_modules(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Return the modules of the folder ``experiments``, as ``python -m`` names them."""
    stems = sorted(path.stem for path in Path(_EXPERIMENTS).glob("*.py"))
    return _fitting((f"{_EXPERIMENTS}.{one}" for one in stems if not one.startswith("_")), begun)


def gan_types(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Return the values of ``gan_type=``.

    bash splits words at "=", so there the word begins behind it; zsh and fish leave it whole.
    """
    from reproducible_ml.models.gan import GAN_TYPES

    given = "".join(context.params.get("arguments") or ())
    key = "" if given.endswith(("gan_type", "gan_type=")) else "gan_type="
    return _fitting((f"{key}{name}" for name in GAN_TYPES), begun)


def _fitting(values: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(value) for value in values if value.startswith(begun)]
