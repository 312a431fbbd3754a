"""Operations whose operands may be on two devices, and operations of one operand that stay where it is."""

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from harness.refusals import means_missing
from torch.nn import functional as F

# ── Operations of two operands ──

ALIKE = ("atan2", "hypot", "copysign", "fmax", "fmin", "heaviside", "logaddexp", "nextafter", "xlogy", "remainder")
ALIKE += ("inner", "kron", "cdist", "isclose", "mm", "fmod", "logical_and")
LOSSES = ("l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "poisson_nll_loss")
LOSSES += ("cosine_similarity", "pairwise_distance")


def named(owner, name: str) -> Callable:
    """The operation ``owner.name(a, b)``, looked up at each call."""
    return lambda a, b: getattr(owner, name)(a, b)


# For operands a and b of shape (2, 2), of whole numbers from 1 to 8.
OF_TWO: dict[str, Callable] = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "a // b": lambda a, b: a // b,
    "a ** b": lambda a, b: a**b,
    "a % b": lambda a, b: a % b,
    "a > b": lambda a, b: a > b,
    "a < b": lambda a, b: a < b,
    "a >= b": lambda a, b: a >= b,
    "a <= b": lambda a, b: a <= b,
    "a == b": lambda a, b: a == b,
    "a != b": lambda a, b: a != b,
    "a @ b": lambda a, b: a @ b,
    "torch.add": lambda a, b: torch.add(a, b),
    "torch.mul": lambda a, b: torch.mul(a, b),
    "torch.sub, alpha": lambda a, b: torch.sub(a, b, alpha=2),
    "torch.maximum": lambda a, b: torch.maximum(a, b),
    "integers": lambda a, b: a.long() * b.long(),
    "of two dtypes": lambda a, b: a * b.int(),
    "transposes": lambda a, b: a.t() * b.t(),
    "by a row": lambda a, b: a * b[0],
    "by a row in front": lambda a, b: a[0] * b,
    "by an expanded row": lambda a, b: a * b[0].expand(2, 2),
    "by one element": lambda a, b: a * b[:1, :1],
    "mv": lambda a, b: torch.mv(a, b[0]),
    "tensordot": lambda a, b: torch.tensordot(a, b),
    "einsum": lambda a, b: torch.einsum("ij,jk", a, b),
    "dot": lambda a, b: torch.dot(a[0], b[1]),
    "bmm": lambda a, b: torch.bmm(a[None], b[None]),
    "addmm": lambda a, b: torch.addmm(a, b, b),
    "last of addmm": lambda a, b: torch.addmm(a, a, b),
    "row of addmm": lambda a, b: torch.addmm(b[0], a, a),
    "row of addmv": lambda a, b: torch.addmv(b[0], a, a[0]),
    "baddbmm": lambda a, b: torch.baddbmm(b[None], a[None], a[None]),
    "statistics of batch norm": lambda a, b: F.batch_norm(a, b[0], b[1]),
    "searchsorted": lambda a, b: torch.searchsorted(a[0], b[0]),
    "cross": lambda a, b: torch.linalg.cross(a[:, [0, 1, 1]], b[:, [0, 1, 1]]),
    "outer": lambda a, b: torch.outer(a[0], b[1]),
    "where": lambda a, b: torch.where(a > 2, a, b),
    "equal": lambda a, b: torch.full_like(a, torch.equal(a, b)),
    "condition of where": lambda a, b: torch.where(a > 2, b, b),
    "cat": lambda a, b: torch.cat([a, b]),
    "cat with nothing": lambda a, b: torch.cat([a, b[:0]]),
    "cat with a row of nothing": lambda a, b: torch.cat([a, b[0, :0]]),
    "stack": lambda a, b: torch.stack([a, b]),
    "clamp": lambda a, b: torch.clamp(a, b),
    "clamp(max=)": lambda a, b: a.clamp(max=b),
    "upper end of clamp": lambda a, b: torch.clamp(a, a - 1, b),
    "masked_fill": lambda a, b: a.masked_fill(b > 6, 0),
    "scatter": lambda a, b: torch.scatter(a, 1, b.long() % 2, 9),
    "take_along_dim": lambda a, b: torch.take_along_dim(a, b.long() % 2, 1),
    "lerp": lambda a, b: torch.lerp(a, b, 0.5),
    "weight of lerp": lambda a, b: torch.lerp(a, a + 1, b),
    "addcmul": lambda a, b: torch.addcmul(a, a, b),
    "addcdiv": lambda a, b: torch.addcdiv(a, a, b),
    "gather": lambda a, b: torch.gather(a, 1, b.long() % 2),
    "index_select": lambda a, b: torch.index_select(a, 0, b[0].long() % 2),
    "linear": lambda a, b: F.linear(a, b),
    "bias of linear": lambda a, b: F.linear(a, a, b[0]),
    "convolution": lambda a, b: F.conv1d(a[None], b[:, :, None]),
    "layer norm": lambda a, b: F.layer_norm(a, (2,), b[0]),
    "embedding": lambda a, b: F.embedding(b.long() % 2, a),
    "mse_loss": lambda a, b: F.mse_loss(a, b),
    "binary cross_entropy": lambda a, b: F.binary_cross_entropy_with_logits(a, b),
    "cross_entropy": lambda a, b: F.cross_entropy(a, b[0].long() % 2),
    **{name: named(torch, name) for name in ALIKE},
    **{name: named(F, name) for name in LOSSES},
    "weights of cross_entropy": lambda a, b: F.cross_entropy(a, a[0].long() % 2, b[0]),
}
# They write into a, or into what out= names: a refusal must leave that as it was.
INTO: dict[str, Callable] = {
    "a += b": lambda a, b: a.__iadd__(b),
    "add_": lambda a, b: a.add_(b),
    "mul_": lambda a, b: a.mul_(b),
    "sub_ of a row": lambda a, b: a.sub_(b[0]),
    "add_ on a view": lambda a, b: a.t().add_(b),
    "addmm_": lambda a, b: a.addmm_(b, b),
    "addcmul_": lambda a, b: a.addcmul_(b, b),
    "where_ by mask": lambda a, b: a.masked_scatter_(torch.ones_like(a, dtype=torch.bool), b),
    "index_copy_": lambda a, b: a.index_copy_(0, torch.tensor([0, 1], device=a.device), b),
    "places of index_copy_": lambda a, b: a.index_copy_(0, b[0].long() % 2, a + 1),
    "index_add_": lambda a, b: a.index_add_(0, torch.tensor([0, 1], device=a.device), b),
    "out= of stack": lambda a, b: torch.stack([b[0], b[1]], out=a),
    "out= of add": lambda a, b: torch.add(b, b, out=a),
    "out= of sum": lambda a, b: torch.sum(b, 0, out=a[0]),
    "out= of max": lambda a, b: torch.max(b, 0, out=(a[0], torch.empty(2, dtype=torch.int64, device=a.device))),
    "out= of mm": lambda a, b: torch.mm(b, b, out=a),
    "out= of cat": lambda a, b: torch.cat([b[:1], b[1:]], out=a),
}

# ── Operations of one operand ──

# Each with what NumPy makes of the same numbers, which are all different and not negative.
RESULTS = {
    "number - x": (lambda x: 1 - x, lambda array: 1 - array),
    "x * NumPy's number": (lambda x: x * np.float32(2), lambda array: array * 2),
    "x > 3": (lambda x: x > 3, lambda array: array > 3),
    "nonzero": (lambda x: (x > 3).nonzero(), lambda array: np.argwhere(array > 3)),
    "mask": (lambda x: x[x > 3], lambda array: array[array > 3]),
    "row": (lambda x: x[-1], lambda array: array[-1]),
    "chosen": (lambda x: x[[1, 0]], lambda array: array[[1, 0]]),
    "half": (lambda x: x.half(), lambda array: array),
    "copied": (lambda x: copy.deepcopy(x), lambda array: array),
    "pickled": (lambda x: pickle.loads(pickle.dumps(x)), lambda array: array),
    "int": (lambda x: x.int(), lambda array: array),
    "any": (lambda x: (x > 3).any(), lambda array: (array > 3).any()),
    "softmax": (
        lambda x: (1000 * x.float()).softmax(-1).round(),
        lambda array: (array == array.max(-1, keepdims=True)) * 1.0,
    ),
    "zeros_like": (lambda x: torch.zeros_like(x), lambda array: np.zeros_like(array)),
    "one_hot": (lambda x: F.one_hot(x.long(), 64), lambda array: np.eye(64)[array.astype(int)]),
    "clone": (lambda x: x.clone(), lambda array: array),
    "cat": (lambda x: torch.cat([x[1:], x[:1]]), lambda array: np.roll(array, -1, 0)),
    "cat with nothing": (lambda x: torch.cat([x[:0], x]), lambda array: array),
    "cat of columns": (
        lambda x: torch.cat([x, x[..., :1]], x.dim() - 1),
        lambda array: np.append(array, array[..., :1], -1),
    ),
    "stack": (lambda x: torch.stack([x[:1], x[-1:]], -1), lambda array: np.stack([array[:1], array[-1:]], -1)),
    "stack of truths": (lambda x: torch.stack([x > 3, x < 3]), lambda array: np.stack([array > 3, array < 3])),
}
# Ways to write into a tensor, and what the array of its numbers is then.
IN_PLACE: dict[str, tuple[Callable, Callable]] = {
    "mul_ and add_": (lambda x: x.mul_(2).add_(1), lambda array: array * 2 + 1),
    "fill_": (lambda x: x.fill_(3), lambda array: np.full_like(array, 3)),
    "zero_": (lambda x: x.zero_(), lambda array: np.zeros_like(array)),
    "clamp_": (lambda x: x.clamp_(-2, 5), lambda array: np.clip(array, -2, 5)),
    "masked_fill_": (lambda x: x.masked_fill_(x > 2, 9), lambda array: np.where(array > 2, 9, array)),
    "by a mask": (lambda x: x.__setitem__(x > 2, -math.inf), lambda array: np.where(array > 2, -math.inf, array)),
    "part": (lambda x: x[..., 1:].fill_(-1), lambda array: np.where(np.arange(array.shape[-1]) > 0, -1, array)),
    "sign_": (lambda x: x.sign_(), np.sign),
}


@contextmanager
def refused(kind: type[Exception] = RuntimeError) -> Iterator[None]:
    """The operation raises an error of this kind, and not because it is missing: the words are each device's own."""
    try:
        yield
    except kind as error:
        if means_missing(error):
            raise
    else:
        raise AssertionError(f"it is not refused: no {kind.__name__}")
