"""Foreign pages can neither read nor delete."""

import pytest

from reproducible_ml.tracking.board.server import create_app
from reproducible_ml.tracking.runs.opening import open_store
from tests.tracking.board import toy
from tests.tracking.board.conftest import FileStorageObserver


@pytest.fixture
def runs(tmp_path):
    toy.record(FileStorageObserver(str(tmp_path / "runs")), lambda: 1)
    return tmp_path / "runs"


@pytest.fixture
def client(runs):
    return create_app(
        open_store(runs), "runs", ["board.example", "other.example:8443"]
    ).test_client()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", ""]
)
def test_a_foreign_name_that_leads_here_gets_nothing(client, host):
    answer = client.get("/api/run", headers={"Host": host})
    assert answer.status_code == 421
    assert "--allow-host" in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "localhost", "[::1]:5000", "board.example"])
def test_this_machines_addresses_and_allowed_names_are_answered(client, host):
    assert client.get("/api/run", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8888"},
        {"Origin": "https://board.example:8443"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-Server": "evil.example", "Origin": "http://evil.example"},
    ],
)
def test_a_foreign_page_cannot_delete(client, runs, headers):
    host = {"Host": "127.0.0.1:5000", **headers}
    assert client.delete("/api/run/1", headers=host).status_code == 403
    assert client.post("/tensorboard/start/1/0", headers=host).status_code == 403
    assert (runs / "1" / "run.json").exists()


@pytest.mark.parametrize("path", ["/api/run", "/api/run/1", "/api/run/1/output", "/runs"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_foreign_page_cannot_read(client, path, site):
    """Another port of this machine is the same site for a browser, and foreign all the same."""
    headers = {"Host": "127.0.0.1:5000", "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
    assert client.get(path, headers={**headers, "Sec-Fetch-Dest": "image"}).status_code == 403


@pytest.mark.parametrize(("path", "code"), [("/runs", 200), ("/runs/1", 200), ("/api/run", 403)])
def test_a_link_elsewhere_leads_to_a_page_and_to_nothing_else(client, path, code):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    headers |= {"Host": "127.0.0.1:5000", "Sec-Fetch-Dest": "document"}
    assert client.get(path, headers=headers).status_code == code


def test_nothing_is_deleted_or_started_by_a_mere_link(client, runs):
    for path in ("/api/run/1", "/tensorboard/start/1/0"):
        client.get(path)
    assert client.get("/tensorboard/start/1/0").status_code in (404, 405)
    assert (runs / "1" / "run.json").exists()


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:5000", "https://board.example", "https://other.example:8443"]
)
def test_the_boards_own_page_can_delete(client, runs, origin):
    headers = {"Host": "127.0.0.1:5000", "Origin": origin}
    assert client.delete("/api/run/1", headers=headers).status_code == 200
    assert not (runs / "1").exists()


def test_every_page_forbids_frames_and_foreign_content(client):
    policy = client.get("/runs").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
