"""Functions that compute into a tensor where they are given one by ``out``."""

from collections.abc import Callable

import torch


def at(x: torch.Tensor) -> torch.Tensor:
    """Places along either dimension of three rows and three columns: 2, 0, 2."""
    return torch.tensor([2, 0, 2], device=x.device)


def square(x: torch.Tensor) -> torch.Tensor:
    return at(x).expand(3, 3)


def apart(x: torch.Tensor) -> torch.Tensor:
    """Numbers no two of which are equal, in an order of their own."""
    return 1000 * x + torch.arange(x.numel(), device=x.device).view(x.shape).to(x)


# Of which each makes values and their places.
RANKED: dict[str, Callable] = {
    "topk": lambda x: torch.topk(x, 2, 0),
    "topk of rows": lambda x: torch.topk(x, 3, 1, False),
    "sort": lambda x: torch.sort(x, 0),
    "sort of rows": lambda x: torch.sort(x, 1, True),
    "kthvalue": lambda x: torch.kthvalue(x, 2, 0),
    **{
        f"{name} along {dim}": lambda x, name=name, dim=dim: getattr(torch, name)(x, dim)
        for name in ("max", "min", "median", "nanmedian", "cummax", "cummin")
        for dim in (0, 1)
    },
}


# Of a square matrix of at least three rows; each takes ``out``.
INTO: dict[str, Callable] = {
    **{
        name: lambda x, name=name: getattr(torch, name)(x)
        for name in (
            *("abs", "neg", "exp", "exp2", "expm1", "sin", "cos", "tan", "tanh", "atan", "sigmoid", "erf", "floor"),
            *(
                "ceil",
                "round",
                "trunc",
                "frac",
                "sign",
                "square",
                "reciprocal",
                "nan_to_num",
                "logical_not",
                "isposinf",
            ),
        )
    },
    **{
        name: lambda x, name=name: getattr(torch, name)(x, x.flip(0) + 10)
        for name in (
            *("add", "sub", "mul", "div", "true_divide", "maximum", "minimum", "fmax", "fmin", "remainder", "fmod"),
            *("atan2", "hypot", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "floor_divide", "pow"),
            *("mm", "matmul", "inner"),
        )
    },
    "add, twice": lambda x: torch.add(x, x, alpha=2),
    "x ** 2": lambda x: torch.pow(x, 2),
    "2 ** x": lambda x: torch.pow(2, x),
    "clamp": lambda x: torch.clamp(x, -2, 3),
    "clamp_min": lambda x: torch.clamp_min(x, 1),
    "lerp": lambda x: torch.lerp(x, x + 4, 0.25),
    "where": lambda x: torch.where(x > 0, x, -x),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=2),
    "addcdiv": lambda x: torch.addcdiv(x, x, x + 20, value=4),
    "bmm": lambda x: torch.bmm(x[None], x[None]),
    "addmm": lambda x: torch.addmm(x, x, x, beta=2),
    "addmm of no weight": lambda x: torch.addmm(x, x, x, beta=0),
    "baddbmm": lambda x: torch.baddbmm(x[None], x[None], x[None], beta=2),
    "addbmm": lambda x: torch.addbmm(x, x[None], x[None]),
    "addr": lambda x: torch.addr(x, x[0], x[1]),
    "mv": lambda x: torch.mv(x, x[0]),
    "addmv": lambda x: torch.addmv(x[1], x, x[0]),
    "outer": lambda x: torch.outer(x[0], x[1]),
    "dot": lambda x: torch.dot(x[0], x[1]),
    # along dimensions
    **{
        f"{name} along {dim}": lambda x, name=name, dim=dim: getattr(torch, name)(x, dim)
        for name in ("sum", "mean", "prod", "amax", "amin", "cumsum", "cumprod", "logsumexp", "argmax", "std", "var")
        for dim in (0, 1)
    },
    "norm": lambda x: torch.linalg.vector_norm(x, dim=1),
    "softmax": lambda x: torch.softmax(x, 0),
    "log_softmax": lambda x: torch.log_softmax(x, 1),
    "all": lambda x: torch.all(x > 0, 1),
    "count of rows": lambda x: torch.sum(x > 0, 0),
    # choices
    "index_select": lambda x: torch.index_select(x, 0, at(x)),
    "index_select of columns": lambda x: torch.index_select(x, 1, at(x)),
    "gather": lambda x: torch.gather(x, 1, square(x)),
    "scatter": lambda x: torch.scatter(x, 0, square(x)[:1], x),
    "index_add": lambda x: torch.index_add(x, 0, at(x), x[:3]),
    "take": lambda x: torch.take(x, square(x)),
    "take_along_dim": lambda x: torch.take_along_dim(x[:3], square(x), 1),
    "masked_select": lambda x: torch.masked_select(x, (x == x).fill_diagonal_(False)),
    "tril": lambda x: torch.tril(x),
    "triu": lambda x: torch.triu(x, 1),
    "diag": lambda x: torch.diag(x[0]),
    "cat": lambda x: torch.cat([x, -x]),
    "cat of columns": lambda x: torch.cat([x, -x], 1),
    "stack": lambda x: torch.stack([x, -x]),
    "hstack": lambda x: torch.hstack([x, -x]),
    "vstack": lambda x: torch.vstack([x, -x]),
    "dstack": lambda x: torch.dstack([x, -x]),
    "column_stack": lambda x: torch.column_stack([x, -x]),
    "searchsorted": lambda x: torch.searchsorted(apart(x)[0].sort()[0], apart(x)),
    "bucketize": lambda x: torch.bucketize(x, x[0].sort()[0]),
    **{
        f"{what} of {name}": lambda x, compute=compute, which=which: compute(apart(x))[which]
        for name, compute in RANKED.items()
        for which, what in enumerate(("values", "places"))
    },
    # whole numbers, truth values and complex ones
    **{
        f"{name} of whole numbers": lambda x, name=name: getattr(torch, name)(x.long(), x.long().t())
        for name in ("add", "sub", "mul", "maximum", "eq", "bitwise_and", "bitwise_or", "bitwise_xor", "gcd")
    },
    "shift": lambda x: torch.bitwise_left_shift(x.long(), x.long() & 3),
    "bitwise_not": lambda x: torch.bitwise_not(x.long()),
    "neg of whole numbers": lambda x: torch.neg(x.long()),
    "cumsum of whole numbers": lambda x: torch.cumsum(x.long(), 1),
    "where of whole numbers": lambda x: torch.where(x > 0, x.long(), 7 - x.long()),
    "logical_xor": lambda x: torch.logical_xor(x > 0, x > 1),
    "add of truth values": lambda x: torch.add(x > 0, x > 1),
    "mul of complex numbers": lambda x: torch.mul(x.to(torch.complex64), 1 - 2j),
    "conj_physical": lambda x: torch.conj_physical(x.to(torch.complex64) * 1j),
    # made anew, of as many numbers
    "arange": lambda x: torch.arange(len(x), device=x.device),
    "linspace": lambda x: torch.linspace(0, 2, len(x), device=x.device),
    "eye": lambda x: torch.eye(len(x), device=x.device),
    "full": lambda x: torch.full(x.shape, 7.0, device=x.device),
    "ones": lambda x: torch.ones(x.shape, device=x.device),
}
