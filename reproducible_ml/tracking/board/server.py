"""Assemble the board's application and serve it."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gevent
from flask import Flask
from gevent.pywsgi import WSGIHandler, WSGIServer
from gevent.threadpool import ThreadPool

from reproducible_ml import __version__
from reproducible_ml.tracking.board import guard
from reproducible_ml.tracking.board.routes import routes
from reproducible_ml.tracking.board.upstream import ServerRunner
from reproducible_ml.tracking.runs import Store
from reproducible_ml.utils.errors import ConfigError, TrackingError

# Requests answered at the same time, and connections open at the same time; more wait.
THREADS, CONNECTIONS = 32, 1000
# Browsers keep a connection for their next request; a request itself comes in one piece.
IDLE_SECONDS, HEADER_SECONDS = 60, 10
# As many as Sacredboard tries, upwards from the requested one.
PORTS_TRIED = 50


def create_app(store: Store, source: str, allowed_hosts: Iterable[str] = ()) -> Flask:
    """Return the application.

    Args:
        store: the store of the runs.
        source: the store's name for the page, without credentials.
        allowed_hosts: further names that the board answers to, such as a proxy's.
    """
    app = Flask(
        __name__, static_folder=None, template_folder=str(Path(__file__).parent / "templates")
    )
    app.config.update(store=store, source=source)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.globals.update(board_version=version("sacredboard"), project_version=__version__)
    app.register_blueprint(routes)
    guard.install(app, tuple(allowed_hosts))
    return app


class SubUrl:
    """Serve an application under a path, whether or not a proxy strips the path from requests.

    Sacredboard's own wrapper loses the slash of ``--sub-url /board/``, and trusts any client that
    claims to be the proxy.
    """

    def __init__(self, app: Any, path: str) -> None:
        """Wrap a WSGI application."""
        self.app, self.path = app, "/" + path.strip("/")

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Move the path from the requested address to the prefix of all links."""
        asked = environ["PATH_INFO"]
        if asked == self.path or asked.startswith(self.path + "/"):
            environ["PATH_INFO"] = asked[len(self.path) :] or "/"
        environ["SCRIPT_NAME"] = self.path
        return self.app(environ, start_response)


class InThreads:
    """Answer each request in a thread, so that a slow one keeps nobody waiting.

    gevent serves all connections from one thread, which neither a database's driver nor a search in
    a large file ever yields.
    """

    def __init__(self, app: Any) -> None:
        """Wrap a WSGI application, none of whose answers depends on a request's body."""
        self.app = app
        self.threads = ThreadPool(THREADS)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Call the application in a thread; send its answer from this one."""
        # The connection belongs to this thread, and another must not read from it.
        environ = {**environ, "wsgi.input": io.BytesIO()}
        body, status, headers = self.threads.apply(self._answer, (environ,))
        start_response(status, headers)
        return body

    def _answer(self, environ: dict[str, Any]) -> tuple[Any, str, list[tuple[str, str]]]:
        said: list[Any] = []
        body = self.app(environ, lambda status, headers, _=None: said.extend((status, headers)))
        return body, said[0], said[1]


class Connection(WSGIHandler):
    """A connection that is closed if its client sends nothing, or a request too slowly."""

    def read_requestline(self) -> str:
        """Wait for a request for a limited time; an empty line closes the connection."""
        with gevent.Timeout(IDLE_SECONDS, False):
            return str(super().read_requestline())
        return ""

    def read_request(self, raw_requestline: str) -> bool:
        """Read a request's headers in a limited time."""
        with gevent.Timeout(HEADER_SECONDS, False):
            return bool(super().read_request(raw_requestline))
        raise ValueError("the headers did not come in time")


class BoardServer(ServerRunner):
    """Mends: it listened to the whole network, and with 50 busy ports it raised a TypeError."""

    def __init__(self, host: str) -> None:
        """Make a server that will listen on this address."""
        super().__init__()
        self.host = host
        self.http_server: WSGIServer | None = None

    def initialize(self, app: Flask, app_config: dict[str, Any]) -> None:
        """Listen on the first free port, starting from the wanted one; port 0 takes any."""
        wanted = app_config["http.port"]
        for port in range(wanted, wanted + PORTS_TRIED) if wanted else [0]:
            server = WSGIServer(
                (self.host, port),
                InThreads(app),
                log="default" if app.debug else None,
                spawn=CONNECTIONS,
                handler_class=Connection,
            )
            try:
                server.start()
            except OSError as error:
                reason = error
                continue
            self.http_server, self.started_on_port = server, server.server_port
            return
        raise TrackingError(
            f"The board cannot listen on {self.host}, ports {wanted} to "
            f"{wanted + PORTS_TRIED - 1}: {reason.strerror or reason}. Choose others with --port "
            "or --host."
        )

    def run_server(self) -> None:
        """Serve until Ctrl-C or SIGTERM."""
        assert self.http_server is not None
        # At once, whatever a thread is busy with: nothing that the board does must be finished.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        try:
            self.http_server.serve_forever()
        except KeyboardInterrupt:
            os._exit(0)


def mounted(app: Flask, sub_url: str) -> Flask:
    """Serve the application under a path; ``/`` leaves it as it is."""
    if not sub_url.startswith("/"):
        raise ConfigError(f"--sub-url {sub_url!r} must begin with a slash, such as /sacredboard/.")
    if sub_url.strip("/"):
        app.wsgi_app = SubUrl(app.wsgi_app, sub_url)  # type: ignore[method-assign]
    return app
