"""The description of a packed data set in Croissant 1.0, with its fields for responsible AI.

See https://docs.mlcommons.org/croissant/docs/croissant-spec.html and croissant-rai-spec.html. What
a data set of this project does not know, such as who labelled it, is not stated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.serialize import Manifest
from reproducible_ml.handlers import FeatureSchema
from reproducible_ml.utils.digests import file_digest
from reproducible_ml.utils.text import SHORT_DIGEST

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "citeAs": "cr:citeAs",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{
        name: f"cr:{name}"
        for name in (
            *("column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty"),
            *("fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5"),
            *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace"),
            *("samplingRate", "separator", "source", "subField", "transform"),
        )
    },
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
_FORMS = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
_RECORDS = "application/x-tfrecord"


def croissant_of(manifest: Manifest, place: str, written: str, licence: str) -> dict[str, Any]:
    """Describe a data set.

    Args:
        manifest: Its manifest, beside its shards.
        place: Its folder, relative to the description.
        written: Date on which it was packed or recorded, in ISO 8601.
        licence: Its licence, or what is known of one.

    Returns:
        What the description holds, as JSON types.
    """
    records = {name: split.records for name, split in manifest.splits.items()}
    counts = ", ".join(f"{count:,} {name}" for name, count in records.items())
    source = json.dumps(manifest.source, sort_keys=True)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _FORMS,
        "name": Path(place).name,
        "description": f"Records of tf.train.Example in TFRecord shards ({counts}), as "
        f"{manifest.path.name} beside them describes: features, order and checksums.",
        "url": f"urn:sha256:{manifest.fingerprint}",
        "version": f"1.0.0+{manifest.fingerprint[:SHORT_DIGEST]}",
        "datePublished": written,
        "license": licence,
        "distribution": list(_files(manifest, place)),
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "records",
                "name": "records",
                "description": "One record is one serialized tf.train.Example.",
                "field": [_field(name, one) for name, one in manifest.features.items()],
            }
        ],
        "rai:dataCollection": f"Read from the source {source}; its digest covers the raw data.",
        "rai:dataPreprocessingProtocol": [
            f"{name}: {json.dumps(settings, sort_keys=True)}"
            for name, settings in manifest.handlers.items()
        ],
    }


def _files(manifest: Manifest, place: str) -> Iterator[dict[str, Any]]:
    folder = Path(manifest.record_dir)
    names = [one.file for split in manifest.splits.values() for one in split.shards]
    for name in [manifest.path.name, *names]:
        is_manifest = name == manifest.path.name
        yield {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": f"{place}/{name}",
            "contentSize": f"{(folder / name).stat().st_size} B",
            "encodingFormat": "application/json" if is_manifest else _RECORDS,
            "sha256": file_digest(folder / name),
        }
    yield {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "encodingFormat": _RECORDS,
        "includes": f"{place}/*.tfrecord*",
    }


def _field(name: str, schema: FeatureSchema) -> dict[str, Any]:
    shape = "of varying length"
    if schema.shape is not None:
        shape = "x".join(str(size) for size in schema.shape) or "a single value"
    ranges = "" if schema.value_range is None else f", values from {list(schema.value_range)}"
    return {
        "@type": "cr:Field",
        "@id": f"records/{name}",
        "name": name,
        "description": f"{schema.description or name}: {schema.dtype}, {shape}{ranges}.",
        "dataType": _data_type(schema),
        "source": {"fileSet": {"@id": "shards"}, "extract": {"fileProperty": "content"}},
    }


def _data_type(schema: FeatureSchema) -> str:
    if schema.value_range is not None and len(schema.shape or ()) == 3:
        return "sc:ImageObject"
    if schema.dtype.startswith(("int", "uint", "bool")):
        return "sc:Integer"
    return "sc:Float" if schema.dtype.startswith(("float", "bfloat")) else "sc:Text"
