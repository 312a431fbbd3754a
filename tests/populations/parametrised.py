"""Layers whose weight is computed from other parameters, beside what it is in evaluation, where that is settled."""

from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from populations.counterparts import Counterpart, Shown


def used(m: nn.Module) -> nn.Module:
    """The layer after a call in training, in which one finds the vectors that tell its largest singular value."""
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
}
