"""The board's HTTP interface: Sacredboard's addresses, answered with valid JSON.

Sacredboard's own handlers insert values into text templates, so NaN, True and None give invalid
JSON, an id that is not a number gives a 404, and any failure gives an HTML page where the script
expects an object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from flask import (
    Blueprint,
    Response,
    current_app,
    jsonify,
    redirect,
    render_template,
    request,
    send_from_directory,
    url_for,
)
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from reproducible_ml.tracking.board.guard import artifact_headers
from reproducible_ml.tracking.board.present import curve, metric_id, plain, printed, row
from reproducible_ml.tracking.board.tensorboard import TensorBoardFailed, tensorboard_address
from reproducible_ml.tracking.board.upstream import PACKAGE_DIR
from reproducible_ml.tracking.runs import (
    EVERY_RUN,
    UNREADABLE,
    ArtifactInfo,
    NotRecorded,
    QueryError,
    StillWritten,
    Store,
    StoreUnavailable,
    entry_or_reason,
)
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.redaction import without_secrets

# Columns of the page -> fields of a run.
SORTABLE = {
    "_id": "_id",
    "experiment.name": "experiment.name",
    "command": "command",
    "status": "status",
    "start_time": "start_time",
    "heartbeat": "heartbeat",
    "hostname": "host.hostname",
    "result": "result",
}
# Length of the end of the captured output that a page shows; a download has all of it.
OUTPUT_BYTES = 1_000_000
CHUNK_BYTES = 1 << 18
UNKNOWN_TYPE = "application/octet-stream"
OWN_STATIC = Path(__file__).parent / "static"
routes = Blueprint("board", __name__)


def _store() -> Store:
    store: Store = current_app.config["store"]
    return store


@routes.route("/")
def index() -> ResponseReturnValue:
    """Redirect to the list."""
    return redirect(url_for("board.show_runs"))


@routes.route("/static/<path:filename>")
def static(filename: str) -> ResponseReturnValue:
    """Serve a file of ours, or else Sacredboard's file of that name."""
    folder = OWN_STATIC if (OWN_STATIC / filename).is_file() else PACKAGE_DIR / "static"
    return send_from_directory(folder, filename)


@routes.route("/runs")
def show_runs() -> ResponseReturnValue:
    """Show the list."""
    return render_template("runs.html", run_id=None, source=current_app.config["source"])


@routes.route("/runs/<run_id>")
def show_run(run_id: str) -> ResponseReturnValue:
    """Show one run on its own page, which can be bookmarked."""
    run = entry_or_reason(_store(), run_id)
    return render_template("runs.html", run_id=str(run["_id"]), source=current_app.config["source"])


@routes.route("/api/run")
def list_runs() -> ResponseReturnValue:
    """Return one page of the list."""
    try:
        query = json.loads(request.args.get("queryFilter") or json.dumps(EVERY_RUN))
        draw, start = int(request.args.get("draw", 1)), max(0, int(request.args.get("start", 0)))
        length = int(request.args.get("length", -1))
    except ValueError as error:
        return jsonify(error=str(error)), 400
    column = request.args.get(f"columns[{request.args.get('order[0][column]')}][name]", "")
    found = _store().find(
        query,
        sort_by=SORTABLE.get(column, "_id"),
        descending=request.args.get("order[0][dir]") == "desc",
        start=start,
        limit=length if length > 0 else None,
    )
    return jsonify(
        draw=draw,
        recordsTotal=found.total,
        recordsFiltered=found.matching,
        data=[row(run) for run in found.entries],
    )


@routes.route("/api/run/<run_id>")
def get_run(run_id: str) -> ResponseReturnValue:
    """Return one run with everything that its page shows."""
    store = _store()
    run = entry_or_reason(store, run_id)
    readable = run["status"] != UNREADABLE
    shown = row(run)
    artifacts = list(store.artifacts(run_id).values()) if readable else []
    output = printed(store.output_end(run_id, OUTPUT_BYTES))
    # A page that follows a run asks every few seconds, and already has the names.
    metrics = _metrics(run_id) if readable and not request.args.get("follow") else []
    trace = "".join(run.get("fail_trace") or [])
    shown["object"] = without_secrets(plain({**run, "captured_out": output, "fail_trace": trace}))
    shown["object"]["info"] = {**(shown["object"].get("info") or {}), "metrics": metrics}
    shown["result"] = shown["object"].get("result")
    shown["artifacts"] = [_artifact(run_id, i, one) for i, one in enumerate(artifacts)]
    return jsonify(draw=1, recordsTotal=1, recordsFiltered=1, data=[shown])


def _metrics(run_id: str) -> list[dict[str, str]]:
    """Return names and ids of a run's metrics; an empty list if their file is damaged."""
    try:
        names = _store().metric_names(run_id)
    except TrackingError as error:
        current_app.logger.warning("The metrics of run %s cannot be shown: %s", run_id, error)
        return []
    return [{"name": name, "id": metric_id(name)} for name in names]


def _artifact(run_id: str, index: int, artifact: ArtifactInfo) -> dict[str, Any]:
    """Return the page's description of an artifact."""
    address = url_for("board.get_artifact", run_id=run_id, index=index, name=artifact.name)
    return {
        "name": artifact.name,
        "size_bytes": artifact.bytes,
        "is_image": _is_image(artifact),
        "url": address,
    }


def _is_image(artifact: ArtifactInfo) -> bool:
    return artifact.content_type.startswith("image/")


@routes.route("/api/run/<run_id>", methods=["DELETE"])
def delete_run(run_id: str) -> ResponseReturnValue:
    """Delete one run."""
    _store().delete(run_id)
    return f"DELETED run {run_id}"


@routes.route("/api/run/<run_id>/metric/<identity>")
def get_metric(run_id: str, identity: str) -> ResponseReturnValue:
    """Return the points of one metric."""
    names = {metric_id(name): name for name in _store().metric_names(run_id)}
    if identity not in names:
        raise NotRecorded(f"Run {run_id} has no such metric.")
    name = names[identity]
    metric = _store().metrics(run_id, [name])[name]
    points = curve(metric["steps"], metric["timestamps"], metric["values"])
    return jsonify(run_id=run_id, metric_id=identity, name=name, **points)


@routes.route("/api/run/<run_id>/output")
def get_output(run_id: str) -> ResponseReturnValue:
    """Return everything that the run printed, as a download."""
    headers = artifact_headers(f"run-{run_id}.txt", "text/plain; charset=utf-8", False)
    return _sent(_store().open_output(run_id), headers)


@routes.route("/api/run/<run_id>/artifact/<int:index>/<path:name>")
def get_artifact(run_id: str, index: int, name: str) -> ResponseReturnValue:
    """Return an artifact; an image is shown, anything else is downloaded."""
    artifacts = list(_store().artifacts(run_id).values())
    if index >= len(artifacts) or artifacts[index].name != name:
        raise NotRecorded(f"Run {run_id} has no artifact {name}.")
    artifact = artifacts[index]
    kind = artifact.content_type or UNKNOWN_TYPE
    headers = artifact_headers(name, kind, _is_image(artifact))
    return _sent(_store().open_artifact(run_id, name), headers)


def _sent(file: BinaryIO, headers: dict[str, Any]) -> Response:
    """Answer with a file in pieces, as it may be larger than the memory."""

    def pieces() -> Iterator[bytes]:
        with file:
            yield from iter(lambda: file.read(CHUNK_BYTES), b"")

    response = Response(pieces(), headers=headers)
    response.call_on_close(file.close)  # a HEAD request never starts ``pieces``
    return response


@routes.route("/tensorboard/start/<run_id>/<int:log_index>", methods=["POST"])
def start_tensorboard(run_id: str, log_index: int) -> ResponseReturnValue:
    """Start TensorBoard on a log directory of a run, for this machine only.

    Sacredboard starts it on any GET, and lets it listen to the whole network.
    """
    run = _store().entry(run_id)
    try:
        directory = (run.get("info") or {})["tensorflow"]["logdirs"][log_index]
    except (KeyError, IndexError, TypeError):
        raise NotRecorded(f"Run {run_id} has no TensorFlow log {log_index}.") from None
    path = str(Path((run.get("experiment") or {}).get("base_dir") or ".") / directory)
    if not Path(path).is_dir():
        raise NotRecorded(f"The folder of TensorFlow's log, {path}, is not on this machine.")
    try:
        return jsonify(url=tensorboard_address(path))
    except TensorBoardFailed as error:
        return jsonify(error=str(error)), 503


def _wants_json() -> bool:
    return request.path.startswith("/api/")


@routes.app_errorhandler(404)
@routes.app_errorhandler(NotRecorded)
def not_found(error: Exception) -> ResponseReturnValue:
    """Say what is missing: in JSON to a script, on a page to a person."""
    what = "There is no such page." if isinstance(error, NotFound) else str(error)
    if _wants_json():
        return jsonify(errorCode=404, errorMessage=what, error=what), 404
    return render_template("not_found.html", what=what), 404


@routes.app_errorhandler(QueryError)
def bad_query(error: QueryError) -> ResponseReturnValue:
    """Say what is wrong with a filter."""
    return jsonify(error=str(error)), 400


@routes.app_errorhandler(StillWritten)
def still_written(error: StillWritten) -> ResponseReturnValue:
    """Refuse to delete a run that is still being written."""
    return str(error), 409


@routes.app_errorhandler(StoreUnavailable)
def unavailable(error: StoreUnavailable) -> ResponseReturnValue:
    """Say that the database does not answer; reloading the page tries again."""
    current_app.logger.warning("%s", error)
    return jsonify(error=str(error)), 503


@routes.app_errorhandler(TrackingError)
def tracking_error(error: TrackingError) -> ResponseReturnValue:
    """Say what is damaged, or which operation the folder refused."""
    return jsonify(error=str(error)), 500
