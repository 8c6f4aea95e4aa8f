"""The pipeline itself: Beam's options, the run, and the error of a worker."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import apache_beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from reproducible_ml.datasets.serialize.shard import ShardPlan
from reproducible_ml.utils.errors import ConfigError, DataError

# Beam's runner of this machine. Its newer name, DirectRunner, may first download another one.
_LOCAL_RUNNER = "FnApiRunner"


def parse_options(given: Sequence[str]) -> PipelineOptions:
    """Parse Beam's options; one that it does not know would only be warned of, and then ignored.

    Args:
        given: Such as ``["--runner=FlinkRunner", "--flink_master=host:8081"]``.

    Raises:
        ConfigError: Beam does not know one of them.
    """
    options = PipelineOptions(list(given))
    unknown: list[str] = []
    # Called with the parser of all options there are, those of a user's own classes too.
    options.get_all_options(
        add_extra_args_fn=lambda parser: unknown.extend(parser.parse_known_args(given)[1]),
        retain_unknown_options=True,
    )
    if unknown:
        raise ConfigError(
            f"{', '.join(unknown)}: neither an option of this command nor one of Beam's. Look for "
            "a slip of the pen; --help lists this command's. What only a runner's own server "
            "knows must be made known by a subclass of Beam's PipelineOptions."
        )
    # Some file systems, such as HDFS, take their settings from there.
    FileSystems.set_options(options)
    return options


def run(
    plans: Mapping[str, Sequence[ShardPlan]], writing: apache_beam.DoFn, chosen: PipelineOptions
) -> None:
    """Run the pipeline that writes shards.

    Args:
        plans: Split -> its shards, an element each.
        writing: Writes the shards that it is given.
        chosen: Beam's options.

    Raises:
        DataError: What a worker raised.
    """
    runner = chosen.view_as(StandardOptions).runner or _LOCAL_RUNNER
    every = [plan for split in plans.values() for plan in split]
    try:
        with apache_beam.Pipeline(runner=runner, options=chosen) as pipeline:
            (
                pipeline
                | "shards" >> apache_beam.Create(every)
                | "spread" >> apache_beam.Reshuffle()
                | "write" >> apache_beam.ParDo(writing)
            )
    except Exception as error:
        # Runners wrap what a worker raised, some as text only.
        found = _data_error_in(error)
        if found is None:
            raise
        raise DataError(found) from error


def _data_error_in(error: BaseException | None) -> str | None:
    while error is not None:
        found = str(error) if isinstance(error, DataError) else _last_in_traceback(str(error))
        if found is not None:
            return found.split(" [while running")[0]
        error = error.__cause__ or error.__context__
    return None


def _last_in_traceback(text: str) -> str | None:
    found = re.findall(rf"^{re.escape(DataError.__module__)}\.DataError: (.*)$", text, re.MULTILINE)
    return found[-1] if found else None
