"""``reproducible-ml show``: everything about one recorded run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from reproducible_ml.commands.completion import run_ids
from reproducible_ml.commands.layout import as_json, echo, store_options, terminal_width
from reproducible_ml.utils.redaction import without_secrets
from reproducible_ml.utils.text import GAP, counted, cut, shown, size, table

if TYPE_CHECKING:
    from reproducible_ml.tracking.runs import Run

_INDENT = 2
_TRACE_LINES = 12


@click.command()
@click.argument("run_id", metavar="ID", shell_complete=run_ids)
@store_options
@click.option("--json", "json_", is_flag=True, help="Print JSON, including packages and CPU flags.")
def command(run_id: str, folder: str | None, mongo: str | None, json_: bool) -> None:
    """Show one run: configuration, result, machine, data, metrics, files and verdicts."""
    from reproducible_ml.tracking.runs import load_run, open_store

    with open_store(folder, mongo) as store:
        run = load_run(run_id, store)
        if json_:
            echo(as_json(without_secrets(_facts(run))))
            return
        for title, lines in _sections(run, terminal_width()):
            if lines:
                echo("\n".join(["", title, *lines] if title else lines))


def _facts(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "store": run.store.shown,
        "experiment": run.experiment,
        "command": run.entry.get("command"),
        "comment": (run.entry.get("meta") or {}).get("comment"),
        "status": run.status,
        "started": run.started,
        "duration_seconds": run.duration_seconds,
        "config": run.config,
        "filled_in": run.filled_in,
        "result": run.result,
        "fail_trace": run.entry.get("fail_trace"),
        "git_commit": run.git_commit,
        "dirty": run.dirty,
        "sources": sorted(run.sources),
        "metrics": [
            {"name": name, "points": count, "step": step, "value": value}
            for name, count, step, value in _last_points(run)
        ],
        "artifacts": [vars(one) for one in run.artifacts.infos.values()],
        "info": {name: value for name, value in run.info.items() if name != "metrics"},
    }


def _sections(run: Run, width: int | None) -> list[tuple[str, list[str]]]:
    from reproducible_ml.tracking.runs import flat

    def pairs(facts: Mapping[str, Any]) -> list[str]:
        return _pairs(without_secrets(facts), width)

    result = run.result if isinstance(run.result, Mapping) else {"": run.result}
    return [
        ("", _head(run, width)),
        ("Error", _trace(run)),
        ("Config", _pairs(_config(run), width)),
        ("Result", [] if run.result is None else pairs(flat(result, ""))),
        ("Digest", pairs(run.facts.get("digest") or {})),
        ("Data", pairs(_data(run))),
        ("Upstream", pairs(_upstream(run))),
        ("Metrics", _metrics(run, width)),
        ("Artifacts", _artifacts(run, width)),
        ("Checkpoint", pairs(_checkpoint(run))),
        ("Environment", pairs(_environment(run))),
        ("Verdicts", _verdicts(run)),
        ("Not shown, as info holds it in another form", _strange(run)),
    ]


def _pairs(facts: Mapping[str, Any], width: int | None) -> list[str]:
    """Align names and values; long values wrap instead of being cut."""
    import textwrap

    names = max(map(len, facts), default=0) + _INDENT + len(GAP)
    rows = []
    for name, value in facts.items():
        text = shown(value)
        lines = [text] if width is None else textwrap.wrap(text, max(width - names, 20))
        rows += [(name if number == 0 else "", line) for number, line in enumerate(lines or [""])]
    return table(rows, indent=_INDENT)


def _head(run: Run, width: int | None) -> list[str]:
    from reproducible_ml.tracking.runs import head_facts

    title = cut(f"Run {run.id} of {run.experiment or '-'} in {run.store.shown}", width)
    return [title, *_pairs({"status": run.status, **head_facts(run)}, width)]


def _config(run: Run) -> dict[str, str]:
    """Return the configuration by name, with the values that were used for what it leaves open."""
    from reproducible_ml.tracking.runs import Used, flat, used_values, with_origin

    used = used_values(run)
    config = dict(run.config)
    if "model_dir" in config and config["model_dir"] is None and run.facts.get("model_dir"):
        used["model_dir"] = Used(run.facts["model_dir"], "of this run's own")
    config.update({name: one.value for name, one in used.items()})
    return {
        name: with_origin(shown(without_secrets(value, name)), used.get(name))
        for name, value in sorted(flat(config, "").items())
    }


def _trace(run: Run) -> list[str]:
    trace = run.entry.get("fail_trace") or []
    lines = [line for part in trace for line in str(part).rstrip("\n").splitlines()]
    return [" " * _INDENT + shown(without_secrets(line)) for line in lines[-_TRACE_LINES:]]


def _strange(run: Run) -> list[str]:
    return [" " * _INDENT + shown(reason) for reason in run.strange_facts]


def _data(run: Run) -> dict[str, Any]:
    from reproducible_ml.tracking.runs import source_text

    found = {}
    for key, facts in (run.facts.get("dataset") or {}).items():
        records = ", ".join(f"{name} {n}" for name, n in (facts.get("records") or {}).items())
        fingerprint = shown(facts.get("fingerprint"))
        found[key] = f"fingerprint {fingerprint}  {facts.get('record_dir')}  {records}"
        if facts.get("source"):
            found[f"{key} from"] = source_text(facts["source"])
    return found


def _upstream(run: Run) -> dict[str, Any]:
    return {
        str(one.get("stage")): "unknown run"
        if one.get("run_id") is None
        else f"run {one['run_id']}"
        for one in run.facts.get("upstream") or []
    }


def _last_points(run: Run) -> list[tuple[str, int, Any, Any]]:
    return [
        (name, len(one["values"]), one["steps"][-1], one["values"][-1])
        for name, one in sorted(run.points.items())
        if one["values"]
    ]


def _metrics(run: Run, width: int | None) -> list[str]:
    rows = [
        (name, shown(value), f"at step {step}", counted(count, "point"))
        for name, count, step, value in _last_points(run)
    ]
    return table(rows, right=(1, 3), width=width, indent=_INDENT)


def _artifacts(run: Run, width: int | None) -> list[str]:
    rows = [
        (one.name, size(one.bytes), one.content_type or "-", one.place)
        for one in run.artifacts.infos.values()
    ]
    return table(rows, right=(1,), elastic=(3,), width=width, indent=_INDENT)


def _checkpoint(run: Run) -> dict[str, Any]:
    from reproducible_ml.tracking.runs import newest_checkpoint

    facts = run.facts.get("checkpoint")
    if facts:
        total = sum(one["bytes"] for one in facts["files"].values())
        return {"path": facts["path"], "step": f"{facts['step']}, {size(total)}"}
    found = newest_checkpoint(run.facts)
    if found is None:
        return {}
    path, step = found
    # Only the folder was recorded, and a later run may have resumed the training in it.
    return {"path": str(path), "step": f"{step}, the newest that lies there now"}


def _environment(run: Run) -> dict[str, Any]:
    facts = run.environment
    if not facts:
        return {}
    tensorflow = facts.get("tensorflow") or {}
    cpu, threads = facts.get("cpu") or {}, facts.get("threads") or {}
    return {
        "python": shown((facts.get("python") or {}).get("version")),
        "tensorflow": shown(tensorflow.get("version")),
        "packages": f"{len(facts.get('packages') or {})} (listed by --json)",
        "os": shown((facts.get("os") or {}).get("platform")),
        "cpu": f"{cpu.get('model')}, {cpu.get('cores')} cores",
        "threads": {
            name: value
            for name, value in threads.items()
            if value is not None and not isinstance(value, Mapping)
        }
        or "-",
        "variables": " ".join(
            f"{name}={value}" for name, value in (facts.get("variables") or {}).items()
        )
        or "-",
        "determinism": {
            name: value
            for name, value in (run.facts.get("determinism") or {}).items()
            if not isinstance(value, Mapping)
        }
        or "-",
    }


def _verdicts(run: Run) -> list[str]:
    from reproducible_ml.tracking.runs import verdict_rows

    rows = verdict_rows(run.facts.get("verdicts"))
    return table([(one.time, one.about, one.verdict) for one in rows], indent=_INDENT)
