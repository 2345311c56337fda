import pytest

from quantkit.cli.explain import extra_of


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("torch", "build"),
        ("nemo", "build"),
        ("ruamel", "build"),
        ("onnx_ir", "build"),
        ("olive", "build"),
        ("datasets", "eval"),
        ("onnxruntime_genai", "clients"),
        ("distributed", "cluster"),
        ("huggingface_hub", "hub"),
        ("onnxruntime", None),
        ("numpy", None),
        ("no_such_module", None),
    ],
)
def test_extras_are_those_of_the_package(module: str, extra: str | None) -> None:
    assert extra_of(module) == extra
