"""4.1b Sizes that must match, and classes of our own: constants and reuse, for every kind of layer."""

import contextlib
import functools
from itertools import product

import numpy as np
import pytest
import torch
from populations import ANY, EVERY_MODE, FLOATS, SINGLE_AND_DOUBLE, agree, among, each, in_turn, over, twins, whole
from populations.changes import COPYING
from populations.comparing import host
from populations.containers import KEYS, ids, reads
from populations.kinds import Own
from populations.modules import layers
from populations.twins import FEW, KINDS
from torch import nn

claim = pytest.mark.claim
MODES = among("train", "eval")


@claim("sequential-needs-matching-sizes")
@over(
    EVERY_MODE,
    case=in_turn(
        among(*product(((1, 4), (4, 1), (64, 65), (65, 64), (1025, 1024)), ((6,), (0,), ()))),
        among(*product(SINGLE_AND_DOUBLE, (True, False))),
    ),
    kind=each(
        *("Linear", "BatchNorm1d", "LayerNorm", "GroupNorm", "RNNCell", "PReLU"),
        *(f"Conv{kind}{rank}d" for kind in ("", "Transpose") for rank in (1, 2, 3)),
    ),
)
def test_a_size_that_does_not_fit_is_an_error_at_the_call_alone(case, kind):
    ((puts_out, takes_in), batch), (dtype, bias) = case
    torch.set_default_dtype(dtype)
    if kind.startswith("Conv"):
        layer, x = getattr(nn, kind), torch.ones(*batch, 1, *[2] * int(kind[-2]))
        first, second = layer(1, puts_out, 1), lambda size: layer(size, 2, 1, bias=bias)
    else:
        few = {"BatchNorm1d": (6,), "GroupNorm": batch or (6,), "PReLU": (6,)}  # or there is no statistic, no channel
        x, first = torch.ones(*few.get(kind, batch), 2), nn.Linear(2, puts_out)
        norms = {"BatchNorm1d": nn.BatchNorm1d, "LayerNorm": nn.LayerNorm, "GroupNorm": lambda n: nn.GroupNorm(1, n)}
        norms |= {"RNNCell": lambda n: nn.RNNCell(n, 3), "PReLU": lambda n: nn.PReLU(n) if n > 1 else nn.Linear(1, 1)}
        second = norms.get(kind, lambda size: nn.Linear(size, 5, bias))

    net, fits = (nn.Sequential(first, nn.ReLU(), second(size)) for size in (takes_in, puts_out))
    for training in (True, False):
        with pytest.raises(RuntimeError):
            net.train(training)(x)
        assert fits.train(training)(x).shape[:-1] == x.shape[:-1] or kind.startswith("Conv")


@claim("sequential-needs-matching-sizes", truth=True)
@over(
    EVERY_MODE,
    takes=each(("BatchNorm1d", (2, 3)), ("BatchNorm2d", (4,)), ("BatchNorm3d", (5,))),
    rank=among(*range(1, 7)),
    mode=MODES,
)
def test_batchnorm1d_takes_two_or_three_dimensions_batchnorm2d_four_batchnorm3d_five_and_no_others(takes, rank, mode):
    (kind, ranks), x = takes, torch.ones((4,) * rank)
    norm = getattr(getattr(nn, kind)(4), mode)()
    with contextlib.nullcontext() if rank in ranks else pytest.raises(ValueError, match="expected"):
        assert norm(x).shape == x.shape


@claim("subclassing-is-more-flexible")
@over(EVERY_MODE, twin=twins((*SINGLE_AND_DOUBLE, torch.bfloat16)), inputs=among(0, 2, 3), mode=MODES)
def test_a_model_of_any_number_of_inputs_adds_each_to_what_its_layers_make_of_it(twin, inputs, mode):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Sequential(nn.ReLU()), nn.ReLU())

        def forward(self, *xs, more=()):
            return tuple((x, x + self.inner(x)) for x in (*xs, *more))

    net, given = getattr(Residual(), mode)(), [tuple(twin.but(seed=twin.seed + n)) for n in range(inputs)]
    xs = [tensor for tensor, _ in given]
    results = net(*xs[:2], more=xs[2:])
    assert len(results) == inputs
    for (same, total), (tensor, array) in zip(results, given):
        assert same is tensor
        agree(total, array + np.maximum(array, 0))
    with pytest.raises(TypeError):  # though its first layer takes two
        nn.Sequential(nn.Bilinear(1, 1, 1))(torch.ones(2, 1), torch.ones(2, 1))
    for chain in (net.inner, nn.Sequential(), nn.Sequential(net)):
        for some, named in ((xs, {}), (xs[:1], {"more": xs}), (xs[:1] + [None] * 2, {})):
            with pytest.raises(TypeError):
                chain(*some, **named)


class Inherited(Own):
    """A class of which the parent is one of our own."""


class Chain(nn.Sequential):
    """A container of our own."""


@claim("module-is-not-subscriptable")
@over(
    index=among(0, -1, "linear", "0", slice(None), None, *KEYS[:2]),
    of=among(Own, functools.partial(nn.Linear, 2, 1), nn.ReLU, nn.Module, Inherited, nn.Flatten, nn.Dropout),
)
def test_no_module_but_a_container_can_be_indexed_measured_or_looped_over(index, of):
    module = of()
    module.rest, module.linear, module.rest, module.nothing = None, nn.Tanh(), nn.ReLU(), None
    module.linear = module.again = linear = nn.Linear(1, 1)  # in the place of the first

    uses = (lambda _: module[index], len, list, lambda _: linear in module)
    assert [use for use in uses if reads(use, module, TypeError)] == []
    assert Chain(module)[0] is Chain(module)[-1] is module
    children = list(module.children())
    assert ids(children[-2:]) == ids([linear, module.rest])
    assert children.count(module.linear) == 1
    assert ids(Chain(bare := of(), module).children()) == ids([bare, module])


@claim("plain-tensor-is-a-constant-parameter")
@over(twin=twins(ANY, shapes=FEW), optimizer=among("SGD", "Adam", "Adagrad"), decay=among(0.0, 0.5))
def test_no_step_of_any_optimizer_changes_a_plain_tensor_and_it_gets_no_gradient(twin, optimizer, decay):
    (tensor, array), net = twin.but(second=False), nn.Linear(1, 1)
    net.plain, before = tensor, net.bias.item()

    optimizer = getattr(torch.optim, optimizer)(net.parameters(), lr=0.1, weight_decay=decay)
    (net(torch.ones(1, 1)).sum() + (tensor * net.weight.sum()).sum().real).backward()
    optimizer.step()
    assert net.plain is tensor
    assert (tensor.grad, tensor.requires_grad, net.bias.item() != before) == (None, False, True)
    agree(tensor, array)


@claim("plain-tensor-is-a-constant-parameter", truth=True)
@over(
    twin=twins((*FLOATS, torch.int64, torch.bool), shapes=((), (2, 3)), kinds=KINDS[:2]),
    depth=among(0, 1, 2),
    copied=among(*COPYING),
)
def test_buffers_at_any_depth_are_moved_and_saved_and_plain_tensors_are_not(twin, depth, copied):
    tensor, array = twin
    inner = net = nn.Linear(2, 1).requires_grad_(depth < 2)
    inner.plain = tensor
    inner.register_buffer("saved", torch.ones(3, dtype=torch.int32))  # of another dtype and shape, and then None
    inner.register_buffer("unsaved", tensor.clone(), persistent=False)
    inner.register_buffer("later", None)
    inner.later, inner.unsaved = tensor.clone(), tensor.clone()
    for value in (tensor.clone(), None, tensor.clone()):
        inner.saved = value
    inner.register_buffer("anew", None, persistent=False)
    inner.register_buffer("anew", tensor.clone())
    with pytest.raises(KeyError, match="already exists"):  # a buffer would be hidden
        inner.register_buffer("plain", None)
    for _ in range(depth):
        net = nn.Sequential(net)
    saved = ("saved", "later", "anew")

    for made in (net, COPYING[copied](net)):
        state = made.state_dict()
        assert list(state) == ["0." * depth + name for name in ("weight", "bias", *saved)]
        for name in saved:
            agree(state["0." * depth + name], array)
    assert (len(list(net.parameters())), len(list(net.buffers()))) == (2, 4)
    converted = torch.float16 if tensor.is_floating_point() else tensor.dtype
    net.to("meta").to(torch.float16)
    assert {(buffer.dtype, buffer.device.type) for buffer in net.buffers()} == {(converted, "meta")}
    assert inner.plain is tensor
    agree(tensor, array)


REUSED = ("Linear", "Linear without bias", "Conv1d", "Conv2d", "Conv3d", "PReLU")


@claim("reusing-a-layer-shares-its-parameters")
@over(each=layers(kinds=REUSED, dtypes=SINGLE_AND_DOUBLE), uses=whole(1, 3), mode=MODES)
def test_n_calls_of_a_layer_equal_n_layers_with_its_values_and_gather_their_gradients(each, uses, mode):
    layer, *copies = (getattr(next(iter(each)), mode)() for _ in range(uses + 1))
    x = torch.ones(each.takes(), dtype=each.dtype, device=next(layer.parameters()).device)
    layer(x)  # with other weights
    every = [parameter for same in (layer, *copies) for parameter in same.parameters()]
    assert len(set(map(id, every))) == len(every)
    for same in (layer, *copies):
        for name, parameter in list(same.named_parameters()):
            setattr(same, name, nn.Parameter(parameter.detach() / 8))  # 1/8 to 1: all sums of their products are exact
    reused, apart = nn.Sequential(*[layer] * uses)(x), nn.Sequential(*copies)(x)
    (reused.sum() + apart.sum()).backward()

    agree(reused, host(apart))
    for parameter, *theirs in zip(layer.parameters(), *(copy.parameters() for copy in copies)):
        assert all(each.grad is not None for each in (parameter, *theirs))
        agree(parameter.grad, sum(host(each.grad) for each in theirs))


@claim("reusing-a-layer-shares-its-parameters", truth=True)
@over(
    EVERY_MODE, uses=whole(0, 3, 1, 2), dtype=among(*SINGLE_AND_DOUBLE, torch.bfloat16), mode=MODES, rank=each(1, 2, 3)
)
def test_every_use_of_a_normalisation_in_training_moves_its_statistics(uses, dtype, mode, rank):
    """By a tenth of the way, from 0 to the mean and from 1 to the variance; each of the moves rounds.

    With ``momentum=None`` they are the mean of all batches.
    """
    kind = getattr(nn, f"BatchNorm{rank}d")
    norm, mean = (getattr(kind(2, dtype=dtype, **rate), mode)() for rate in ({}, {"momentum": None}))
    mean.running_mean = mean.running_mean.new_zeros(2, 2)[:, 0]  # whose memory has gaps
    for use in range(uses):
        x = torch.tensor([[2.0, -8.0], [6.0, -8.0]], dtype=dtype)
        x = x.view(2, 2, *[1] * rank) if rank > 1 or use > 0 else x  # a BatchNorm1d takes sequences as well
        norm(x)
        mean(x * (use + 1))

    moved = 1 - 0.9 ** (uses if mode == "train" else 0)
    agree(norm.running_mean, np.array([4.0, -8.0]) * moved, roundings=12, scale=8)
    agree(norm.running_var, np.array([8.0, 0.0]) * moved + (1 - moved), roundings=12, scale=8)
    assert [each.num_batches_tracked.item() for each in (norm, mean)] == [uses if mode == "train" else 0] * 2
    agree(mean.running_mean, np.array([4.0, -8.0]) * (uses + 1) / 2 * (uses > 0 and mode == "train"), 12, scale=24)
