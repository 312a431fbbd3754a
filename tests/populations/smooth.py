"""Functions of a matrix with a slope everywhere near POINT: what autograd differentiates must be that slope.

They stand beside the operations of ``operations``, each of which has its derivative written out; here the function
itself says what its derivative is, so that one line adds one.
"""

import numpy as np
import torch
from torch.nn import functional as F

from populations.operations import pattern

# Where logarithms and inverses of sines are defined; no two elements are equal, none is next to a corner of a function.
POINT = np.array([[0.3, 0.8, 0.5], [0.15, 0.65, 0.4], [0.9, 0.2, 0.55]])
BY_ELEMENT = (
    *("abs", "acos", "asin", "asinh", "atan", "atanh", "cos", "cosh", "deg2rad", "digamma", "erf", "erfc", "erfinv"),
    *("exp", "exp2", "expm1", "frac", "i0", "lgamma", "log", "log10", "log1p", "log2", "logit", "neg", "reciprocal"),
    *("rsqrt", "sigmoid", "sin", "sinc", "sinh", "sqrt", "square", "tan", "tanh", "trunc", "floor"),
)
OF_NETWORKS = ("celu", "elu", "silu", "gelu", "mish", "softplus", "logsigmoid", "hardswish")
SPELLED = {
    "torch.{}": lambda name, x: getattr(torch, name)(x),
    "x.{}()": lambda name, x: getattr(x, name)(),
    "x.{}_()": lambda name, x: getattr(x * 1, f"{name}_")(),
}


COPIES = {  # results of operations that are no record yet
    "a clone": lambda y: y.clone(),
    "a copy": lambda y: y.to(y.dtype, copy=True),
    "what was cast": lambda y: y.to(torch.complex64).real.to(y.dtype).contiguous(),
    "what was moved": lambda y: y.cpu().to(y.device),
    "a sum": lambda y: y + 0,
}


def written(x, write, copy=lambda y: y):
    """The numbers 2 in the shape of ``x``, or a copy of them, into which ``write`` writes."""
    y = copy(torch.full_like(x, 2.0))
    write(y)
    return y


def spread(x, block: tuple) -> torch.Tensor:
    """Places in a square ``x``: ``block`` in each three of its rows, of three columns for each three, far apart."""
    side = len(x)
    apart = 3 * (np.arange(side) // 3 * 5 % (side // 3))  # 5 has no divisor in common with 11
    return torch.from_numpy(np.tile(block, (side // 3, side // 3)) + apart).to(x.device)


def spots(x):
    """Places of which some come twice in their row, and others in none."""
    return spread(x, ((2, 0, 0), (1, 1, 2), (0, 2, 2)))


def order(x):
    """Places of which each comes once in its row."""
    return spread(x, ((2, 0, 1), (1, 2, 0), (0, 1, 2)))


def identity(x):
    return torch.eye(len(x)).to(x)


EACH = {  # functions of each element, whatever the shape
    spelling.format(name): lambda x, name=name, call=call: call(name, x)
    for name in BY_ELEMENT
    for spelling, call in SPELLED.items()
    if not (spelling == "x.{}_()" and name in ("asinh", "atanh"))  # of which torch has no derivative in place
}
SMOOTH = {
    **EACH,
    # powers, and of two operands
    **{f"x ** {n}": lambda x, n=n: x**n for n in (3, -1, 0.5, 2.5)},
    "pow_": lambda x: (x * 1).pow_(3),
    "x ** tensor": lambda x: x ** pattern(x, 4),
    "x ** x": lambda x: x**x,
    "atan2": lambda x: torch.atan2(x, pattern(x, 3)),
    "hypot": lambda x: torch.hypot(x, pattern(x, 3)),
    "fmod": lambda x: torch.fmod(3.1 * x, 0.7),
    "remainder": lambda x: (3.1 * x) % 0.7,
    "logaddexp": lambda x: torch.logaddexp(x, pattern(x, 3)),
    "xlogy": lambda x: torch.xlogy(pattern(x, 3), x),
    "copysign": lambda x: torch.copysign(x, 3 - pattern(x, 5)),
    "fmax": lambda x: torch.fmax(x, x.flip(0) * 0.97),
    "max of two": lambda x: torch.max(x, x.flip(0) * 0.97),
    "lerp by x": lambda x: torch.lerp(pattern(x, 3), 3 * pattern(x, 2), x),
    "addcdiv": lambda x: torch.addcdiv(x, x, 1 + x, value=2),
    "in place": lambda x: (x * 1).mul_(x).add_(x, alpha=3).div_(1 + x).sub_(x),
    "where": lambda x: torch.where(pattern(x, 2) > 1, x * x, 3 * x),
    "add, mul by name": lambda x: torch.add(input=torch.mul(input=x, other=x), other=x, alpha=3),
    "sub, div by name": lambda x: torch.sub(input=1, other=torch.div(input=x, other=1 + x), alpha=3),
    "pow, matmul by name": lambda x: torch.matmul(input=torch.pow(input=x, exponent=3), other=x),
    # at zero, where a slope must not be divided by the number
    **{
        f"{name} at zero": lambda x, name=name: getattr(torch, name)(x - 0.5)
        for name in ("asinh", "atan", "erf", "erfinv", "expm1", "i0", "log1p", "sinc", "sinh", "square", "tan", "tanh")
    },
    **{f"{name} with zeros": lambda x, name=name: getattr(x - 0.5, name)(1) for name in ("cumprod", "prod")},
    "cumprod_ with zeros": lambda x: (x - 0.5).cumprod_(0),
    **{  # along a dimension of one element
        f"{name} of one": lambda x, name=name: getattr((x - 0.5)[..., None], name)(-1)
        for name in ("prod", "cumprod", "sum", "mean", "amax", "logsumexp", "softmax")
    },
    "x ** 3 at zero": lambda x: (x - 0.5) ** 3,
    "powers by numbers at zero": lambda x: (x - 0.5) ** 1 * (x - 0.5) ** 2 + 3 * (x - 0.5) ** 0,
    "powers by tensors at zero": lambda x: (x[..., None] - 0.5) ** torch.arange(1.0, 5).to(x),
    "powers by as many numbers at zero": lambda x: torch.pow(x - 0.5, pattern(x, 4)) + (x - 0.15) ** pattern(x, 5),
    "hypot of zero": lambda x: torch.hypot(x - 0.5, pattern(x, 3)),
    "xlogy of zero": lambda x: torch.xlogy(x - 0.5, pattern(x, 3)),
    "tensor ** x at zero": lambda x: pattern(x, 4) ** (x - 0.5),
    # reductions and running ones, beside those of ``functions``, which has no products in float16
    **{f"{name} of a dim": lambda x, name=name: getattr(torch, name)(x, dim=0) for name in ("prod", "cumprod")},
    **{f"{name} of all": lambda x, name=name: getattr(x - 0.5, name)() for name in ("std", "var")},
    **{
        f"{name} of dim {dim}": lambda x, name=name, dim=dim: getattr(torch, name)(x, dim=dim)
        for name in ("std", "var")
        for dim in (0, -1)
    },
    **{
        f"{name} as double": lambda x, name=name: getattr(x, name)(0, dtype=torch.float64)
        for name in ("prod", "sum", "mean", "cumsum", "cumprod", "softmax", "log_softmax")
    },
    "sum over both": lambda x: x.sum(dim=(0, 1), keepdim=True) + x.sum(dim=[]),
    "msort": lambda x: torch.msort(x),
    "cumsum of a row": lambda x: x.reshape(-1).cumsum(0),
    "cumsum_": lambda x: (x * 1).cumsum_(0),
    "logcumsumexp": lambda x: x.reshape(-1).logcumsumexp(0),
    **{name: lambda x, name=name: getattr(x, name)() for name in ("norm", "nansum", "t", "trace", "tril", "rot90")},
    **{
        f"{name} of a sum with a column": lambda x, name=name: getattr(x[:, :1] + x, name)() * x[0, 0]
        for name in ("sum", "mean")
    },
    "cdist one by one": lambda x: torch.cdist(x, pattern(x, 4) + 1, compute_mode="donot_use_mm_for_euclid_dist"),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, 3, dim=1),
    "quantile": lambda x: x.quantile(0.3, dim=0),
    "diff": lambda x: x.diff(dim=0),
    "cdist": lambda x: torch.cdist(x, 2 * pattern(x, 4)),
    # products
    "x @ x": lambda x: x @ x,
    "row @ row": lambda x: x[0] @ x[1],
    "matrix @ row": lambda x: x @ x[0],
    "dot": lambda x: torch.dot(x[0], x[1]),
    "mv": lambda x: x.mv(x[1]),
    "outer": lambda x: torch.outer(x[0], x[1]),
    "tensordot": lambda x: torch.tensordot(x, x, dims=([0], [1])),
    "addmm": lambda x: torch.addmm(x, x, x, beta=2, alpha=3),
    "cross": lambda x: torch.linalg.cross(x, pattern(x, 4)),
    "det": lambda x: torch.linalg.det(x),
    "inv": lambda x: torch.linalg.inv(x),
    "solve": lambda x: torch.linalg.solve(x + 2 * identity(x), x),
    **{
        f"{name} of a batch": lambda x, name=name: getattr(torch.linalg, name)(torch.stack([x, 3 * x.t()]))
        for name in ("det", "inv")
    },
    "solve of a batch": lambda x: torch.linalg.solve(torch.stack([x, x.t()]) + 2 * identity(x), x.unsqueeze(0)),
    # places
    "split": lambda x: torch.cat([(n + 1) * part for n, part in enumerate(torch.split(x, 2))]),
    "x.split()": lambda x: torch.cat([(n + 1) * part for n, part in enumerate(x.split([1, x.shape[1] - 1], dim=1))], 1),
    "tensor_split": lambda x: torch.cat([(n + 1) * part for n, part in enumerate(x.tensor_split(2))]),
    "unbind": lambda x: torch.stack([(n + 1) * part for n, part in enumerate(torch.unbind(x, 1))]),
    "rows in turn": lambda x: sum((n + 1) * row for n, row in enumerate(x)),
    "rows from the last on": lambda x: sum((n + 1) * row for n, row in enumerate(reversed(x))),
    "permute": lambda x: x[None].permute(2, 0, 1),
    "flatten": lambda x: x[:, None].flatten(1),
    "unsqueeze_": lambda x: (2 * x).unsqueeze_(0),
    "squeeze_": lambda x: (2 * x)[None].contiguous().squeeze_(),
    "t_": lambda x: (2 * x).t_(),
    "transpose_": lambda x: (2 * x).transpose_(0, 1),
    "movedim": lambda x: x[None].movedim(0, -1),
    "diagonal": lambda x: x.diagonal(1),
    "diag": lambda x: torch.diag(x[0]),
    "triu": lambda x: torch.triu(x, 1),
    "tile": lambda x: x.tile(2, 2),
    "repeat to more dimensions": lambda x: x.repeat(2, 3, 1, 2),
    "repeat_interleave": lambda x: x.repeat_interleave(2, dim=1),
    "unfold": lambda x: x.unfold(0, 2, 1),
    "as_strided": lambda x: x.as_strided((2, 2), (1, 1)),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "select": lambda x: x.select(1, 2),
    "one of a span": lambda x: x[1::2, ::3],
    "take": lambda x: x.take(spots(x)),
    "take_along_dim": lambda x: x.take_along_dim(spots(x), 1),
    "masked_select": lambda x: x.masked_select(pattern(x, 2) > 1),
    "two indices": lambda x: x[spots(x)[0], spots(x)[1]],
    "pad": lambda x: F.pad(x, (1, 0), value=3.0),
    "scatter": lambda x: torch.zeros_like(x).scatter(1, order(x), x),
    "scatter of nothing": lambda x: (2 * x).scatter(0, spots(x)[:0], x[:0]),
    "scatter_add": lambda x: torch.zeros_like(x).scatter_add(1, spots(x), x),
    "index_add": lambda x: x.index_add(0, spots(x)[0], 3 * x),
    "index_copy": lambda x: torch.zeros_like(x).index_copy(1, spots(x)[0][:2], 2 * x[:, :2]),
    # writes of what is recorded into what was not
    "assigned element": lambda x: written(x, lambda y: y.__setitem__((0, 1), x[0, 0])),
    "assigned slice": lambda x: written(x, lambda y: y.__setitem__(slice(1, None), 3 * x[1:])),
    "assigned mask": lambda x: written(x, lambda y: y.__setitem__(pattern(x, 2) > 1, x[0, 0])),
    "assigned index": lambda x: written(x, lambda y: y.__setitem__(spots(x)[0, :2], x[1:3])),
    "assigned all": lambda x: written(x, lambda y: y.__setitem__(..., x)),
    "assigned where true": lambda x: written(x, lambda y: y.__setitem__(True, 3 * x)),
    "assigned in a dimension more": lambda x: written(x, lambda y: y.__setitem__((None, 1), 3 * x[:1])),
    "copied slice": lambda x: written(x, lambda y: y[1:].copy_(x[1:])),
    "copied transposed": lambda x: written(x, lambda y: y.t().copy_(x)),
    "filled": lambda x: written(x, lambda y: y.fill_(x[0, 0])),
    "filled mask": lambda x: written(x, lambda y: y.masked_fill_(pattern(x, 2) > 1, x[0, 0])),
    "masked_scatter_": lambda x: written(x, lambda y: y.masked_scatter_(pattern(x, 2) > 1, x)),
    **{
        f"written into {name}": lambda x, copy=copy: written(x, lambda y: y.__setitem__(1, 3 * x[1]), copy)
        for name, copy in COPIES.items()
    },
    **{f"added to {name}": lambda x, copy=copy: written(x, lambda y: y.add_(x), copy) for name, copy in COPIES.items()},
    "added in place": lambda x: written(x, lambda y: y.add_(x)),
    "multiplied in a view": lambda x: written(x, lambda y: y[0].mul_(x[0])),
    "index_put_": lambda x: written(x, lambda y: y.index_put_((spots(x)[1],), x, accumulate=True)),
    # by way of complex numbers and of other precisions
    "complex": lambda x: torch.complex(x, x * x).abs(),
    "angle": lambda x: torch.complex(x, x * x).angle(),
    "real": lambda x: (torch.complex(x, x) * 3j).real,
    "fft": lambda x: torch.view_as_real(torch.fft.fft(x)),
    "rfft": lambda x: torch.view_as_real(torch.fft.rfft(x)),
    "irfft": lambda x: torch.fft.irfft(torch.complex(x, x * x)),
    "contiguous": lambda x: x.t().contiguous(),
    "to": lambda x: (2 * x).to(torch.complex128).real,
}


def of_torch(name, home=torch):
    """The function ``torch.name``, looked up when it is called."""
    return lambda *operands: getattr(home, name)(*operands)


LATE = {name: of_torch(name) for name in BY_ELEMENT} | {name: of_torch(name, F) for name in OF_NETWORKS}
# How many matrices each takes: whichever of them has a record, the result has one.
SEVERAL = {
    **{name: (2, of_torch(name)) for name in ("kron", "cdist", "trapezoid", "tensordot", "dist", "maximum")},
    **{name: (3, of_torch(name)) for name in ("addmm", "addcmul", "addcdiv", "lerp", "clamp")},
    **{f"{name} of 3": (3, lambda *xs, name=name: getattr(torch, name)(xs)) for name in ("hstack", "dstack", "cat")},
    "addr": (3, lambda a, b, c: torch.addr(a, b[0], c[1])),
    "cartesian_prod": (2, lambda a, b: torch.cartesian_prod(a[0], b[1])),
    "select_scatter": (2, lambda a, b: a.select_scatter(b[0], 0, 1)),
    "block_diag": (3, lambda a, b, c: torch.block_diag(a[0, 0], b, c[0])),
    "diff": (3, lambda a, b, c: a.diff(dim=0, prepend=b, append=c)),
    "inner, by method": (2, lambda a, b: a.inner(b)),
    "einsum": (3, lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c)),
    "addmv": (3, lambda a, b, c: torch.addmv(a[0], b, c[1])),
    "baddbmm": (3, lambda a, b, c: torch.baddbmm(a[None], b[None], c[None])),
    "linear": (3, lambda a, b, c: F.linear(a, b, c[0])),
    "bilinear": (3, lambda a, b, c: F.bilinear(a, b, c[None])),
    "cosine_similarity": (2, lambda a, b: F.cosine_similarity(a, b)),
    "polar": (2, lambda a, b: torch.view_as_real(torch.polar(a, b))),
    "where": (2, lambda a, b: torch.where(pattern(a, 2) > 1, a, b)),
    "masked_fill": (2, lambda a, b: a.masked_fill(pattern(a, 2) > 1, b[0, 0])),
    "masked_scatter": (2, lambda a, b: a.masked_scatter(pattern(a, 2) > 1, b)),
    "scatter": (2, lambda a, b: torch.scatter(a, 1, order(a), b)),
    "index_add": (2, lambda a, b: a.index_add(0, spots(a)[0], b)),
}
OPERANDS = {  # and rarer functions of one
    **{
        f"linalg.{name}": lambda x, name=name: getattr(torch.linalg, name)(x + x.t() + 3 * identity(x))
        for name in ("cholesky", "eigvalsh", "svdvals", "matrix_exp", "pinv")
    },
    **{f"F.{name}": lambda x, name=name: getattr(F, name)(x - 0.45) for name in (*OF_NETWORKS, "normalize")},
    **{  # a sum hands all of a row the same number in one place
        f"{name} of a row and of a number": lambda x, f=f: f(x.flatten()).sum() + f(x[0, 1]) for name, f in LATE.items()
    },
    **{
        f"both of {name}": lambda x, name=name: torch.cat(getattr(torch, name)(x, dim=0))
        for name in ("std_mean", "var_mean")
    },
    "slogdet": lambda x: torch.linalg.slogdet(x)[1],
    "interpolate": lambda x: F.interpolate(x[None, None], scale_factor=2, mode="bilinear"),
    "avg_pool2d": lambda x: F.avg_pool2d(x[None], 2, 1),
    "attention": lambda x: F.scaled_dot_product_attention(x[None], x[None] ** 2, 3 * x[None]),
    "conv2d": lambda x: F.conv2d(x[None, None], x[None, None, :2, :2]),
    **{
        f"{name} by operand {place + 1}": lambda x, call=call, count=count, place=place: call(
            *(x if other == place else pattern(x, other + 2) for other in range(count))
        )
        for name, (count, call) in SEVERAL.items()
        for place in range(count)
    },
}
