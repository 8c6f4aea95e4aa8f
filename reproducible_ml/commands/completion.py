"""``reproducible-ml completion``: what the shell completes behind ``reproducible-ml``.

Commands and options are completed by click. What it can't know, the runs that are recorded and
the experiments of this folder, is looked up by the functions of ``COMPLETED``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

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


def run_ids(context: click.Context) -> Iterable[str]:
    """Return the ids of the runs in the folder that ``-F`` names, or in ``runs``.

    A database is not asked: a key press must not wait for a network.
    """
    from reproducible_ml.tracking.runs import open_store
    from reproducible_ml.utils.errors import ReproducibleMLError

    if context.params.get("mongo"):
        return []
    try:
        with open_store(context.params.get("folder")) as store:
            return [str(one) for one in store.ids()]
    except ReproducibleMLError:
        return []


def run_experiments(context: click.Context) -> Iterable[str]:
    """Return the names of the experiments that the recorded runs are of."""
    from reproducible_ml.tracking.runs import iterate_runs
    from reproducible_ml.utils.errors import ReproducibleMLError

    if context.params.get("mongo"):
        return []
    try:
        return sorted({run.experiment for run in iterate_runs(context.params.get("folder"))})
    except ReproducibleMLError:
        return []


def experiment_modules(context: click.Context) -> Iterable[str]:
    """Return the modules of the folder ``experiments``, as ``python -m`` names them."""
    return sorted(
        f"{_EXPERIMENTS}.{path.stem}"
        for path in Path(_EXPERIMENTS).glob("*.py")
        if not path.stem.startswith("_")
    )


def gan_types(context: click.Context) -> Iterable[str]:
    """Return the values of ``gan_type=``.

    bash splits words at "=", so there the word begins behind it; zsh and fish leave it whole.
    """
    from reproducible_ml.models.gan import GAN_TYPES

    given = "".join(context.params.get("arguments") or ())
    key = "" if given.endswith(("gan_type", "gan_type=")) else "gan_type="
    return [f"{key}{name}" for name in GAN_TYPES]


# Name of a command's parameter -> what it may be.
COMPLETED: dict[str, Callable[[click.Context], Iterable[str]]] = {
    "a": run_ids,
    "arguments": gan_types,
    "b": run_ids,
    "experiment": run_experiments,
    "module": experiment_modules,
    "origin": run_ids,
    "run_id": run_ids,
    "run_ids": run_ids,
}


# Name of a command's parameter -> what of the disk it names; a file may be anywhere.
PATHS = {
    "folder": click.Path(file_okay=False),
    "keep": click.Path(file_okay=False),
    "output": click.Path(),
    "record_dir": click.Path(file_okay=False),
    "runs_dir": click.Path(file_okay=False),
    "sweeps": click.Path(file_okay=False),
}


class LookedUp(click.types.StringParamType):
    """A text whose completions a function of ``COMPLETED`` looks up."""

    def __init__(self, look_up: Callable[[click.Context], Iterable[str]]) -> None:
        self.look_up = look_up

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what fits the begun word."""
        values = [value for value in self.look_up(ctx) if value.startswith(incomplete)]
        # A run, or a folder of checkpoints: the shell offers folders where no run fits.
        folders = [CompletionItem(incomplete, type="dir")] if param.name == "origin" else []
        return [*folders, *map(CompletionItem, values)]


def complete_values(command: click.Command) -> None:
    """Have the parameters that ``COMPLETED`` and ``PATHS`` name complete their values."""
    for parameter in command.params:
        if parameter.name in PATHS:
            parameter.type = PATHS[parameter.name]
        if parameter.name in COMPLETED:
            parameter.type = LookedUp(COMPLETED[parameter.name])
