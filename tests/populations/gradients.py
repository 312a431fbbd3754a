"""What guards about ``backward`` need: weights for a result, the gradient that must be there, the memory asked for."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from populations.comparing import host
from populations.operations import OPERATIONS
from populations.twins import Twin, pending

OPERATION = {operation.name: operation for operation in OPERATIONS}
# Their results have no derivative, being whole numbers or truth values, use the shape of x alone, or copy its numbers.
UNTRACKED = {
    "x > 0": lambda x: x > 0,
    "x == x": lambda x: x == x,
    "isnan": lambda x: torch.isnan(x),
    "isfinite": lambda x: x.isfinite(),
    "argsort": lambda x: x.argsort(),
    "long": lambda x: x.long(),
    "to int32": lambda x: x.to(torch.int32),
    "logical_not": lambda x: x.logical_not(),
    "nonzero": lambda x: x.nonzero(),
    "zeros_like": lambda x: torch.zeros_like(x),
    "torch.tensor": lambda x: torch.tensor(x, device=x.device),
    "rand_like": lambda x: torch.rand_like(x),
    "new_ones": lambda x: x.new_ones(x.shape),
    "new_zeros": lambda x: x.new_zeros(x.shape),
    "new_full": lambda x: x.new_full(x.shape, 2),
    "new_empty": lambda x: x.new_empty(x.shape),
    "ones_like": lambda x: torch.ones_like(x),
    "full_like": lambda x: torch.full_like(x, 2),
    "empty_like": lambda x: torch.empty_like(x),
    "tolist": lambda x: torch.tensor(x.tolist(), dtype=x.dtype),
    "new_tensor": lambda x: x.new_tensor(x.detach().cpu().numpy() if x.dtype != torch.bfloat16 else x.tolist()),
    "bits of its dtype": lambda x: x.view(x.dtype),
    "detach": lambda x: x.detach(),
}
# Results of several parts, or of whole numbers from an operand of whole numbers.
SEVERAL = {
    "sort": lambda x: x.sort(),
    "topk": lambda x: x.topk(2),
    "min": lambda x: x.min(dim=-1),
    "split": lambda x: x.split(2, -1),
    "einsum": lambda x: (torch.einsum("...i->...", x),),
    "norm": lambda x: (x.norm(), torch.norm(x)),
    "padded": lambda x: (F.pad(x, (1, 2)), F.pad(x[None].float(), (1, 1), mode="reflect")),
    "triangle": lambda x: (x[None].tril(), x[None].triu()),
    "repeated": lambda x: (x.repeat_interleave(2), x.repeat_interleave(torch.tensor(2, device=x.device), 0)),
    "quantile": lambda x: (x.float().quantile(0.5), x.float().logsumexp(-1), x.float().log_softmax(-1)),
    "unbind": lambda x: x.unbind(),
    "unique": lambda x: x.unique(return_inverse=True, return_counts=True),
    "runs": lambda x: x.unique_consecutive(return_inverse=True, return_counts=True),
    "kthvalue": lambda x: torch.kthvalue(x.float(), 1),
    "median": lambda x: x.float().median(dim=0),
    "mode": lambda x: x.float().mode(-1),
    "cummax": lambda x: x.float().cummax(0),
    "cummin": lambda x: (*torch.cummin(x.float(), 0), x.argsort(), x.sort(stable=True).indices),
    "aminmax": lambda x: x.float().aminmax(),
    "var_mean": lambda x: torch.var_mean(x.float(), -1),
    "counts": lambda x: (x.abs().long().flatten().bincount(), x.count_nonzero(), x.float().histc(4)),
    "places": lambda x: (*torch.where(x > 0), *x.nonzero(as_tuple=True)),
    "searchsorted": lambda x: (torch.searchsorted(x.float(), x.float()), torch.bucketize(x.float(), x[-1:].flatten())),
    "cumsum of whole numbers": lambda x: (x.int().cumsum(0),),
}
# Methods that need no argument.
ALONE = (
    *("abs", "acos", "amax", "angle", "any", "argmin", "argwhere", "asinh", "atan", "bool", "byte", "ceil", "char"),
    *("corrcoef", "cos", "cosh", "cov", "deg2rad", "diag", "diag_embed", "diff", "digamma", "double", "erf", "erfinv"),
    *("exp2", "expm1", "flipud", "floor", "frac", "frexp", "i0", "isinf", "isneginf", "lgamma", "log1p", "logit"),
    *("max", "mean", "msort", "nan_to_num", "nanmean", "nanmedian", "nansum", "positive", "prod", "ravel"),
    *("reciprocal", "rsqrt", "sgn", "short", "sigmoid", "signbit", "sinc", "sqrt", "squeeze", "std", "sum", "t"),
    *("tan", "tanh", "trunc", "unique_consecutive", "var"),
)

# Tensors that require gradients, made of a leaf that does.
SOURCES = {
    "leaf": lambda x: x,
    "result": lambda x: x * 1,
    "written": lambda x: (x * 1).mul_(1).mul_(1),
    "view": lambda x: x.view(1, *x.shape, 1),
    "parameter": lambda x: nn.Parameter(x.detach()),
    "switched on": lambda x: x.detach()[...].requires_grad_(),  # a leaf that is a view
    "conjugate": lambda x: x.conj(),  # a view of complex numbers, of others the tensor itself
    "pending": pending,
}

# Writes in place to a result of two dimensions, whether they change a number or not.
WRITES = {
    "add_": lambda y: y.add_(1),
    "nothing added": lambda y: y.add_(0),
    "augmented": lambda y: y.__iadd__(1),
    "mul_": lambda y: y.mul_(1),
    "zero_": lambda y: y.zero_(),
    "power": lambda y: y.__ipow__(1),
    "element": lambda y: y.__setitem__((0,) * y.dim(), 7),
    "slice": lambda y: y[-1].__setitem__(slice(1, None), 7),
    "mask": lambda y: y.__setitem__(y > 3, 7),
    "index": lambda y: y.__setitem__(torch.tensor([1], device=y.device), 7),
    "view": lambda y: y[-1:].fill_(3),
    "copy_": lambda y: y.copy_(torch.ones_like(y)),
    "detach": lambda y: y.detach().add_(1),
    "torch.detach": lambda y: torch.detach(y).add_(1),
    "out": lambda y: torch.add(torch.ones_like(y), 1, out=y.detach()),
    "square_": lambda y: y.square_(),
    "sub_": lambda y: y.sub_(1),
    "div_": lambda y: y.div_(1),
    "clamp_": lambda y: y.clamp_(0, 9),
    "masked_fill_": lambda y: y.masked_fill_(y > 3, 7),
    "uniform_": lambda y: y.detach().uniform_(),
    "normal_": lambda y: y.detach().normal_(),
    "transposed": lambda y: y.t().mul_(1),
    "foreach": lambda y: torch._foreach_mul_([y.detach()], 1),
    "part": lambda y: y.detach().unbind()[1].zero_(),
    "index_fill_": lambda y: y.index_fill_(0, torch.tensor([1], device=y.device), 7),
    "scatter_": lambda y: y.scatter_(0, torch.tensor([[1]], device=y.device), 7),
    "index_add_": lambda y: y.index_add_(0, torch.tensor([1], device=y.device), torch.ones_like(y[:1])),
    "index_copy_": lambda y: y.index_copy_(0, torch.tensor([1], device=y.device), torch.ones_like(y[:1])),
    "masked_scatter_": lambda y: y.masked_scatter_(y > 3, torch.ones_like(y)),
    "random_": lambda y: y.detach().random_(),
    "no element": lambda y: y[:0].mul_(2),
    "no element set": lambda y: y.__setitem__(slice(0, 0), 7),
    "relu": lambda y: F.relu(y, inplace=True),
    "initialised": lambda y: nn.init.ones_(y),
}

# Writes of the numbers of x, or of what is made of them, to a tensor y of its shape that is not tracked.
TAKEN = {
    "copy_": lambda y, x: y.copy_(x),
    "add_": lambda y, x: y.add_(x),
    "augmented": lambda y, x: y.__imul__(x),
    "everything": lambda y, x: y.__setitem__(..., x),
    "row": lambda y, x: y.__setitem__(0, x[0]),
    "element": lambda y, x: y.__setitem__((-1, -1), x[0, 0]),
    "mask": lambda y, x: y.__setitem__(y > 0, x[0, 0]),
    "view": lambda y, x: y.t().sub_(x.t()),
    "index_add_": lambda y, x: y.index_add_(0, torch.tensor([1], device=y.device), x[:1]),
    "masked_scatter_": lambda y, x: y.masked_scatter_(y > 0, x),
    "out": lambda y, x: torch.mul(x, 2, out=y),
    "set_": lambda y, x: y.set_(x),
}


def weights_for(
    result: torch.Tensor, layout: str = "contiguous", dtype: torch.dtype | None = None, seed: int = 0
) -> tuple[torch.Tensor, np.ndarray]:
    """Small whole numbers for the elements of ``result``, of its dtype unless another is named, on its device, and the
    array of their values.
    """
    twin = Twin(dtype or result.dtype, tuple(result.shape), layout, seed=seed)
    array = nonzero(twin)
    return twin.tensor(array).to(result.device), array


def nonzero(twin: Twin) -> np.ndarray:
    """A twin's array in which none is 0, which would hide whatever goes wrong at its place."""
    array = twin.array()
    array[array == 0] = -5
    return array


def of_a_later_loss(y, w):
    """Pass back from a loss of which ``w`` is the derivative with respect to ``y``, and from ``y`` on what arrives."""
    later = y.detach().requires_grad_()
    loss = (later * w.detach()).sum()
    assert loss.requires_grad
    loss.backward()
    y.backward(later.grad)


# Ways to give the weights of a result that is no scalar.
WEIGHTED = {
    "by position": lambda y, w: y.backward(w),
    "by name": lambda y, w: y.backward(gradient=w),
    "in lists": lambda y, w: torch.autograd.backward([y], [w]),
    "grad_tensors": lambda y, w: torch.autograd.backward(y, grad_tensors=w),
    "grad_variables": lambda y, w: torch.autograd.backward([2 * y, y], grad_variables=[w, -w]),
    "of a later loss": of_a_later_loss,
}


def grad_of(x: torch.Tensor) -> torch.Tensor:
    """The gradient of ``x``. Raises AssertionError where there is none, or one of another shape."""
    assert x.grad is not None
    assert x.grad.shape == x.shape
    return x.grad


def rises(
    x: torch.Tensor, array: np.ndarray, rule: Callable, factors: np.ndarray, v: np.ndarray, step: float
) -> tuple[np.ndarray, float]:
    """What the gradient of ``x`` has along ``v``, term by term, and how much ``rule(array)``, weighted by ``factors``,
    rises along it: a central difference of width ``step``. Of complex numbers it is the real part, since what
    multiplies is a gradient's conjugate.
    """
    ahead, behind = (np.asarray(rule(array + way * v)) for way in (step, -step))
    terms = (host(grad_of(x)).conj() * v).real.astype(np.float64)
    return terms, float(((ahead - behind) * factors.conj()).real.sum(dtype=np.float64) / (2 * step))


def bytes_allocated_by(action: Callable[[], object]) -> int:
    """How many bytes torch's allocator hands out while ``action`` runs, released or not."""
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        action()
    return sum(max(event.nbytes(), 0) for event in profile.kineto_results.events() if event.name() == "[memory]")
