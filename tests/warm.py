"""Processes that start warm: forked from a server that has imported what takes long to import.

``python -m experiments.mnist_wgan`` spends half its time on importing TensorFlow. The server does
so once; a process forked from it, before TensorFlow has started any thread, is as fresh as one that
is started from the shell. Tests that promise something about starting, of another copy of the
package, or about Ctrl-C start real processes instead.
"""

import atexit
import gc
import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from unittest import mock

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "reproducible_ml.models.gan.build",
        "reproducible_ml.models.gan.training",
        "reproducible_ml.tracking.sacred_parts",
        # What experiments import when they run.
        "pandas",
        "sklearn.datasets",
    ]
)


def process(target, *arguments, **keywords):
    """Return a process that is not started yet and will call the function."""
    # What an experiment sets before it imports TensorFlow; some processors have it off else.
    with mock.patch.dict(os.environ, TF_ENABLE_ONEDNN_OPTS="1"):
        multiprocessing.forkserver.ensure_running()
    return CONTEXT.Process(target=target, args=arguments, kwargs=keywords)


class Python:
    """A started ``python``, with what tests use of ``subprocess.Popen``.

    Args:
        arguments: ``-m``, a module and its arguments; or ``-c``, a program and its.
        cwd: The folder it works in; None: this process's.
        environment: All its variables; None: this process's.
    """

    def __init__(self, *arguments, cwd=None, environment=None):
        self.args = [sys.executable, *arguments]
        self.folder = Path(tempfile.mkdtemp())
        self.files = [self.folder / "output", self.folder / "errors"]
        environment = dict(os.environ if environment is None else environment)
        self.process = process(
            _execute, *arguments, cwd=str(cwd or Path.cwd()), environment=environment,
            files=self.files,
        )  # fmt: skip
        self.process.start()

    @property
    def returncode(self):
        """The exit code; None while it runs."""
        return self.process.exitcode

    def send_signal(self, number):
        """Send a signal."""
        os.kill(self.process.pid, number)

    def communicate(self, timeout=None):
        """Wait for its end; return what it printed, output and errors."""
        self.process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        printed = tuple(path.read_text("utf-8") if path.exists() else "" for path in self.files)
        shutil.rmtree(self.folder)
        return printed


def run(*arguments, cwd=None, environment=None):
    """Execute ``python`` to its end; return what ``subprocess.run`` does."""
    started = Python(*arguments, cwd=cwd, environment=environment)
    output, errors = started.communicate()
    return subprocess.CompletedProcess(started.args, started.returncode, output, errors)


def _execute(option, what, *arguments, cwd, environment, files):
    """Make this process what the interpreter makes of such a call, and execute the program."""
    # Each collection would look through all that was imported, and copy it by that.
    gc.freeze()
    for number, path in enumerate(files, 1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    search = environment.get("PYTHONPATH", "")
    sys.path[:0] = [os.getcwd(), *filter(None, search.split(os.pathsep))]
    sys.argv[:] = [option, *arguments]
    # A run records every local package that is imported.
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    try:
        if option == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = main = types.ModuleType("__main__")
            exec(compile(what, "<string>", "exec"), main.__dict__)
    finally:
        # A forked process leaves them out, an interpreter does not.
        atexit._run_exitfuncs()
