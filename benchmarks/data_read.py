"""Reading one shuffled epoch of MNIST, and verifying what was written."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.data_write import ours, write_array_record
from benchmarks.measure import Contender, Part, Target, take_turns

BATCH, BUFFER = 256, 10_000
# How many epochs share the opening of a reader; those that take seconds for one read just that.
EPOCHS = 10
# array_record is read record by record, hundreds of times slower than a gather.
GRAIN_RECORDS = 5_000
TITLE, GZIP_TITLE, VERIFY = "read MNIST, none", "read MNIST, GZIP", "verify MNIST"
DOCUMENT = "map(parse_single), batch, shuffle"
PLAIN = "shuffle(buffer), batch, parse_example"
BUFFERED = "in memory, shuffle(buffer), batch"
LIMIT = "in memory, in order, cast only"
LOADED = "ours, memory, once loaded"
TFDS = "TFDS, shuffle, batch"
GRAIN = "Grain over array_record"
TORCH = "PyTorch DataLoader"
CAT, CHECK = "cat", "verify"
TARGETS = [
    Target("read MNIST, memory gather, shuffled", TITLE, "ours, memory", DOCUMENT, 18),
    Target("read MNIST, memory gather, shuffled", TITLE, "ours, memory", TFDS, 20),
    Target("read MNIST, memory gather, shuffled", TITLE, LOADED, LIMIT, 0.8, "percent"),
    Target("read MNIST, streaming shuffled, none", TITLE, "ours, stream", DOCUMENT, 5),
    Target("read MNIST, streaming shuffled, GZIP", GZIP_TITLE, "ours, stream", DOCUMENT, 4),
    Target("memory-mapped global shuffle", TITLE, "ours, memmap", PLAIN, 1.4),
    Target("verify", VERIFY, CHECK, CAT, 0.5, "percent"),
]


def measure(work: Path, mnist: dict[str, Any], rounds: int) -> Iterator[Part]:
    """Measure all parts of reading.

    Args:
        work: An empty folder.
        mnist: ``image`` uint8 [n, 28, 28] and ``label`` int64 [n].
        rounds: How often each contender runs.
    """
    count = len(mnist["label"])
    for compression, title in (("", TITLE), ("GZIP", GZIP_TITLE)):
        folder = work / f"read{compression}"
        ours(folder, mnist, mnist, compression)
        contenders = _readers(folder, compression, count)
        if not compression:
            contenders.update(_peers(work, mnist))
        yield take_turns(Part(title, DOCUMENT, count, 784), contenders, rounds)
    folder = work / "read"
    files = sorted(str(path) for path in folder.iterdir())
    turns = {CAT: Contender(lambda: _cat(files)), CHECK: Contender(lambda: _verify(folder))}
    yield take_turns(Part(VERIFY, CAT, count, 784), turns, rounds)


def _readers(folder: Path, compression: str, count: int) -> dict[str, Contender]:
    import tensorflow as tf

    from reproducible_ml.input_fn import input_fn

    form = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    shards = sorted(str(path) for path in folder.glob("*.tfrecord"))

    def document() -> Any:
        def parse(one: Any) -> Any:
            parsed = tf.io.parse_single_example(one, form)
            return _scaled(tf.io.decode_raw(parsed["image"], tf.uint8), parsed["label"])

        data = tf.data.TFRecordDataset(shards, compression).map(parse)
        return data.batch(BATCH).shuffle(1000).prefetch(2)

    def reader(name: str, repeat: bool = False) -> Callable[[], Any]:
        def read() -> Any:
            opened = input_fn(
                folder,
                batch_size=BATCH,
                # The others draw no latents: as few as can be.
                noise_dims=1,
                label_key="label",
                repeat=repeat,
                reader=name,
                check="size",
            )
            return opened()

        return read

    def plain() -> Any:
        def parse(batch: Any) -> Any:
            parsed = tf.io.parse_example(batch, form)
            return _scaled(tf.io.decode_raw(parsed["image"], tf.uint8), parsed["label"])

        data = tf.data.TFRecordDataset(shards, compression).shuffle(BUFFER).batch(BATCH)
        return data.map(parse).prefetch(2)

    readers = {DOCUMENT: _drained(document), PLAIN: _drained(plain, count)}
    for name in ("memory", "memmap", "stream"):
        if not (compression and name == "memmap"):
            readers[f"ours, {name}"] = _drained(reader(name), count)
    if not compression:
        readers[LOADED] = _opened(reader("memory", repeat=True), count)
    return readers


def _peers(work: Path, mnist: dict[str, Any]) -> dict[str, Contender]:
    import tensorflow as tf

    images, labels = mnist["image"], mnist["label"]

    def buffered() -> Any:
        data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(BUFFER).batch(BATCH)
        return data.map(_scaled).prefetch(2)

    whole = len(images) // BATCH
    batches = images[: whole * BATCH].reshape(whole, BATCH, 784)

    def limit() -> Any:
        batched = labels[: whole * BATCH].reshape(whole, BATCH)
        data = tf.data.Dataset.from_tensor_slices((batches, batched))
        return data.map(_scaled).prefetch(2).repeat()

    peers = {BUFFERED: _drained(buffered, len(images)), LIMIT: _opened(limit, len(images))}
    try:
        from benchmarks import tfds_peer

        builder = tfds_peer.write(work / "tfds", images, labels)
        peers[TFDS] = _drained(lambda: tfds_peer.read(builder, BATCH, BUFFER, _scaled))
    except ImportError:
        pass
    return {**peers, **_grain(work, mnist), **_torch(mnist)}


def _scaled(image: Any, label: Any) -> Any:
    import tensorflow as tf

    return tf.cast(image, tf.float32) / 127.5 - 1.0, label


def _drained(make: Callable[[], Any], records: int | None = None) -> Contender:
    """Read a dataset to its end inside a graph, so that Python's loop costs none of them.

    Opening counts too, since reading into memory is a part of the work; tracing does not.

    Args:
        make: Makes the dataset, one epoch long.
        records: Of one epoch, to read ``EPOCHS`` of them; None reads one.
    """
    import tensorflow as tf

    epochs = 1 if records is None else EPOCHS
    traced: list[Any] = []

    def drain() -> Any:
        # repeat() keeps what is in memory, as training does.
        return make().repeat(epochs).reduce(tf.constant(0, tf.int64), lambda count, *_: count + 1)

    def run() -> None:
        if not traced:
            traced.append(tf.function(drain, autograph=False).get_concrete_function())
        traced[0]().numpy()

    return Contender(run, records=None if records is None else records * epochs)


def _opened(make: Callable[[], Any], records: int) -> Contender:
    """Read batches of an endless dataset that is open already, inside a graph."""
    import tensorflow as tf

    batches = records * EPOCHS // BATCH
    open_ones: list[Any] = []

    @tf.function(autograph=False)
    def drain(iterator: Any) -> Any:
        def one(count: Any) -> Any:
            # Waits for the batch before it and takes the next.
            with tf.control_dependencies(tf.nest.flatten(iterator.get_next())):
                return (count + 1,)

        return tf.while_loop(lambda count: count < batches, one, (tf.constant(0),))

    def run() -> None:
        if not open_ones:
            open_ones.append(iter(make()))
        drain(open_ones[0])[0].numpy()

    return Contender(run, records=batches * BATCH)


def _grain(work: Path, mnist: dict[str, Any]) -> dict[str, Contender]:
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
        operations = [Parse(), grain.Batch(BATCH)]
        for _ in grain.DataLoader(data_source=source, sampler=sampler, operations=operations):
            pass

    return {GRAIN: Contender(read, records=len(few["label"]))}


def _torch(mnist: dict[str, Any]) -> dict[str, Contender]:
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
        for _ in torch.utils.data.DataLoader(Digits(), BATCH, shuffle=True):
            pass

    return {TORCH: Contender(read)}


def _cat(files: list[str]) -> None:
    subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)


def _verify(folder: Path) -> None:
    from reproducible_ml.datasets.serialize.verify import verify

    defects = verify(folder)
    if defects:
        raise RuntimeError(f"the benchmark's own data set is damaged: {defects[0]}")
