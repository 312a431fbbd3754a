"""3.6 Weight decay: the penalty by hand, and which parameters are decayed."""

import functools
import itertools

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, SINGLE_AND_DOUBLE, WHOLE, WRITABLE, Twin, agree, among, each, over, twins
from populations.arrays import LARGE
from populations.comparing import accepted, host
from populations.decay import DECAY, DTYPES, SHAPES, parameters
from populations.kinds import LAYERS
from populations.layers import COMPUTED
from populations.modules import layers
from populations.optimizers import RULES, optimizers
from torch.optim import SGD, AdamW

claim = pytest.mark.claim

# Before torch 2.5 the halves added up in half precision where they do not lie in row order.
NORMED = FLOATS if COMPUTED == FLOATS else SINGLE_AND_DOUBLE
ALL = (*NORMED, torch.complex64, torch.complex128)


@claim("penalised-loss-adds-the-penalty", "l2-penalty-formula", "penalty-may-include-bias")
@over(twin=twins(COMPUTED, WRITABLE, SHAPES, values="small"), lambd=among(0.5, 2), penalise_bias=among(True, False))
def test_the_penalty_is_half_the_squares_and_adds_lambda_times_each_weight_to_the_gradient(twin, lambd, penalise_bias):
    w, array = twin.but(grad=True)
    b, bias = twin.but(grad=True, shape=(2,), seed=twin.seed + 1)
    squares = (w.detach().float() ** 2).sum() / 2
    loss = (w * 3).sum() + (b * 3).sum() + lambd * (w**2).sum() / 2
    loss += penalise_bias * (lambd * (b**2).sum() / 2)
    gradients = torch.autograd.grad(loss, [w, b], create_graph=True)

    half = np.float64(np.square(array.astype(np.float64)).sum() / 2)
    agree(squares, half)
    large = w.detach().float()
    for square in (torch.pow(large, 2), large.pow(2.0), large.square(), large * large):
        agree(square.sum() / 2, half)
    agree(gradients[0], 3 + lambd * array)
    agree(gradients[1], 3 + penalise_bias * lambd * bias)
    agree(torch.autograd.grad((gradients[0] + 0 * w).sum(), w)[0], np.full(array.shape, lambd))


@claim("l2-penalty-formula")
@over(EVERY_MODE, twin=twins(NORMED, WRITABLE, (*SHAPES, (33, 65)), values=("positive",)))
def test_the_penalty_counts_every_weight_and_that_of_small_ones_is_rounded_once_for_all(twin):
    """Every square of theirs, and every sum of them in float32, is exact; others round once, and so does each sum."""
    tensor, array = twin
    expected = np.float64(np.square(array.astype(np.float64)).sum())

    large = tensor.to(torch.promote_types(tensor.dtype, torch.float32)) * 1001
    agree((large**2).sum() / 2, expected * 1001**2 / 2, roundings=1 + array.size)
    agree((large.expand(2, *large.shape) ** 2).sum() / 4, expected * 1001**2 / 2, roundings=1 + 2 * array.size)
    agree((tensor**2).sum(), expected, roundings=1)
    agree((tensor.sign().expand(8, *tensor.shape) ** 2).sum(), 8 * array.size, roundings=1)
    many = 65_537 // max(array.size, 1) + 1
    agree((large.sign().expand(many, *tensor.shape) ** 2).sum(), many * array.size, roundings=1)
    agree(tensor.detach().mul_(1).square_().sum(), expected, roundings=1)  # where the weights lay themselves


@claim("norm-is-the-l2-norm")
@over(EVERY_MODE, twin=twins(ALL, shapes=LARGE, values=("small", "steep")), way=among("method", "function", "p=2"))
def test_the_norm_is_the_root_of_the_sum_of_all_squares_whatever_shape_layout_and_dtype(twin, way):
    tensor, array = twin
    norm = {"method": torch.Tensor.norm, "function": torch.norm, "p=2": lambda x: x.norm(p=2)}[way](tensor)

    assert (norm.dtype, norm.device, norm.dim()) == (tensor.real.dtype, tensor.device, 0)
    squares = array.real.astype(np.float64) ** 2 + array.imag.astype(np.float64) ** 2

    def rounded(of):
        """The sum is exact, below 2**24, the root and the rounding to the dtype are not. The sizes of complex numbers
        are rounded by up to two units before, each square and sum by one; the root halves what that makes of it.
        """
        return 2 + tensor.is_complex() * (1 + array.size / max(of.numel(), 1) / 2)

    agree(norm, np.sqrt(squares.sum()), rounded(norm))
    for row, factor in zip(torch.stack([tensor.neg(), tensor / 2]), (1, 0.5)):  # views, and changed in between
        agree(row.norm(), factor * host(norm), rounded(norm))
        agree(row.mul_(0.5).norm(), factor * host(norm) / 2, rounded(norm))
    parts = (*range(tensor.dim()), *itertools.combinations(range(-tensor.dim(), 0), 2))
    for dim in parts:  # and of each part, though that of all was asked for before
        agree(tensor.norm(dim=dim), np.sqrt(squares.sum(dim)), rounded(tensor.norm(dim=dim)))
    short = torch.complex32 if tensor.is_complex() and torch.__version__ >= (2, 6) else tensor.dtype
    agree(tensor.cpu().to(short).norm(), np.sqrt(squares.sum()), rounded(norm))  # few other devices have such norms


@claim("norm-is-the-l2-norm")
@over(twin=twins(SINGLE_AND_DOUBLE, WRITABLE, ((5,), (2, 3), (2, 3, 2, 2), (257,)), values=("positive",)))
def test_the_gradient_of_the_norm_is_the_unit_vector_and_of_zeros_it_is_zero(twin):
    tensor, array = twin
    tensor[1], array[1] = 0, 0
    for named in ({}, {"dim": -1}, {"dim": tuple(range(-array.ndim, 0))[-2:]}):
        norms = np.sqrt(np.square(array.astype(np.float64)).sum(named.get("dim"), keepdims=True))
        (gradient,) = torch.autograd.grad(tensor.requires_grad_().norm(**named).sum(), tensor)
        agree(gradient, array / np.where(norms, norms, 1), roundings=4)
        zeros = torch.zeros_like(tensor).requires_grad_()
        agree(accepted(torch.autograd.grad, zeros.norm(**named).sum(), zeros)[0], 0 * array)


@claim("norm-is-the-l2-norm")
@over(shape=among((3,), (3, 11), (2, 33, 2), (1025,)), dtype=among(*COMPUTED), value=among(np.nan, np.inf, -np.inf))
def test_the_norm_hides_neither_nan_nor_infinity(shape, dtype, value):
    w = torch.ones(shape, dtype=dtype)
    w.view(-1)[-2] = value
    agree(w.norm(), np.abs(value))


@claim("norm-is-the-l2-norm")
@pytest.mark.cpu
@over(EVERY_MODE, shape=among((5,), (4, 3), (2, 33, 2)), dtype=each(*SINGLE_AND_DOUBLE), twice=among(False, True))
def test_the_norm_of_what_holds_only_the_elements_that_are_not_zero_is_that_of_all(shape, dtype, twice):
    tensor, array = Twin(dtype, shape)
    for held in (tensor.to_sparse(), tensor.to_sparse(1)):
        if twice:  # each element is held in two parts, which are added up
            indices, values = held.indices().repeat(1, 2), torch.cat([2 * held.values(), -held.values()])
            held = torch.sparse_coo_tensor(indices, values, held.shape, check_invariants=False)
        assert held.is_coalesced() is not twice
        for norm in (held.norm(), torch.norm(held), held.norm(2), held.norm(p=2)):
            agree(norm, np.sqrt(np.square(array.astype(np.float64)).sum()), 2)


@claim("norm-is-the-l2-norm", truth=True)
@over(shape=among((2,), (2, 3), (3, 11, 2), (1025,)))
def test_squares_in_float32_overflow_or_vanish_whatever_the_shape(shape):
    for (number, norm), spelled in itertools.product(((3e30, np.inf), (3e-30, 0)), (torch.norm, torch.Tensor.norm)):
        assert spelled(torch.full(shape, number)).item() == norm


@claim("norm-is-the-l2-norm", truth=True)
@pytest.mark.cpu  # elsewhere this error says that a kernel is missing
@over(EVERY_MODE, twin=twins((*WHOLE, torch.int16, torch.int8, torch.bool), WRITABLE))
def test_the_norm_of_whole_numbers_is_a_runtime_error(twin):
    with pytest.raises(RuntimeError):
        twin.tensor(twin.array()).norm()


LR, LAMBDA, EPOCHS = 2**-6, 0.5, 17  # more than a hundred steps where each sample is a batch
START = [2.0, -1.0, 0.5]
X = Twin(torch.float64, (6, 3), "transposed", "fractions", seed=3)
Y = Twin(torch.float64, (6,), values="fractions", seed=4)


def from_scratch(x, y, batch, epochs=EPOCHS, once=False):
    """Weights and bias after epochs over the samples in their order, by NumPy: each sample's loss has the penalty."""
    w, b = np.array(START), 1.0
    for start in list(range(0, 6, batch)) * epochs:
        X, residual = x[start : start + batch], x[start : start + batch] @ w + b - y[start : start + batch]
        penalty = LAMBDA * w * (1 if once else len(X))
        w, b = w - LR * (X.T @ residual + penalty) / batch, b - LR * residual.sum() / batch
    return np.append(w, b)


def by_option(x, y, batch, epochs=EPOCHS, decay=LAMBDA, bias_decay=0.0, factor=1.0, reduce="mean", by=SGD):
    """The same training by an optimizer and its option, each weight a parameter of its own."""
    *weights, b = [torch.tensor([value], dtype=x.dtype, requires_grad=True) for value in (*START, 1.0)]
    groups = [{"params": weights, "weight_decay": decay}, {"params": [b], "weight_decay": bias_decay}]
    optimizer = by(groups, lr=LR)
    for start in list(range(0, 6, batch)) * epochs:
        optimizer.zero_grad()
        w = torch.cat(weights)
        losses = factor * (x[start : start + batch] @ w + b - y[start : start + batch]) ** 2 / 2
        getattr(losses, reduce)().backward()
        optimizer.step()
    return torch.cat([*weights, b]).detach()


# At most 20 roundings in each of 102 steps, on numbers below 1000.
SAME = {"roundings": 2040, "scale": 1000}


@claim("from-scratch-equals-weight-decay-option")
@claim("from-scratch-equals-weight-decay-option", truth=True)
@over(case=among(*((batch, False) for batch in (1, 2, 3, 6)), (6, True)))
def test_both_trainings_take_the_same_path_and_a_penalty_once_a_batch_is_a_smaller_lambda_and_another_path(case):
    """Where a feature is blank, the penalty alone moves its weight."""
    (batch, blank), (features, x), (labels, y) = case, X, Y
    features[:, 1], x[:, 1] = features[:, 1] * (not blank), x[:, 1] * (not blank)
    agree(by_option(features, labels, batch), from_scratch(x, y, batch), **SAME)
    smaller = by_option(features, labels, batch, decay=LAMBDA / batch)
    agree(smaller, from_scratch(x, y, batch, once=True), **SAME)
    assert (np.abs(host(smaller) - from_scratch(x, y, batch)).max() > 0.01) == (batch > 1)


CONDITIONS = {  # each of them left out
    "half the square": {"factor": 2.0},
    "averaged": {"reduce": "sum"},
    "SGD": {"by": AdamW},
    "plain SGD": {"by": functools.partial(SGD, momentum=0.5)},
    "no decay of the bias": {"bias_decay": LAMBDA},
    "batches that divide the samples": {},
}


@claim("from-scratch-equals-weight-decay-option", truth=True)
@over(without=each(*CONDITIONS), batch=among(2, 3, 6))
def test_any_condition_that_is_left_out_lets_them_end_elsewhere(without, batch):
    (features, x), (labels, y) = X, Y
    batch = 4 if without == "batches that divide the samples" else batch
    gap = host(by_option(features, labels, batch, 4, **CONDITIONS[without])) - from_scratch(x, y, batch, 4)
    assert np.abs(gap).max() > 0.01


RECURRENT = ("RNN", "LSTM", "GRU")
OTHERS = (*RECURRENT, "ParameterList", "ParameterDict", "Own")
HABIT = tuple(kind for kind in LAYERS if LAYERS[kind].parameters and kind not in OTHERS)


@claim("weight-names-end-in-weight")
@over(EVERY_MODE, layer=layers(kinds=HABIT))
def test_the_names_of_most_layers_end_in_weight_or_bias_and_matrices_in_weight(layer):
    module, plan = layer
    matrices = [name for name, parameter in module.named_parameters() if parameter.dim() > 1]

    assert [name for name, _ in module.named_parameters()] == [member.name for member in plan.parameters]
    assert all(name.endswith(("weight", "bias")) for name, _ in module.named_parameters())
    assert all(name.endswith("weight") for name in matrices)


@claim("weight-names-end-in-weight", truth=True)
@over(kind=among(*RECURRENT), number=among(1, 2), two_ways=among(False, True))
def test_recurrent_weights_end_in_the_number_and_direction_of_their_layer(kind, number, two_ways):
    module = getattr(torch.nn, kind)(3, 2, num_layers=number, bidirectional=two_ways)
    ends = [f"l{layer}{way}" for layer, way in itertools.product(range(number), ["", "_reverse"][: 1 + two_ways])]

    assert [name for name, _ in module.named_parameters() if name.startswith("weight")] == [
        f"weight_{side}_{end}" for end in ends for side in ("ih", "hh")
    ]
    cell = getattr(torch.nn, f"{kind}Cell")(3, 2)
    assert [name for name, _ in cell.named_parameters()] == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]


# Adagrad cannot step what was added later on any torch before 2.12.
GROWING = [name for name in RULES if name != "Adagrad" or torch.__version__ >= (2, 12)]


@claim("weights-alone-can-be-decayed", "weight-decay-decays-bias-by-default")
@over(optimizer=optimizers(*GROWING, dtypes=DTYPES), when=among((False, 0.25), (True, 0), (True, 0.25)))
def test_two_groups_or_two_optimizers_decay_the_weights_alone_even_if_they_come_later(optimizer, when):
    (later, default), apart = when, optimizer.but(**DECAY).on(parameters(optimizer, ((2, 3), (9, 5))))
    weights = (parameters(optimizer, ((2, 3), (9, 5))), {} if default else DECAY)
    biases = (parameters(optimizer, ((2,), (257,))), {"weight_decay": 0})
    beside = optimizer.but(weight_decay=default).on(biases, *([] if later else [weights]))
    beside.step()
    beside.add(weights) if later else None
    assert [group["weight_decay"] for group in beside.optimizer.param_groups] == [0, 0.25]
    beside.reload()
    alone = optimizer.but(weight_decay=0).on(parameters(optimizer, ((2,), (257,))))  # built after one that decays
    for one in (beside, apart, alone):
        one.step()
        one.agree()
