"""Keep foreign web pages away from the board, which has no password.

A page on the internet can make its visitor's browser send requests to 127.0.0.1. Two checks prevent
harm:

* The ``Host`` header must name this machine. After DNS rebinding, when a foreign name suddenly
  resolves to 127.0.0.1, it holds that foreign name. Addresses can't be rebound.
* Requests must come from the board's own page, at its own port: browsers say so in ``Origin`` and
  ``Sec-Fetch-Site``. Other pages may only lead a visitor to one of the board's pages, by a link.
  Tools such as curl send neither and are accepted.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, request

# Knockout compiles a page's bindings with ``new Function``, hence 'unsafe-eval'; nothing is loaded
# from elsewhere.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# An artifact may be an HTML or SVG file with scripts, which must neither run nor read anything.
ARTIFACT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def install(app: Flask, allowed_hosts: Iterable[str]) -> None:
    """Make the app check every request, and set headers in every response."""
    origins = {name.lower() for name in allowed_hosts}
    allowed = {*map(_name, origins), "localhost", *_own_names()}

    def check() -> tuple[str, int] | None:
        host = _name(request.headers.get("Host", ""))
        if host not in allowed and not _is_address(host):
            reason = f"The board does not answer to the name {host}. If it is this machine's, "
            return reason + f"start the board with --allow-host {host}.\n", 421
        if not _from_own_page(origins) and not _is_link_to_a_page():
            return "Only the board's own page may ask for this.\n", 403
        return None

    app.before_request(check)
    app.after_request(_with_headers)


def _from_own_page(origins: set[str]) -> bool:
    # "none": typed into the address bar, or opened by a program.
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    address = urlsplit(origin).netloc.lower()
    # A proxy may put this machine's own name and port into Host.
    return address == request.headers.get("Host", "").lower() or address in origins


def _is_link_to_a_page() -> bool:
    """Tell whether a link elsewhere led a visitor to a page, which by itself shows nothing."""
    wanted = (request.headers.get(f"Sec-Fetch-{name}") for name in ("Mode", "Dest"))
    is_page = not request.path.startswith(("/api/", "/tensorboard/"))
    return request.method == "GET" and is_page and tuple(wanted) == ("navigate", "document")


def _with_headers(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _name(address: str) -> str:
    """Return the name or address in ``name:port`` or ``[address]:port``."""
    try:
        return (urlsplit(f"//{address}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _own_names() -> set[str]:
    """Return this machine's names, without asking a name server, which could take seconds."""
    name = socket.gethostname()
    return {name.lower(), name.split(".")[0].lower(), f"{name}.local".lower()}


def artifact_headers(name: str, content_type: str, is_image: bool) -> dict[str, Any]:
    """Return the headers of an artifact: images are shown, anything else is downloaded."""
    quoted = "".join(c if (c.isalnum() and c.isascii()) or c in "._-" else "_" for c in name)
    return {
        "Content-Type": content_type,
        "Content-Disposition": f'{"inline" if is_image else "attachment"}; filename="{quoted}"',
        "Content-Security-Policy": ARTIFACT_POLICY,
    }
