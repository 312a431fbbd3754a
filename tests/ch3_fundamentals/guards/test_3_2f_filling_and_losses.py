"""3.2 Parameters filled in place, whatever their layout and what they held, and losses of any size."""

import contextlib
import copy
import inspect
import itertools
import math

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, HALVES, SINGLE_AND_DOUBLE, WRITABLE, agree, among, each, over, settled
from populations.comparing import host, untouched
from populations.gradients import grad_of
from populations.initialisers import NORMALS
from populations.layers import LOSSY, twice
from populations.pairs import SHAPES, pairs
from populations.rounding import as_held
from populations.twins import LEAVES, Twin, twins
from torch import nn
from torch.nn import init

claim = pytest.mark.claim


@claim("init-sets-weights-in-place")
@pytest.mark.start_values
@over(EVERY_MODE, filling=among(*NORMALS))
def test_normal_draws_independent_numbers_of_the_given_mean_and_deviation_in_place(filling):
    tensor = filling.blank().requires_grad_()
    place, draws, gradient = (tensor.data_ptr(), tensor.stride()), [], torch.ones_like(tensor)

    for _ in range(max(2, 2000 // tensor.numel())):
        assert filling(tensor) is tensor
        assert tensor.grad is (gradient if draws else None)
        draws.append(host(tensor).copy())
        tensor.grad = gradient  # which the first draw did not find
    assert ((tensor.data_ptr(), tensor.stride()), tensor.is_leaf, tensor.requires_grad) == (place, True, True)
    untouched(tensor)
    filling.follow(*draws)


BY_GENERATOR = {"method": lambda x, generator: x.detach().normal_(generator=generator)}
if "generator" in inspect.signature(init.normal_).parameters:  # not so in the oldest releases
    BY_GENERATOR["function"] = lambda x, generator: init.normal_(x, 0.5, 0.01, generator=generator)


@claim("init-sets-weights-in-place")
@over(fill=among(*BY_GENERATOR), size=among(3, 20, 1000), dtype=among(*SINGLE_AND_DOUBLE))
def test_a_generator_that_is_given_draws_by_its_seed_and_the_one_of_all_others_stays_where_it_was(fill, size, dtype):
    x = torch.empty(size, dtype=dtype, requires_grad=True)

    def drawn(seed):
        BY_GENERATOR[fill](x, torch.Generator(x.device).manual_seed(seed))
        return x.tolist()

    torch.manual_seed(3)
    following = torch.randn(size).tolist()
    torch.manual_seed(7)
    usual = x.detach().normal_(*(0.5, 0.01) * (fill == "function")).tolist()
    torch.manual_seed(3)
    assert drawn(7) == drawn(7) == usual != drawn(8)
    assert torch.randn(size).tolist() == following


UP = 1 + 2**-7 - 2**-14 - 2**-27  # which single and half precision round up
VALUES = (0, UP, -(2.0**15), -math.inf, math.nan)
FILLED = among(*itertools.product(VALUES, ("constant_", "normal_", "fill_", "fill_ with a tensor")), (0, "zero_"))


@claim("init-sets-weights-in-place", "data-fill-equals-constant-init")
@over(EVERY_MODE, twin=twins(FLOATS, WRITABLE, grad=(True, False), kinds=LEAVES), filled=FILLED)
def test_constant_and_filling_the_data_set_every_element_in_place_even_nan_and_none_beside_them(twin, filled):
    """And so does a normal distribution without deviation."""
    (tensor, array), (value, spelled) = twin, filled
    tensor.grad = gradient = torch.ones_like(tensor)
    place, before = tensor.data_ptr(), tensor.data[-1:] if array.ndim else tensor.data
    before.copy_(torch.full_like(before, math.nan))

    if spelled == "constant_":
        assert init.constant_(tensor, val=value) is tensor
    elif spelled == "normal_":
        assert init.normal_(tensor, value, 0) is tensor
    elif spelled == "zero_":
        tensor.data.zero_()
    else:
        tensor.data.fill_(value if spelled == "fill_" else torch.tensor(value, dtype=twin.dtype).to(tensor))
    agree(tensor, as_held(np.full_like(array, value), twin.dtype))
    untouched(tensor)
    assert (tensor.data_ptr(), tensor.is_leaf, tensor.requires_grad, tensor.grad_fn) == (place, True, twin.grad, None)
    assert tensor.grad is gradient
    agree(init.constant_(tensor, UP), as_held(np.full_like(array, UP), twin.dtype))
    expected = np.full_like(array, UP)
    for fill, number in ((init.constant_, 2.0), (lambda x, mean: init.normal_(x, mean, 0), 3.0)):
        fill(tensor.detach()[-1:] if array.ndim else tensor, number)  # of a part
        expected[(slice(-1, None),) * min(array.ndim, 1)] = number
        agree(tensor, as_held(expected, twin.dtype))


LOSSES = (
    *("BCELoss", "BCEWithLogitsLoss", "CTCLoss", "CosineEmbeddingLoss", "CrossEntropyLoss", "GaussianNLLLoss"),
    *("HingeEmbeddingLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "MarginRankingLoss", "MultiLabelMarginLoss"),
    *("MultiLabelSoftMarginLoss", "MultiMarginLoss", "NLLLoss", "PoissonNLLLoss", "SmoothL1Loss", "SoftMarginLoss"),
    *("TripletMarginLoss", "TripletMarginWithDistanceLoss"),
)
WEIGHTED = (
    *("BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss", "NLLLoss"),
)


@claim("losses-are-modules")
def test_every_loss_is_a_module_that_a_network_holds_and_prints_and_learns_nothing():
    assert {name for name in dir(nn) if name.endswith("Loss")} >= {*LOSSES}
    for name in sorted(name for name in dir(nn) if name.endswith("Loss")):
        assert isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module), name
    for name in LOSSES:
        loss, called = copy.deepcopy(getattr(nn, name)(reduction="sum")), []
        assert loss.reduction == "sum"
        held = nn.Module()
        held.loss = loss
        assert ([*held.children()], [*held.parameters()]) == ([loss], [])
        assert str(nn.Sequential(loss)).startswith(f"Sequential(\n  (0): {name}(")
        loss.register_forward_pre_hook(lambda loss, inputs, called=called: called.append(loss))
        with contextlib.suppress(TypeError):  # of forward, which is given nothing
            loss()
        assert called == [loss]
    for name, option in [("BCEWithLogitsLoss", "pos_weight"), *((name, "weight") for name in WEIGHTED)]:
        net = nn.Sequential(getattr(nn, name)(**{option: torch.ones(3, device="meta")}))
        held = getattr(net.bfloat16()[0], option)
        assert held is dict(net.named_buffers()).get(f"0.{option}")
        assert (held.dtype, net.eval()[0].training) == (torch.bfloat16, False)


@claim("mse-loss-is-mean-squared-error", "training-minimises-mean-loss", "losses-are-modules")
@claim("epoch-loss-weights-batches-by-size")
@claim("mse-loss-is-mean-squared-error", "step-is-given-the-batch-size", truth=True)
@claim("squared-loss-is-half-squared-error", truth=True)
@over(
    twin=twins(
        LOSSY,
        WRITABLE,
        ((), (1,), (0,), (5,), (3, 33), (2, 3, 4, 5), (2, 1025), (65537,), (1, 3), (2, 3, 4)),
        values="small",
    ).rarely(*(Twin(torch.float32, shape, seed=turn) for turn, shape in enumerate(((300, 2), (2, 1, 3, 2, 2))))),
    reduction=each("mean", "sum", "none"),
)
def test_the_loss_is_the_mean_the_sum_or_every_one_of_the_squares_and_its_gradients_twice_the_errors(twin, reduction):
    """Every square and sum is a whole number below 2**24 and exact; the mean rounds once, or twice in bfloat16."""
    (leaf, x), (label, y) = twin, twin.but(seed=twin.seed + 1, layout=WRITABLE[(twin.seed + 1) % len(WRITABLE)])
    half = twin.dtype in HALVES  # whose sums stay below 65504
    power = 2.0 ** ((twin.seed % 3 - 1) * (2 if half else 12) - 6 * (half and reduction == "sum"))
    predicted, label = leaf.detach().mul_(power).requires_grad_(), label.detach().mul_(power).requires_grad_()
    error, n = (x.astype(np.float64) - y) * power, max(x.size, 1) if reduction == "mean" else 1
    total = (error**2).sum() / n if x.size or reduction == "sum" else np.nan

    given = (predicted[...], label[...]) if twin.seed % 2 else (predicted, label)  # what a layer made, and leaves
    loss = twice(nn.MSELoss(), *given, reduction=reduction)
    loss.backward(torch.ones_like(loss))
    assert loss.dtype == twin.dtype
    with torch.no_grad():
        losses = [mode()(nn.MSELoss(reduction=reduction))(*given) for mode in EVERY_MODE[1:]]
        for found in (loss, *losses, settled(copy.deepcopy(nn.MSELoss(reduction=reduction)))(*given)):
            agree(found, error**2 if reduction == "none" else total, roundings=3)
    agree(grad_of(predicted), 2 * error / n, roundings=4)
    agree(grad_of(label), -2 * error / n, roundings=4)
    for leaf, pair, sign in ((predicted, (predicted, label.detach()), 2), (label, (predicted.detach(), label), -2)):
        (alone,) = torch.autograd.grad(nn.MSELoss(reduction=reduction)(*pair).sum(), leaf)
        agree(alone, sign * error / n, roundings=4)


@pytest.mark.cpu
@claim("mse-loss-is-mean-squared-error", truth=True)
@over(EVERY_MODE, dtype=among("uint8", "int8", "int16", "int32", "int64"), shape=among((), (3,), (2, 33)))
def test_whole_numbers_on_both_sides_have_no_mean_square_and_on_one_side_they_do(dtype, shape):
    label, half = torch.full(shape, 3, dtype=getattr(torch, dtype)), torch.full(shape, 0.5)
    for refused in ((label, label), (label * 1j, label * 1j), (label * 1j, half), (half, label * 1j)):
        with pytest.raises(RuntimeError):
            nn.MSELoss()(*refused)
    assert nn.MSELoss()(half, label).item() == nn.MSELoss()(label, half).item() == 6.25
    third = torch.full(shape, 1 / 3, dtype=torch.float64)  # of two precisions the finer
    assert nn.MSELoss()(half, third).item() == pytest.approx(1 / 36, rel=1e-12)
    for narrow in HALVES:
        assert nn.MSELoss()(half.to(narrow), third.float()).item() == pytest.approx(1 / 36, rel=1e-6)


@claim("mse-loss-is-mean-squared-error")
@over(twin=twins(SINGLE_AND_DOUBLE, shapes=((2,), (9,), (3, 33), (1025,))), of=among(0, 1), value=among(np.nan, np.inf))
def test_one_nan_or_infinity_on_either_side_is_never_washed_out(twin, of, value):
    pair = [twin.tensor(twin.array()), twin.but(seed=twin.seed + 1, layout="contiguous").tensor(twin.array() + 1)]
    pair[of][(-1,) * len(twin.shape)] = value

    agree(nn.MSELoss()(*pair), value)


@claim("mse-loss-is-mean-squared-error", truth=True)
@over(
    pair=pairs(
        SINGLE_AND_DOUBLE,
        shapes=(*SHAPES, ((5, 1), (5,)), ((2, 1), (2, 1, 1, 1)), ((3,), ()), ((1, 4), (4,))),
        grad=(True,),
    ),
    reduction=each("mean", "sum", "none"),
)
def test_other_shapes_broadcast_to_all_pairs_with_a_warning_whatever_the_reduction(pair, reduction):
    predicted, x, label, y = pair
    squares = np.square(np.subtract(x, y, dtype=np.float64))

    with pytest.warns(UserWarning, match="target size"):
        loss = nn.MSELoss(reduction=reduction)(predicted, label)
    mean = squares.sum() / squares.size if squares.size else np.nan
    expanded = nn.MSELoss(reduction=reduction)(*torch.broadcast_tensors(predicted, label))
    for found in (loss, expanded):
        agree(found, {"mean": mean, "sum": squares.sum(), "none": squares}[reduction], roundings=3)
