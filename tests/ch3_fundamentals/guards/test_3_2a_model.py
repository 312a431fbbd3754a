"""3.2 Networks: gradients that autograd supplies, through layers of any size, layout and dtype."""

import copy

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over, twins
from populations.gradients import grad_of
from populations.layers import ACTIVATIONS, NORMALISATIONS, NORMALISED, ends_the_process, summed
from torch import nn

claim = pytest.mark.claim


@claim("nn-builds-on-autograd")
@over(
    activation=among(*ACTIVATIONS),
    sizes=among((9, 3), (65, 33)),
    twin=twins(SINGLE_AND_DOUBLE, WRITABLE, [(3, 3)], values=("fractions",)),
)
def test_every_gradient_follows_the_chain_rule_through_two_layers(activation, sizes, twin):
    """Every product of the chain is of at most hidden + examples terms, each off by a few roundings of its size."""
    module, act, slope = ACTIVATIONS[activation]
    hidden, examples = sizes
    shapes = {"x": (examples, 3), "v": (hidden, 3), "w": (2, hidden), "out": (examples, 2), "b": (hidden,)}
    (x, x_), (v, v_), (w, w_), (out, out_), (b, b_) = (
        twin.but(shape=shape, grad=True, seed=seed) for seed, shape in enumerate(shapes.values())
    )
    net = nn.Sequential(nn.Linear(3, hidden), module(), nn.Linear(hidden, 2, bias=False))
    for layer, name, values in ((net[0], "weight", v), (net[0], "bias", b), (net[2], "weight", w)):
        setattr(layer, name, nn.Parameter(values.detach()))
    original, net = net, copy.deepcopy(net)

    with torch.no_grad():
        assert net(x).grad_fn is None
    (net(x) * out.detach()).sum().backward()
    assert all(each.grad is not None for each in (x, *net.parameters()))
    assert all(each.grad is None for each in original.parameters())
    x_, v_, w_, out_, b_ = (np.asarray(array, np.float64) for array in (x_, v_, w_, out_, b_))
    z = x_ @ v_.T + b_
    back, size = out_ @ w_ * slope(act(z)), np.abs(out_) @ np.abs(w_)
    roundings = 2 * (hidden + examples + 20)
    agree(net[2].weight.grad, out_.T @ act(z), roundings, np.abs(out_).T @ (np.abs(x_) @ np.abs(v_).T + 5))
    agree(net[0].bias.grad, back.sum(0), roundings, size.sum(0) * 8)
    agree(net[0].weight.grad, back.T @ x_, roundings, size.T @ np.abs(x_) * 8)
    agree(x.grad, back @ v_, roundings, size @ np.abs(v_) * 8)


# Before torch 2.14 the CPU added the gradients of bfloat16 up in parts that it rounded.
SUMMED = (*SINGLE_AND_DOUBLE, torch.bfloat16) if torch.__version__ >= (2, 14) else SINGLE_AND_DOUBLE


@claim("nn-builds-on-autograd")
@over(
    sizes=among(((8, 32_776), 1), ((65_537, 3), 2), ((2, 999, 2), 1), ((2,), 65_537)),
    upstream=twins(SUMMED, ("contiguous", "expanded"), shapes=((),), values="small"),
)
def test_a_batch_of_another_size_has_gradients_of_its_own(sizes, upstream):
    """Small whole numbers, so that every sum is exact, or is rounded when it is: in bfloat16, which adds up in float32.

    A convolution of one pixel does the same to a row of pixels.
    """
    dtype, (batches, outputs) = upstream.dtype, sizes
    net, row = nn.Linear(3, outputs, dtype=dtype), nn.Conv2d(3, outputs, 1, dtype=dtype)
    net.register_forward_hook(lambda *told: None)
    weight, w = Twin(dtype, (outputs, 3))
    net.weight, row.weight = nn.Parameter(weight), nn.Parameter(weight.detach()[..., None, None].clone())
    for batch in batches:
        x, x_ = Twin(dtype, (batch, 3), grad=True, seed=batch)
        out, out_ = upstream.but(shape=(batch, outputs), second=False, seed=batch + 1)
        all_ways = (net, x, out), (net, x[:, None], out[:, None]), (row, x.T[None, ..., None], out.T[None, ..., None])
        for layer, given, weighed in all_ways[: 2 + (batch < 1000)]:
            x.grad = layer.weight.grad = layer.bias.grad = None
            layer.train(batch % 2 > 0)  # and its input is given by its name
            output = layer(input=given) if batch % 2 else layer(given)
            assert output.requires_grad
            output.backward(weighed)

            agree(grad_of(layer.weight).view(outputs, 3), out_.T.astype(np.float64) @ x_, dtype == torch.bfloat16)
            agree(layer.bias.grad, out_.sum(0, dtype=np.float64), dtype == torch.bfloat16)
            agree(grad_of(x), out_.astype(np.float64) @ w, dtype == torch.bfloat16)


IMAGES = ((4, 4, 5, 2), (3, 4, 2, 3), (2, 4, 1, 129), (5, 4), (1027, 4), (2, 4, 3, 2, 2), (3, 4, 7))


@claim("nn-builds-on-autograd")
@over(x=twins(NORMALISED, WRITABLE, IMAGES, values=("fractions",), grad=(True, False)), name=each(*NORMALISATIONS))
def test_output_and_gradients_of_a_normalisation_are_its_formula_s_whatever_the_layout(x, name):
    """Beside some roundings of the dtype, sums in float32 of 40 numbers, or as many as there are of a channel. With its
    mean moved up, and so the running one, an input gives the same.
    """
    (tensor, array), (make, averaging) = x, NORMALISATIONS[name]
    norm, (shape, axes) = make(x.shape).to(tensor), averaging(x.shape)
    roundings = 4 + 2 * summed(x.dtype, max(40, array.size // 4))
    (scale, s), (upstream, g) = (x.but(shape=norm.weight.shape, values="positive", grad=False), x.but(seed=x.seed + 1))
    norm.weight.data.copy_(scale)
    by_channel = (4, *[1] * (len(x.shape) - 2)) if "Layer" not in name else s.shape
    own = tuple(axis for axis in range(-len(x.shape), 0) if axis < -len(by_channel) or by_channel[axis] == 1)
    array, g = array.astype(np.float64).reshape(shape), g.astype(np.float64)
    s = s.astype(np.float64).reshape(by_channel)
    mean, variance = (array.mean(axes, keepdims=True), array.var(axes, keepdims=True)) if axes else (0.0, 1.0)
    standard, back = (array - mean) / np.sqrt(variance + 1e-5), (g * s).reshape(shape)
    if axes:
        back = back - back.mean(axes, keepdims=True) - standard * (back * standard).mean(axes, keepdims=True)
    back, standard = (back / np.sqrt(variance + 1e-5)).reshape(x.shape), standard.reshape(x.shape)
    inverse = np.broadcast_to((variance + 1e-5) ** -0.5, array.shape).reshape(x.shape)

    ends = "Group" in name and x.layout == "channels last" and torch.__version__ < (2, 14)  # as the next guard shows
    tensor.requires_grad_(x.grad or ends)
    output = norm(tensor)
    agree(output, standard * s, roundings, scale=32 * np.maximum(inverse, 1))
    leaves = [norm.weight, norm.bias, tensor][: 2 + tensor.requires_grad]
    gradients = torch.autograd.grad(output, leaves, upstream.detach())
    agree(gradients[0], (g * standard).sum(own).reshape(norm.weight.shape), roundings, np.abs(g * 4).sum())
    agree(gradients[1], g.sum(own).reshape(norm.weight.shape), roundings, np.abs(g).sum())
    for gradient in gradients[2:]:
        agree(gradient, back, roundings, 64 * np.maximum(inverse, 1))
    # beside it quarters are exact; elsewhere than on the CPU LayerNorm may compute in the halves themselves
    up = 2048.0 if x.dtype in SINGLE_AND_DOUBLE else 16.0 * (tensor.device.type == "cpu")
    # of channels last the CPU's GroupNorm, until 2.15 at least, subtracts the squares of large means
    order = torch.contiguous_format if "Group" in name else torch.preserve_format
    for running in [buffer for name, buffer in norm.named_buffers() if name == "running_mean"]:
        running.fill_(up)
    agree(norm((tensor.detach() + up).clone(memory_format=order)), standard * s, 2 * roundings, (up + 4) * s * inverse)


@claim("nn-builds-on-autograd")
@pytest.mark.cpu
def test_only_before_torch_2_14_group_norm_of_images_channels_last_ends_the_process_for_its_parameters_alone():
    code = "import torch; norm, images = torch.nn.GroupNorm(2, 4), torch.ones(2, 4, 3, 3)\n"
    code += "norm(images.contiguous(memory_format=torch.channels_last)).sum().backward()"
    before = torch.__version__ < (2, 14)  # tried up to 2.13.0, and from 2.14.1 on
    assert bool(ends_the_process(code) if before else exec(code)) == before  # a process costs an import
