"""Keep foreign web pages away from the board, which has no password.

A page on the internet can make the visitor's browser send requests to 127.0.0.1; two checks:

* The ``Host`` header must name this machine: a foreign name that suddenly resolves to 127.0.0.1
  (DNS rebinding) makes the foreign page's own name arrive here. Addresses cannot be rebound.
* What changes something (DELETE, POST) must come from the board's own page: browsers always send
  ``Origin`` with it. Tools such as curl send none and are let through.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, request

# Knockout compiles the bindings of a page with ``new Function``; nothing comes from elsewhere.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
)
# An artifact may be an HTML or SVG file with scripts in it; opened, it runs none and reads nothing.
ARTIFACT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def install(app: Flask, allowed_hosts: Iterable[str]) -> None:
    """Check every request of the app, and set the headers of every answer."""
    allowed = {name.lower() for name in (*allowed_hosts, "localhost", *_own_names())}

    def check() -> tuple[str, int] | None:
        host = _name(request.headers.get("Host", ""))
        if host not in allowed and not _is_address(host):
            reason = f"The board does not answer to the name {host}. If it is this machine's, "
            return reason + f"start the board with --allow-host {host}.\n", 421
        if request.method not in ("GET", "HEAD", "OPTIONS") and not _from_own_page(allowed_hosts):
            return "Only the board's own page may change something.\n", 403
        return None

    app.before_request(check)
    app.after_request(_with_headers)


def _from_own_page(allowed_hosts: Iterable[str]) -> bool:
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    address = urlsplit(origin).netloc.lower()
    return address == request.headers.get("Host", "").lower() or _name(address) in set(
        allowed_hosts
    )


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
    """Return this machine's names; no name server is asked, which could take seconds."""
    name = socket.gethostname()
    return {name.lower(), name.split(".")[0].lower(), f"{name}.local".lower()}


def artifact_headers(name: str, content_type: str, is_image: bool) -> dict[str, Any]:
    """Return the headers an artifact is sent with: images are shown, all else is a download."""
    quoted = "".join(c if (c.isalnum() and c.isascii()) or c in "._-" else "_" for c in name)
    return {
        "Content-Type": content_type,
        "Content-Disposition": f'{"inline" if is_image else "attachment"}; filename="{quoted}"',
        "Content-Security-Policy": ARTIFACT_POLICY,
    }
