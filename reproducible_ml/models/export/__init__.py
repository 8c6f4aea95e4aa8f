"""Export of a trained model as a SavedModel with its provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.models.export.estimator import export_estimator
    from reproducible_ml.models.export.folder import (
        Export,
        check_output,
        choose_checkpoint,
        is_export_of,
    )
    from reproducible_ml.models.export.gan import export_gan
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Export",
    "check_output",
    "choose_checkpoint",
    "export_estimator",
    "export_gan",
    "is_export_of",
]
