"""Functions of several operands, of which any may be tracked while the others are not."""

from itertools import combinations

import torch
from torch.nn import functional as F

from populations.initialisers import RELEASE

IMAGE, ROWS, ROW = (2, 4, 5, 6), (3, 4), (4,)
SPANS = {1: (7,), 2: (5, 6), 3: (3, 4, 3)}


# The sizes of the operands, and the function.
TOGETHER = {
    "layer_norm": ((ROWS, ROW, ROW), lambda x, w, b: F.layer_norm(x, (4,), w, b)),
    "group_norm": (((2, 4, 3), ROW, ROW), lambda x, w, b: F.group_norm(x, 2, w, b)),
    "batch_norm": (((6, 4), ROW, ROW), lambda x, w, b: F.batch_norm(x, None, None, w, b, True)),
    "batch_norm of images": ((IMAGE, ROW, ROW), lambda x, w, b: F.batch_norm(x, None, None, w, b, True)),
    "batch_norm, evaluated": (
        ((6, 4), ROW, ROW),
        lambda x, w, b: F.batch_norm(x, x.new_full((4,), 0.5), x.new_full((4,), 2.0), w, b),
    ),
    "instance_norm": (((2, 4, 7), ROW, ROW), lambda x, w, b: F.instance_norm(x, None, None, w, b)),
    **({"rms_norm": ((ROWS, ROW), lambda x, w: F.rms_norm(x, (4,), w))} if RELEASE >= (2, 4) else {}),
    **{
        f"conv{n}d{name}": (
            ((2, 4, *SPANS[n]), (6, 4 // more.get("groups", 1), *[size] * n), (6,)),
            lambda x, w, b, n=n, more=more: getattr(F, f"conv{n}d")(x, w, b, **more),
        )
        for n in SPANS
        for name, size, more in (
            *(("", 2, {}), (" by one tap", 1, {}), (" in groups", 3, {"groups": 2, "padding": 1})),
            (" by strides that leave a rest", 2, {"stride": 2, "dilation": 2}),
        )
    },
    **{
        f"conv_transpose{n}d": (
            ((2, 4, *SPANS[n]), (4, 3, *[2] * n), (3,)),
            lambda x, w, b, n=n: getattr(F, f"conv_transpose{n}d")(x, w, b, stride=2, padding=1),
        )
        for n in SPANS
    },
    "linear": ((ROWS, (2, 4), (2,)), lambda x, w, b: F.linear(x, w, b)),
    "linear of planes": (((2, 3, 4), (2, 4), (2,)), lambda x, w, b: F.linear(x, w, b)),
    "linear of a row": ((ROW, (2, 4), (2,)), lambda x, w, b: F.linear(x, w, b)),
    "bilinear": ((ROWS, (3, 2), (5, 4, 2), (5,)), lambda x, y, w, b: F.bilinear(x, y, w, b)),
    "attention": (((2, 3, 4), (2, 5, 4), (2, 5, 3)), lambda q, k, v: F.scaled_dot_product_attention(q, k, v)),
    "attention, masked": (
        ((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4), (3, 5)),
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m),
    ),
    "prelu": (((2, 4, 3), ROW), lambda x, w: F.prelu(x - 0.45, w)),
    "embedding_bag": (
        ((5, 3), (2, 3)),
        lambda w, s: F.embedding_bag(
            torch.tensor([[0, 2, 2], [4, 0, 1]], device=w.device), w, mode="sum", per_sample_weights=s
        ),
    ),
    "mm": ((ROWS, (4, 2)), lambda a, b: torch.mm(a, b)),
    "bmm": (((2, 3, 4), (2, 4, 5)), lambda a, b: torch.bmm(a, b)),
    "matmul, repeated": (((2, 1, 3, 4), (5, 4, 2)), lambda a, b: a @ b),
    "matmul of a row": ((ROW, (2, 4, 3)), lambda a, b: a @ b),
    "addmm": ((ROW, (3, 2), (2, 4)), lambda a, b, c: torch.addmm(a, b, c, beta=0.5, alpha=2)),
    "baddbmm": (((2, 1, 4), (2, 3, 2), (2, 2, 4)), lambda a, b, c: torch.baddbmm(a, b, c, beta=0.5, alpha=2)),
    "addmv": (((3,), ROWS, ROW), lambda a, b, c: torch.addmv(a, b, c, beta=0.5, alpha=2)),
    "einsum": ((ROWS, (4, 2), (3, 2)), lambda a, b, c: torch.einsum("ij,jk,ik->i", a, b, c)),
    "solve": (((3, 3), (3, 2)), lambda a, b: torch.linalg.solve(a + 3 * torch.eye(3).to(a), b)),
    "solve_triangular": (
        ((3, 3), (3, 2)),
        lambda a, b: torch.linalg.solve_triangular(a.triu() + 3 * torch.eye(3).to(a), b, upper=True),
    ),
    "cross_entropy": ((ROWS, ROWS), lambda x, p: F.cross_entropy(x, p)),
    "binary_cross_entropy": ((ROWS, ROWS), lambda x, t: F.binary_cross_entropy(x, t, reduction="sum")),
    "binary_cross_entropy_with_logits": ((ROWS, ROWS), lambda x, t: F.binary_cross_entropy_with_logits(x, t)),
    "kl_div": ((ROWS, ROWS), lambda x, t: F.kl_div(x, t, reduction="sum")),
    **{
        name: ((ROWS, ROWS), lambda x, t, name=name: getattr(F, name)(x, 0.7 * t.flip(0), reduction="sum"))
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
    },
    "gaussian_nll_loss": ((ROWS, ROWS, (3, 1)), lambda x, t, v: F.gaussian_nll_loss(x, t, v)),
    "triplet_margin_loss": ((ROWS, ROWS, ROWS), lambda a, p, n: F.triplet_margin_loss(a, p.flip(0), n.flip(1), 2.0)),
    "cosine_similarity": ((ROWS, ROW), lambda a, b: F.cosine_similarity(a, b, -1)),
    "pairwise_distance": ((ROWS, ROWS), lambda a, b: F.pairwise_distance(a, 2 * b)),
    "cdist": ((ROWS, (5, 4)), lambda a, b: torch.cdist(a, 3 * b)),
    "cdist of one": (((1, 4), (5, 4)), lambda a, b: torch.cdist(a, 3 * b)),
    "cdist to one": ((ROWS, (1, 4)), lambda a, b: torch.cdist(a, 3 * b, p=1.5)),
    "grid_sample": (((1, 2, 3, 4), (1, 2, 3, 2)), lambda x, g: F.grid_sample(x, g - 0.4, align_corners=True)),
    "lerp": ((ROWS, ROW, (3, 1)), lambda a, b, w: torch.lerp(a, 2 * b, w)),
    "addcmul": ((ROWS, ROW, (3, 1)), lambda a, b, c: torch.addcmul(a, b, c, value=2)),
    "addcdiv": ((ROWS, ROW, (3, 1)), lambda a, b, c: torch.addcdiv(a, b, c, value=2)),
    "atan2, hypot": ((ROWS, ROW), lambda a, b: torch.atan2(a, b) + torch.hypot(a, b)),
    "power": ((ROWS, ROW), lambda a, b: a**b),
    "logaddexp": ((ROWS, (3, 1)), lambda a, b: torch.logaddexp(a, b) + torch.logaddexp2(a, b)),
    "quotient": ((ROWS, (3, 1)), lambda a, b: a / b),
    "index_add": ((ROWS, (2, 4)), lambda a, b: a.index_add(0, torch.tensor([2, 2], device=a.device), b)),
    "scatter_add": ((ROWS, (2, 4)), lambda a, b: a.scatter_add(0, torch.ones(2, 4).long().to(a.device), b)),
    "slice_scatter": ((ROWS, (2, 4)), lambda a, b: a.slice_scatter(b, 0, 1)),
    "cat": ((ROWS, (2, 4), (1, 4)), lambda a, b, c: torch.cat([a, b, c]) ** 2),
    "lstm_cell": (
        (ROWS, (3, 2), (3, 2), (8, 4), (8, 2), (8,), (8,)),
        lambda x, h, c, *all: torch.cat(torch.lstm_cell(x, (h, c), *all)),
    ),
    "gru_cell": ((ROWS, (3, 2), (6, 4), (6, 2), (6,), (6,)), lambda x, h, *all: torch.gru_cell(x, h, *all)),
}
# Each function with each of its operands tracked alone, with each but one, with all.
CHOICES = tuple(
    (name, tracked)
    for name, (sizes, _) in TOGETHER.items()
    for count in sorted({1, len(sizes) - 1, len(sizes)})
    for tracked in combinations(range(len(sizes)), count)
    if (name, tracked) != ("embedding_bag", (1,)) or RELEASE >= (2, 7)  # before, an internal error
)
