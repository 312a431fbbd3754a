"""More rows, matrices or short sequences than two bytes count: what is made of each of them is what is made of it among
few, and so is what comes back.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from populations import places
from populations.functions import FUNCTIONS, Function
from populations.initialisers import RELEASE
from populations.matrices import OF_MATRICES
from populations.twins import Twin

FEW, CROWD = 5, 2**16 + 1
SPAN = (4,)
DTYPES = (torch.float32, *((torch.bfloat16, torch.float16) if RELEASE >= (2, 7) else ()))


def along_rows(function: Function) -> Callable:
    """What the function makes of the last of two dimensions."""
    return lambda x: function.apply(lambda name, *given, **named: getattr(torch, name)(*given, **named), x, 1)


def numbers(x: torch.Tensor, *shape: int) -> torch.Tensor:
    """Eighths from -1 to 1."""
    return (torch.arange(int(np.prod(shape)), device="cpu") * 5 % 17 / 8.0 - 1).view(shape).to(x)


def classes(x: torch.Tensor) -> torch.Tensor:
    """A class for each row, that of its number among FEW."""
    return torch.arange(len(x), device=x.device) % FEW % 4


OF_ROWS = {
    **{
        function.name: along_rows(function)
        for function in FUNCTIONS
        if int in function.over and function.gives not in ("truth", torch.int64)
    },
    "linear": lambda x: F.linear(x, numbers(x, 3, 4), numbers(x, 3)),
    "by a matrix": lambda x: x @ numbers(x, 4, 3),
    "by a row": lambda x: x.mv(numbers(x, 4)),
    "plus products": lambda x: torch.addmm(x, x, numbers(x, 4, 4), beta=0.5, alpha=2),
    "layer_norm": lambda x: F.layer_norm(x, SPAN, numbers(x, 4), numbers(x, 4)),
    "normalize": lambda x: F.normalize(x),
    "glu": lambda x: F.glu(x),
    "cross_entropy": lambda x: F.cross_entropy(x, classes(x), reduction="none"),
    "cross_entropy of shares": lambda x: F.cross_entropy(x, numbers(x, 4) + 2 + 0 * x.detach(), reduction="none"),
    "nll_loss": lambda x: F.nll_loss(x, classes(x), numbers(x, 4) + 2, reduction="none"),
    "cosine_similarity": lambda x: F.cosine_similarity(x, x.flip(1)),
    "pairwise_distance": lambda x: F.pairwise_distance(x, x.flip(1)),
    "columns in another order": lambda x: x[:, [2, 0, 3, 2]],
    "a number of each row": lambda x: x[torch.arange(len(x), device=x.device), classes(x)],
    "a row of its own": lambda x: x.index_put((torch.arange(len(x), device=x.device),), x[:, :1], accumulate=True),
    "norm": lambda x: x.norm(3, 1),
}
OF_SQUARES = {
    **{
        f"{function.name}, of each": function.apply
        for function in OF_MATRICES
        if function.name in ("triu from 1", "tril from -1", "diagonal 1", "rot90 1", "adjoint")
    },
    "bmm": lambda x: x.bmm(x),
    "@": lambda x: x @ x.mT,
    "baddbmm": lambda x: torch.baddbmm(x, x, x, beta=0.5, alpha=2),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "conv1d": lambda x: F.conv1d(x, numbers(x, 2, 3, 2), numbers(x, 2), padding=1),
    "conv2d": lambda x: F.conv2d(x[:, None], numbers(x, 2, 1, 2, 2)),
    "max_pool1d": lambda x: F.max_pool1d(x, 2, 1),
    "avg_pool2d": lambda x: F.avg_pool2d(x[:, None], 2, 1),
    "instance_norm": lambda x: F.instance_norm(x),
    "group_norm": lambda x: F.group_norm(x, 3),
    "interpolate both ways": lambda x: F.interpolate(x[:, None], (5, 2), mode="bilinear"),
    "pad": lambda x: F.pad(x, (1, 1), mode="replicate"),
}
# In half precision the CPU has no such kernel, or a slow one.
IN_FULL = ("attention", "logcumsumexp")
# Units by which correct kernels may differ: what comes back to shares, or to what was normalised, are differences.
APART = {"attention": 32, "instance_norm": 16, "group_norm": 16, "layer_norm": 16}
PRODUCTS = ("linear", "by a matrix", "bmm", "baddbmm")


@dataclass(frozen=True)
class Crowd:
    """A recipe: ``function, few, many, turns = crowd``, leaves of FEW examples and of CROWD of them, and the number of
    the example at each place.
    """

    name: str
    dtype: torch.dtype

    def __iter__(self) -> Iterator:
        function, shape = (OF_ROWS[self.name], SPAN) if self.name in OF_ROWS else (OF_SQUARES[self.name], (3, 3))
        array = Twin(self.dtype, (FEW, *shape), values="distinct").array() / 8 + 1 / 16
        turns = np.arange(CROWD) % FEW
        twin = Twin(self.dtype, (CROWD, *shape), "gappy" if len(self.name) % 2 else "contiguous", grad=True)
        yield from (
            function,
            Twin(self.dtype, (FEW, *shape), grad=True).tensor(array),
            twin.tensor(array[turns]),
            turns,
        )

    def lacking(self) -> str | None:
        return places.lacks(self.dtype)


def every_kind() -> Iterator[Crowd]:
    """Each function in one dtype, products in each."""
    for turn, name in enumerate((*OF_ROWS, *OF_SQUARES)):
        dtypes = DTYPES[:1] if name in IN_FULL else DTYPES
        yield from (Crowd(name, dtype) for dtype in (dtypes if name in PRODUCTS else [dtypes[turn % len(dtypes)]]))


CROWDS = tuple(every_kind())
