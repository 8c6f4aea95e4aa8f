"""Peers that read MNIST (TFDS, Grain, PyTorch), and arrays in memory as the limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.data_epochs import drained, opened, scaled
from benchmarks.data_write import write_array_record
from benchmarks.measure import Contender

# array_record is read record by record, hundreds of times slower than a gather.
GRAIN_RECORDS = 5_000
BUFFERED = "in memory, shuffle(buffer), batch"
LIMIT = "in memory, in order, cast only"
TFDS = "TFDS, shuffle, batch"
GRAIN = "Grain over array_record"
TORCH = "PyTorch DataLoader"


def peers(work: Path, mnist: dict[str, Any], batch: int, buffer: int, epochs: int) -> Any:
    """Make the contenders that are installed.

    Args:
        work: Where they may write.
        mnist: ``image`` uint8 [n, 28, 28] and ``label`` int64 [n].
        batch: Batch size.
        buffer: Elements of a shuffle buffer.
        epochs: Of those that take no seconds for one.
    """
    import tensorflow as tf

    images, labels = mnist["image"], mnist["label"]

    def buffered() -> Any:
        data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(buffer).batch(batch)
        return data.map(scaled).prefetch(2)

    whole = len(images) // batch
    batches = images[: whole * batch].reshape(whole, batch, 784)

    def limit() -> Any:
        batched = labels[: whole * batch].reshape(whole, batch)
        data = tf.data.Dataset.from_tensor_slices((batches, batched))
        return data.map(scaled).prefetch(2).repeat()

    found = {
        BUFFERED: drained(buffered, len(images), epochs),
        LIMIT: opened(limit, whole * epochs, batch),
    }
    try:
        from benchmarks import tfds_peer

        builder = tfds_peer.write(work / "tfds", images, labels)
        found[TFDS] = drained(lambda: tfds_peer.read(builder, batch, buffer, scaled), len(images))
    except ImportError:
        pass
    return {**found, **_grain(work, mnist, batch), **_torch(mnist, batch)}


def _grain(work: Path, mnist: dict[str, Any], batch: int) -> dict[str, Contender]:
    try:
        import grain.python as grain
        from array_record.python.array_record_data_source import ArrayRecordDataSource
    except ImportError:
        return {}
    import tensorflow as tf

    path = work / "grain.array_record"
    few = {key: values[:GRAIN_RECORDS] for key, values in mnist.items()}
    write_array_record(path, few, compressed=False)

    class Parse(grain.MapTransform):
        def map(self, element: bytes) -> Any:
            import numpy as np

            feature = tf.train.Example.FromString(element).features.feature
            image = np.frombuffer(feature["image"].bytes_list.value[0], np.uint8)
            label = feature["label"].int64_list.value[0]
            return image.astype(np.float32) / 127.5 - 1.0, label

    def read() -> None:
        source = ArrayRecordDataSource([str(path)])
        sampler = grain.IndexSampler(
            len(source), grain.NoSharding(), shuffle=True, num_epochs=1, seed=0
        )
        operations = [Parse(), grain.Batch(batch)]
        for _ in grain.DataLoader(data_source=source, sampler=sampler, operations=operations):
            pass

    return {GRAIN: Contender(read, records=len(few["label"]))}


def _torch(mnist: dict[str, Any], batch: int) -> dict[str, Contender]:
    try:
        import torch
    except ImportError:
        return {}
    images = torch.from_numpy(mnist["image"])
    labels = torch.from_numpy(mnist["label"])

    class Digits(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, index: int) -> Any:
            return images[index].float() / 127.5 - 1.0, labels[index]

    def read() -> None:
        for _ in torch.utils.data.DataLoader(Digits(), batch, shuffle=True):
            pass

    return {TORCH: Contender(read)}
