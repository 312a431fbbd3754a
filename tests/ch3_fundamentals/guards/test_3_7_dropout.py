"""3.7 Dropout, in every form, for tensors of every rank and layout, and for probabilities from 0 to 1."""

import copy
import functools
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, LAYOUTS, WRITABLE, Twin, agree, among, each, normal, over, twins, untouched
from populations.comparing import host
from populations.dropping import DROPOUT, MASKS, OTHERS, RECURRENT, dropped, stacked
from populations.layers import COMPUTED, aged
from populations.statistics import ALARM, lag_bound, lag_correlation, mean_bound, occur_as_often
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim


# Whose channels lie side by side in memory; and fewer of them than do.
IMAGES = tuple((((4, 30, 16, 17), 1, 0.5, form), torch.float32, "channels last") for form in DROPOUT)
SOME_CHANNELS = [Twin(dtype, (2, 3, 4, 5), "channels last, gappy", "positive") for dtype in COMPUTED]


@claim("dropout-zeroes-with-probability-p")
@over(EVERY_MODE, mask=among(*zip(MASKS, COMPUTED * 5, LAYOUTS * 3)).rarely(*IMAGES))
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
@over(form=each(*DROPOUT), dtype=among(*COMPUTED))
def test_no_two_examples_no_two_units_and_no_two_passes_share_their_mask(form, dtype):
    """Of n fair coins each, two masks correlate by more than t with probability 2 exp(-n t² / 2) (Hoeffding)."""
    batch = dropped(form, (129, 257), 1, 0.5, dtype).reshape(129, 257)
    passes = [dropped(form, shape, 30, 0.5, dtype) for shape in ((400,), (20, 20), (8, 5, 10), (4, 5, 4, 5))]

    for mask in (batch, batch.T, *passes):
        signs = np.where(mask, 1.0, -1.0)
        pairs = len(mask) * (len(mask) - 1) / 2
        correlations = np.abs(signs @ signs.T / signs.shape[1] - np.eye(len(mask)))
        assert correlations.max() < math.sqrt(2 * math.log(2 * pairs / ALARM) / signs.shape[1])


@claim("dropout-zeroes-with-probability-p")
@over(form=among(*DROPOUT), size=among(40, 1000))
def test_how_many_units_are_dropped_varies_from_pass_to_pass_as_with_a_coin_for_each(form, size):
    """Of 200 passes the squares of (count - n/2) / sqrt(n/4) add up to 200, with a deviation of 20: they fall below 89,
    or above 375, once in 10**11 times each (chi-squared, by the cube root of E. B. Wilson and M. M. Hilferty, 1931).
    """
    counts = dropped(form, (size,), 200, 0.5).sum(1)
    assert 89 < ((counts - size / 2) ** 2).sum() / (size / 4) < 375


@claim("dropout-zeroes-with-probability-p")
@over(seed=among(0, 1, -1, 2**32, 2**63 - 1), form=each(*DROPOUT))
def test_after_any_seed_p_of_the_units_are_dropped(seed, form):
    torch.manual_seed(seed)
    assert dropped(form, (4096,), 1, 0.5).mean() == pytest.approx(0.5, abs=6 / 128)  # six standard deviations


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
    holder = nn.Module()
    holder.net = net
    nn.ModuleList([nn.ModuleDict({"net": holder})]).eval().load_state_dict({})

    functions = F.dropout(tensor, p, training=False), F.dropout(tensor, p, False, True)
    for result in (net(tensor + 0), copy.deepcopy(net)(tensor + 0), *functions, *others):
        agree(result, array)
        assert result.dtype == tensor.dtype
    assert not layer.training
    assert beside.training
    net.train(True)
    assert layer.training
    if twin.grad and tensor.is_floating_point():
        for result in (net.eval()(tensor), F.dropout(tensor, p, training=False), *others):
            agree(torch.autograd.grad(result.sum(), tensor)[0], np.ones_like(array))


@claim("dropout-scales-survivors", "dropout-zeroes-with-probability-p")
@over(
    twin=twins(COMPUTED, WRITABLE, values=("positive",)).rarely(*SOME_CHANNELS),
    form=among(*DROPOUT),
    p=among(0.5, 0.75, 0.1, 0.02, 0.9, 0.99),
)
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
    assert p > 0.5 or kept.size < 100 or kept.reshape(-1)[-100:].any()  # but once in 2^100 runs
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


@claim("dropout-zeroes-with-probability-p", "dropout-scales-survivors", "dropout-keeps-the-expectation")
@over(kind=each(*RECURRENT), p=among(0.25, 0.5, 0.9, 1.0))
def test_between_recurrent_layers_each_pass_drops_anew_and_scales_values_and_gradients(kind, p):
    net, first, second = stacked(kind, p)
    x, upstream = normal(1, 300, 8), normal(1, 300, 8)
    some = host(first(x)[0]).all((0, 2))  # a unit that gives exactly 0, once in hundreds of runs, would look dropped
    x, upstream = (torch.tensor(host(each)[:, some], requires_grad=each is x) for each in (x, upstream))
    masks = []
    for chance in (p, p, p, 0.0):
        output, states = net.train(chance > 0)(x)[0], first(x)[0]
        kept = host(output) != 0
        assert chance or kept.all()
        occur_as_often(~kept.reshape(-1, 1), chance or 1e-9)
        apart = second(states * torch.tensor(kept / (1 - chance or 1), dtype=x.dtype))[0]
        agree(output, host(apart), roundings=32)
        gradients = (torch.autograd.grad(each, [x, *net.parameters()], upstream) for each in (output, apart))
        for found, expected in zip(*gradients):
            agree(found, host(expected), roundings=64, scale=64)
        masks.append(kept)
    for mask, other in itertools.combinations(masks[:3], 2):
        occur_as_often((mask != other).reshape(-1, 1), 2 * p * (1 - p) or 1e-9)


@claim("dropout-p-is-a-hyperparameter")
@over(EVERY_MODE, p=among(-0.1, 1.1, -1, 2, math.inf, -math.inf, math.nextafter(1, 2), math.nextafter(0, -1)))
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
    for chance, later in itertools.pairwise((p, p, 0.5, 0.875, p, p)):
        y = layer(x)
        y.sum().backward()
        agree(y, np.where(host(y) == 0, 0, 1 / (1 - chance)), 4)
        assert 0 in y.tolist()
        assert layer.p == chance
        layer.p = later
    assert [*layer.double().parameters(), *layer.buffers(), *layer.state_dict()] == []
    own = type("Own", (nn.Dropout,), {})(p)
    assert {*own(torch.ones(1000)).tolist()} == {0, np.float32(1 / (1 - p))}
    assert {*F.dropout(torch.ones(1000)).tolist()} == {*nn.Dropout()(torch.ones(1000)).tolist()} == {0, 2}  # by default


@claim("dropout-keeps-the-expectation")
@over(often=among((0.002, 40_000), (0.1, 5_000), (0.5, 5_000), (0.8, 5_000), (0.998, 60_000)), form=among(*DROPOUT))
def test_the_mean_over_many_masks_is_the_input_whatever_its_sign_and_size(often, form):
    (p, masks), units = often, torch.tensor([1.0, -2.0, 2**-14, 30.0])
    quotients = host(DROPOUT[form](p)(units.repeat(masks, 1)) / units).astype(np.float64)

    # h' / h is 1 / (1 - p) or 0: of variance p / (1 - p) about its mean 1
    most = mean_bound(masks, p / (1 - p), max(1, 1 / (1 - p) - 1), cases=4) + 4 * torch.finfo(torch.float32).eps
    assert np.abs(quotients.mean(0) - 1).max() < most
    assert abs(quotients.mean() - 1) < mean_bound(4 * masks, p / (1 - p), max(1, 1 / (1 - p) - 1)) + 1e-6


@claim("dropout-keeps-the-expectation", truth=True)
@claim("dropout-p-is-a-hyperparameter")
@over(twin=twins(COMPUTED, WRITABLE, values=("steep",)), form=among(*DROPOUT), p=among(0.0, 0, 1.0, 1))
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


SPELLINGS = {
    "layer": lambda x, p, mode: nn.Dropout(p).train(mode)(x),
    "positional": lambda x, p, mode: F.dropout(x, p, mode),
    "keyword": lambda x, p, mode: F.dropout(x, p, training=mode),
    "input by name": lambda x, p, mode: F.dropout(input=x, p=p, training=mode),
    "in place": lambda x, p, mode: F.dropout(x.clone(), p, mode, True),
    "torch": lambda x, p, mode: torch.dropout(x, p, mode),
}


@claim("functional-dropout-does-not-know-eval")
@claim("dropout-zeroes-with-probability-p", truth=True)
@over(p=among(0.1, 0.5, 0.9), spelled=among(*SPELLINGS), depth=among(0, 2))
def test_the_function_drops_in_either_mode_unless_training_is_false(p, spelled, depth):
    class Block(nn.Module):
        def forward(self, x):
            spelt = host(SPELLINGS[spelled](x, p, self.training))
            agree(torch.from_numpy(spelt[spelt != 0]), np.full(np.count_nonzero(spelt), 1 / (1 - p * self.training)), 4)
            return (0 in F.dropout(x, p).tolist(), 0 in spelt)

    net = Block()
    for _ in range(depth):
        net = nn.Sequential(net)
    for mode in (True, False, True):
        for recording in (torch.enable_grad, torch.no_grad, torch.inference_mode):
            with recording():
                assert net.train(mode)(torch.ones(1000)) == (True, mode)  # 0.9 ** 1000 = 2e-46
