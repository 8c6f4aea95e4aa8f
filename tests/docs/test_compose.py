"""docker-compose.yml says what the page for teams says of it."""

import re

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "how-to" / "team.md").read_text("utf-8")


@pytest.fixture
def mongo():
    yaml = pytest.importorskip("yaml")
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    assert set(compose["services"]) == {"mongo"}
    return compose["services"]["mongo"], compose["volumes"]


def test_it_listens_on_this_machine_alone_unless_told_otherwise(mongo):
    (port,) = mongo[0]["ports"]
    assert port == "${MONGO_BIND:-127.0.0.1}:${MONGO_PORT:-27017}:27017"


def test_it_keeps_its_runs_in_a_volume_and_names_its_version(mongo):
    service, volumes = mongo
    assert service["volumes"] == ["mongo:/data/db"]
    assert "mongo" in volumes
    assert re.fullmatch(r"mongo:\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", service["image"])


def test_the_variables_that_the_page_sets_are_those_that_it_reads(mongo):
    service = mongo[0]
    read = re.findall(r"\$\{(\w+):-", str([service["ports"], service["environment"]]))
    assert set(re.findall(r"\bMONGO_\w+(?==)", PAGE)) == set(read) - {"MONGO_PORT"}
    assert service["environment"] == {
        "MONGO_INITDB_ROOT_USERNAME": "${MONGO_USER:-}",
        "MONGO_INITDB_ROOT_PASSWORD": "${MONGO_PASSWORD:-}",
    }


def test_it_is_asked_whether_it_answers(mongo):
    command = mongo[0]["healthcheck"]["test"]
    assert command[0] == "CMD"
    assert "ping" in command[-1]
