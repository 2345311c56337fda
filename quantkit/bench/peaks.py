"""What the machine reaches at its best, to hold a step against."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

#: Far more than a last-level cache holds.
ARRAY_BYTES = 512 * 2**20
#: Rows and columns of the factors: large enough to fill the runtime's tiles, small enough for
#: caches.
SIZE = 1024
REPEATS = 12


@dataclass(frozen=True)
class Peaks:
    """The best rates seen with so many threads."""

    threads: int
    read_bytes_per_s: float
    """Reading a large array in order."""
    integer_multiply_adds_per_s: float
    """ONNX Runtime's uint8 by int8 `MatMulInteger`: the runtime's peak, not the processor's."""

    def or_better(self, other: Peaks) -> Peaks:
        """The better of each, with as many threads."""
        pairs = zip(astuple(self)[1:], astuple(other)[1:], strict=True)
        return Peaks(self.threads, *map(max, pairs))


def measure_peaks(threads: int) -> Peaks:
    """Measure both; takes a second or two and half a gigabyte of memory."""
    return Peaks(threads, _read_rate(threads), _integer_rate(threads))


def _read_rate(threads: int) -> float:
    array = np.ones(ARRAY_BYTES // 4, dtype=np.float32)
    parts = np.array_split(array, threads)
    with ThreadPoolExecutor(threads) as pool:
        # numpy's maximum is vectorised and releases the interpreter's lock.
        return array.nbytes / _best(lambda: list(pool.map(np.max, parts)))


def _integer_rate(threads: int) -> float:
    chance = np.random.default_rng(0)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    model = _product(chance.integers(-127, 128, (SIZE, SIZE), dtype=np.int8))
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {"a": chance.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)}
    return SIZE**3 / _best(lambda: session.run(None, feeds))


def _product(weight: NDArray[np.int8]) -> bytes:
    # The candidates' processes import this module too; onnx would count as their memory.
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [SIZE, SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [SIZE, SIZE])],
        [numpy_helper.from_array(weight, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    serialized: bytes = model.SerializeToString()
    return serialized


def _best(work: Callable[[], object]) -> float:
    """Seconds of the fastest repetition: what disturbs the machine can only slow it."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)
