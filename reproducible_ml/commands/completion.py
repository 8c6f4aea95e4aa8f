"""``reproducible-ml completion``: print a completion script, and complete this project's values.

The other functions are ``shell_complete`` callbacks of parameters. When the tab key is pressed,
click calls one with the context of the line so far, the parameter and the incomplete word.
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
    """Print a script that completes commands, options, run ids, experiments and GAN types.

    SHELL defaults to the shell in $SHELL. Add the line for your shell to the file to its right:

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
    # If nothing here matches, as after --input key=, bash falls back to completing files.
    click.echo(
        source.replace("complete -o nosort -F", "complete -o nosort -o bashdefault -o default -F")
    )


def files(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Let the shell complete the name of a file."""
    return [CompletionItem(begun, type="file")]


def run_ids(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return the ids of the runs in the folder given with ``-F``, or in ``runs``.

    Databases are skipped, since a key press must not wait for a network.
    """
    from reproducible_ml.tracking.runs import open_store
    from reproducible_ml.utils.errors import ReproducibleMLError

    if context.params.get("mongo") or context.params.get("mongo_from"):
        return []
    try:
        with open_store(context.params.get("folder")) as store:
            return _fitting(map(str, store.ids()), begun)
    except ReproducibleMLError:
        return []


def run_ids_and_folders(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Return run ids; the shell offers folders if no id matches."""
    return [*complete_folder(context, parameter, begun), *run_ids(context, parameter, begun)]


def run_experiments(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Return the names of the experiments that have recorded runs."""
    from reproducible_ml.tracking.runs import iterate_runs
    from reproducible_ml.utils.errors import ReproducibleMLError

    if context.params.get("mongo") or context.params.get("mongo_from"):
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

    bash splits words at "=", so its word begins after it; zsh and fish keep the word whole.
    """
    from reproducible_ml.models.gan import GAN_TYPES

    given = "".join(context.params.get("arguments") or ())
    key = "" if given.endswith(("gan_type", "gan_type=")) else "gan_type="
    return _fitting((f"{key}{name}" for name in GAN_TYPES), begun)


def _fitting(values: Iterable[str], begun: str) -> list[CompletionItem]:
    # A recorded name with control characters must not reach the shell.
    return [
        CompletionItem(value)
        for value in values
        if value.startswith(begun) and value.isprintable() and value
    ]
