"""Read recorded runs back, from a folder or from MongoDB.

run = load_run(5)                             # from runs/
run = load_run(5, open_store(mongo="sacred"))
run.config["gen_lr"], run.metrics, run.artifacts["samples.png"], run.sources
list_runs(experiment="mnist_wgan")            # a pandas DataFrame, one row a run
list_runs(config={"gen_lr": 1e-4})            # only those that used this value
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from reproducible_ml.tracking.runs.document import facts, strange_facts
from reproducible_ml.tracking.runs.filled_in import complete_config, filled_in
from reproducible_ml.tracking.runs.opening import open_store
from reproducible_ml.tracking.runs.status import UNREADABLE
from reproducible_ml.tracking.runs.store import (
    ArtifactInfo,
    Metrics,
    RunId,
    Store,
    read_number,
    typed_id,
)
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.redaction import without_secrets
from reproducible_ml.utils.text import suggestion

if TYPE_CHECKING:
    import pandas as pd


class Artifacts(Mapping[str, bytes]):
    """The files that a run made: name -> content, which is read on access."""

    def __init__(self, store: Store, run_id: RunId) -> None:
        self._store = store
        self._run_id = run_id

    @cached_property
    def infos(self) -> dict[str, ArtifactInfo]:
        """Size, content type and place of each file."""
        return self._store.artifacts(self._run_id)

    def __getitem__(self, name: str) -> bytes:
        if name not in self.infos:
            raise KeyError(name)
        with self.open(name) as file:
            return file.read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)

    def open(self, name: str) -> BinaryIO:
        """Open an artifact for reading in binary."""
        return self._store.open_artifact(self._run_id, name)

    def save(self, name: str, directory: str | Path) -> Path:
        """Write an artifact into a directory and return its path.

        Raises:
            TrackingError: There is no such artifact, or its name leads out of the directory.
        """
        path = Path(directory) / name
        if Path(directory).resolve() not in path.resolve().parents:
            raise TrackingError(f"The artifact {name!r} leads out of {directory}.")
        with self.open(name) as file:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as target:
                shutil.copyfileobj(file, target)
        return path


class Run:
    """A recorded run; its large parts are read on access.

    Attributes:
        store: The store that holds it.
        id: Its id there.
        entry: Its document in the layout of Sacred's MongoObserver.
    """

    def __init__(self, store: Store, entry: dict[str, Any]) -> None:
        self.store = store
        self.entry = entry
        self.id: RunId = entry["_id"]

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.experiment} in {self.store.shown}: {self.status}>"

    @property
    def experiment(self) -> str:
        """Name of the experiment."""
        return str((self.entry.get("experiment") or {}).get("name", ""))

    @property
    def status(self) -> str:
        """COMPLETED, FAILED, INTERRUPTED (also: killed), RUNNING, DEAD, QUEUED or UNREADABLE.

        DEAD means that the heartbeat stopped two minutes ago, but the process may still live.
        """
        return str(self.entry["status"])

    @property
    def config(self) -> dict[str, Any]:
        """The complete configuration, with the values that were used in place of None.

        It is what a rerun uses, so secrets in it are what they were; show
        ``utils.redaction.without_secrets(run.config)``.
        """
        return complete_config(self.entry)

    @property
    def filled_in(self) -> dict[str, str]:
        """The configuration keys that a default filled in -> where the value comes from."""
        return filled_in(self.entry)

    @property
    def info(self) -> dict[str, Any]:
        """The facts listed in docs/tracking-records.md, and any that the experiment added."""
        return dict(self.entry.get("info") or {})

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The entries of ``info`` in this library's own form; an experiment may add any others."""
        return facts(self.entry)

    @property
    def strange_facts(self) -> list[str]:
        """What has another form in ``info``, although its name is one of this library's."""
        return strange_facts(self.entry)

    @property
    def result(self) -> Any:
        """The return value of the main function; None before the end."""
        return self.entry.get("result")

    @property
    def environment(self) -> dict[str, Any]:
        """Machine and software of the run; empty for a run of plain Sacred."""
        return dict(self.facts.get("environment") or {})

    @property
    def started(self) -> datetime | None:
        """Start time in UTC."""
        return self.entry.get("start_time")

    @property
    def duration_seconds(self) -> float | None:
        """Wall time from the start to the end, or to the last heartbeat."""
        end = self.entry.get("stop_time") or self.entry.get("heartbeat")
        if self.started is None or end is None:
            return None
        return float((end - self.started).total_seconds())

    @property
    def git_commit(self) -> str | None:
        """Commit that the source files were based on."""
        repositories = self._repositories
        return repositories[0].get("commit") if repositories else None

    @property
    def dirty(self) -> bool | None:
        """Whether anything differed from the commit; None without git."""
        repositories = self._repositories
        return any(one.get("dirty") for one in repositories) if repositories else None

    @property
    def _repositories(self) -> list[dict[str, Any]]:
        # Earlier versions listed the library's checkout even if the experiment had none.
        if self.environment and not self.environment.get("git"):
            return []
        return (self.entry.get("experiment") or {}).get("repositories") or []

    @cached_property
    def log(self) -> str:
        """Everything that the run printed."""
        return self.store.output(self.id)

    @cached_property
    def points(self) -> Metrics:
        """Every metric point: ``{name: {"steps": …, "values": …, "timestamps": …}}``."""
        return self.store.metrics(self.id)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A table of every metric point: name, step, value, timestamp; NaN stays NaN."""
        import pandas as pd

        frames = [
            pd.DataFrame(
                {
                    "name": name,
                    "step": one["steps"],
                    "value": _column([read_number(value) for value in one["values"]]),
                    "timestamp": pd.to_datetime(one["timestamps"]),
                }
            )
            for name, one in self.points.items()
            if one["values"]
        ]
        if not frames:
            return pd.DataFrame({name: [] for name in ("name", "step", "value", "timestamp")})
        return pd.concat(frames, ignore_index=True)

    @cached_property
    def artifacts(self) -> Artifacts:
        """The files that the run made, by name."""
        return Artifacts(self.store, self.id)

    @cached_property
    def sources(self) -> dict[str, bytes]:
        """Every recorded source file by relative path, as it was when the run started."""
        return self.store.sources(self.id)

    @property
    def verdict(self) -> str:
        """The last verdict of ``reproducible-ml reproduce`` on this run; empty without one.

        Reruns with a changed configuration are meant to differ, so their verdicts don't count.
        """
        for one in reversed(self.facts.get("verdicts") or []):
            if not isinstance(one, Mapping):
                return str(one)
            if not one.get("changes"):
                return str(one.get("verdict", ""))
        return ""


def load_run(run_id: RunId, store: Store | str | Path | None = None) -> Run:
    """Load a recorded run.

    Args:
        run_id: Its id.
        store: What ``open_store`` returns, or a folder of runs; ``runs`` by default.

    Raises:
        TrackingError: There is no such run or store; the message lists what exists.
    """
    store = _opened(store)
    return Run(store, store.entry(typed_id(run_id)))


def iterate_runs(
    store: Store | str | Path | None = None,
    experiment: str | None = None,
    status: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> Iterator[Run]:
    """Yield recorded runs in the order of their ids, without reading their large parts.

    Args:
        store: What ``open_store`` returns, or a folder of runs; ``runs`` by default.
        experiment: Only runs of this experiment.
        status: Only runs with this status.
        config: Only runs that used these values, by dotted configuration key.

    Raises:
        TrackingError: No run has a key of ``config``; raised after the last run.
    """
    store = _opened(store)
    wanted = dict(config or {})
    known: set[str] = set()
    for entry in store.entries():
        run = Run(store, entry)
        if (experiment is None or run.experiment == experiment) and (
            status is None or run.status == status.upper()
        ):
            values = flat(run.config, "") if wanted else {}
            known |= values.keys()
            if all(key in values and _same(values[key], one) for key, one in wanted.items()):
                yield run
    for key in wanted.keys() - known if known else ():
        of = f" of {experiment}" if experiment else ""
        raise TrackingError(
            f"No run{of} in {store.shown} has a configuration key {key!r}"
            f"{suggestion(key, sorted(known))}"
        )


def _same(recorded: Any, wanted: Any) -> bool:
    # True == 1 in Python, but in a configuration one is a switch and the other a number.
    return isinstance(recorded, bool) == isinstance(wanted, bool) and bool(recorded == wanted)


def list_runs(
    store: Store | str | Path | None = None,
    experiment: str | None = None,
    status: str | None = None,
    metrics: bool | Collection[str] = True,
    config: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Tabulate recorded runs.

    Args:
        store: What ``open_store`` returns, or a folder of runs; ``runs`` by default.
        experiment: Only runs of this experiment.
        status: Only runs with this status.
        metrics: True adds the last value of each metric, names only those; False is faster.
        config: Only runs that used these values, by dotted configuration key.

    Returns:
        A DataFrame with a row for each run, indexed by id: experiment, status, started,
        duration_seconds, verdict, then ``config.…``, ``result.…`` (or ``result``) and
        ``metrics.…``. Values under secret names are ``***``, as wherever runs are shown.

    Raises:
        TrackingError: No run has a key of ``config``.
    """
    import pandas as pd

    rows = []
    for run in iterate_runs(store, experiment, status, config):
        row: dict[str, Any] = {
            "id": run.id,
            "experiment": run.experiment,
            "status": run.status,
            "started": run.started,
            "duration_seconds": run.duration_seconds,
            "verdict": run.verdict,
        }
        row.update(flat(without_secrets(run.config), "config."))
        row.update(flat(without_secrets(run.result), "result."))
        if metrics is not False and run.status != UNREADABLE:
            try:
                row.update(_last_values(run, metrics))
            except TrackingError as error:
                # Damaged metrics of one run hide no other run.
                warnings.warn(f"Run {run.id}: {error}", stacklevel=2)
        rows.append(row)
    columns = None if rows else ["id", "experiment", "status", "started", "duration_seconds"]
    try:
        found = pd.DataFrame(rows, columns=columns)
    except OverflowError:
        # An integer beyond all floats, in a column with others: pandas tries to join them.
        found = pd.DataFrame(rows, columns=columns, dtype=object)
    return found.set_index("id")


def _column(values: list[Any]) -> Any:
    """Return the numbers of a metric as a column, an integer beyond all floats as it is."""
    import pandas as pd

    try:
        return pd.Series(values)
    except OverflowError:
        return pd.Series(values, dtype=object)


def _last_values(run: Run, wanted: bool | Collection[str]) -> dict[str, Any]:
    return {
        f"metrics.{name}": read_number(one["values"][-1])
        for name, one in sorted(run.points.items())
        if one["values"] and (isinstance(wanted, bool) or name in wanted)
    }


def _opened(store: Store | str | Path | None) -> Store:
    return store if isinstance(store, Store) else open_store(folder=store)


def flat(value: Any, prefix: str) -> dict[str, Any]:
    """Return the leaves of nested dictionaries by dotted key; a bare value under the prefix."""
    if not isinstance(value, Mapping):
        return {} if value is None else {prefix.rstrip("."): value}
    leaves: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            leaves.update(flat(item, f"{prefix}{name}."))
        else:
            leaves[f"{prefix}{name}"] = item
    return leaves
