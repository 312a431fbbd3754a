"""Further functions of a matrix, beside those of ``smooth``: each has its slope, too."""

import operator

import torch
from torch.nn import functional as F

from populations.initialisers import RELEASE
from populations.operations import pattern
from populations.smooth import identity, order, spots


def positive(x):
    """A symmetric matrix of positive eigenvalues, none of them much larger for more rows."""
    return x @ x.t() * (3 / len(x)) + 2 * identity(x)


def numbers(x, dim: int = 1):
    """``x`` as complex numbers, of which no two are alike."""
    return torch.complex(x, x.flip(dim) * x)


def parts(y):
    return torch.view_as_real(y)


def weighed(*several):
    """A sum in which each part counts differently."""
    return sum((n + 1) * each.sum() for n, each in enumerate(several))


def flow(x):
    """Places between the pixels of three rows and columns, of which one is outside."""
    return torch.stack([x * 1.7 - 0.9, x.t() * 1.9 - 0.6], -1)[None]


def far(x):
    """Numbers of up to 29 of either sign; no step rounds."""
    return 32 * x * (3 - 2 * pattern(x, 2))


def unpooled(x):
    pooled, places = F.max_pool2d(x[None, None], (3, 1), return_indices=True)
    return F.max_unpool2d(pooled**2, places, (3, 1))


BY_ONE = ("add_", "sub_", "mul_", "div_", "pow_", "fmod_", "remainder_")
INTO = {  # parts of a memory, of three rows and columns
    "columns": lambda x: (2 * x).t().contiguous().t(),
    "a later slice": lambda x: torch.stack([x, 2 * x, 3 * x])[1],
}
PUT = {  # what is written there, once or several times
    "scatter_": lambda y, x: y.scatter_(1, order(x), x * x),
    "scatter_add_": lambda y, x: y.scatter_add_(0, spots(x), x * x),
    "index_add_": lambda y, x: y.index_add_(1, spots(x)[0], x * x),
    "index_copy_": lambda y, x: y.index_copy_(0, order(x)[0, :2], x[1:3] ** 2),
    "index_put_": lambda y, x: y.index_put_((spots(x)[0],), x * x, accumulate=True),
    "[mask] =": lambda y, x: operator.setitem(y, pattern(x, 2) > 1, 2.0) or y,
    "[places] =": lambda y, x: operator.setitem(y, (slice(None), order(x)[1]), x * x) or y,
    "masked_scatter_": lambda y, x: y.masked_scatter_((pattern(x, 2) > 1), x * x),
    "clamp_": lambda y, x: y.clamp_(0.35, 0.95),
}
CHOSEN = {  # places and masks that say where the numbers go
    "index_fill": lambda x: x.index_fill(1, spots(x)[0], 7.0),
    "index_fill by a number": lambda x: torch.ones_like(x).index_fill(1, spots(x)[0], x[1, 2]),
    "index_fill_": lambda x: (2 * x).index_fill_(0, spots(x)[1], x[0, 0]),
    "index_add with alpha": lambda x: x.index_add(1, spots(x)[0], x * x, alpha=3),
    "index_copy into": lambda x: (3 * x).index_copy(0, spots(x)[0, :2], x[1:3] ** 2),
    "index_put": lambda x: (2 * x).index_put((spots(x)[0], spots(x)[1]), x[2]),
    "index_put with accumulate": lambda x: (2 * x).index_put((spots(x)[0],), x * x, accumulate=True),
    "index_put of one number": lambda x: (
        (2 * x).index_put((spots(x)[0],), x[1, 2], accumulate=True)
        * (3 * x).index_put_((spots(x)[0], spots(x)[1]), x[0, :1], accumulate=True)
    ),
    "put": lambda x: (2 * x).put(spots(x)[0, :2] + 1, x[0, :2]),
    "put with accumulate": lambda x: (2 * x).put(spots(x), x * x, accumulate=True),
    "scatter_add into": lambda x: (2 * x).scatter_add(0, spots(x), x * x),
    "scatter of a number": lambda x: x.scatter(1, spots(x)[:, :1], 5.0),
    **{
        f"scatter_reduce, {kind}, {own}": lambda x, kind=kind, own=own: x.scatter_reduce(
            1, spots(x), x.flip(0) * 1.13, kind, include_self=own
        )
        for kind in ("sum", "prod", "mean", "amax", "amin")
        for own in (True, False)
    },
    **{
        f"{name} into {where}": lambda x, make=make, write=write: write(make(x), x)
        for where, make in INTO.items()
        for name, write in PUT.items()
        if (name, where) != ("masked_scatter_", "columns") or RELEASE >= (2, 1)  # which wrote there in another order
    },
    "cat with nothing": lambda x: torch.cat([x.new_empty(0), x * x]),
    "concat with nothing": lambda x: torch.concat([x, x.new_empty(0), x[:1]], 0),
    "slice_scatter": lambda x: x.slice_scatter(x[:, :2] ** 2, 1, 1) * torch.slice_scatter(x, x[:2] ** 2, 0, 1),
    "diagonal_scatter": lambda x: x.diagonal_scatter(x[0] ** 2),
    "gather of a column": lambda x: x.gather(1, spots(x)[:, :1]),
    "masked by a row": lambda x: x.masked_fill((pattern(x, 2) > 1)[:1], 2.0),
    "masked_scatter": lambda x: (2 * x).masked_scatter((pattern(x, 2) > 1)[1], x * x),
    "column by a mask": lambda x: x[:, pattern(x[0], 2) < 2],
    "mask of rows": lambda x: x[pattern(x[0], 3) > 1] ** 2,
    "a mask and a place": lambda x: x[pattern(x[0], 3) > 1, 1],
    "a span and places": lambda x: x[1:, spots(x)],
    "places and None": lambda x: x[spots(x)[0], None, :2],
    "negative places": lambda x: x[-spots(x)[1], 1:],
    "kthvalue": lambda x: x.kthvalue(2, 0).values,
    "median": lambda x: x.median(1).values + x.median(),
    "nanmedian": lambda x: x.nanmedian(0).values + x.nanmedian(),
    "mode": lambda x: torch.cat([x, x[:1]]).mode(0).values,
    "topk": lambda x: x.topk(2, 0).values,
    "sort, descending": lambda x: x.sort(0, descending=True).values,
    "cummax": lambda x: x.cummax(1).values,
    "cummin": lambda x: x.cummin(0).values,
    "aminmax": lambda x: weighed(*x.aminmax(dim=1)),
    "largest and smallest of all": lambda x: x.max() + 2 * x.min() + 3 * x.amax() + 4 * x.amin((0, 1)),
    "clamp_min, clamp_max_": lambda x: x.clamp_min(0.45) + (2 * x).clamp_max_(0.9),
    **{
        f"{name} by what is tracked": lambda x, name=name: getattr(2 * x, name)(1.03 * x.flip(0))
        for name in (*BY_ONE, "atan2_", "hypot_", "xlogy_", "copysign_", "clamp_min_", "clamp_max_")
    },
    **{
        f"{name} by two that are tracked": lambda x, name=name: getattr(2 * x, name)(0.9 * x.flip(0), 1.2 * x.flip(1))
        for name in ("clamp_", "clip_", "addcmul_", "addcdiv_", "lerp_")
    },
    "nan_to_num": lambda x: torch.where(x > 0.45, x * x, torch.nan).nan_to_num(2.0),
    "renorm": lambda x: x.renorm(2, 0, 0.8),
    "fmin": lambda x: torch.fmin(x, x.flip(1) * 0.97),
}
PUT_TOGETHER = {  # of parts, and taken apart
    **{f"{n}d at least": lambda x, n=n: getattr(torch, f"atleast_{n}d")(x[1] * x[0]) for n in (1, 2, 3)},
    "column_stack": lambda x: torch.column_stack([x[0], x, 2 * x[1]]),
    "vstack": lambda x: torch.vstack([x[0], x * x]),
    "combinations": lambda x: torch.combinations(x[0], 2, with_replacement=True),
    "meshgrid": lambda x: weighed(*(y[:1] * y for y in torch.meshgrid(x[0], x[1], indexing="ij"))),
    "broadcast_tensors": lambda x: weighed(*(y * x for y in torch.broadcast_tensors(x[:, :1], x[:1]))),
    "broadcast_to": lambda x: x[:1].broadcast_to(4, -1) * x[0],
    "sum_to_size": lambda x: x.sum_to_size(1, x.shape[1]),
    "expand_as": lambda x: x[:, 1:2].expand_as(x) * x,
    "diagflat": lambda x: torch.diagflat(x[:2], 1),
    "diag_embed": lambda x: torch.diag_embed(x, 1, 0, 2),
    "diagonal of planes": lambda x: (x[None] * x[:, None]).diagonal(-1, 2, 0),
    "fliplr": lambda x: torch.fliplr(x) * x,
    "flipud": lambda x: torch.flipud(x) * x,
    "flip of both": lambda x: x.flip(0, 1) * x,
    "roll of both": lambda x: x.roll((1, -1), (0, 1)) * x,
    "rot90 back": lambda x: x.rot90(-1, (0, 1)) * x,
    "swapaxes": lambda x: x[None].swapaxes(0, 2) ** 2,
    "moveaxis": lambda x: x[None].moveaxis((0, 1), (1, 2)) ** 2,
    "mT": lambda x: x[None].mT ** 2 + x.T + x.H,
    "hsplit": lambda x: weighed(*torch.hsplit(x, [1])),
    "vsplit": lambda x: weighed(*torch.vsplit(x, [2])),
    "dsplit": lambda x: weighed(*torch.dsplit(x[None], 3)),
    "split_with_sizes": lambda x: weighed(*x.split_with_sizes([2, x.shape[1] - 2], 1)),
    "unflatten": lambda x: x.flatten().unflatten(0, (1, -1, 3)) ** 2,
    "view as": lambda x: x.view_as(x) * x.reshape_as(x),
    "fold": lambda x: F.fold(x.reshape(1, 1, 9)[..., :8].reshape(1, 4, 2), (3, 2), 2),
    "F.unfold": lambda x: F.unfold(x[None, None], 2) ** 2,
    "pixel_shuffle": lambda x: F.pixel_shuffle(x[0, 0] * x.flatten()[:8].view(1, 4, 2, 1), 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x[None, :2, :2] ** 2, 2),
    "channel_shuffle": lambda x: F.channel_shuffle(torch.cat([x, x * x, x.t(), x[:1]])[None, :, :, None], 2),
    **{f"pad, {mode}": lambda x, mode=mode: F.pad(x[None], (2, 1), mode=mode) for mode in ("reflect", "replicate")},
    "pad, circular": lambda x: F.pad(x[None, None], (1, 2, 0, 1), mode="circular"),
    "pad by less than nothing": lambda x: F.pad(x, (-1, 2, 1, -1), value=2.0),
    "frexp": lambda x: torch.frexp(1.1 * x).mantissa,
    "ldexp": lambda x: torch.ldexp(x, pattern(x, 3).int()),
}
ALL_TOGETHER = {  # reductions, running ones, statistics
    "nanmean": lambda x: x.nanmean(0),
    "cov": lambda x: x.cov(),
    "gradient": lambda x: weighed(*torch.gradient(x * x)),
    "logsumexp of both": lambda x: x.logsumexp((0, 1), keepdim=True),
    "logaddexp2": lambda x: torch.logaddexp2(x, x.flip(0)),
    "std and var, uncorrected": lambda x: x.std(0, correction=0) + x.var((0, 1), unbiased=False),
    "norms": lambda x: x.norm(1, 0) + x.norm(3, 1) + torch.linalg.norm(x, float("inf"), 0),
    "pairwise_distance": lambda x: F.pairwise_distance(x, x.flip(1)),
    "dist": lambda x: torch.dist(x, x.flip(0), 3),
    "mean of a distribution": lambda x: (x.softmax(1) * pattern(x, 3)).sum(1),
    "running products": lambda x: x.flatten().cumprod(0),
    "logcumsumexp of rows": lambda x: x.logcumsumexp(1),
    "rms_norm": lambda x: F.rms_norm(x, x.shape[1:], x[0]) if RELEASE >= (2, 4) else x * x,
    "layer_norm": lambda x: F.layer_norm(x, x.shape[1:], x[0], x[1]),
    "batch_norm": lambda x: F.batch_norm(x, None, None, x[0], x[1], training=True),
    "group_norm": lambda x: F.group_norm(x[None], 3, x[0], x[1]),
    "instance_norm": lambda x: F.instance_norm(x[None]),
    "local_response_norm": lambda x: F.local_response_norm(x[None], 2),
}
PRODUCTS = {
    # of one number that is repeated by strides of 0, both ways
    "matrices of one number each": lambda x: x[0, 0].expand(3, 4) @ x[1, 1].expand(4, 2) + x[0, :2],
    "batches of one number each": lambda x: torch.bmm(x[0, 0].expand(2, 3, 4), x[2, 1].expand(2, 4, 2)),
    "rows and columns of one number": lambda x: (
        x[:, :1].expand(-1, 4) @ x[:1].expand(4, -1) + x.mv(x[0, 0].expand(len(x)))
    ),
    "chain of products": lambda x: torch.linalg.multi_dot([x, x[:, :2], x[:2, :1], x[:1]]),
    "addbmm": lambda x: torch.addbmm(x, x[None], x[None], beta=2, alpha=3),
    "baddbmm_": lambda x: (2 * x)[None].contiguous().baddbmm_(x[None], x[None], beta=0.5),
    "addmm_": lambda x: (2 * x).addmm_(x, x, alpha=2),
    "addmv": lambda x: torch.addmv(x[0], x, x[1], beta=0.5, alpha=2),
    "addr_": lambda x: (2 * x).addr_(x[0], x[1], beta=0.5, alpha=2),
    "matrix_power": lambda x: torch.linalg.matrix_power(x, 3),
    "planes by planes": lambda x: (x[None] * x[:, :1, None]) @ x,
    "vdot": lambda x: torch.vdot(x[0], x[1]) + torch.inner(x[1], x[2]),
    "vecdot": lambda x: torch.linalg.vecdot(x, x.flip(0), dim=0),
    "kron": lambda x: torch.kron(x[:2], x[1:, :2]),
    "einsum of a diagonal": lambda x: torch.einsum("ii->i", x) + torch.einsum("ij,kj->i", x, x),
    **{f"fft.{name}": lambda x, name=name: getattr(torch.fft, name)(x) * x for name in ("fftshift", "ifftshift")},
    "grid_sample": lambda x: F.grid_sample((x * x)[None, None], flow(x), align_corners=True),
    "grid_sample, zeros": lambda x: F.grid_sample((x * x)[None, None], flow(x), align_corners=False),
    "affine_grid": lambda x: F.affine_grid(x[None, :2], (1, 1, 2, 2), align_corners=True),
    "max_unpool2d": unpooled,
    **{
        f"interpolate, {mode}": lambda x, mode=mode: F.interpolate(x[None, None] ** 2, scale_factor=2, mode=mode)
        for mode in ("nearest", "area", "bicubic", "nearest-exact")
    },
}
SATURATED = ("softplus", "logsigmoid", "silu", "mish", "elu", "celu", "selu", "gelu", "hardswish")
ELEMENTWISE = {
    # far from zero, where exponentials are large, or next to nothing
    **{
        f"{name} far out": lambda x, name=name: getattr(F, name)(far(x))
        for name in (*SATURATED, "softsign", "hardsigmoid", "relu6", "tanhshrink", "softshrink", "leaky_relu")
    },
    "gelu by tanh, far out": lambda x: F.gelu(far(x), approximate="tanh"),
    "log_softmax far out": lambda x: F.log_softmax(far(x), 1),
    "logsumexp far out": lambda x: (512 * x).logsumexp(1) + (-512 * x).logsumexp(0),
    "losses far out": lambda x: (
        F.cross_entropy(far(x), spots(x)[2]) + F.binary_cross_entropy_with_logits(far(x), pattern(x, 7) / 8)
    ),
    "norms of large numbers": lambda x: (
        F.layer_norm(256 * x, x.shape[1:]) + F.normalize(256 * x, dim=1) + (128 * x).norm()
    ),
    **{
        f"special.{name}": lambda x, name=name: getattr(torch.special, name)(x)
        for name in (*("entr", "i0e", "ndtr", "psi", "expit", "gammaln"),)
    },
    "xlog1py": lambda x: torch.special.xlog1py(x, x.flip(0)),
    "polygamma": lambda x: torch.polygamma(2, x + 1) + torch.mvlgamma(x + 2, 2),
    "rad2deg": lambda x: torch.rad2deg(x) + x.positive() + torch.true_divide(x, 3),
    "acosh": lambda x: torch.acosh(x + 1.5),
    "steps": lambda x: x * (torch.ceil(3.25 * x) + torch.round(3.25 * x) + torch.sgn(x - 0.45) + torch.sign(x - 0.6)),
    "threshold": lambda x: F.threshold(x * x, 0.2, 7.0),
    "relu6": lambda x: F.relu6(9 * x) + F.hardtanh(3.25 * x - 1.4),
    "shrunk": lambda x: F.hardshrink(x, 0.45) + F.softshrink(x, 0.25) + F.tanhshrink(x),
    "leaky": lambda x: F.leaky_relu(x - 0.45, 0.3) + F.prelu(x - 0.6, x[0, :1]) + F.rrelu(x - 0.6),
    "softsign": lambda x: F.softsign(x) + F.softmin(x, 0) + F.selu(x - 0.45),
    "hardsigmoid": lambda x: F.hardsigmoid(5 * x - 2),
    "glu": lambda x: F.glu(x[:, :2] * x[0, 0]),
    "float_power": lambda x: x.float_power(3) + x.float_power(x),
    "numbers on the left": lambda x: (1.5 + x) * (2 - x) / (1 / x) + 2**x,
    "divided, rounded": lambda x: (
        x + torch.div(x, 0.37, rounding_mode="floor") + torch.div(x, 0.37, rounding_mode="trunc")
    ),
}
IN_FULL = {  # which torch computes in single precision at least, or which need more than half
    "corrcoef": lambda x: x.corrcoef()[0, 1:],
    "conj": lambda x: parts(numbers(x).conj() * numbers(x, 0)),
    "imag": lambda x: (numbers(x) ** 2).imag,
    "view_as_complex": lambda x: parts(torch.square(torch.view_as_complex(torch.stack([x, x * x], -1)))),
    "abs of complex": lambda x: numbers(x).abs() + numbers(x).angle(),
    "complex product": lambda x: parts(numbers(x) @ numbers(x, 0)),
    "complex quotient": lambda x: parts(numbers(x) / numbers(x, 0)),
    "complex functions": lambda x: parts(numbers(x).exp() + numbers(x).sqrt() + numbers(x).tanh().log()),
    "nanquantile": lambda x: x.nanquantile(0.6, 1),
    "quantiles": lambda x: x.quantile(torch.tensor([0.1, 0.7]).to(x), 0, interpolation="linear"),
    "matrix norms": lambda x: torch.linalg.matrix_norm(x) + torch.linalg.norm(x, "nuc") + torch.linalg.norm(x, 2),
    "pdist": lambda x: F.pdist(x),
    # of more than 25 points, by way of products; a distance of nothing has no slope, its square has
    "cdist of many, some of them at one place": lambda x: torch.cdist(x.repeat(9, 1), x.repeat(9, 1)) ** 2,
    "vander": lambda x: torch.linalg.vander(x),
    "cholesky_solve": lambda x: torch.cholesky_solve(x, torch.linalg.cholesky(positive(x))),
    "inv_ex": lambda x: torch.linalg.inv_ex(positive(x))[0],
    "solve_triangular": lambda x: torch.linalg.solve_triangular(x.tril(), x, upper=False),
    "solved from the right": lambda x: torch.linalg.solve(positive(x), x, left=False),
    "lstsq": lambda x: torch.linalg.lstsq(positive(x)[:, :2], x).solution,
    "pinverse": lambda x: torch.pinverse(x[:2]),
    "logdet": lambda x: torch.logdet(positive(x)),
    "eigh": lambda x: torch.linalg.eigh(x + x.t()).eigenvectors.abs(),
    "svd": lambda x: torch.linalg.svd(x).U.abs(),
    "qr": lambda x: torch.linalg.qr(positive(x)).R.abs(),
    "cond": lambda x: torch.linalg.cond(positive(x)),
    "tensorinv": lambda x: torch.linalg.tensorinv(positive(x)[:, None], ind=1),
    "tensorsolve": lambda x: torch.linalg.tensorsolve(positive(x), x[0]),
    "fft.rfft2": lambda x: parts(torch.fft.rfft2(x, norm="ortho")),
    "fft.irfft2": lambda x: torch.fft.irfft2(numbers(x)),
    "stft": lambda x: parts(torch.stft(x.flatten(), 4, 2, window=x[0].repeat(2)[:4], return_complex=True)),
    **{
        f"fft.{name}": lambda x, name=name: parts(getattr(torch.fft, name)(numbers(x)))
        for name in ("ifft", "fft2", "ifft2")
    },
    **{
        f"special.{name}": lambda x, name=name: getattr(torch.special, name)(x)
        for name in ("erfcx", "i1", "i1e", "log_ndtr", "ndtri")
    },
}
# Of which some older releases have no derivative, or not from every layout.
LATER = ("aminmax", "channel_shuffle", "affine_grid") if RELEASE < (2, 14) else ()
EVERY = CHOSEN | PUT_TOGETHER | ALL_TOGETHER | PRODUCTS | ELEMENTWISE | IN_FULL
FURTHER = {name: function for name, function in EVERY.items() if name not in LATER}
