"""Functions of a matrix by rarer names and of rarer kinds, which no other table has, each with its slope."""

import torch
from torch.nn import functional as F

from populations.further import numbers, parts, positive
from populations.initialisers import RELEASE


def spread(pool, x, size):
    """The largest numbers, squared, at the places where ``pool`` found them."""
    found, places = getattr(F, f"max_pool{pool}")(x, size, return_indices=True)
    return getattr(F, f"max_unpool{pool}")(found**2, places, size)


IN_PLACE = {
    "addmv_": lambda x: (2 * x[0]).addmv_(x, x[1], beta=0.5, alpha=2),
    "addbmm_": lambda x: (2 * x).addbmm_(x[None], x[None]),
    "tril_, triu_": lambda x: (x * x).tril_(1) + (2 * x).triu_(-1),
    "swapdims_, swapaxes_": lambda x: (x * x).swapdims_(0, 1) * x.swapdims(0, 1) + (2 * x).swapaxes_(0, 1),
}
COPIED = {  # views that are copies instead
    "view_copy": lambda x: torch.view_copy(x, (9,)) ** 2,
    "expand_copy": lambda x: torch.expand_copy(x[0], (3, 3)) * x,
    "as_strided_copy": lambda x: torch.as_strided_copy(2 * x, (2, 2), (1, 3), 2) ** 2,
    "t_copy": lambda x: torch.t_copy(x) * torch.transpose_copy(x, 0, 1) + torch.permute_copy(x, (1, 0)),
    "select_copy": lambda x: torch.select_copy(x, 0, 1) * torch.slice_copy(x, 1, 0, 3, 1),
    "squeeze_copy": lambda x: torch.squeeze_copy(torch.unsqueeze_copy(x, 0)) * torch.alias_copy(x),
    "diagonal_copy": lambda x: torch.diagonal_copy(x) * torch.unbind_copy(x)[1] + torch.split_copy(x, 1)[2],
    "unfold_copy": lambda x: torch.unfold_copy(x, 0, 2, 1) ** 2,
    "narrow_copy": lambda x: x.narrow_copy(1, 1, 2) ** 2,
    "unsafe_split": lambda x: x.unsafe_split(2, 1)[1] * x.unsafe_chunk(2, 1)[1],
}
OF_MATRICES = {
    "powers of a matrix": lambda x: torch.matrix_power(x, 3) + x.matrix_power(2),
    "cross of rows and of columns": lambda x: (
        torch.cross(x, x.flip(0) ** 2, dim=1) + torch.linalg.cross(x, x.t(), dim=0)
    ),
    "linalg.diagonal": lambda x: torch.linalg.diagonal(x[None] * x[:, None], offset=1),
    "linalg.matmul": lambda x: torch.linalg.matmul(x, x * x),
    "ger": lambda x: torch.ger(x[0], x[1]) * x[2].ger(x[0]),
    "constant_pad_nd": lambda x: torch.constant_pad_nd(x * x, (1, 2, -1, 0), 2.0),
    "torch.threshold": lambda x: torch.threshold(x * x, 0.2, 7.0),
    "row_stack": lambda x: torch.row_stack([x[0], x * x]) * torch.concatenate([x, x[:1] ** 2]),
    "trapz": lambda x: torch.trapz(x * x, dx=0.5),
    "triplet with a distance": lambda x: F.triplet_margin_with_distance_loss(x, x.flip(0) * 1.3, x.flip(1) * 0.7),
}
IN_FULL = {  # which torch computes in single precision at least, or which need more than half
    "det as a method": lambda x: x.det() + torch.det(x) + torch.slogdet(x)[1] + x.slogdet()[1],
    "svd by the old name": lambda x: torch.svd(x).S + x.svd().S,
    "solve_ex": lambda x: torch.linalg.solve_ex(positive(x), x)[0],
    "lu_factor_ex": lambda x: torch.linalg.lu_factor_ex(positive(x))[0],
    "linalg.lu_solve": lambda x: torch.linalg.lu_solve(*torch.linalg.lu_factor(positive(x)), x),
    "lu_unpack": lambda x: sum(torch.lu_unpack(*torch.linalg.lu_factor(positive(x)))[1:]),
    "fft.fftn": lambda x: parts(torch.fft.fftn(numbers(x))) + parts(torch.fft.ifftn(numbers(x), dim=(0,))),
    "fft.rfftn": lambda x: parts(torch.fft.rfftn(x)),
    "fft.irfftn": lambda x: torch.fft.irfftn(numbers(x)),
    "lp_pool3d": lambda x: F.lp_pool3d(x[None, None, None], 3, (1, 2, 2)),
    "complex powers of negative numbers": lambda x: parts((-1 - x) ** numbers(x)),
    "fft.ihfft": lambda x: parts(torch.fft.ihfft(x).resolve_conj()),
}
OF_WINDOWS = {
    "max_unpool1d": lambda x: spread("1d", x[None], 3),
    "max_unpool3d": lambda x: spread("3d", x[None, None, None], (1, 3, 1)),
    "lp_pool1d": lambda x: F.lp_pool1d(x[None], 2, 3),
}
# Torch 2.7 has no derivative of the first, 2.2 none of the second, and 2.0 NaN for the third; these do, of the releases
# that were tried.
SINCE = {"narrow_copy": (2, 14), "lp_pool3d": (2, 7), "complex powers of negative numbers": (2, 2)}
EVERY = {**IN_PLACE, **COPIED, **OF_MATRICES, **OF_WINDOWS, **IN_FULL}
REMAINING = {name: function for name, function in EVERY.items() if SINCE.get(name, (2, 0)) <= RELEASE}
