"""What a report says of runs, of complete ones and of those that lack something."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from reproducible_ml.cli import main
from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.report.defaults import settings
from reproducible_ml.report.page import breakable, make_report
from reproducible_ml.report.pictures import MOST_PICTURES, spread
from reproducible_ml.tracking.runs.opening import open_store
from reproducible_ml.tracking.runs.run import load_run
from tests.report.recorded_runs import HOSTILE, SECRET, record_run
from tests.tracking import lab


class Reader(HTMLParser):
    """Collects texts by section, and every tag with its attributes."""

    VOID = ("meta", "link", "img", "input", "path", "wbr")

    def __init__(self, page):
        super().__init__()
        self.sections, self.tags, self.open, self.joined = {}, [], [], False
        self.feed(page)
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.joined = tag == "wbr"
        if tag not in self.VOID:
            self.open.append((tag, dict(attributes).get("id", "")))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop()[0] == tag

    def handle_data(self, data):
        inside = [name for tag, name in self.open if tag == "section"]
        if inside and self.joined:
            self.sections[inside[-1]][-1] += data.strip()
            self.joined = False
        elif inside and data.strip():
            self.sections.setdefault(inside[-1], []).append(" ".join(data.split()))

    def text(self, section):
        return " | ".join(self.sections[section])


SECTIONS = (
    "overview",
    "verdicts",
    "configuration",
    "curves",
    "pictures",
    "data",
    "lineage",
    "differences",
    "environment",
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return lab.recorded(tmp_path_factory).parent / "runs"


def report(folder, *ids):
    """Return the report as it is read."""
    with open_store(folder) as store:
        return Reader(make_report([load_run(one, store) for one in ids]))


def test_a_complete_run_fills_every_section(folder):
    page = report(folder, 1)
    manifest = read_manifest(folder.parent / "data")
    assert set(page.sections) == set(SECTIONS)
    assert "Run 1" in page.text("overview")
    assert "COMPLETED" in page.text("overview")
    assert f"Run 1: {0.5 / 3} at step 30" in page.text("curves")
    assert "Run 1: 1 of 3 values are not finite and appear as gaps." in page.text("curves")
    data = page.text("data")
    assert manifest.fingerprint in data
    assert f"train | 4 | 1 | {manifest.splits['train'].shards[0].bytes} B" in data
    assert manifest.splits["train"].shards[0].checksum in data
    assert "2.15" in page.text("environment")
    assert "OMP_NUM_THREADS | 1" in page.text("environment")


def test_the_lineage_leads_from_the_raw_data_to_the_samples(folder):
    page = report(folder, 1)
    lineage = page.text("lineage")
    kinds = re.findall(r"\| (raw data|run \d+|data set|checkpoint|samples) \|", lineage)
    assert kinds == ["raw data", "run 2", "data set", "run 1", "checkpoint", "samples"]
    fingerprint = read_manifest(folder.parent / "data").fingerprint
    assert f"fingerprint | {fingerprint}" in lineage
    with open_store(folder) as store:
        files = load_run(1, store).info["checkpoint"]["files"]
    for one in files.values():
        assert one["sha256"] in lineage


def test_a_failed_run_shows_its_error_and_what_it_lacks(folder):
    page = report(folder, 4)
    overview = page.text("overview")
    assert "FAILED" in overview
    assert overview.count("RuntimeError: too hot") == 2
    assert "Traceback (most recent call last)" in overview
    assert "has no verdict" in page.text("verdicts")
    assert "checkpoint" not in page.text("lineage")


def test_a_picture_that_is_none_is_named_and_not_shown(folder):
    page = report(folder, 1)
    assert "samples.png is left out: it cannot be read as a picture." in page.text("pictures")
    assert not [tag for tag, _ in page.tags if tag == "img"]


def test_two_runs_are_compared_section_by_section(folder):
    page = report(folder, 1, 3)
    found = page.text("differences")
    assert "Runs 1 and 3" in found
    assert "First differing point: loss at step 10: 0.5 / 1.0." in found
    assert "config: 2 differ" in found
    assert "| lr | 0.5 | 1.0 |" in found
    assert "Sections without differences: sources, data" in found


def test_values_that_are_not_the_default_are_marked_with_the_default(folder):
    with open_store(folder) as store:
        found = {one.name: one for one in settings(load_run(3, store))}
    assert [name for name, one in found.items() if one.changed] == ["lr"]
    assert found["lr"].default.value == 0.5
    assert found["optimizer.momentum"].default.value == 0.9
    assert found["npz_file"].default.value is None


def test_the_comment_beside_a_default_explains_it():
    run_id = record_run(lr=2.0)
    with open_store("runs") as store:
        run = load_run(run_id, store)
        found = {one.name: one for one in settings(run)}
        page = Reader(make_report([run]))
    assert found["lr"].default.comment == "a step's length"
    assert "a step's length | 2.0 | default 0.5" in page.text("configuration")


def test_markup_in_a_record_stays_text():
    run_id = record_run(name=HOSTILE, fail=HOSTILE)
    page = report("runs", run_id)
    assert HOSTILE in page.text("configuration")
    assert [a for tag, a in page.tags if tag == "script"] == [
        {"type": "application/json", "id": "plot-data"},
        {},
    ]
    assert not [a for _, a in page.tags for name in a if name.startswith("on")]


def test_no_secret_is_in_a_report_even_if_the_record_holds_one(folder):
    run_id = record_run(api_key=SECRET)
    address = f"mongodb://anna:{SECRET}@example.org/runs"
    # As another program, or an older version, may have recorded it.
    path = f"runs/{run_id}/config.json"
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**config, "name": address, "nested": {"password": SECRET}}, file)
    with open_store("runs") as store:
        plain, other = (load_run(one, store) for one in (run_id, record_run()))
        pages = [make_report([plain]), make_report([other, plain])]
    with open_store(folder) as store:
        pages.append(make_report([load_run(1, store)]))
    for page in pages:
        assert SECRET not in page
        assert lab.SECRET not in page
        assert lab.TOKEN not in page
    assert "mongodb://***@example.org/runs" in pages[0]


def test_a_run_that_recorded_nothing_says_so_in_every_section():
    run_id = record_run(steps=0, pictures=0)
    folder = f"runs/{run_id}"
    for name in ("journal.log", "metrics.json", "info.json"):
        Path(folder, name).unlink(missing_ok=True)
    page = report("runs", run_id)
    assert set(page.sections) == set(SECTIONS)
    assert f"Run {run_id} has no metrics" in page.text("curves")
    assert f"Run {run_id} has no pictures" in page.text("pictures")
    assert f"Run {run_id} recorded no data set" in page.text("data")
    assert f"Run {run_id} recorded no environment" in page.text("environment")
    assert "This report has only one run." in page.text("differences")


def test_lost_sources_resources_and_pictures_are_named_and_the_rest_is_shown(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "_sources")
    shutil.rmtree(tmp_path / "runs" / "_resources")
    (tmp_path / "runs" / "1" / "samples.png").unlink()
    shutil.rmtree(tmp_path / "runs" / "2")
    page = report(tmp_path / "runs", 1)
    assert "COMPLETED" in page.text("overview")
    assert "cannot be read" in page.text("configuration")
    assert "manifest is not kept with the run" in page.text("data")
    assert "There is no run 2" in page.text("lineage")
    assert f"Run 1: {0.5 / 3} at step 30" in page.text("curves")


def test_many_pictures_are_spread_evenly_with_both_ends():
    chosen = spread(1001, MOST_PICTURES)
    assert len(chosen) == MOST_PICTURES
    assert (chosen[0], chosen[-1]) == (0, 1000)
    gaps = [b - a for a, b in zip(chosen, chosen[1:])]
    assert max(gaps) - min(gaps) <= 1
    run_id = record_run(pictures=MOST_PICTURES + 5)
    page = report("runs", run_id)
    assert "60 of 65 pictures are shown, evenly spread." in page.text("pictures")
    assert len([tag for tag, _ in page.tags if tag == "img"]) == MOST_PICTURES


def test_a_long_run_is_thinned_and_the_report_says_so():
    run_id = record_run(steps=5000, pictures=0)
    page = report("runs", run_id)
    assert re.search(r"Run \S+: \d+ of 5000 points are drawn", page.text("curves"))


def test_metrics_of_one_point_are_a_table_and_no_curve():
    first, second = record_run(steps=1, pictures=0), record_run(steps=1, lr=1.0, pictures=0)
    page = report("runs", first, second)
    assert not [a for tag, a in page.tags if tag == "figure"]
    assert "loss | differs | 0.5 at step 0 | 1.0 at step 0" in page.text("curves")
    page = report("runs", first, record_run(steps=3, pictures=0))
    (figure,) = [a for tag, a in page.tags if tag == "figure"]
    assert figure["class"] == "plot"


def test_the_command_writes_one_file_and_names_it(folder):
    done = CliRunner().invoke(main, ["report", "1", "3", "1", "-F", str(folder), "-o", "x.html"])
    assert done.exit_code == 0
    assert re.fullmatch(r"Report on runs 1, 3: x\.html, [\d.]+ kB\n", done.output)
    with open("x.html", encoding="utf-8") as file:
        assert file.read().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["9"], "There is no run 9 in {}; there are 1-4, the nearest 4."),
        (["1", "-o", "none/x.html"], "There is no folder none for x.html; create it first."),
        (["1", "-o", "."], ". is a folder; name a file."),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is_left(folder, arguments, said, tmp_path):
    done = CliRunner().invoke(main, ["report", *arguments, "-F", str(folder)])
    assert (done.exit_code, done.output) == (1, f"Error: {said.format(folder)}\n")
    assert list(tmp_path.iterdir()) == []


def test_the_report_from_a_database_is_that_of_the_folder(tmp_path_factory, mongo_uri):
    import pymongo

    project = lab.make_project(tmp_path_factory.mktemp("report"))
    address = f"{mongo_uri}/report_store"
    with pymongo.MongoClient(mongo_uri) as client:
        client.drop_database("report_store")
        assert lab.run(project, "lab.train", "-m", address, "with", "stage=True")[0] == 0
        with open_store(project.parent / "runs") as one, open_store(mongo=address) as other:
            pages = [Reader(make_report([load_run(1, store)])) for store in (one, other)]
        client.drop_database("report_store")
    for section in SECTIONS:
        if section != "overview":  # its wall time is cut to milliseconds in a database
            assert pages[0].text(section) == pages[1].text(section)


def test_pictures_are_embedded_as_they_are():
    run_id = record_run()
    page = report("runs", run_id)
    uris = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    greys = []
    for uri in uris:
        head, _, content = uri.partition(",")
        assert head == "data:image/png;base64"
        greys.append(Image.open(io.BytesIO(base64.b64decode(content))).getpixel((0, 0)))
    assert greys == [0, 40, 80, 120]


def test_every_verdict_is_shown_with_what_it_was_measured_across():
    run_id = record_run()
    with open_store("runs") as store:
        verdict = {"time": "2026-11-23T10:00:00", "changes": {}, "across": ["cpu.model"]}
        store.append_info(
            run_id, "verdicts", {**verdict, "verdict": "identical", "reproduced_by": 9}
        )
        store.append_info(
            run_id,
            "verdicts",
            {**verdict, "verdict": "differs at step 3", "across": [], "changes": {"lr": 1.0},
             "reproduced_from": {"run_id": 7}},
        )  # fmt: skip
        store.append_info(run_id, "verdicts", "as an older version wrote it")
    found = report("runs", run_id).text("verdicts")
    assert "identical | executed again by run 9 | cpu.model | 2026-11-23 10:00 UTC" in found
    assert (
        "differs at step 3 | executes run 7 again, with lr 1.0 | the same environment | 2026"
        in found
    )
    assert "as an older version wrote it" in found


def test_the_first_differing_step_of_two_trainings_is_named(folder):
    with open_store(folder.parent / "fits") as store:
        page = Reader(make_report([load_run(1, store), load_run(3, store), load_run(2, store)]))
    found = page.text("differences")
    assert "First difference at step 13: critic_loss" in found
    assert "The results are identical, bit for bit." in found


def test_changed_lines_of_a_source_are_shown():
    first, second = record_run(), record_run()
    path = Path(f"runs/{second}/run.json")
    entry = json.loads(path.read_text(encoding="utf-8"))
    for source in entry["experiment"]["sources"]:
        if source[0].endswith("recorded_runs.py"):
            kept = Path("runs", source[1])
            changed = kept.with_name("changed.py")
            text = kept.read_text(encoding="utf-8").replace("lr = 0.5  #", "lr = 0.25  #")
            changed.write_text(text, encoding="utf-8")
            source[1] = f"_sources/{changed.name}"
    path.write_text(json.dumps(entry), encoding="utf-8")
    found = report("runs", first, second).text("differences")
    assert "1 line added, 1 removed" in found
    assert "+ lr = 0.25 # a step's length" in found


def test_a_computed_default_and_a_source_that_is_no_python_are_no_defaults():
    first = record_run()
    with open_store("runs") as store:
        run = load_run(first, store)
        main = run.entry["experiment"]["mainfile"]
        text = run.sources[main].decode()
        run.__dict__["sources"] = {main: text.replace("lr = 0.5  #", "lr = 1 / 2  #").encode()}
        assert {one.name: one for one in settings(run)}["lr"].default is None
        run.__dict__["sources"] = {main: b"def (:\n"}
        assert not any(one.default for one in settings(run))


def test_a_value_of_the_type_stands_with_its_origin_where_the_configuration_has_none():
    first, second = record_run(name=None), record_run(name=None)
    for run_id, value in ((first, 5e-4), (second, 1e-3)):
        for part, more in (
            ("config", {"gan_type": "wgan", "defaults": "practical", "gen_lr": None}),
            ("info", {"settings": {"gen_lr": value}}),
        ):
            path = Path(f"runs/{run_id}/{part}.json")
            path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **more}), "utf-8")
    page = report("runs", first, second)
    values = "0.0005 (from wgan, practical) | 0.001 (from wgan, practical)"
    assert f"gen_lr | differs | {values}" in page.text("configuration")
    with open_store("runs") as store:
        (one,) = [one for one in settings(load_run(first, store)) if one.name == "gen_lr"]
    # It was left to the default, so it does not stand out.
    assert (one.value, one.changed) == (5e-4, False)
    assert f"gen_lr | {values}" in page.text("differences")


def test_the_overview_tells_a_digest_once():
    run_id = record_run()
    path = Path(f"runs/{run_id}/run.json")
    entry = json.loads(path.read_text("utf-8"))
    digest = json.loads(Path(f"runs/{run_id}/info.json").read_text("utf-8"))["digest"]["samples"]
    path.write_text(json.dumps({**entry, "result": {"digest": digest}}), "utf-8")
    overview = report("runs", run_id).text("overview")
    assert overview.count(digest[:12]) == 1
    assert f"digest of samples | {digest[:12]} |" in f"{overview} |"


def test_names_break_behind_their_joints_only():
    assert breakable("checkpoint_every_steps") == "checkpoint_<wbr>every_<wbr>steps"
    assert breakable("a.b_<i>") == "a.<wbr>b_<wbr>&lt;i&gt;"
    assert breakable("end_") == "end_"


def test_a_stopped_training_tells_how_it_goes_on_without_the_secrets_of_its_command():
    run_id = record_run(fail="too hot")
    for part, more in (
        ("info", {"model_dir": "models/mine"}),
        ("run", {"meta": {"options": {"UPDATE": ["lr=1.0", f"api_key={SECRET}"]}}}),
    ):
        path = Path(f"runs/{run_id}/{part}.json")
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **more}), "utf-8")
    overview = report("runs", run_id).text("overview")
    assert "with lr=1.0 api_key=*** model_dir=models/mine" in overview
    assert SECRET not in overview
