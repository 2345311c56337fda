"""What a rewrite is: an exact change at every place of a graph that matches, and how many do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


Expected = Callable[[Sizes], int | None]


class MatchError(QuantkitError):
    """A rewrite matched more or fewer places of a graph than its sizes imply."""


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
    expected: Expected
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
            f"accepted {expected} with {sizes.layers} layers and {sizes.linears} linear modules "
            "outside of them; nearest to a match: "
            f"{'; '.join(misses[:_SHOWN]) or 'nothing'}{more}"
        )


def any_number(_: Sizes) -> None:
    """Expect nothing: the number follows from how the exporter writes, not from the sizes."""


def by_patterns(
    name: str, *rules: pattern.RewriteRule, expected: Expected, commute: bool = False
) -> Rewrite:
    """A rewrite by onnxscript's rules; `commute` also matches swapped operands of Add and Mul."""
    every = pattern.RewriteRuleSet(rules, commute=commute)

    def misses(model: ir.Model) -> list[str]:
        tracer = pattern.MatchingTracer()
        every.apply_to_model(model, tracer=tracer)
        tried = [match for matches in tracer.best_matches_map.values() for match in matches]
        best = max((match.score() for match in tried), default=0)
        nearest = [match for match in tried if match.score() == best]
        return list(dict.fromkeys(_miss(m.root_node, m.match_result.reason) for m in nearest))

    return Rewrite(name, lambda model: int(every.apply_to_model(model)), expected, misses)


def by_nodes(
    name: str, operator: str, change: Callable[[ir.Node], str | None], expected: Expected
) -> Rewrite:
    """A rewrite by a function of a node of an operator.

    It changes the node; or returns why it does not match, empty where it is not even alike.
    """

    def visit(model: ir.Model) -> list[tuple[ir.Node, str | None]]:
        nodes = [node for node in model.graph if node.op_type == operator]
        return [(node, change(node)) for node in nodes if node.graph is not None]

    def apply(model: ir.Model) -> int:
        return sum(reason is None for _, reason in visit(model))

    def misses(model: ir.Model) -> list[str]:
        return [_miss(node, reason) for node, reason in visit(model) if reason]

    return Rewrite(name, apply, expected, misses)


def _miss(node: ir.Node, reason: str) -> str:
    return f"{node.op_type} {node.name!r}: {reason}"


def unusual_convolution(node: ir.Node, group: int) -> str | None:
    """The first attribute of a Conv over time that is not plain, in words."""
    plain: dict[str, Any] = {"group": group, "strides": [1], "pads": [0, 0], "dilations": [1]}
    for name, value in plain.items():
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


def replace_parts(nodes: Sequence[ir.Node], split: ir.Node) -> None:
    """Let the outputs of a Split take the places of one-output nodes, and drop these."""
    for node, part in zip(nodes, split.outputs, strict=True):
        part.shape, part.type = node.outputs[0].shape, node.outputs[0].type
        remove_node(node, part)
