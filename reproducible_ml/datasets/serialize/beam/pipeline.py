"""The pipeline: Beam's options, its run, and the errors of its workers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import apache_beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from reproducible_ml.datasets.serialize.shard import ShardPlan
from reproducible_ml.utils.errors import ConfigError, DataError

# Beam's runner for one machine. DirectRunner, its newer name, may download another runner.
_LOCAL_RUNNER = "FnApiRunner"


def parse_options(given: Sequence[str]) -> PipelineOptions:
    """Parse Beam's options, refusing unknown ones, which Beam would ignore with a warning.

    Args:
        given: Such as ``["--runner=FlinkRunner", "--flink_master=host:8081"]``.

    Raises:
        ConfigError: An option is unknown to Beam.
    """
    options = PipelineOptions(list(given))
    unknown: list[str] = []
    # This parser knows every option, including those of a user's own PipelineOptions classes.
    options.get_all_options(
        add_extra_args_fn=lambda parser: unknown.extend(parser.parse_known_args(given)[1]),
        retain_unknown_options=True,
    )
    if unknown:
        raise ConfigError(
            f"{', '.join(unknown)}: neither an option of this command nor one of Beam's. Check the "
            "spelling; --help lists this command's options. Options that only a runner's own "
            "server knows need a subclass of Beam's PipelineOptions."
        )
    # Some file systems, such as HDFS, take their settings from the options.
    FileSystems.set_options(options)
    return options


def run(
    plans: Mapping[str, Sequence[ShardPlan]], writing: apache_beam.DoFn, chosen: PipelineOptions
) -> None:
    """Run the pipeline that writes shards.

    Args:
        plans: Split -> its shards, each an element of the pipeline.
        writing: Writes the shards that it receives.
        chosen: Beam's options.

    Raises:
        DataError: A worker raised it.
    """
    runner = chosen.view_as(StandardOptions).runner or _LOCAL_RUNNER
    every = [plan for split in plans.values() for plan in split]
    try:
        with apache_beam.Pipeline(runner=runner, options=chosen) as pipeline:
            (
                pipeline
                | "shards" >> apache_beam.Create(every)
                # Without it, runners fuse all steps and one worker writes all shards.
                | "spread" >> apache_beam.Reshuffle()
                | "write" >> apache_beam.ParDo(writing)
            )
    except Exception as error:
        # Runners wrap a worker's error, some in text only.
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
