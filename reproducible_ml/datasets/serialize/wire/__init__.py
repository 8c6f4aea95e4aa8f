"""Bytes: TFRecord framing and the wire layout of Examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.datasets.serialize.wire.layout import (
        Block,
        Layout,
        Payloads,
        WireField,
        list_payload,
        one_by_one,
        pack_integers,
        wire_fields,
    )
    from reproducible_ml.datasets.serialize.wire.tfrecord import (
        FOOTER_BYTES,
        FRAME_BYTES,
        HEADER_BYTES,
        FrameError,
        header,
        scan,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "FOOTER_BYTES",
    "FRAME_BYTES",
    "HEADER_BYTES",
    "Block",
    "FrameError",
    "Layout",
    "Payloads",
    "WireField",
    "header",
    "list_payload",
    "one_by_one",
    "pack_integers",
    "scan",
    "wire_fields",
]
