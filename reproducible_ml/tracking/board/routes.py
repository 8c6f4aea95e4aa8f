"""The board's HTTP interface: Sacredboard's addresses, answered with JSON made by ``json``.

Sacredboard's own handlers fill values into text templates: NaN, True and None are no JSON then, an
id that is no number is a 404, and any failure is a page of HTML where the script expects an object.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
from gevent import get_hub
from pymongo.errors import PyMongoError
from werkzeug.exceptions import NotFound

from reproducible_ml.tracking.board.artifacts import Artifact
from reproducible_ml.tracking.board.data import BoardFacade, StillRunning
from reproducible_ml.tracking.board.guard import artifact_headers
from reproducible_ml.tracking.board.present import curve, plain, printed, row
from reproducible_ml.tracking.board.query import QueryError, checked, utc_now
from reproducible_ml.tracking.board.upstream import (
    PACKAGE_DIR,
    DataSourceError,
    NotFoundError,
    ProcessError,
    run_tensorboard,
)

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
OWN_STATIC = Path(__file__).parent / "static"
routes = Blueprint("board", __name__)


def _data() -> Any:
    return current_app.config["data"]


@routes.route("/")
def index() -> ResponseReturnValue:
    """Lead to the list."""
    return redirect(url_for("board.show_runs"))


@routes.route("/static/<path:filename>")
def static(filename: str) -> ResponseReturnValue:
    """Serve a file of ours, else the one of that name in Sacredboard."""
    folder = OWN_STATIC if (OWN_STATIC / filename).is_file() else PACKAGE_DIR / "static"
    return send_from_directory(folder, filename)


@routes.route("/runs")
def show_runs() -> ResponseReturnValue:
    """Show the list."""
    return render_template("runs.html", run_id=None, source=current_app.config["source"])


@routes.route("/runs/<run_id>")
def show_run(run_id: str) -> ResponseReturnValue:
    """Show one run on a page of its own, whose address can be kept."""
    run = _data().get_run_dao().get(run_id)
    return render_template("runs.html", run_id=str(run["_id"]), source=current_app.config["source"])


@routes.route("/api/run")
def list_runs() -> ResponseReturnValue:
    """Return one page of the list."""
    try:
        query = checked(
            json.loads(request.args.get("queryFilter") or '{"type":"and","filters":[]}')
        )
        draw, start = int(request.args.get("draw", 1)), max(0, int(request.args.get("start", 0)))
        length = int(request.args.get("length", -1))
    except (QueryError, ValueError) as error:
        return jsonify(error=str(error)), 400
    column = request.args.get(f"columns[{request.args.get('order[0][column]')}][name]", "")
    runs = (
        _data()
        .get_run_dao()
        .get_runs(
            sort_by=SORTABLE.get(column),
            sort_direction=request.args.get("order[0][dir]"),
            start=start,
            limit=length if length > 0 else None,
            query=query,
        )
    )
    now = utc_now()
    rows = [row(run, now) for run in runs]
    return jsonify(draw=draw, recordsTotal=runs.total, recordsFiltered=runs.count(), data=rows)


@routes.route("/api/run/<run_id>")
def get_run(run_id: str) -> ResponseReturnValue:
    """Return one run with all that its page shows."""
    data = _data()
    run = data.get_run_dao().get(run_id)
    shown = row(run, utc_now())
    artifacts = [_artifact(run_id, i, one) for i, one in enumerate(data.artifacts(run))]
    output = printed(data.output(run))
    # A page that follows a run asks every few seconds, and has the names already.
    metrics = [] if request.args.get("follow") else data.metric_names(run)
    trace = "".join(run.get("fail_trace") or [])
    shown["object"] = plain({**run, "captured_out": output, "fail_trace": trace})
    shown["object"]["info"] = {**(shown["object"].get("info") or {}), "metrics": metrics}
    shown["result"] = shown["object"].get("result")
    shown["artifacts"] = artifacts
    return jsonify(draw=1, recordsTotal=1, recordsFiltered=1, data=[shown])


def _artifact(run_id: str, index: int, artifact: Artifact) -> dict[str, Any]:
    """Return how the page shows an artifact."""
    address = url_for("board.get_artifact", run_id=run_id, index=index, name=artifact.name)
    return {
        "name": artifact.name,
        "size_bytes": artifact.size_bytes,
        "is_image": _is_image(artifact),
        "url": address,
    }


def _is_image(artifact: Artifact) -> bool:
    return artifact.content_type.startswith("image/")


@routes.route("/api/run/<run_id>", methods=["DELETE"])
def delete_run(run_id: str) -> ResponseReturnValue:
    """Delete one run."""
    BoardFacade(_data()).delete_run(run_id)
    return f"DELETED run {run_id}"


@routes.route("/api/run/<run_id>/metric/<metric_id>")
def get_metric(run_id: str, metric_id: str) -> ResponseReturnValue:
    """Return the points of one metric."""
    run = _data().get_run_dao().get(run_id)
    metric = _data().get_metrics_dao().get(run, metric_id)
    points = curve(metric["steps"], metric["timestamps"], metric["values"])
    return jsonify(run_id=str(run["_id"]), metric_id=metric_id, name=metric["name"], **points)


@routes.route("/api/run/<run_id>/output")
def get_output(run_id: str) -> ResponseReturnValue:
    """Return everything that the run printed, as a download."""
    run = _data().get_run_dao().get(run_id)
    headers = artifact_headers(f"run-{run_id}.txt", "text/plain; charset=utf-8", False)
    return Response(_data().whole_output(run), headers=headers)


@routes.route("/api/run/<run_id>/artifact/<int:index>/<path:name>")
def get_artifact(run_id: str, index: int, name: str) -> ResponseReturnValue:
    """Return an artifact: an image to be shown, anything else as a download."""
    artifacts = _data().artifacts(_data().get_run_dao().get(run_id))
    if index >= len(artifacts) or artifacts[index].name != name:
        raise NotFoundError(f"Run {run_id} has no artifact {name}.")
    artifact = artifacts[index]
    headers = artifact_headers(name, artifact.content_type, _is_image(artifact))
    return Response(_data().read(artifact), headers=headers)


@routes.route("/tensorboard/start/<run_id>/<int:log_index>", methods=["POST"])
def start_tensorboard(run_id: str, log_index: int) -> ResponseReturnValue:
    """Start TensorBoard on a log directory of a run, on this machine only.

    Sacredboard starts it on any GET, listening to the whole network, and stands still meanwhile.
    """
    run = _data().get_run_dao().get(run_id)
    try:
        directory = (run.get("info") or {})["tensorflow"]["logdirs"][log_index]
    except (KeyError, IndexError, TypeError):
        raise NotFoundError(f"Run {run_id} has no TensorFlow log {log_index}.") from None
    path = str(Path((run.get("experiment") or {}).get("base_dir") or ".") / directory)
    try:
        port = get_hub().threadpool.apply(run_tensorboard, (path, "127.0.0.1", 0, None, 60))
    except (ProcessError, TimeoutError) as error:
        return jsonify(error=f"TensorBoard does not start: {error}"), 503
    return jsonify(url=f"http://127.0.0.1:{port}/")


def _wants_json() -> bool:
    return request.path.startswith("/api/")


@routes.app_errorhandler(404)
@routes.app_errorhandler(NotFoundError)
def not_found(error: Exception) -> ResponseReturnValue:
    """Say what is missing: to a script in JSON, to a person on a page."""
    what = "There is no such page." if isinstance(error, NotFound) else str(error)
    if _wants_json():
        return jsonify(errorCode=404, errorMessage=what, error=what), 404
    return render_template("not_found.html", what=what), 404


@routes.app_errorhandler(QueryError)
def bad_query(error: QueryError) -> ResponseReturnValue:
    """Say what is wrong with a filter."""
    return jsonify(error=str(error)), 400


@routes.app_errorhandler(StillRunning)
def still_running(error: StillRunning) -> ResponseReturnValue:
    """Refuse to delete what is being written."""
    return str(error), 409


@routes.app_errorhandler(DataSourceError)
def data_source_error(error: Exception) -> ResponseReturnValue:
    """Say what the folder refused."""
    return jsonify(error=str(error)), 500


@routes.app_errorhandler(PyMongoError)
def database_error(error: PyMongoError) -> ResponseReturnValue:
    """Say that the database is away; the page tries again when it is reloaded."""
    current_app.logger.warning("MongoDB: %s", type(error).__name__)
    sentence = f"MongoDB does not answer as it should ({type(error).__name__}). Is it running?"
    return jsonify(error=sentence), 503
