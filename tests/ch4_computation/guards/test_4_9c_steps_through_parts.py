"""4.9 GPU computing: a step of SGD through every layer, activation, loss and function, on the CPU and elsewhere."""

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, HALVES, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over
from populations.comparing import host
from populations.core import only_where
from populations.gradients import weights_for
from populations.initialisers import RELEASE
from populations.parts import DERIVED_ONCE, IN_HALF, MATRIX, PARTS, last, shares
from populations.rarer_parts import MIXED, RARER_ONCE, RARER_PARTS, lying
from populations.slopes import MORE
from populations.smooth import BY_ELEMENT, POINT, SMOOTH
from torch.autograd import grad
from torch.nn import functional as F

claim = pytest.mark.claim


def paired(x):
    """A batch of one matrix of complex numbers, of as many rows and columns as ``x``."""
    return torch.complex(x, x.flip(0))[None]


def heads(x):
    """Queries or keys as attention has them: of one sample and two heads, at two places, three numbers each."""
    return x.reshape(1, 2, 2, 3).permute(0, 2, 1, 3)


def multiples(z):
    """Sums of complex multiples of a matrix and of its products, and of batches of them."""
    square = z @ z.mH
    batched = torch.baddbmm(z[None], square[None], z[None], beta=2j, alpha=1 - 3j)[0]
    return torch.addmm(z, square, z, beta=2j, alpha=1 - 3j).abs() + (batched + torch.mv(square, z[:, 0])[:, None]).real


def of_repeated(x):
    """Every function of each element, of columns that are one column, repeated without a copy."""
    return sum(getattr(x[:, :1].expand(3, 4), name)() for name in BY_ELEMENT)


THROUGH = {name: (part, np.array(MATRIX)) for name, part in (PARTS | DERIVED_ONCE | RARER_PARTS | RARER_ONCE).items()}
THROUGH |= {  # more that a model may hold: of a padding word nothing is learned, and little remains of tiny numbers
    name: (part, np.array(MATRIX))
    for name, part in {
        "embedding with padding": lambda x: F.embedding(torch.tensor([[1, 0, 1], [3, 1, 1]]).to(x.device), x, 1),
        "embedding that shortens vectors": lambda x: F.embedding(
            torch.tensor([[1, 0, 1]]).to(x.device), x * 1, max_norm=1.0
        ),
        "batch_norm beside a constant feature": lambda x: (
            F.batch_norm(x * torch.tensor([1.0, 0, 1]).to(x), None, None, training=True) + x
        ),
        "layer_norm of small numbers": lambda x: F.layer_norm(x * 2**-11, (3,), eps=1e-12),
        "layer_norm of tiny numbers": lambda x: F.layer_norm(x * 2**-40, (3,)) + x,
        "divided by their deviation": lambda x: x / x.std() + x.var(0, unbiased=False) * x.var(1, keepdim=True),
        "between two numbers": lambda x: x.clamp(-0.5, 1),
        "a product of a batch of one": lambda x: torch.bmm(x[None] @ x.t()[None], (x @ x.t())[None]),
        "complex products": lambda x: (paired(x) @ paired(x).mH).abs() + (paired(x[:, :1]) @ paired(x[:, :1]).mH).real,
        "products by complex numbers": lambda x: multiples(torch.complex(x, x.flip(0))),
        **{
            f"{how} from one place, with corners": lambda x, how=how, sides=sides: F.interpolate(
                x.reshape(2, 6, *[1] * len(sides)), sides, mode=how, align_corners=True
            )
            for how, sides in {"linear": (3,), "bilinear": (2, 3), "trilinear": (1, 2, 2)}.items()
        },
        **{  # whose numbers lie by coordinates
            f"grid_sample of {kind} at places by columns": lambda x, at=at: F.grid_sample(
                x.reshape(1, 1, *at),
                x.sin().reshape(1, len(at), -1, *[1] * (len(at) - 1)).movedim(1, -1),
                align_corners=False,
            )
            for kind, at in {"an image": (4, 3), "a volume": (2, 2, 3)}.items()
        },
        "products of heads": lambda x: heads(x) @ (2 * heads(x)).transpose(-1, -2),
        "130 images joined, channels last": lambda x: torch.cat([last(x, 1, 2, 2, 3)] * 130),
        "a permuted sum": lambda x: x.reshape(2, 2, 3).permute(1, 0, 2) + shares(x).reshape(2, 2, 3),
        "a sum with what is permuted": lambda x: shares(x).reshape(3, 2, 2) * 2 + x.reshape(2, 2, 3).permute(2, 1, 0),
    }.items()
}
THROUGH["functions of repeated numbers"] = (of_repeated, POINT)
# In double precision a third of the functions, for time. What reads memory as it lies is of the layout.
OF_FUNCTIONS = {f"the function {name}": (of, POINT) for name, of in (SMOOTH | MORE).items() if "as_strided" not in name}
IN_DOUBLE = (*THROUGH, *[*OF_FUNCTIONS][::3])
THROUGH |= OF_FUNCTIONS


OF_HALVES = IN_HALF | RARER_PARTS | RARER_ONCE | MIXED
OF_HALVES |= {  # to each of 64 places by the same share, whose power of e is less than float32 holds
    "attention by low scores": lambda x: F.scaled_dot_product_attention(
        (16 + 0 * x[:, :1]).expand(1, 1, 4, 8),
        x.new_full((1, 1, 64, 8), -4),
        x.repeat(1, 1, 16, 3)[..., :8],
        torch.ones(4, 64, dtype=torch.bool, device=x.device),
    )
}
BY_THE_CPU = "local_response_norm, channels last"  # for which the CPU, and so sim, has no kernel

NAN_IN = {  # what passes NaN on
    **{name: lambda x, name=name: getattr(F, name)(x) for name in ("relu", "hardtanh", "elu", "gelu", "softplus")},
    "clamp": lambda x: x.clamp(-0.5, 1),
    "clamp of one bound": lambda x: x.clamp(min=0) + x.clamp(max=0),
    "clamp_": lambda x: (x * 1).clamp_(-0.5, 1),
    **{f"{name} of rows": lambda x, name=name: getattr(x, name)(1) for name in ("sum", "mean", "amax", "amin", "prod")},
    **{f"{name} of all": lambda x, name=name: getattr(x, name)() for name in ("max", "min", "sum", "norm")},
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)) + torch.minimum(torch.zeros_like(x), x),
    **{
        f"max_pool{n}d": lambda x, n=n: getattr(F, f"max_pool{n}d")(
            x.reshape(1, 1, *[1] * (n - 1), -1), [*[1] * (n - 1), 3]
        )
        for n in (1, 2, 3)
    },
    "softmax": lambda x: F.softmax(x, 1),
    "sign": lambda x: x.sign() + x,
}


LOST_ON_MPS = ("relu", "hardtanh", "clamp", "clamp of one bound", "clamp_")  # pytorch#183571, pytorch#121381


@claim("training-runs-on-gpu")
@over(
    EVERY_MODE,
    name=among(*NAN_IN),
    dtype=each(*SINGLE_AND_DOUBLE),
    layout=among(*WRITABLE),
    all_of_a_row=among(False, True),
)
def test_behind_a_function_there_nan_is_where_the_cpu_has_it_and_all_else_is_the_same(
    accelerator, name, dtype, layout, all_of_a_row
):
    only_where(accelerator.type != "mps" or name not in LOST_ON_MPS)
    numbers = np.array(MATRIX)
    numbers[1, slice(None) if all_of_a_row else 1] = np.nan
    expected = NAN_IN[name](torch.tensor(numbers, dtype=torch.float64, device="cpu")).numpy()
    assert np.isnan(expected).any()
    agree(NAN_IN[name](Twin(dtype, numbers.shape, layout).tensor(numbers)), expected, 64, np.nanmax(np.abs(numbers)))


@claim("training-runs-on-gpu")
@over(
    part=among(*((name, torch.float32) for name in THROUGH), *((name, torch.float64) for name in IN_DOUBLE)),
    second=among(False, True),
)
def test_a_step_through_every_part_and_function_leads_to_the_same_parameters_though_these_lie_by_columns(
    accelerator, products_in_full, part, second
):
    """The loss is of second degree, so that the step depends on the part's values as well as on its slope, and its
    gradient comes back in row order, with gaps and by columns; in double precision in one of these, which are the same
    code there. One feature is normalised by 316 times differences that cancel: hence some 10,000 roundings of the
    largest change.
    """
    name, dtype = part
    apply, numbers = THROUGH[name]
    here = torch.tensor(numbers, dtype=dtype, device="cpu", requires_grad=True)
    there = Twin(dtype, numbers.shape, "transposed", grad=True, second=second).tensor(numbers)
    result, first = apply(here), apply(there)
    assert first.device == there.device
    weights, factors = weights_for(first)
    ways, back = lying(name)[: 1 + first.dim()], weights * first.detach()  # a number lies in one way, a row in two
    ways = ways if dtype == torch.float32 else [ways[len(name) % len(ways)]]
    results = [first, *(apply(there) for _ in ways[1:])]  # all of which go back in one pass
    torch.autograd.backward(*zip(*((lie(one), lie(back)) for lie, one in zip(ways, results))))
    torch.optim.SGD([there], lr=0.25).step()

    (slope,) = grad(result, here, len(ways) * torch.as_tensor(factors, device="cpu") * result.detach())
    expected = host(here) - 0.25 * host(slope).astype(float)
    agree(there, expected, 10_000, max(1, np.abs(expected - numbers).max()))


@claim("training-runs-on-gpu")
@pytest.mark.skipif(
    RELEASE < (2, 7), reason="tried where the CPU has these parts in half precision too: from torch 2.7 on"
)
@over(name=among(*OF_HALVES), dtype=each(*HALVES), second=among(False, True))
def test_in_half_precision_a_part_there_has_the_cpu_s_values_and_slope_up_to_a_few_roundings(
    accelerator, products_in_full, name, dtype, second
):
    only_where(accelerator.type != "sim" or name != BY_THE_CPU)
    there = Twin(dtype, (4, 3), "transposed", grad=True, second=second).tensor(np.array(MATRIX))
    here = there.detach().cpu().double().requires_grad_()
    factors, expected = weights_for(result := OF_HALVES[name](there))[0], OF_HALVES[name](here)
    pairs = (result, expected), (grad(result, there, factors)[0], grad(expected, here, factors.cpu().double())[0])
    for found, sought in pairs:
        agree(found, host(sought), 32, np.abs(host(sought)).max(initial=1))
