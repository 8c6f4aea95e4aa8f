"""The command ``sacredboard``, which is also ``reproducible-ml board``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from reproducible_ml.utils.errors import ConfigError, ReproducibleMLError
from reproducible_ml.utils.paths import complete_folder
from reproducible_ml.utils.text import neutral

if TYPE_CHECKING:
    from reproducible_ml.tracking.runs import Store

DEFAULT_COLLECTION = "runs"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-m",
    "--mongo_db",
    "mongo",
    metavar="[HOST:PORT:]DATABASE",
    help="Show the runs of a MongoDB database; also mongodb://user:password@host/database.",
)
@click.option(
    "--mongo-from",
    metavar="FILE",
    help="The same, with the address in this file of mode 0600, or in REPRODUCIBLE_ML_MONGO.",
)
@click.option(
    "-mu",
    "mongo_url",
    type=(str, str),
    default=(None, None),
    metavar="URL DATABASE",
    help="The same, with the connection string and the database apart.",
)
@click.option(
    "-mc",
    "collection",
    default=DEFAULT_COLLECTION,
    show_default=True,
    help="Collection of the runs.",
)
@click.option(
    "-F",
    "--file_storage",
    "folder",
    metavar="FOLDER",
    shell_complete=complete_folder,
    help="Show the runs of a folder, such as runs.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5000, show_default=True, help="First port to try.")
@click.option("--sub-url", default="/", show_default=True, help="Path to serve under.")
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME[:PORT]",
    help="Also answer to this name, such as a proxy's, with its port if that is not 80 or 443.",
)
@click.option("--no-browser", is_flag=True, help="Do not open a web browser.")
@click.option("--debug", is_flag=True, help="Log requests and show tracebacks in the terminal.")
@click.version_option(package_name="sacredboard", prog_name="Sacredboard")
def command(
    mongo: str | None,
    mongo_from: str | None,
    mongo_url: tuple[str | None, str | None],
    collection: str,
    folder: str | None,
    host: str,
    port: int,
    sub_url: str,
    allow_host: tuple[str, ...],
    no_browser: bool,
    debug: bool,
) -> None:
    """Look at recorded runs in a web browser.

    \b
    sacredboard -m sacred                     the local MongoDB's database sacred
    sacredboard -m 192.168.1.1:27017:sacred   another machine's
    sacredboard -F runs                       a folder, no database needed
    """  # noqa: D301 (click reads the backspace)
    from reproducible_ml.tracking.board.server import BoardServer, create_app, mounted

    if mongo_from is not None or (mongo, mongo_url[0], folder) == (None, None, None):
        from reproducible_ml.tracking.runs import database_address

        mongo = database_address(mongo, mongo_from)
    store, source = _opened(mongo, mongo_url, collection, folder)
    app = mounted(create_app(store, source, [*allow_host, host]), sub_url)
    app.debug = debug
    server = BoardServer(host)
    server.initialize(app, {"http.port": port, "debug": debug})
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    if ":" in shown:
        shown = f"[{shown}]"
    address = f"http://{shown}:{server.started_on_port}/{sub_url.strip('/')}"
    click.echo(f"Starting sacredboard on port {server.started_on_port}")
    click.echo(neutral(f"{source}: {address}"))
    if host not in LOOPBACK:
        click.echo(
            f"The board listens on {host} and has no password: whoever reaches it can read and "
            "delete runs.",
            err=True,
        )
    if not no_browser:
        click.launch(address)
    server.run_server()


def _opened(
    mongo: str | None,
    mongo_url: tuple[str | None, str | None],
    collection: str,
    folder: str | None,
) -> tuple[Store, str]:
    """Return the store that the options name, and its name for the page."""
    from reproducible_ml.tracking.runs import open_store

    address, database = mongo_url
    if address is None:
        address = mongo
    elif mongo is not None:
        click.echo("-m is ignored: -mu says more.", err=True)
    if address is not None:
        # The address may name a collection too, which the default of -mc must not replace.
        other = None if collection == DEFAULT_COLLECTION else collection
        store = open_store(mongo=address, database=database, collection=other)
        return store, f"MongoDB {store.shown}"
    if folder is None:
        raise ConfigError(
            "Say what to show: -m sacred for a MongoDB database, or -F runs for a folder of runs."
        )
    store = open_store(folder)
    return store, f"Folder {store.shown}"


def main() -> None:
    """Run the command; the project's own errors give one sentence and exit code 1."""
    try:
        command(prog_name="sacredboard")
    except ReproducibleMLError as error:
        click.echo(neutral(f"Error: {error}"), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
