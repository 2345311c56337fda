"""What rewrites of convolutions ask of a Conv node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from quantkit.graph.constants import constant_of


def unusual_attribute(node: ir.Node, usual: Mapping[str, Any]) -> str | None:
    """The first attribute of a node that is set to another value than the usual, in words."""
    for name, value in usual.items():
        found = node.attributes[name].value if name in node.attributes else value
        if (list(found) if isinstance(value, list) else found) != value:
            return f"{name} is {found}"
    return None


def real_bias(bias: ir.Value | None) -> ir.Value | None:
    """The bias, or None for the zeros that the exporter writes where a module has none."""
    constant = constant_of(bias)
    return bias if constant is None or constant.numpy().any() else None
