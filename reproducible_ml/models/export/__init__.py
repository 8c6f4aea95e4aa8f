"""Export of a trained generator as a SavedModel with its provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.models.export.export import (
        Export,
        check_output,
        checkpoint_files,
        choose_checkpoint,
        export_gan,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Export",
    "check_output",
    "checkpoint_files",
    "choose_checkpoint",
    "export_gan",
]
