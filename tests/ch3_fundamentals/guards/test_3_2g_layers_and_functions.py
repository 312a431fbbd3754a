"""3.2 Networks: a layer, or a loss, is the function of its name with the parameters and options that it holds."""

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, HALVES, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, in_turn, over, twins
from populations.comparing import accepted, host
from populations.counterparts import COUNTERPARTS, Counterpart, Shown, without_biases
from populations.gradients import grad_of, weights_for
from populations.initialisers import RELEASE
from populations.places import seed
from populations.rarer_layers import RARER
from populations.sequences import NO_HALVES, SEQUENCES
from torch import nn

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")


FURTHER = RARER | SEQUENCES
# How many examples, and how many times as many columns; the dtype, of which the CPU has fewer before torch 2.7.
KINDS = [((2, 1), torch.float64), ((130, 1), torch.float32), ((2, 10), torch.float32)]
KINDS += [((3, 1), torch.bfloat16)] * (RELEASE >= (2, 7))


@claim("nn-builds-on-autograd", "losses-are-modules", "gradients-accumulate")
@over(
    name=among(*COUNTERPARTS).rarely(*FURTHER),
    kind=each(*KINDS),
    layout=among(*WRITABLE),
    training=among(True, False),
    frozen=among(False, True),
)
def test_a_layer_is_the_function_of_its_name_whatever_it_is_called_for(name, kind, layout, training, frozen):
    """In its values and gradients, at its first call after one of its like and at later ones, recorded or not."""
    part, (size, dtype) = (COUNTERPARTS | FURTHER)[name], kind
    at = KINDS.index(kind)  # for each kind of them another layout, and in turn all of training and of frozen ones
    layout = WRITABLE[(WRITABLE.index(layout) + at) % len(WRITABLE)]
    training, frozen = training == (at in (1, 3)), frozen == (at in (1, 2))
    dtype = torch.float32 if dtype in HALVES and name in NO_HALVES else dtype
    rounds = max(part.roundings, 64 if size[0] > 100 else 0)  # sums over so many examples may cancel
    rounds = min(rounds, 16) if dtype in HALVES else rounds  # more would be a part of the largest that counts

    def close(found, expected):
        sought = host(expected)
        agree(found, sought, rounds, np.abs(sought).max(initial=0))

    x, _ = Twin(dtype, part.shape(*size), layout, "fractions", second=at % 2 == 1, grad=True)
    # The same parameters under every seed for what normalises what they make: a norm of numbers that happen to be close
    # has some hundred times their roundings, and of a hundred seeds two would have an encoder with such numbers.
    seed(len(name) if name.startswith(("Transformer", "Multihead")) else torch.initial_seed())
    # through recurrent layers cuDNN passes back in training alone
    trained = training or (name.endswith("of three layers") and x.device.type != "cpu")
    module = part.make().to(x).train(trained).requires_grad_(not frozen)
    more, leaves = part.more(x), [x, *(w for w in module.parameters() if w.requires_grad)]
    expected = part.function(module, x, *more)
    weights, _ = weights_for(expected, layout)
    slopes = torch.autograd.grad(expected, leaves, weights)

    for other in without_biases(module):  # what is kept of its like must not pass for what the layer needs
        other(x, *more)
    for turn in (1, 2):  # a second gradient is added to the first
        result = module(x, *more)
        close(result, expected)
        assert result.dtype == dtype
        accepted(result.backward, weights.clone())  # in which a gradient that is a view may come to lie
        for leaf, slope in zip(leaves, slopes):
            close(grad_of(leaf) / turn, slope)
    close(EVERY_MODE[1 + at // 2]()(module)(x, *more), expected)


# And a layer of another kind, so that something is left where a device has no batch norm.
NORMS = {name: part for name, part in COUNTERPARTS.items() if name.startswith("BatchNorm")} | {
    "Linear, converted": Counterpart(
        lambda: Shown(nn.Linear(7, 5), lambda m, x: m(x.float()).to(x.dtype)), lambda m, x: m(x), (7,), fixed=True
    )
}


@claim("nn-builds-on-autograd")
@over(
    name=among(*NORMS),
    dtype=among(*HALVES if RELEASE >= (2, 7) else [torch.bfloat16]),  # the CPU had no other
    size=among((3, 1), (130, 1), (2, 10)),
    layout=among(*WRITABLE),
    second=among(False, True),
)
def test_a_batch_norm_in_single_precision_gives_inputs_in_half_precision_the_same_values_and_slopes(
    name, dtype, size, layout, second
):
    """As the same layer gives them in single precision, which the guard before this one holds: the value and the slope
    of the input, which are rounded to its dtype, to two roundings of the largest; those of the parameters to two of
    each of the numbers that they add up, none of which is far above its weight.
    """
    part = NORMS[name]
    x, array = Twin(dtype, part.shape(*size), layout, "fractions", second=second, grad=True)
    module = part.make().to(x.device)
    in_full = torch.from_numpy(array.astype(np.float32)).to(x.device).requires_grad_()
    expected, result = module(in_full), accepted(module, x)
    weights = weights_for(expected)[0] / 256  # so that no sum of them is past what float16 holds
    leaves = [*module.parameters()]
    slopes = torch.autograd.grad(expected, [in_full, *leaves], weights)
    found = accepted(torch.autograd.grad, result, [x, *leaves], weights.to(result.dtype))

    assert (result.dtype, found[0].dtype) == (dtype, dtype)
    added = np.abs(host(weights)).sum() / len(leaves[0])  # in a channel
    largest = [*(2 * np.abs(host(of)).max() for of in (expected, slopes[0])), 2 * added, 2 * added]
    for one, other, most in zip((result, *found), (expected, *slopes), largest):
        atol = torch.finfo(dtype).eps * most
        np.testing.assert_allclose(host(one).astype(float), host(other), rtol=0, atol=atol)


def image(x):
    return x[None, None]


PLACES = torch.tensor([[0, 2, 1], [3, 2, 2]])
# What functions are given in the order that the documentation has, made of a matrix of four rows and three columns.
NAMED = {
    "linear": lambda x: {"input": x, "weight": 2 * x, "bias": x[:, 0]},
    "bilinear": lambda x: {"input1": x, "input2": 2 * x, "weight": x[None, :3], "bias": x[0, :1]},
    "embedding": lambda x: {"input": PLACES.to(x.device), "weight": x, "padding_idx": 1},
    "conv2d": lambda x: {"input": image(x), "weight": image(x[:2, :2]), "bias": x[0, :1], "stride": 2, "padding": 1},
    "conv_transpose2d": lambda x: {
        **{"input": image(x), "weight": image(x[:3, :2]), "bias": x[0, :1], "stride": 3, "padding": 1},
        **{"output_padding": 2, "groups": 1, "dilation": 2},
    },
    "max_pool2d": lambda x: {
        **{"input": image(x), "kernel_size": 2, "stride": 3, "padding": 1, "dilation": 2, "ceil_mode": True},
    },
    "avg_pool2d": lambda x: {
        **{"input": image(x), "kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
        **{"count_include_pad": False, "divisor_override": 5},
    },
    "layer_norm": lambda x: {"input": x, "normalized_shape": (3,), "weight": x[0], "bias": x[1], "eps": 0.5},
    "group_norm": lambda x: {"input": x[None], "num_groups": 2, "weight": x[:, 0], "bias": x[:, 1], "eps": 0.5},
    "batch_norm": lambda x: {
        **{"input": x, "running_mean": torch.zeros_like(x[0]), "running_var": torch.ones_like(x[0])},
        **{"weight": x[0], "bias": x[1], "training": True, "momentum": 0.5, "eps": 0.25},
    },
    "local_response_norm": lambda x: {"input": x[None], "size": 3, "alpha": 0.5, "beta": 0.25, "k": 2.0},
    "hardtanh": lambda x: {"input": x, "min_val": -0.5, "max_val": 0.75},
    "leaky_relu": lambda x: {"input": x, "negative_slope": 0.25},
    "elu": lambda x: {"input": x, "alpha": 0.25},
    "celu": lambda x: {"input": x, "alpha": 0.25},
    "threshold": lambda x: {"input": x, "threshold": 0.5, "value": 3.0},
    "softplus": lambda x: {"input": x, "beta": 2, "threshold": 1},
    "softshrink": lambda x: {"input": x, "lambd": 0.25},
    "hardshrink": lambda x: {"input": x, "lambd": 0.25},
    "glu": lambda x: {"input": x, "dim": 0},
    "prelu": lambda x: {"input": x, "weight": x[0]},
    "rrelu": lambda x: {"input": x, "lower": 0.25, "upper": 0.5},
    "softmax": lambda x: {"input": x, "dim": 0},
    "dropout": lambda x: {"input": x, "p": 0.75, "training": False},
    "normalize": lambda x: {"input": x, "p": 3.0, "dim": 0, "eps": 50.0},
    "cosine_similarity": lambda x: {"x1": x, "x2": x.flip(0), "dim": 0, "eps": 4.0},
    "pairwise_distance": lambda x: {"x1": x, "x2": x.flip(0), "p": 3.0, "eps": 0.5, "keepdim": True},
    "interpolate": lambda x: {
        **{"input": image(x), "size": (5, 4), "scale_factor": None, "mode": "bilinear", "align_corners": True},
    },
    "pad": lambda x: {"input": x, "pad": (1, 2), "mode": "constant", "value": 3.0},
    "unfold": lambda x: {"input": image(x), "kernel_size": 2, "dilation": 1, "padding": 1, "stride": 2},
    "fold": lambda x: {
        **{"input": x[None], "output_size": (2, 6), "kernel_size": 2, "dilation": 1, "padding": 0, "stride": 2},
    },
    "grid_sample": lambda x: {
        **{"input": image(x), "grid": image(x[:, :2] / 4), "mode": "bilinear", "padding_mode": "border"},
        **{"align_corners": True},
    },
    "affine_grid": lambda x: {"theta": x[None, :2], "size": (1, 1, 3, 2), "align_corners": True},
    "scaled_dot_product_attention": lambda x: {"query": x, "key": x.flip(0), "value": 2 * x, "attn_mask": x @ x.t()},
    "cross_entropy": lambda x: {"input": x, "target": torch.tensor([0, 2, 1, 1]).to(x.device), "weight": x.detach()[0]},
    "margin_ranking_loss": lambda x: {"input1": x, "input2": x.flip(0), "target": x.detach().sign(), "margin": 0.5},
    "cosine_embedding_loss": lambda x: {
        **{"input1": x, "input2": x.flip(0), "target": x.detach()[:, 0].sign(), "margin": 0.25},
    },
    "triplet_margin_loss": lambda x: {
        **{"anchor": x, "positive": x.flip(0), "negative": 2 * x, "margin": 3.0, "p": 3.0, "eps": 0.5, "swap": True},
    },
    "poisson_nll_loss": lambda x: {"input": x.exp(), "target": x.detach() ** 2, "log_input": False, "full": True},
    "gaussian_nll_loss": lambda x: {"input": x, "target": x.flip(0), "var": x.exp(), "full": True, "eps": 0.5},
    "huber_loss": lambda x: {"input": x, "target": x.flip(0), "reduction": "sum", "delta": 0.5},
}


@claim("nn-builds-on-autograd")
@over(name=each(*NAMED), made=in_turn(among(*WRITABLE), among(*SINGLE_AND_DOUBLE)))
def test_what_a_function_is_given_counts_by_name_as_it_does_by_place(name, made):
    (layout, dtype), function = made, getattr(nn.functional, name)
    x, _ = Twin(dtype, (4, 3), layout, "fractions", grad=True, seed=3)
    by_place, by_name = function(*NAMED[name](x).values()), function(**dict(reversed(NAMED[name](x).items())))
    weights, _ = weights_for(by_place)

    agree(by_name, host(by_place), 16, np.abs(host(by_place)).max(initial=0))
    (slope,), (own,) = (torch.autograd.grad(result, x, weights) for result in (by_place, by_name))
    agree(own, host(slope), 16, np.abs(host(slope)).max())


@claim("nn-builds-on-autograd")
@over(
    twin=twins(SINGLE_AND_DOUBLE, WRITABLE, ((4, 3),), values=("fractions",), grad=(True,), kinds=("tensor", "view")),
    words=among([1, 0, 1, 3, 1, 1], [[2, 2], [0, 2]], [3]),
    layer=among(False, True),
)
def test_where_gradients_are_scaled_by_frequency_a_word_has_the_mean_over_its_places_and_others_none(
    twin, words, layer
):
    table, array = twin
    places = torch.tensor(words, device=table.device)
    embedding = nn.Embedding.from_pretrained(table, freeze=False, scale_grad_by_freq=True)
    found = embedding(places) if layer else nn.functional.embedding(places, table, scale_grad_by_freq=True)
    weights, factors = weights_for(found)
    found.backward(weights)

    agree(found, array[words])
    expected = np.zeros((4, 3))
    for word in np.unique(words):
        expected[word] = factors[np.array(words) == word].mean(0)
    agree((embedding.weight if layer else table).grad, expected, roundings=4)
