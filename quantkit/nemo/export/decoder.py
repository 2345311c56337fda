"""The prediction network as a one-step cell, and the joint over all frames of a chunk."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class PredictionNetwork(nn.Module):
    """One step of the LSTM prediction network, its gates as plain matrix products.

    Inputs: token [B, 1] int64 (the blank starts an utterance), hidden and cell [layers, B, P].
    Outputs: prediction [B, 1, P], the next hidden and cell states.
    """

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        embedding = decoder.prediction["embed"].weight
        if not decoder.blank_as_pad:
            # NeMo starts with a zero vector; as the last row it is the blank's embedding.
            embedding = torch.cat([embedding, torch.zeros(1, embedding.shape[1])])
        self.embedding = nn.Embedding.from_pretrained(embedding.detach())
        lstm = decoder.prediction["dec_rnn"].lstm
        self.cells = nn.ModuleList(Cell(lstm, layer) for layer in range(lstm.num_layers))

    def forward(self, token: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.embedding(token.squeeze(1))
        hiddens, cells = [], []
        for layer, step in enumerate(self.cells):
            x, state = step(x, hidden[layer], cell[layer])
            hiddens.append(x)
            cells.append(state)
        return x.unsqueeze(1), torch.stack(hiddens), torch.stack(cells)


class Cell(nn.Module):
    """One LSTM layer for one step: both weight matrices act as one on [input, hidden]."""

    def __init__(self, lstm: nn.LSTM, layer: int) -> None:
        super().__init__()
        weights = [getattr(lstm, f"weight_{kind}_l{layer}").detach() for kind in ("ih", "hh")]
        stacked = torch.cat(weights, dim=1)
        self.gates = nn.Linear(stacked.shape[1], stacked.shape[0], bias=lstm.bias)
        self.gates.weight.data = stacked
        if lstm.bias:
            biases = [getattr(lstm, f"bias_{kind}_l{layer}").detach() for kind in ("ih", "hh")]
            self.gates.bias.data = biases[0] + biases[1]

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        gates = self.gates(torch.cat([x, hidden], dim=1))
        input_, forget, candidate, output = gates.chunk(4, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(input_) * torch.tanh(candidate)
        return torch.sigmoid(output) * torch.tanh(cell), cell


class Joint(nn.Module):
    """Logits of every frame against one prediction state, without NeMo's log-softmax.

    Inputs: encoded [B, T, D], prediction [B, 1, P]. Output: logits [B, T, V + 1], blank last.
    """

    def __init__(self, joint: Any) -> None:
        super().__init__()
        self.encoder = joint.enc
        self.prediction = joint.pred
        self.output = joint.joint_net

    def forward(self, encoded: Tensor, prediction: Tensor) -> Tensor:
        return self.output(self.encoder(encoded) + self.prediction(prediction))
