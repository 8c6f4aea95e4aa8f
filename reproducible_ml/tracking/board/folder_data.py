"""Sacredboard's access to a folder of runs, subclassed; each override says what it mends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.board import artifacts
from reproducible_ml.tracking.board.artifacts import Artifact
from reproducible_ml.tracking.board.data import ANY, StillRunning, joined
from reproducible_ml.tracking.board.folder import RunFolder
from reproducible_ml.tracking.board.present import metric_id
from reproducible_ml.tracking.board.query import matches, sort_key, utc_now
from reproducible_ml.tracking.board.upstream import (
    Cursor,
    DataSourceError,
    FileStorage,
    FileStoreRunDAO,
    MetricsDAO,
    NotFoundError,
)


class RunList(Cursor):
    """One page of the runs of a folder. Mends: paging counted every entry of the folder."""

    def __init__(self, runs: list[dict[str, Any]], count: int, total: int) -> None:
        """Keep the page and the two counts."""
        super().__init__()
        self._runs, self._count, self.total = runs, count, total

    def count(self) -> int:
        """Return how many runs the filter lets through."""
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Iterate over the page."""
        return iter(self._runs)


class BoardFolderRunDAO(FileStoreRunDAO):
    """Runs in a folder."""

    def __init__(self, directory: str) -> None:
        """Name the folder."""
        super().__init__(directory)
        self.folder = RunFolder(Path(directory))

    def get_runs(
        self,
        sort_by: str | None = None,
        sort_direction: str | None = None,
        start: int = 0,
        limit: int | None = None,
        query: dict[str, Any] = ANY,
    ) -> RunList:
        """Return one page.

        Mends: no sorting, filters or paging; runs without ``info.json`` were skipped; a run without
        heartbeat or start time, and a time at a full second, were a 500.
        """
        ids, now = self.folder.ids(), utc_now()
        fields = [sort_by or ""] + [clause["field"] for clause in _clauses(query)]
        parts = tuple(one for one in ("config", "info") if any(f.startswith(one) for f in fields))
        runs = []
        for run_id in ids:
            try:
                run = self.folder.run(run_id, parts)
            except LookupError:
                continue  # deleted while this list was made
            if matches(run, query, now):
                runs.append(run)
        runs.sort(key=lambda run: sort_key(run, sort_by or "_id"), reverse=sort_direction == "desc")
        page = runs[start:] if limit is None else runs[start : start + limit]
        return RunList(page, len(runs), len(ids))

    def get(self, run_id: Any) -> dict[str, Any]:
        """Return a run. Mends: a missing run was a 500, and ``..`` left the folder."""
        try:
            return self.folder.run(str(run_id))
        except LookupError as error:
            raise NotFoundError(str(error)) from error

    def delete(self, run_id: Any) -> None:
        """Delete a run. Mends: not possible. Sources and resources, which runs share, stay."""
        try:
            self.folder.remove(str(run_id))
        except LookupError as error:
            raise NotFoundError(str(error)) from error
        except BlockingIOError:
            raise StillRunning(
                f"Run {run_id} is still being written or delivered; stop that, then delete it."
            ) from None
        except OSError as error:
            raise DataSourceError(f"Run {run_id} cannot be deleted: {error}.") from error


class BoardFolderMetricsDAO(MetricsDAO):
    """Metrics in a folder. Mends: Sacredboard reads none there."""

    def __init__(self, folder: RunFolder) -> None:
        """Name the folder."""
        self.folder = folder

    def names(self, run: dict[str, Any]) -> list[dict[str, str]]:
        """Return names and ids of a run's metrics."""
        names = self.folder.metrics(str(run["_id"]))
        return [{"name": name, "id": metric_id(name)} for name in sorted(names)]

    def get(self, run: dict[str, Any], metric: str) -> dict[str, Any]:
        """Return a metric."""
        for name, points in self.folder.metrics(str(run["_id"])).items():
            if metric_id(name) == metric:
                return joined(name, [points])
        raise NotFoundError(f"Run {run['_id']} has no such metric.")

    def delete(self, run: dict[str, Any]) -> None:
        """Do nothing: they lie in the run's own directory."""


class BoardFolderStorage(FileStorage):
    """A folder that FileStorageObserver or this project's local store wrote."""

    def __init__(self, path_to_dir: str) -> None:
        """Name the folder."""
        super().__init__(path_to_dir)
        self.folder = RunFolder(Path(self.path_to_dir))

    def get_run_dao(self) -> BoardFolderRunDAO:
        """Return the access to runs."""
        return BoardFolderRunDAO(self.path_to_dir)

    def get_metrics_dao(self) -> BoardFolderMetricsDAO:
        """Return the access to metrics."""
        return BoardFolderMetricsDAO(self.folder)

    def metric_names(self, run: dict[str, Any]) -> list[dict[str, str]]:
        """Return names and ids of a run's metrics."""
        return self.get_metrics_dao().names(run)

    def output(self, run: dict[str, Any]) -> str:
        """Return the end of what the run printed. Mends: the box was empty."""
        return self.folder.output(str(run["_id"]))

    def whole_output(self, run: dict[str, Any]) -> Iterable[bytes]:
        """Return everything that the run printed, in pieces."""
        path = self.folder.path(str(run["_id"])) / "cout.txt"
        return artifacts.pieces(path) if path.is_file() else []

    def artifacts(self, run: dict[str, Any]) -> list[Artifact]:
        """Return the artifacts. Mends: Sacredboard shows none."""
        return artifacts.in_folder(self.folder, run)

    def read(self, artifact: Artifact) -> Iterable[bytes]:
        """Return the bytes of an artifact, in pieces."""
        return artifacts.pieces(artifact.file)


def _clauses(query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the comparisons of a query, however deep."""
    for clause in query.get("filters", ()):
        yield from _clauses(clause) if "filters" in clause else [clause]
