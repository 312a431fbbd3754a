"""3.7 Dropout, in every form, for tensors of every rank and layout, and for probabilities from 0 to 1."""

import copy
import functools
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, LAYOUTS, WRITABLE, Twin, agree, among, over, settled, twins, untouched
from populations.comparing import host
from populations.layers import COMPUTED, aged
from populations.statistics import ALARM, lag_bound, lag_correlation, mean_bound, occur_as_often
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim

DROPOUT = {  # makes of p what is called, as often as one likes
    "module": lambda p: aged(nn.Dropout(p)),
    "module in place": lambda p: nn.Dropout(p, inplace=True),
    "function": lambda p: lambda x: F.dropout(x, p),
    "function in place": lambda p: settled(lambda x: F.dropout(x, p=p, training=True, inplace=True)),
}
FORMS = among(*DROPOUT)
# Layers that drop whole channels or keep the variance, with the rank of the images that they take
OTHERS = ((nn.Dropout1d, 3), (nn.Dropout2d, 4), (nn.Dropout3d, 5), (nn.AlphaDropout, 2), (nn.FeatureAlphaDropout, 3))
# Of up to five dimensions, of more than 65,536 units, many short ones; p far from and near its ends
MASKS = (
    *(((131_073,), 1, 0.0008, "function"), ((131_073,), 1, 0.998, "module"), ((131_073,), 1, 0.5, "module in place")),
    *(((181, 182), 1, 0.25, "function"), ((181, 182), 1, 0.75, "function in place"), ((400, 257), 1, 0.5, "module")),
    *(((4, 100, 50), 1, 0.5, "function"), ((8, 1, 64, 65), 1, 0.9, "module"), ((2, 3, 2, 5, 99), 1, 0.5, "module")),
    *(((20, 40), 30, 0.5, "module in place"), ((31,), 350, 0.3, "function"), ((5,), 1000, 0.1, "module")),
    *(((3, 5, 7), 100, 0.8, "function in place"), ((), 1000, 0.5, "function")),
    *(((65_537,), 1, 0.002, form) for form in ("function", "module", "function in place")),
)


def dropped(form, shape, calls, p, dtype=torch.float32, layout="contiguous"):
    """Which units are zero, in a row of events for each call; the units, 1/8 to 2048, alternate in sign and size."""
    order = np.arange(math.prod(shape)).reshape(shape)
    units = Twin(dtype, shape, layout), np.where(order % 4 == 0, -1, 1) * 2.0 ** (order % 15 - 3)
    once = Twin.tensor(*units)
    given = (Twin.tensor(*units) if form.endswith("in place") else once for _ in range(calls))
    drop = DROPOUT[form](p)
    return np.stack([host(drop(tensor)).reshape(-1) == 0 for tensor in given])


@claim("dropout-zeroes-with-probability-p")
@over(EVERY_MODE, mask=among(*zip(MASKS, COMPUTED * 5, LAYOUTS * 3)))
def test_each_unit_is_dropped_with_probability_p_independently_of_near_and_far_ones_and_of_earlier_passes(mask):
    (shape, calls, p, form), dtype, layout = mask
    events = dropped(form, shape, calls, p, dtype, layout)
    count, size = events.size, events.shape[1]

    occur_as_often(events.reshape(-1, 1), p)
    columns = shape[-1] if shape and shape[-1] <= 100 else 1
    occur_as_often(events.reshape(-1, columns), p, cases=columns)
    occur_as_often(events.T, p, cases=calls)
    centred, largest = events.reshape(-1) - p, max(p, 1 - p)
    steps = [math.prod(shape[dimension:]) for dimension in range(len(shape) + 1)]
    for lag in {*steps, 2, 3, 8, 16, 65_536, 10 * size, 11 * size, count // 2}:
        if lag <= count // 2:
            found, most = lag_correlation(centred, lag), lag_bound(count, lag, p * (1 - p), largest)
            assert abs(found) < most, f"units {lag} apart: mean product {found:.5f}, at most {most:.5f}"


@claim("dropout-zeroes-with-probability-p")
@over(form=FORMS)
def test_no_two_examples_no_two_units_and_no_two_passes_share_their_mask(form):
    """Of n fair coins each, two masks correlate by more than t with probability 2 exp(-n t² / 2) (Hoeffding)."""
    batch = dropped(form, (129, 257), 1, 0.5).reshape(129, 257)
    passes = dropped(form, (20, 20), 30, 0.5)

    for mask in (batch, batch.T, passes):
        signs = np.where(mask, 1.0, -1.0)
        pairs = len(mask) * (len(mask) - 1) / 2
        correlations = np.abs(signs @ signs.T / signs.shape[1] - np.eye(len(mask)))
        assert correlations.max() < math.sqrt(2 * math.log(2 * pairs / ALARM) / signs.shape[1])


@claim("dropout-keeps-the-expectation")
@claim("dropout-zeroes-with-probability-p", truth=True)
@claim("dropout-scales-survivors", truth=True)
@over(twin=twins(COMPUTED, grad=(False, True)), p=among(0.0, 0.5, 1.0), depth=among(0, 1, 3))
def test_in_evaluation_a_dropout_at_any_depth_is_the_identity_for_values_and_gradients(twin, p, depth):
    tensor, array = twin
    layer, beside = nn.Dropout(p, inplace=depth == 1), nn.Dropout(0.5)
    others = [kind(p).eval()(tensor) for kind, rank in OTHERS if rank in (2, array.ndim)]
    net = layer
    for _ in range(depth):
        net = nn.Sequential(nn.Identity(), net)
    nn.ModuleList([nn.ModuleDict({"net": net})]).eval().load_state_dict({})

    functions = F.dropout(tensor, p, training=False), F.dropout(tensor, p, False, True)
    for result in (net(tensor + 0), copy.deepcopy(net)(tensor + 0), *functions, *others):
        agree(result, array)
        assert result.dtype == tensor.dtype
    assert not layer.training
    assert beside.training
    net.train(True)
    assert layer.training
    if twin.grad and tensor.is_floating_point():
        net.eval()(tensor).sum().backward()
        agree(tensor.grad, np.ones_like(array))


@claim("dropout-scales-survivors", "dropout-zeroes-with-probability-p")
@over(twin=twins(COMPUTED, WRITABLE, values=("positive",)), form=FORMS, p=among(0.5, 0.75, 0.1, 0.02, 0.9, 0.99))
def test_what_survives_is_divided_by_one_minus_p_where_it_lies_if_asked_and_so_is_its_gradient(twin, form, p):
    """The forms in place alone write to their input, and none to what is beside it."""
    (tensor, array), in_place = twin, form.endswith("in place")
    leaf, drop = tensor.detach().clone().requires_grad_(), DROPOUT[form](p)
    upstream = np.cos(np.arange(array.size)).reshape(array.shape).astype(array.dtype)
    result = drop(leaf + 0)
    given = torch.tensor(upstream, dtype=tensor.dtype, device="cpu").to(tensor.device).requires_grad_()
    (gradient,) = torch.autograd.grad(result, leaf, given, create_graph=True)

    assert result.dtype == tensor.dtype
    kept = host(result) != 0
    # 1 / (1 - p) rounded, the product rounded; a device may keep the factor in float32
    roundings = 4 * max(1, torch.finfo(torch.float32).eps / torch.finfo(tensor.dtype).eps) * (p not in (0.5, 0.75))
    agree(result, np.where(kept, array / (1 - p), 0), roundings)
    agree(gradient, np.where(kept, host(given) / (1 - p), 0), roundings)
    agree(torch.autograd.grad((gradient + 0 * given).sum(), given)[0], np.where(kept, 1 / (1 - p), 0), roundings)
    with torch.no_grad():
        unrecorded = drop(tensor)
    agree(unrecorded, np.where(host(unrecorded), array / (1 - p), 0), roundings)
    agree(tensor, host(unrecorded) if in_place else array)
    assert (unrecorded.data_ptr() == tensor.data_ptr()) == in_place or not array.size
    untouched(tensor)


@claim("dropout-scales-survivors")
@over(shape=among((40, 50), (1000,), (2, 3, 4, 5, 6)))
def test_each_pass_has_a_mask_of_its_own_for_its_own_gradient(shape):
    layer, x = nn.Dropout(0.5), torch.ones(shape, requires_grad=True)
    first, second = layer(x), layer(x)
    layer.eval()  # which counts for what comes

    for result in (second, first, second):  # of ones: value and gradient are both the mask, divided
        agree(torch.autograd.grad(result.sum(), x, retain_graph=True)[0], host(result))
    assert np.any(host(first) != host(second))
    zeros = torch.zeros(shape, requires_grad=True)  # which have a mask as well
    assert {*torch.autograd.grad(layer.train()(zeros).sum(), zeros)[0].flatten().tolist()} == {0, 2}


@claim("dropout-p-is-a-hyperparameter")
@over(p=among(-0.1, 1.1, -1, 2, math.inf, -math.inf, math.nextafter(1, 2), math.nextafter(0, -1)))
def test_p_outside_zero_to_one_is_a_value_error(p):
    late = nn.Dropout()
    late.p = p
    kinds = [functools.partial(kind, p) for kind in (nn.Dropout, *dict(OTHERS))]
    functions = [functools.partial(function, torch.ones(3), p) for function in (F.dropout, F.alpha_dropout)]
    makers = [functools.partial(each, training=mode, inplace=mode) for each in functions for mode in (True, False)]
    for make in (*kinds, *makers, lambda: nn.Dropout(p, True), lambda: late(torch.ones(3))):
        with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1"):
            make()


@claim("dropout-p-is-a-hyperparameter", "dropout-layers-sit-between-linear-layers")
@claim("dropout-scales-survivors", "dropout-zeroes-with-probability-p")
@over(p=among(0.25, 0.75, 0.5))
def test_p_is_what_was_chosen_last_and_neither_learned_nor_saved_nor_changed_by_passes(p):
    layer, x = nn.Dropout(0.125), torch.ones(1000, requires_grad=True)
    layer(x)
    layer.p = p
    layer = aged(pickle.loads(pickle.dumps(copy.deepcopy(layer)))).requires_grad_(False)
    layer.load_state_dict({})
    for _ in range(3):
        y = layer(x)
        y.sum().backward()
        agree(y, np.where(host(y) == 0, 0, 1 / (1 - p)), 4)
        assert 0 in y.tolist()
        assert layer.p == p
    assert [*layer.double().parameters(), *layer.buffers(), *layer.state_dict()] == []
    own = type("Own", (nn.Dropout,), {})(p)
    assert {*own(torch.ones(1000)).tolist()} == {0, np.float32(1 / (1 - p))}
    assert {*F.dropout(torch.ones(1000)).tolist()} == {*nn.Dropout()(torch.ones(1000)).tolist()} == {0, 2}  # by default


@claim("dropout-keeps-the-expectation")
@over(often=among((0.002, 40_000), (0.1, 5_000), (0.5, 5_000), (0.8, 5_000), (0.998, 60_000)), form=FORMS)
def test_the_mean_over_many_masks_is_the_input_whatever_its_sign_and_size(often, form):
    (p, masks), units = often, torch.tensor([1.0, -2.0, 2**-14, 30.0])
    quotients = host(DROPOUT[form](p)(units.repeat(masks, 1)) / units).astype(np.float64)

    # h' / h is 1 / (1 - p) or 0: of variance p / (1 - p) about its mean 1
    most = mean_bound(masks, p / (1 - p), max(1, 1 / (1 - p) - 1), cases=4) + 4 * torch.finfo(torch.float32).eps
    assert np.abs(quotients.mean(0) - 1).max() < most
    assert abs(quotients.mean() - 1) < mean_bound(4 * masks, p / (1 - p), max(1, 1 / (1 - p) - 1)) + 1e-6


@claim("dropout-keeps-the-expectation", truth=True)
@claim("dropout-p-is-a-hyperparameter")
@over(twin=twins(COMPUTED, WRITABLE, values=("steep",)), form=FORMS, p=among(0.0, 0, 1.0, 1))
def test_p_of_one_drops_every_finite_unit_and_its_gradient_and_p_of_zero_keeps_them(twin, form, p):
    tensor, array = twin
    leaf = tensor.detach().clone().requires_grad_()
    result = DROPOUT[form](p)(leaf + 0)
    result.sum().backward()

    agree(result, array * (1 - p))
    agree(leaf.grad, np.ones_like(array) * (1 - p))


@claim("dropout-layers-sit-between-linear-layers")
@over(widths=among((5, 99, 3), (9, 133, 117, 2), (784, 256, 128, 10)), p=among(0.2, 0.5, 1.0))
def test_dropout_reads_what_the_activation_gave_and_in_evaluation_is_not_there(widths, p):
    layers = [nn.Linear(*sizes) for sizes in itertools.pairwise(widths)]
    dropouts, seen = [nn.Dropout(p) for _ in layers[1:]], []
    hidden = [part for layer, dropout in zip(layers, dropouts) for part in (layer, nn.ReLU(), dropout)]
    net = nn.Sequential(*hidden, layers[-1])
    without = nn.Sequential(*(part for part in net if part not in dropouts))
    for dropout in dropouts:
        dropout.register_forward_hook(lambda _, given, result: seen.append((host(given[0]), host(result))))
    images = torch.tensor(np.sin(np.arange(7 * widths[0])).reshape(7, -1), dtype=torch.float32)

    net(images)
    assert len(seen) == len(dropouts)
    for before, after in seen:
        assert np.all(before >= 0)  # a ReLU came first
        np.testing.assert_allclose(after, np.where(after == 0, 0, before / (1 - p or 1)), rtol=4 * 2**-23)
        # some 350 positive numbers or more: that none is dropped has the probability 0.8 ** 350 = 1e-34
        assert np.any((after == 0) != (before == 0))
    agree(net.eval()(images), host(without(images)))
    assert [*map(id, net.parameters())] == [id(each) for layer in layers for each in (layer.weight, layer.bias)]


@claim("functional-dropout-does-not-know-eval")
@claim("dropout-zeroes-with-probability-p", truth=True)
@over(p=among(0.1, 0.5, 0.9), spelled=among("positional", "keyword", "in place", "torch", "layer"), depth=among(0, 2))
def test_the_function_drops_in_either_mode_unless_training_is_false(p, spelled, depth):
    function = {
        "layer": lambda x, mode: nn.Dropout(p).train(mode)(x),
        "positional": lambda x, mode: F.dropout(x, p, mode),
        "keyword": lambda x, mode: F.dropout(x, p, training=mode),
        "in place": lambda x, mode: F.dropout(x.clone(), p, mode, True),
        "torch": lambda x, mode: torch.dropout(x, p, mode),
    }[spelled]

    class Block(nn.Module):
        def forward(self, x):
            return (0 in F.dropout(x, p).tolist(), 0 in function(x, self.training).tolist())

    net = Block()
    for _ in range(depth):
        net = nn.Sequential(net)
    for mode in (True, False, True):
        for recording in (torch.enable_grad, torch.no_grad, torch.inference_mode):
            with recording():
                assert net.train(mode)(torch.ones(1000)) == (True, mode)  # 0.9 ** 1000 = 2e-46
