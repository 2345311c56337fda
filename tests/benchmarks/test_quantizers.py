from __future__ import annotations

from dataclasses import asdict
from io import StringIO

import numpy as np
from rich.console import Console

from benchmarks.quantizers import compare_matrix, tables
from quantkit.quantize.moments import InputMoments
from quantkit.quantize.schemes.rtn import round_to_nearest
from tests.quantize import weights
from tests.quantize.every_scheme import moments


def test_shares_are_of_olives_errors_and_no_block_is_above_round_to_nearest() -> None:
    weight = weights.heavy("laplace", 256, 64)
    olive = weights.olive_kquant(weight, 4, 32)
    given = moments(256)
    assert given.hessian is not None
    found = compare_matrix("encoder/w", weight, olive, given, given.hessian)
    assert found.blocks_above_rtn == 0
    assert found.weights["kquant weight"] < 0.88
    assert found.weights["kquant activation"] < 0.84
    assert found.outputs.keys() == {"rtn", "kquant weight", "kquant activation", "gptq"}
    assert found.outputs["gptq"] < 0.6

    table = compare_matrix("predictor/embedding", weight, olive, None, None)
    assert table.weights == {"kquant weight": found.weights["kquant weight"]}
    assert not table.outputs, "what is looked up has no inputs"


def test_output_errors_are_those_of_the_products() -> None:
    weight = weights.heavy("gauss", 64, 8)
    olive = weights.olive_kquant(weight, 4, 32)
    inputs = np.random.default_rng(3).standard_normal((500, 64))
    hessian = (inputs.T @ inputs / 500).astype(np.float32)
    measured = InputMoments(hessian.diagonal().astype(float), hessian)
    found = compare_matrix("joint/w", weight, olive, measured, hessian)

    def error(stored: np.ndarray) -> float:
        return float(((inputs @ (stored - weight)) ** 2).mean())

    wanted = error(round_to_nearest(weight, 4, 32).dequantize()) / error(olive.dequantize())
    assert abs(found.outputs["rtn"] / wanted - 1) < 1e-4


def test_the_tables_show_means_and_what_it_took() -> None:
    weight = weights.heavy("gauss", 64, 8)
    row = compare_matrix("joint/w", weight, weights.olive_kquant(weight, 4, 32), None, None)
    took = {"seconds": 12.0, "rss_bytes": 10**9}
    report = {
        "olive": took,
        "quantkit": took | {"seconds": 3.0},
        "block_size": 32,
        "float_bytes": 2 * 10**9,
        "tensors": [asdict(row), asdict(row)],
    }
    text = StringIO()
    for table in tables(report):
        Console(file=text, width=100).print(table)
    assert "0.250" in text.getvalue()
    assert f"{row.weights['kquant weight']:.3f}" in text.getvalue()
