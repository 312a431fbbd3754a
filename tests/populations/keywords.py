"""Functions of a matrix with further options and of rarer names: of transforms, of matrices, along dimensions and of
pictures.
"""

import torch
from torch.nn import functional as F

from populations.further import numbers, parts, positive
from populations.initialisers import RELEASE
from populations.operations import pattern
from populations.options import fixed, image, volume
from populations.smooth import identity, spots


def spread(pool, x, size):
    """The largest numbers, squared, at the places where ``pool`` found them."""
    found, places = getattr(F, f"max_pool{pool}")(x, size, return_indices=True)
    return getattr(F, f"max_unpool{pool}")(found**2, places, size)


NORMS = ("ortho", "forward", "backward")
TRANSFORMS = {  # each to more numbers and to fewer than it is given, along the first dimension, with each norm
    **{
        f"fft.{name} to {n}, {norm}": lambda x, name=name, n=n, norm=norm: parts(
            getattr(torch.fft, name)(numbers(x) if "r" not in name else x, n=n, dim=0, norm=norm)
        )
        for name in ("fft", "ifft", "rfft")
        for n, norm in zip((2, 4, 5), NORMS)
    },
    **{
        f"fft.irfft to {n}, {norm}": lambda x, n=n, norm=norm: torch.fft.irfft(numbers(x), n=n, dim=0, norm=norm)
        for n, norm in zip((3, 4, 5), NORMS)
    },
    **{
        f"fft.{name}, {norm}": lambda x, name=name, norm=norm: parts(
            getattr(torch.fft, name)(numbers(x) if "r" not in name else x, s=(2, 4), dim=(1, 0), norm=norm)
        )
        for name in ("fft2", "ifft2", "rfft2", "fftn", "ifftn", "rfftn")
        for norm in NORMS
    },
    **{
        f"fft.{name}, {norm}": lambda x, name=name, norm=norm: getattr(torch.fft, name)(
            numbers(x), s=(3, 4), dim=(1, 0), norm=norm
        )
        for name in ("irfft2", "irfftn")
        for norm in NORMS
    },
    "fft.ihfft, ortho": lambda x: parts(torch.fft.ihfft(x, n=4, dim=0, norm="ortho").resolve_conj()),
    "shifts along one dimension": lambda x: torch.fft.fftshift(x * x, dim=0) * torch.fft.ifftshift(x, dim=(1,)),
    "stft and back": lambda x: torch.istft(
        torch.stft((x * x).repeat(1, 3), 4, 2, window=1 + pattern(x[0], 3).repeat(2)[:4], return_complex=True),
        *(4, 2),
        window=1 + pattern(x[0], 3).repeat(2)[:4],
        length=9,
    ),
}
OF_MATRICES = {
    **{
        f"{name}, upper={upper}": lambda x, name=name, upper=upper: OF_TRIANGLE[name](positive(x), x, upper)
        for name in ("cholesky_ex", "cholesky_inverse", "cholesky_solve", "solve_triangular")
        for upper in (False, True)
    },
    **{
        f"eigenvalues of the {half} half": lambda x, half=half: (
            torch.linalg.eigvalsh(positive(x), UPLO=half) * torch.linalg.eigh(x + x.t(), UPLO=half).eigenvalues
        )
        for half in "LU"
    },
    "eigvals": lambda x: sum(  # whose order is the solver's
        found.real.sort().values for found in (torch.linalg.eigvals(positive(x)) ** 3, torch.linalg.eig(positive(x))[0])
    ),
    "svd, of a tall one": lambda x: torch.linalg.svd(x[:, :2], full_matrices=False).S * torch.linalg.svdvals(x[:2]),
    "lu_solve, from the right": lambda x: torch.linalg.lu_solve(*torch.linalg.lu_factor(positive(x)), x, left=False),
    "lu_solve, adjoint": lambda x: torch.linalg.lu_solve(*torch.linalg.lu_factor(positive(x)), x, adjoint=True),
    "pinv, hermitian": lambda x: torch.linalg.pinv(positive(x), hermitian=True) + torch.linalg.pinv(x, rtol=1e-3),
    "tensorsolve, dims": lambda x: torch.linalg.tensorsolve(positive(x)[:, None], x[:1], dims=(0,)),
    "vander, N": lambda x: torch.linalg.vander(x[0], N=4),
    "matrix norms by name": lambda x: sum(torch.linalg.matrix_norm(x * x, ord=p) for p in ("fro", "nuc", 1, -1, 2, -2)),
    "norms by name": lambda x: sum(torch.linalg.vector_norm(x, ord=p, dim=0) for p in (0.5, 1, 2, 3, float("inf"))),
    "householder_product": lambda x: torch.linalg.householder_product(x.tril(-1) + identity(x), x[0, :2] / 2),
    "cov, counted and weighed": lambda x: (
        torch.cov(x, correction=0, aweights=pattern(x[0], 3))
        + torch.cov(x, fweights=pattern(x[0], 3).long())
        + torch.cov(x, correction=2)
    ),
    "pdist, p": lambda x: torch.pdist(x, p=3.0) + torch.pdist(x, 1.0),
    "cdist, p": lambda x: torch.cdist(x, x.flip(0) + 1.7, p=3.0) + torch.cdist(x, x.t() + 0.63, p=1.0),
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
OF_TRIANGLE = {
    "cholesky_ex": lambda p, x, upper: torch.linalg.cholesky_ex(p, upper=upper).L,
    "cholesky_inverse": lambda p, x, upper: torch.cholesky_inverse(torch.linalg.cholesky(p, upper=upper), upper=upper),
    "cholesky_solve": lambda p, x, upper: x.cholesky_solve(torch.linalg.cholesky(p, upper=upper), upper=upper),
    "solve_triangular": lambda p, x, upper: (
        torch.linalg.solve_triangular(p, x, upper=upper, unitriangular=True)
        + torch.linalg.solve_triangular(p, x, upper=upper, left=False)
    ),
}
NAMED = {  # by rarer names: in place, views that are copies instead, products
    "view_copy": lambda x: torch.view_copy(x, (x.numel(),)) ** 2,
    "expand_copy": lambda x: torch.expand_copy(x[0], x.shape) * x,
    "as_strided_copy": lambda x: torch.as_strided_copy(2 * x, (2, 2), (1, 3), 2) ** 2,
    "t_copy": lambda x: torch.t_copy(x) * torch.transpose_copy(x, 0, 1) + torch.permute_copy(x, (1, 0)),
    "select_copy": lambda x: torch.select_copy(x, 0, 1) * torch.slice_copy(x, 1, 0, len(x), 1),
    "squeeze_copy": lambda x: torch.squeeze_copy(torch.unsqueeze_copy(x, 0)) * torch.alias_copy(x),
    "diagonal_copy": lambda x: torch.diagonal_copy(x) * torch.unbind_copy(x)[1] + torch.split_copy(x, 1)[2],
    "unfold_copy": lambda x: torch.unfold_copy(x, 0, 2, 1) ** 2,
    "narrow_copy": lambda x: x.narrow_copy(1, 1, 2) ** 2,
    "addmv_": lambda x: (2 * x[0]).addmv_(x, x[1], beta=0.5, alpha=2),
    "addbmm_": lambda x: (2 * x).addbmm_(x[None], x[None]),
    "tril_, triu_": lambda x: (x * x).tril_(1) + (2 * x).triu_(-1),
    "swapdims_, swapaxes_": lambda x: (x * x).swapdims_(0, 1) * x.swapdims(0, 1) + (2 * x).swapaxes_(0, 1),
    "unsafe_split": lambda x: torch.cat([x[:, :1] * y for y in (*x.unsafe_split(2, 1), *x.unsafe_chunk(2, 1))], 1),
    "powers of a matrix": lambda x: torch.matrix_power(x, 3) + x.matrix_power(2),
    "cross of rows and of columns": lambda x: (
        torch.cross(x, x.flip(0) ** 2, dim=1) + torch.linalg.cross(x, x.t(), dim=0)
    ),
    "linalg.diagonal": lambda x: torch.linalg.diagonal(x[None] * x[:, None], offset=1),
    "linalg.matmul": lambda x: torch.linalg.matmul(x, x * x),
    "ger": lambda x: torch.ger(x[0], x[1]) * x[2].ger(x[0]),
    "constant_pad_nd": lambda x: torch.constant_pad_nd(x * x, (1, 2, -1, 0), 2.0),
    "row_stack": lambda x: torch.row_stack([x[0], x * x]) * torch.concatenate([x, x[:1] ** 2]),
    "trapz": lambda x: torch.trapz(x * x, dx=0.5),
    "triplet with a distance": lambda x: F.triplet_margin_with_distance_loss(x, x.flip(0) * 1.3, x.flip(1) * 0.7),
}
ALONG = {
    "combinations, r": lambda x: torch.combinations(x[0], r=3, with_replacement=True).prod(1),
    "cumulative_trapezoid by name": lambda x: (
        torch.cumulative_trapezoid(x, dx=0.5, dim=0) + torch.cumulative_trapezoid(x, x.cumsum(0), dim=0)
    ),
    "trapezoid by name": lambda x: torch.trapezoid(x * x, dx=0.5, dim=0) + torch.trapezoid(x, x.cumsum(1), dim=1),
    "trapz of points": lambda x: torch.trapz(x, x.cumsum(0), dim=0),
    "diag_embed by name": lambda x: torch.diag_embed(x, offset=-1, dim1=0, dim2=2) ** 2,
    "diagflat by name": lambda x: torch.diagflat(x, offset=-2) ** 2 + torch.diag(x[0], diagonal=9)[:11, :11],
    "gradient by name": lambda x: sum(
        (*torch.gradient(x * x, spacing=0.5, dim=1, edge_order=2), *torch.gradient(x, spacing=(2.0, 0.5)))
    ),
    "aminmax by name": lambda x: sum(torch.aminmax(x, dim=1, keepdim=True)) * x,
    "nanmean by name": lambda x: torch.nanmean(x, dim=1, keepdim=True) * x,
    "nanmedian by name": lambda x: torch.nanmedian(x, dim=1, keepdim=True).values * x,
    **{
        f"quantile, {how}": lambda x, how=how: (
            torch.quantile(x, 0.3, dim=0, keepdim=True, interpolation=how)
            * torch.nanquantile(x, torch.tensor([0.2, 0.65]).to(x), dim=1, keepdim=True, interpolation=how)
        )
        for how in ("linear", "lower", "higher", "midpoint", "nearest")
    },
    **{
        f"index_reduce, {how}, itself={itself}": lambda x, how=how, itself=itself: (x * x).index_reduce(
            0, spots(x)[0], x.flip(0), how, include_self=itself
        )
        for how in ("prod", "mean", "amax", "amin")
        for itself in (False, True)
    },
    # into numbers without a gradient: theirs, in every release to 2.15, is where they were written over, and only there
    "as_strided_scatter": lambda x: torch.as_strided_scatter(fixed(x), x[0, :2] ** 2, (2,), (4,), 1),
    "split_with_sizes_copy": lambda x: torch.split_with_sizes_copy(x * x, [1, x.shape[1] - 1], dim=1)[1],
    "diagonal_copy by name": lambda x: torch.diagonal_copy(x, offset=1, dim1=1, dim2=0) ** 2,
    "unravelled": lambda x: x.unflatten(1, (1, -1)).flatten(0, 1) * x,
}
OF_PICTURES = {
    "avg_pool3d, divided by a number": lambda x: F.avg_pool3d(volume(x) ** 2, 2, 1, divisor_override=3),
    "pixel_unshuffle by name": lambda x: F.pixel_unshuffle(image(x)[:, :, :4] ** 2, downscale_factor=2),
    **{
        f"fractional_max_pool{n}d": lambda x, n=n: getattr(F, f"fractional_max_pool{n}d")(
            {2: image(x)[None], 3: volume(x)}[n] ** 2,
            2,
            output_size=(1, 2, 2)[-n:],
            _random_samples=fixed(x)[None, :2, :n],
        )
        for n in (2, 3)
    },
    "max_unpool1d": lambda x: spread("1d", x[None], 3),
    "max_unpool3d": lambda x: spread("3d", x[None, None, None], (1, 3, 1)),
    "lp_pool1d": lambda x: F.lp_pool1d(x[None], 2, 3),
    "attention, of groups": lambda x: F.scaled_dot_product_attention(
        torch.stack([x, x * x, x.t(), 2 * x])[None],
        torch.stack([x, x.t()])[None],
        x.expand(1, 2, 3, 3),
        enable_gqa=True,
    ),
    "attention, scaled": lambda x: F.scaled_dot_product_attention(x[None], x[None] ** 2, x[None], scale=0.7),
    "adaptive pools": lambda x: (
        F.adaptive_max_pool2d(image(x), (2, 3), return_indices=True)[0]
        * F.adaptive_avg_pool2d(image(x), (None, 3))[:, :2]
    ),
}
# Before, torch has them not or not their derivative, and of complex powers it is NaN.
SINCE = {"attention, of groups": (2, 7), "attention, scaled": (2, 2), "split_with_sizes_copy": (2, 2)}
SINCE |= {"aminmax by name": (2, 14), "narrow_copy": (2, 14), "lp_pool3d": (2, 7)}
SINCE |= {"complex powers of negative numbers": (2, 2)}
# What torch computes in single precision at least, by what the names begin with along dimensions and of pictures.
IN_FULL = {**TRANSFORMS, **OF_MATRICES}
SINGLE = ("quantile", "avg_pool3d")
KEYWORDS = {
    name: function
    for name, function in {**IN_FULL, **NAMED, **ALONG, **OF_PICTURES}.items()
    if SINCE.get(name, (2, 0)) <= RELEASE
}
