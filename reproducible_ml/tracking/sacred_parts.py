"""The parts of Sacred that this project builds on, imported without their deprecation warning.

Sacred still imports pkg_resources, which warns of its removal on the first import in a process. So
every other module takes Sacred from here.
"""

from __future__ import annotations

import functools
import inspect
import types
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import sacred
    import sacred.experiment
    from sacred import arg_parser
    from sacred.commandline_options import CLIOption, print_config_option
    from sacred.config import config_files
    from sacred.dependencies import Source
    from sacred.initialize import (
        create_scaffolding,
        gather_ingredients_topological,
        get_configuration,
        get_scaffolding_and_config_name,
    )
    from sacred.metrics_logger import MetricsLogger, ScalarMetricLogEntry
    from sacred.observers import FileStorageObserver
    from sacred.observers.base import RunObserver
    from sacred.serializer import flatten
    from sacred.utils import IntervalTimer

# An experiment looks up its caller's globals by `inspect.stack`, which also searches every imported
# module for each frame's source lines: most of a second beside TensorFlow's 3,000 modules.
_inspect = types.ModuleType("inspect", inspect.__doc__)
vars(_inspect).update(vars(inspect), stack=functools.partial(inspect.stack, 0))
vars(sacred.experiment)["inspect"] = _inspect

__all__ = [
    "CLIOption",
    "FileStorageObserver",
    "IntervalTimer",
    "MetricsLogger",
    "RunObserver",
    "ScalarMetricLogEntry",
    "Source",
    "arg_parser",
    "config_files",
    "create_scaffolding",
    "flatten",
    "gather_ingredients_topological",
    "get_configuration",
    "get_scaffolding_and_config_name",
    "print_config_option",
    "sacred",
]
