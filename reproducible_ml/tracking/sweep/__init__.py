"""Sweeps: one run for each combination of values, and the table of their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.tracking.sweep.earlier import need_database
    from reproducible_ml.tracking.sweep.member import (
        FAILED,
        Member,
        Request,
        missing_data,
        shell_command,
    )
    from reproducible_ml.tracking.sweep.plan import make_plan
    from reproducible_ml.tracking.sweep.progress import SweepProgress
    from reproducible_ml.tracking.sweep.search import (
        Search,
        check_space,
        require_optuna,
        run_search,
    )
    from reproducible_ml.tracking.sweep.sweep import Sweep, recorded_members, shared_model_dirs
    from reproducible_ml.tracking.sweep.table import COLUMNS, as_cells, as_csv, make_rows
    from reproducible_ml.tracking.sweep.values import Space, parse_space, product
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "COLUMNS",
    "FAILED",
    "Member",
    "Request",
    "Search",
    "Space",
    "Sweep",
    "SweepProgress",
    "as_cells",
    "as_csv",
    "check_space",
    "make_plan",
    "make_rows",
    "missing_data",
    "need_database",
    "parse_space",
    "product",
    "recorded_members",
    "require_optuna",
    "run_search",
    "shared_model_dirs",
    "shell_command",
]
