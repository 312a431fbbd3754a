"""Layers whose weight is computed from other parameters, beside what it is in evaluation, where that is settled. A
spectral norm divides by what its vectors make of the weight, and of one that is known by its largest singular value.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from populations.counterparts import Counterpart, Shown


def used(m: nn.Module) -> nn.Module:
    """The layer after a call in training, in which a spectral norm finds its vectors."""
    m(next(m.parameters()).new_ones(1, 7))
    return m


def by_older_vectors(m: nn.Module):
    return m.weight_orig / (m.weight_u @ m.weight_orig @ m.weight_v)


def by_vectors(m: nn.Module):
    (norm,), weight = m.parametrizations.weight, m.parametrizations.weight.original
    return weight / (norm._u @ weight @ norm._v)


def by_lengths(m: nn.Module):
    lengths, rows = m.parametrizations.weight.original0, m.parametrizations.weight.original1
    return lengths * rows / (rows * rows).sum(1, keepdim=True).sqrt()


# Rows of length 1 at right angles to each other, in numbers that are exact.
TURNED = ((0.5, 0.5, 0.5, 0.5), (0.5, 0.5, -0.5, -0.5), (0.5, -0.5, 0.5, -0.5), (0.5, -0.5, -0.5, 0.5))


def known(make: Callable) -> nn.Module:
    """A layer whose weight has the singular values 4, 1, 1/2 and 1/4, the first of which is soon found."""
    layer, turned = nn.Linear(4, 4), torch.tensor(TURNED, device="cpu")
    weight = turned.T * torch.tensor([4, 1, 0.5, 0.25], device="cpu") @ turned.roll(-1, 0)
    layer.weight.data = weight.to(layer.weight)
    return make(layer, n_power_iterations=15)


def settled(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What the layer gives in evaluation, after a call in training, which finds its vectors in the dtype of today."""
    m.train()(x)
    return m.eval()(x)


def by_largest(weight: torch.Tensor) -> torch.Tensor:
    """``weight``, divided by its largest singular value: of the vectors of which it was made."""
    one, other = torch.tensor(TURNED[:2]).to(weight)
    return weight / (one @ weight @ other)


PARAMETRISED = {
    f"Linear, {told} norm": Counterpart(
        lambda make=make: Shown(used(make(nn.Linear(7, 5))), lambda m, x: m.eval()(x)),
        lambda m, x, weight=weight: F.linear(x, weight(m.module), m.module.bias),
        (3, 7),
        fixed=True,
        roundings=32,  # of a sum of products of sums
    )
    for told, make, weight in (
        ("older spectral", lambda layer: nn.utils.spectral_norm(layer, n_power_iterations=15), by_older_vectors),
        ("spectral", parametrizations.spectral_norm, by_vectors),
        ("weight", getattr(parametrizations, "weight_norm", None), by_lengths),  # younger than torch 2.0
    )
    if make
} | {
    f"Linear, known {told} norm": Counterpart(
        lambda make=make: Shown(known(make), settled),
        lambda m, x, weight=weight: F.linear(x, by_largest(weight(m.module)), m.module.bias),
        (3, 4),
        fixed=True,
        roundings=64,
    )
    for told, make, weight in (
        ("older spectral", nn.utils.spectral_norm, lambda m: m.weight_orig),
        ("spectral", parametrizations.spectral_norm, lambda m: m.parametrizations.weight.original),
    )
}
