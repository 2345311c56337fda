"""What a rewrite is: an exact change at every place of a graph that matches, and how many do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern

from quantkit.core.errors import QuantkitError

_SHOWN = 3


@dataclass(frozen=True)
class Sizes:
    """What the number of matches in a graph follows from.

    Attributes:
        graph: its name.
        layers: Conformer layers.
        linears: linear modules outside of them.
        biased: whether the linear modules of the layers have biases.
    """

    graph: str
    layers: int
    linears: int
    biased: bool


class MatchError(QuantkitError):
    """A rewrite matched more or fewer places of a graph than its sizes imply."""


class MissError(Exception):
    """A node does not match; the message says why, or nothing where it is not even alike."""


@dataclass(frozen=True)
class Rewrite:
    """An exact change of a graph, wherever it matches.

    Attributes:
        name: what reports and errors call it.
        apply: changes a model in place and returns the number of matches.
        expected: the number that sizes imply; None where they imply none.
        misses: why those places of a model do not match that nearly do.
    """

    name: str
    apply: Callable[[ir.Model], int]
    expected: Callable[[Sizes], int | None]
    misses: Callable[[ir.Model], list[str]] = lambda _: []

    def __call__(self, model: ir.Model, sizes: Sizes) -> int:
        """Change a model in place; returns the number of matches.

        Raises:
            MatchError: it is not what the sizes imply.
        """
        matches, expected = self.apply(model), self.expected(sizes)
        if expected in (None, matches):
            return matches
        misses = self.misses(model)
        more = f" and {len(misses) - _SHOWN} more" if len(misses) > _SHOWN else ""
        raise MatchError(
            f"rewrite {self.name!r} is refused: found {matches} matches in {sizes.graph}.onnx, "
            f"accepted {expected}, as {sizes.layers} layers imply; nearest to a match: "
            f"{'; '.join(misses[:_SHOWN]) or 'nothing'}{more}"
        )


def any_number(_: Sizes) -> None:
    """Expect nothing: the number follows from how the exporter writes, not from the sizes."""


def by_patterns(
    name: str,
    *rules: pattern.RewriteRule,
    expected: Callable[[Sizes], int | None],
    commute: bool = False,
) -> Rewrite:
    """A rewrite by onnxscript's rules; `commute` also matches swapped operands of Add and Mul."""
    every = pattern.RewriteRuleSet(list(rules), commute=commute)

    def misses(model: ir.Model) -> list[str]:
        tracer = pattern.MatchingTracer()
        every.apply_to_model(model, tracer=tracer)
        nearest = [match for found in tracer.best_matches_map.values() for match in found]
        best = max((match.score() for match in nearest), default=0)
        told = [_told(m.root_node, m.match_result.reason) for m in nearest if m.score() == best]
        return list(dict.fromkeys(told))

    return Rewrite(name, lambda model: int(every.apply_to_model(model)), expected, misses)


def by_nodes(
    name: str,
    operator: str,
    change: Callable[[ir.Node], None],
    expected: Callable[[Sizes], int | None],
) -> Rewrite:
    """A rewrite by a function that changes a node, or raises MissError before it does."""

    def visit(model: ir.Model) -> list[str | None]:
        """Of each node that may match why it does not, or None."""
        return [
            _attempt(change, node)
            for node in list(model.graph)
            if node.op_type == operator and node.graph is not None
        ]

    return Rewrite(
        name,
        lambda model: visit(model).count(None),
        expected,
        lambda model: list(filter(None, visit(model))),
    )


def _attempt(change: Callable[[ir.Node], None], node: ir.Node) -> str | None:
    try:
        change(node)
    except MissError as error:
        return _told(node, str(error)) if error.args else ""
    return None


def _told(node: ir.Node, reason: str) -> str:
    return f"{node.op_type} {node.name!r}: {reason or 'the nodes around it differ'}"


def unusual_attribute(node: ir.Node, usual: Mapping[str, Any]) -> str | None:
    """The first attribute of a node that is set to another value than the usual, in words."""
    for name, value in usual.items():
        actual = node.attributes[name].value if name in node.attributes else value
        if (list(actual) if isinstance(value, list) else actual) != value:
            return f"{name} is {actual}"
    return None


def remove_node(node: ir.Node, replacement: ir.Value) -> None:
    """Let every user of a one-output node use `replacement`, and drop the node."""
    if node.graph is None:
        raise ValueError(f"node {node.name!r} is in no graph")
    ir.convenience.replace_all_uses_with(node.outputs[0], replacement)
    node.graph.remove(node, safe=True)
