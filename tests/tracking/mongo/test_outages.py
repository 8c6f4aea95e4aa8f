"""What may pass is an outage, and the run starts; an address that can never work is refused."""

import json
import socket

import pytest

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.mongo import check_address, parse_mongo
from reproducible_ml.utils.errors import ConfigError


@pytest.fixture
def listener():
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def refused_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("kind", ["no DNS", "refused", "no TLS"])
def test_an_outage_at_the_start_delays_the_delivery_and_not_the_run(
    tmp_path, capfd, listener, kind
):
    address = {
        "no DNS": "mongodb+srv://anna:secret@cluster0.abcde.invalid/db",
        "refused": f"localhost:{refused_port()}:db",
        "no TLS": f"mongodb://127.0.0.1:{listener}/db?tls=true",
    }[kind]
    ex = experiment("delayed")
    ex.main(lambda: 7)
    run = ex.run(options={"--mongo_db": address})
    assert run.status == "COMPLETED"
    folder = tmp_path / "runs" / "1"
    assert json.loads((folder / "run.json").read_text())["result"] == 7
    (noted,) = json.loads((folder / "delivery.json").read_text())["targets"].values()
    assert noted["complete"] is False
    assert "secret" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mongodb+srv://one.example.org,two.example.org/db", "takes one host without a port"),
        ("mongodb+srv://one.example.org:27017/db", "takes one host without a port"),
        ("mongodb://localhost:port/db", "is not a usable address"),
        ("mongodb://localhost:99999/db", "is not a usable address"),
        ("mongodb://localhost/db?retryWritez=true", "retrywritez"),
        ("mongodb://localhost/db?tls=perhaps", "is not a usable address"),
        ("mongodb://localhost/db?tlsCAFile=/no/such/file", "is not a usable address"),
        ("mongodb://anna:secret@/db", "has no host"),
    ],
)
def test_an_address_that_can_never_work_starts_no_run(tmp_path, address, said):
    ex = experiment("refused")
    ex.main(lambda: 7)
    with pytest.raises(ConfigError) as found:
        ex.run(options={"--mongo_db": address})
    assert said in str(found.value)
    assert "secret" not in str(found.value)
    assert not (tmp_path / "runs").exists()


def test_options_of_srv_addresses_are_known():
    check_address(
        parse_mongo(
            "mongodb+srv://u:p@c.example.org/db?srvServiceName=custom&srvMaxHosts=2&retryWrites=true"
        )
    )
