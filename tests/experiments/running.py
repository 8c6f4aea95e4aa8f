"""Experiments as a user starts them: processes of their own, started warm, in a given folder."""

import os
from pathlib import Path

from tests import warm

ROOT = Path(__file__).parents[2]


def environment(**variables):
    """Give this process's environment, with the project on the path and more variables."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **variables}


def experiment(name, folder, *arguments, **variables):
    """Start an experiment in a folder; return exit code and output."""
    program = ["-m", f"experiments.{name}", *arguments]
    done = warm.run(*program, cwd=folder, environment=environment(**variables))
    return done.returncode, done.stdout + done.stderr
