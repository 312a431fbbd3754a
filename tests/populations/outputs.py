"""What computes into a tensor that it is given by ``out``."""

from collections.abc import Callable

import torch


def at(x: torch.Tensor) -> torch.Tensor:
    """Places along either dimension of three rows and three columns: 2, 0, 2."""
    return torch.tensor([2, 0, 2], device=x.device)


def square(x: torch.Tensor) -> torch.Tensor:
    return at(x).expand(3, 3)


# Of a square matrix x of at least three rows; each takes ``out``.
INTO: dict[str, Callable] = {
    **{
        name: lambda x, name=name, **out: getattr(torch, name)(x, **out)
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
        name: lambda x, name=name, **out: getattr(torch, name)(x, x.flip(0) + 10, **out)
        for name in (
            *("add", "sub", "mul", "div", "true_divide", "maximum", "minimum", "fmax", "fmin", "remainder", "fmod"),
            *("atan2", "hypot", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "floor_divide", "pow"),
            *("mm", "matmul", "inner"),
        )
    },
    "add, twice": lambda x, **out: torch.add(x, x, alpha=2, **out),
    "x ** 2": lambda x, **out: torch.pow(x, 2, **out),
    "2 ** x": lambda x, **out: torch.pow(2, x, **out),
    "clamp": lambda x, **out: torch.clamp(x, -2, 3, **out),
    "clamp_min": lambda x, **out: torch.clamp_min(x, 1, **out),
    "lerp": lambda x, **out: torch.lerp(x, x + 4, 0.25, **out),
    "where": lambda x, **out: torch.where(x > 0, x, -x, **out),
    "addcmul": lambda x, **out: torch.addcmul(x, x, x, value=2, **out),
    "addcdiv": lambda x, **out: torch.addcdiv(x, x, x + 20, value=4, **out),
    "bmm": lambda x, **out: torch.bmm(x[None], x[None], **out),
    "addmm": lambda x, **out: torch.addmm(x, x, x, beta=2, **out),
    "addmm of no weight": lambda x, **out: torch.addmm(x, x, x, beta=0, **out),
    "baddbmm": lambda x, **out: torch.baddbmm(x[None], x[None], x[None], beta=2, **out),
    "addbmm": lambda x, **out: torch.addbmm(x, x[None], x[None], **out),
    "addr": lambda x, **out: torch.addr(x, x[0], x[1], **out),
    "mv": lambda x, **out: torch.mv(x, x[0], **out),
    "addmv": lambda x, **out: torch.addmv(x[1], x, x[0], **out),
    "outer": lambda x, **out: torch.outer(x[0], x[1], **out),
    "dot": lambda x, **out: torch.dot(x[0], x[1], **out),
    "inv": lambda x, **out: torch.linalg.inv(x + 99 * torch.eye(len(x)).to(x), **out),
    "solve": lambda x, **out: torch.linalg.solve(x + 99 * torch.eye(len(x)).to(x), x, **out),
    # along dimensions
    **{
        f"{name} along {dim}": lambda x, name=name, dim=dim, **out: getattr(torch, name)(x, dim, **out)
        for name in ("sum", "mean", "prod", "amax", "amin", "cumsum", "cumprod", "logsumexp", "argmax", "std", "var")
        for dim in (0, 1)
    },
    "norm": lambda x, **out: torch.linalg.vector_norm(x, dim=1, **out),
    "softmax": lambda x, **out: torch.softmax(x, 0, **out),
    "log_softmax": lambda x, **out: torch.log_softmax(x, 1, **out),
    "all": lambda x, **out: torch.all(x > 0, 1, **out),
    "count of rows": lambda x, **out: torch.sum(x > 0, 0, **out),
    # choices
    "index_select": lambda x, **out: torch.index_select(x, 0, at(x), **out),
    "index_select of columns": lambda x, **out: torch.index_select(x, 1, at(x), **out),
    "gather": lambda x, **out: torch.gather(x, 1, square(x), **out),
    "scatter": lambda x, **out: torch.scatter(x, 0, square(x)[:1], x, **out),
    "index_add": lambda x, **out: torch.index_add(x, 0, at(x), x[:3], **out),
    "take": lambda x, **out: torch.take(x, square(x), **out),
    "take_along_dim": lambda x, **out: torch.take_along_dim(x[:3], square(x), 1, **out),
    "masked_select": lambda x, **out: torch.masked_select(x, (x == x).fill_diagonal_(False), **out),
    "tril": lambda x, **out: torch.tril(x, **out),
    "triu": lambda x, **out: torch.triu(x, 1, **out),
    "diag": lambda x, **out: torch.diag(x[0], **out),
    "cat": lambda x, **out: torch.cat([x, -x], **out),
    "cat of columns": lambda x, **out: torch.cat([x, -x], 1, **out),
    "stack": lambda x, **out: torch.stack([x, -x], **out),
    "hstack": lambda x, **out: torch.hstack([x, -x], **out),
    # made anew, of as many numbers
    "arange": lambda x, **out: torch.arange(len(x), **out or {"device": x.device}),
    "linspace": lambda x, **out: torch.linspace(0, 2, len(x), **out or {"device": x.device}),
    "eye": lambda x, **out: torch.eye(len(x), **out or {"device": x.device}),
    "full": lambda x, **out: torch.full(x.shape, 7.0, **out or {"device": x.device}),
    "ones": lambda x, **out: torch.ones(x.shape, **out or {"device": x.device}),
}
