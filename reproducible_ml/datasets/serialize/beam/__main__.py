"""The command ``python -m reproducible_ml.datasets.serialize.beam``."""

from reproducible_ml.utils.errors import ConfigError

try:
    from reproducible_ml.datasets.serialize.beam.records import main
except ConfigError as error:
    raise SystemExit(f"Error: {error}") from error

main()
