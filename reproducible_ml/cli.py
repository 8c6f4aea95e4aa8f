"""The command ``reproducible-ml``: a lazy table of sub-commands.

A sub-command's module is imported only when it runs, so ``--help`` answers at once.
"""

from __future__ import annotations

import errno
import importlib
import os
from typing import Any

import click

from reproducible_ml import __version__
from reproducible_ml.utils.errors import ReproducibleMLError
from reproducible_ml.utils.text import cut, suggestion

# Name -> the sentence that ``--help`` shows; the command lives in ``commands/<name>.py``, or in one
# of ``_ELSEWHERE``.
COMMANDS = {
    "board": "Browse runs in Sacredboard.",
    "compare": "Find where two runs differ.",
    "completion": "Print a completion script for bash, zsh or fish.",
    "copy": "Copy runs into another folder of runs.",
    "doctor": "Check this installation and say what to fix.",
    "export": "Export a trained model as a SavedModel.",
    "new": "Write a small experiment repository of your own.",
    "pack": "Write a run into one file that travels.",
    "repair": "Rewrite damaged shards of a data set.",
    "report": "Write one HTML file about runs.",
    "reproduce": "Execute a recorded run again and compare it bit for bit.",
    "runs": "List recorded runs.",
    "show": "Show one run.",
    "sweep": "Run an experiment for each combination of values.",
    "sync": "Deliver what MongoDB has not received yet.",
    "verify": "Read a complete data set and name every defect.",
}
# Exit code of what Ctrl-C has stopped: 128 plus the signal's number.
INTERRUPTED_EXIT = 130

_ELSEWHERE = {
    "board": "reproducible_ml.tracking.board",
    "pack": "reproducible_ml.tracking.archive",
}


class LazyGroup(click.Group):
    """A click group that imports a sub-command's module on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is no command of that name."""
        if cmd_name not in COMMANDS:
            return None
        place = _ELSEWHERE.get(cmd_name, f"reproducible_ml.commands.{cmd_name}")
        module = importlib.import_module(place)
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command's name; for an unknown one, suggest the closest."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            ctx.fail(f"There is no command {args[0]!r}{suggestion(args[0], sorted(COMMANDS))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; print the project's own errors as one sentence, without a traceback."""
        from reproducible_ml.commands.layout import echo, neutral_logs

        neutral_logs()
        try:
            return super().invoke(ctx)
        except ReproducibleMLError as error:
            echo(f"Error: {error}", err=True)
            ctx.exit(getattr(error, "exit_code", 1))
        except KeyboardInterrupt:
            # As shells and experiments say it; 1 would mean a result, such as runs that differ.
            click.echo("Stopped.", err=True)
            ctx.exit(INTERRUPTED_EXIT)
        except OSError as error:
            # A closed pipe is click's to handle; an error without a file is no user's mistake.
            if error.errno == errno.EPIPE or error.filename is None:
                raise
            name = os.fsdecode(error.filename)
            # A name that no system takes is more likely a slip than a path to read in full.
            name = cut(name, 80) if error.errno == errno.ENAMETOOLONG else name
            echo(f"Error: {name}: {error.strerror}.", err=True)
            ctx.exit(1)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reproducible-ml")
def main() -> None:
    """Inspect runs, check data sets and reproduce results.

    For tab completion, run: eval "$(reproducible-ml completion bash)"
    """


if __name__ == "__main__":
    main()
