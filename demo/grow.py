"""A training that goes on from an earlier one: its weights, with new layers between its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: What a layer adds to its input comes out of these; zeros make it add nothing.
OUTPUTS = (
    "feed_forward1.linear2.weight",
    "self_attn.linear_out.weight",
    "conv.pointwise_conv2.weight",
    "feed_forward2.linear2.weight",
)


@torch.no_grad()
def grow(model: nn.Module, weights: dict[str, Tensor], origins: list[int]) -> None:
    """Give `model` the weights of a checkpoint; layers that the checkpoint lacks do almost nothing.

    `origins` names, for each layer of the model, the layer of the checkpoint that it copies. The
    second copy of a layer learns from a good start but adds nothing at first. Raises ValueError
    where a weight of the model has no counterpart.
    """
    first = "encoder.pre_encode.conv.0."
    model.encoder.pre_encode.adopt(weights[f"{first}weight"], weights[f"{first}bias"])
    state = model.state_dict()
    copied: set[int] = set()
    layers = {}
    for index, origin in enumerate(origins):
        prefix = f"encoder.layers.{origin}."
        layer = {
            name.removeprefix(prefix): value.clone()
            for name, value in weights.items()
            if name.startswith(prefix)
        }
        if origin in copied:
            add_nothing(layer)
        copied.add(origin)
        layers |= {f"encoder.layers.{index}.{name}": value for name, value in layer.items()}
    rest = {
        name: value
        for name, value in weights.items()
        if ".layers." not in name and not name.startswith(first)
    }
    wanted = {name for name in state if not name.startswith(first)}
    if wanted != set(rest | layers):
        unknown = sorted(wanted ^ set(rest | layers))
        raise ValueError(f"the initial checkpoint and the model differ in {', '.join(unknown)}")
    model.load_state_dict(rest | layers, strict=False)


def add_nothing(layer: dict[str, Tensor]) -> None:
    """Make a layer hand on its input, in place.

    Its last normalization meets what the layer before has normalized with the same gain and bias;
    on average over channels, their moments undo it.
    """
    for name in OUTPUTS:
        layer[name].zero_()
    gain, bias = layer["norm_out.weight"], layer["norm_out.bias"]
    deviation, mean = (gain.square().mean() + bias.var(correction=0)).sqrt(), bias.mean()
    gain.fill_(deviation)
    bias.fill_(mean)
