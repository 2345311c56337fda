"""The picture of the damages."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from quantkit.calibrate.sensitivity.plot import OTHERS, plot_sensitivity
from quantkit.core.errors import InputError
from quantkit.quantize.widths.measured import MeasuredTensor, Sensitivity

NAMES = ["encoder/stem.out.weight", "joint/output.1.weight"] + [
    f"encoder/layers.{layer}.{kind}.weight" for layer in range(3) for kind in ("ff", "conv")
]


@pytest.fixture
def report() -> Sensitivity:
    def tensor(name: str, damage: float) -> MeasuredTensor:
        return {
            "name": name,
            "shape": [4, 4],
            "parameters": 16,
            "choices": [
                {
                    "bits": bits,
                    "block_size": 32,
                    "bytes": 100,
                    "relative_error": 0.1,
                    "kl_mean": damage / bits**4,
                    "kl_p99": 0.1,
                    "flips": 0.0,
                }
                for bits in (4, 8)
            ],
        }

    return {
        "scheme": {"scheme": "rtn"},
        "utterances": 1,
        "decisions": 10,
        "reference": {},
        "tensors": [tensor(name, 1e-3 * (index + 1)) for index, name in enumerate(NAMES)],
    }


@pytest.mark.slow
def test_a_panel_for_each_kind_and_a_line_for_each_width(
    report: Sensitivity, tmp_path: Path
) -> None:
    path = tmp_path / "damage.svg"
    plot_sensitivity(report, path)
    words = {element.text for element in ET.parse(path).iter() if element.text}
    assert {"ff", "conv", OTHERS, "4 bits, block 32", "8 bits, block 32", "mean KL, nats"} <= words
    assert {"stem.out", "output.1"} <= {word.strip() for word in words}
    first = path.read_bytes()
    plot_sensitivity(report, path)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_png(report: Sensitivity, tmp_path: Path) -> None:
    plot_sensitivity(report, tmp_path / "damage.png")
    assert (tmp_path / "damage.png").read_bytes().startswith(b"\x89PNG")


def test_other_formats_are_refused(report: Sensitivity, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--plot .*damage\.jpg: accepted: .*\.svg or \.png"):
        plot_sensitivity(report, tmp_path / "damage.jpg")
    assert not list(tmp_path.iterdir())
