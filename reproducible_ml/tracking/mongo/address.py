"""Addresses of MongoDB databases, in all the forms in which people write them.

=============================================  ============================================
``sacred``                                     database on ``localhost:27017``
``sacred.trials``                              runs in the collection ``trials``
``host:27017``, ``host:27017:db[.collection]`` as Sacred's own ``-m`` takes it
``localhost:db``, ``[::1]:27017:db``           forms that Sacred's own flag refuses
``mongodb://user:password@host:port/db?opts``  any MongoDB URI, ``mongodb+srv://`` too
=============================================  ============================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.redaction import HIDDEN, redact, remember_secret

DEFAULT_DATABASE = "sacred"
DEFAULT_COLLECTION = "runs"
DEFAULT_PORT = 27017

# Seconds that a server may be silent before it counts as gone, by who asks. ``doctor`` can be
# impatient, since a database on the same machine answers within milliseconds.
CHECK_SECONDS = 1
# A run waits no longer than this for its id.
START_SECONDS = 2.5
READ_SECONDS = 3
# Longer than any single write needs.
WRITE_SECONDS = 20

# Collections that MongoDB, GridFS and Sacred use for something else.
RESERVED_COLLECTIONS = frozenset(
    {"metrics", "fs.files", "fs.chunks", "_properties", "system.indexes", "search_space"}
)

_SHORT_FORM = re.compile(
    r"""(?:(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?):)?
        (?:(?P<port>\d{1,5})(?::|$))?
        (?P<database>[A-Za-z_][A-Za-z0-9_-]{0,62})?
        (?:\.(?P<collection>[A-Za-z_][A-Za-z0-9_.-]{0,119}))?$""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class MongoTarget:
    """A database to deliver runs to; its printed forms hold no credentials.

    Attributes:
        uri: URI for pymongo, with credentials if there are any.
        database: name of the database.
        collection: name of the collection of runs; metrics are in ``metrics``, files in GridFS.
    """

    uri: str = field(repr=False)
    database: str
    collection: str = DEFAULT_COLLECTION

    @property
    def has_credentials(self) -> bool:
        """Whether the URI holds a user, a password or another secret."""
        return "@" in self.uri or redact(self.uri) != self.uri

    @property
    def shown(self) -> str:
        """The address for logs and recorded runs: scheme, hosts and database, no credentials."""
        scheme, _, rest = self.uri.partition("://")
        hosts = re.split(r"[/?]", rest.rpartition("@")[2], maxsplit=1)[0]
        name = self.database
        if self.collection != DEFAULT_COLLECTION:
            name += "." + self.collection
        return f"{scheme}://{hosts}/{name}"

    def __str__(self) -> str:
        return self.shown


def parse_mongo(text: str) -> MongoTarget:
    """Parse a database address in any form of the table above.

    Args:
        text: the argument of ``-m``.

    Returns:
        The target; ``redact`` hides its credentials from now on.

    Raises:
        ConfigError: the text has none of these forms; the message holds no credentials.
    """
    text = text.strip()
    target = _parse_uri(text) if "://" in text else _parse_short_form(text)
    if target.collection in RESERVED_COLLECTIONS:
        raise ConfigError(
            f"The collection {target.collection!r} of {target.shown} is reserved; name another one "
            f"for the runs, for example {DEFAULT_COLLECTION!r}."
        )
    return target


def timeouts(answer_seconds: float, socket_seconds: float | None = None) -> dict[str, Any]:
    """Return pymongo's timeout options.

    Args:
        answer_seconds: Time to find a usable server, and to connect to it.
        socket_seconds: Time for each answer of a connected server; None waits forever.
    """
    milliseconds = int(answer_seconds * 1000)
    options = {"serverSelectionTimeoutMS": milliseconds, "connectTimeoutMS": milliseconds}
    if socket_seconds is not None:
        options["socketTimeoutMS"] = int(socket_seconds * 1000)
    return options


def _parse_short_form(text: str) -> MongoTarget:
    if "@" in text:
        raise ConfigError(
            "Write a MongoDB address with user and password as a URI: "
            f"mongodb://user:password@host:port/database (found {_hide_before_at(text)!r})."
        )
    match = _SHORT_FORM.match(text) if text else None
    if match is None or (match["collection"] and not match["database"]):
        raise ConfigError(
            f"{text!r} is not a MongoDB address: expected DATABASE, HOST:PORT, HOST:PORT:DATABASE, "
            "HOST:DATABASE or mongodb://USER:PASSWORD@HOST:PORT/DATABASE. (Sacred's suffixes "
            "'!priority' and ':run id' are not supported.)"
        )
    port = int(match["port"] or DEFAULT_PORT)
    if not 0 < port < 65536:
        raise ConfigError(f"The port {port} in {text!r} is not between 1 and 65535.")
    return MongoTarget(
        uri=f"mongodb://{match['host'] or 'localhost'}:{port}",
        database=match["database"] or DEFAULT_DATABASE,
        collection=match["collection"] or DEFAULT_COLLECTION,
    )


def _parse_uri(text: str) -> MongoTarget:
    scheme, _, rest = text.partition("://")
    if scheme not in ("mongodb", "mongodb+srv"):
        raise ConfigError(
            f"{redact(text)!r} is not a MongoDB URI: it must begin with mongodb:// or "
            "mongodb+srv://."
        )
    userinfo, at, address = rest.rpartition("@")
    if at:
        remember_secret(userinfo)
        if re.search(r"[/?#@]", userinfo):
            raise ConfigError(
                "The user or password in the MongoDB URI has an unescaped / ? # or @; write these "
                f"characters as %2F %3F %23 %40 ({redact(text)})."
            )
    hosts, _, path = address.partition("/")
    name, _, options = path.partition("?")
    if not hosts or "?" in hosts:
        raise ConfigError(
            f"{redact(text)!r} has no host, or no '/' between host and options: "
            "expected mongodb://HOST:PORT/DATABASE?OPTIONS."
        )
    database, _, collection = unquote(name).partition(".")
    # MongoDB looks users up in the URI's database, and in "admin" if the URI names none; so a
    # default of ours must not get into the URI.
    auth_database = database if name else ""
    query = f"?{options}" if options else ""
    return MongoTarget(
        uri=f"{scheme}://{userinfo}{at}{hosts}/{auth_database}{query}",
        database=database or DEFAULT_DATABASE,
        collection=collection or DEFAULT_COLLECTION,
    )


def _hide_before_at(text: str) -> str:
    return HIDDEN + "@" + text.rpartition("@")[2]
