"""Assemble the board's application and serve it."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gevent
from flask import Flask
from gevent.pywsgi import WSGIServer

from reproducible_ml import __version__
from reproducible_ml.tracking.board import guard
from reproducible_ml.tracking.board.routes import routes
from reproducible_ml.tracking.board.upstream import ServerRunner
from reproducible_ml.tracking.runs import Store
from reproducible_ml.utils.errors import ConfigError, TrackingError

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
            server = WSGIServer((self.host, port), app, log="default" if app.debug else None)
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
        gevent.signal_handler(signal.SIGTERM, self.http_server.stop)
        try:
            self.http_server.serve_forever()
        except KeyboardInterrupt:
            self.http_server.stop()


def mounted(app: Flask, sub_url: str) -> Flask:
    """Serve the application under a path; ``/`` leaves it as it is."""
    if not sub_url.startswith("/"):
        raise ConfigError(f"--sub-url {sub_url!r} must begin with a slash, such as /sacredboard/.")
    if sub_url.strip("/"):
        app.wsgi_app = SubUrl(app.wsgi_app, sub_url)  # type: ignore[method-assign]
    return app
