"""3.2 Networks: gradients that autograd supplies, through layers of any size, layout and dtype."""

import copy
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over, twins
from populations.batches import LAYERS, TRIALS, batches, examples_of
from populations.comparing import accepted, host
from populations.gradients import grad_of, weights_for
from populations.initialisers import RELEASE
from populations.layers import NORMALISATIONS, NORMALISED, ends_the_process, summed
from populations.parts import ALONG, DERIVED_ONCE, IN_HALF, MATRIX, PARTS
from populations.places import seed
from populations.relaid import relaid
from torch import nn

claim = pytest.mark.claim
pytestmark = pytest.mark.usefixtures("products_in_full")


KINDS = each((torch.float64, "contiguous"), (torch.float32, "transposed"))
HALVES = each((torch.bfloat16, "gappy"), (torch.float16, "transposed"))
STEP = 2.0**-10  # its fourth power, and 2^-52 over its square, are small
ULPS = 8  # units in the last place, two roundings each: of a function, and of a dozen terms that are added up


def differences(part, kind):
    """A matrix and what a part makes of it, with weights; and the sums, weighted and plain, that the CPU has in double
    precision behind the matrix, there and ahead of it. Raise AssertionError unless the part makes of it what it makes
    there, up to rounding.
    """
    dtype, layout = kind
    x = Twin(dtype, (4, 3), layout, grad=True).tensor(np.array(MATRIX))
    result = relaid(part, layout)(x)
    weights, factors = weights_for(result, layout)
    point, along = x.detach().cpu().double(), torch.tensor(ALONG, dtype=torch.float64, device="cpu")
    values = [host(part(point + way * along)) for way in (-STEP, 0, STEP)]
    close = 1e-9 if dtype == torch.float64 else max(1e-5, ULPS * torch.finfo(dtype).eps)
    np.testing.assert_allclose(host(result), values[1], rtol=close, atol=close * np.abs(values[1]).max(initial=1))
    return x, result, weights, [((each * factors).sum(), each.sum()) for each in values]


@claim("nn-builds-on-autograd")
@over(name=among(*DERIVED_ONCE), kind=KINDS)
def test_the_gradient_of_what_is_derived_only_once_is_how_its_values_rise(name, kind):
    x, result, weights, ((behind, _), _, (ahead, _)) = differences(DERIVED_ONCE[name], kind)
    (gradient,) = accepted(torch.autograd.grad, result, x, weights)

    assert (host(gradient) * ALONG).sum() == pytest.approx((ahead - behind) / (2 * STEP), rel=1e-4, abs=1e-4)


@claim("nn-builds-on-autograd")
@over(name=among(*PARTS), kind=KINDS)
def test_first_and_second_gradients_of_every_layer_activation_and_loss_are_how_its_values_rise_and_bend(name, kind):
    """Along one direction."""
    x, result, weights, ((behind, first), (here, _), (ahead, last)) = differences(PARTS[name], kind)
    along = torch.tensor(ALONG, dtype=torch.float64, device="cpu")

    (plain,) = accepted(torch.autograd.grad, result.sum(), x, retain_graph=True)  # by ones that lie in one place
    (gradient,) = accepted(torch.autograd.grad, result, x, weights, create_graph=True)
    (second,) = torch.autograd.grad((gradient * along.to(x)).sum() + 0 * x.sum(), x)
    total, rise, bend = ((host(each) * host(along)).sum() for each in (plain, gradient, second))
    # one feature is normalised by 316 times differences that cancel, of weights up to 8: 2^-23 of that, for 4 samples
    close = {"rel": 1e-4, "abs": 4 * 316 * 8 * 2.0**-23 if x.dtype == torch.float32 else 1e-4}
    assert total == pytest.approx((last - first) / (2 * STEP), **close)
    assert rise == pytest.approx((ahead - behind) / (2 * STEP), **close)
    assert bend == pytest.approx((ahead - 2 * here + behind) / STEP**2, **close)


@claim("nn-builds-on-autograd")
@pytest.mark.skipif(torch.__version__ < (2, 7), reason=f"torch {torch.__version__} has few layers in half precision")
@over(name=among(*IN_HALF), kind=HALVES)
def test_in_half_precision_every_part_has_its_values_and_their_gradient_up_to_a_few_roundings(name, kind):
    x, result, weights, ((behind, _), _, (ahead, _)) = differences(IN_HALF[name], kind)
    (gradient,) = accepted(torch.autograd.grad, result, x, weights)
    terms = host(gradient) * ALONG

    assert (result.dtype, gradient.dtype) == (x.dtype, x.dtype)
    close = ULPS * torch.finfo(x.dtype).eps * max(1, np.abs(terms).sum())
    assert terms.sum() == pytest.approx((ahead - behind) / (2 * STEP), abs=close)


@claim("nn-builds-on-autograd")
@over(trial=among(*TRIALS))
def test_a_layer_makes_of_each_example_of_any_batch_what_it_makes_of_it_alone_and_so_on_the_way_back(trial):
    """To within rounding: of some sums of a few dozen products, and one for each example in a parameter's gradient;
    in half precision, which adds up in float32, of the results alone; of parameters, of what float16 rounds when each
    step or example hands it on. It holds no sums over many.
    """
    name, dtype = trial
    close, of_sums, more = {torch.bfloat16: (12, 24, 0), torch.float16: (12, 32, 0)}.get(dtype, (160, 160, 2))
    seed(len(name))  # the same under every seed: gradients that happen to be small are made of larger ones
    layer = LAYERS[name][0]().to(dtype).eval()
    singles = [torch.tensor(example[None], dtype=dtype, requires_grad=True) for example in examples_of(name, dtype)]
    leaves, alone = [*layer.parameters()], [layer(single) for single in singles]
    weights, _ = weights_for(torch.cat(alone))

    def back(results, xs, weights):
        """The gradients of each; in one pass where no parameter adds them up."""
        if not leaves:
            return zip(torch.autograd.grad(results, xs, weights))
        return [torch.autograd.grad(result, [x, *leaves], weight) for result, x, weight in zip(results, xs, weights)]

    own = zip(*(map(host, gradients) for gradients in back(alone, singles, [*weights[:, None]])))
    values, (slopes, *others) = np.concatenate([*map(host, alone)]), map(np.stack, own)
    xs, places = zip(*batches(name, dtype))
    results = [layer(x) for x in xs]
    gradients = accepted(back, results, xs, [weights[turns] for turns in places])
    for together, turns, (of_x, *of_all) in zip(results, places, gradients):
        for found, single in ((together, values), (of_x, slopes[:, 0])):
            agree(found, single[turns], close, np.abs(single[turns]).max(initial=1))
        times = np.bincount(turns, minlength=len(singles))
        for found, single in zip(of_all, others if more or len(turns) < 100 else ()):
            terms = single.astype(np.float64) * times.reshape(-1, *[1] * found.dim())
            agree(found, terms.sum(0), of_sums + more * len(turns), np.abs(terms).sum(0).max(initial=1))


@claim("nn-builds-on-autograd")
@pytest.mark.cpu
@over(case=among((nn.PixelShuffle, (0, 1, 4, 4)), (nn.PixelUnshuffle, (0, 4, 2, 2))))
def test_no_gradient_goes_back_to_a_batch_of_nothing_whose_pixels_are_shuffled_which_unshuffling_leaves_undone(case):
    shuffle, shape = case
    result = shuffle(2)(torch.ones(0, 4, 2, 2, requires_grad=True))
    assert result.shape == shape
    with pytest.raises(RuntimeError, match="returned an invalid gradient"):
        result.sum().backward()


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
    weight, w = Twin(dtype, (outputs, 3), WRITABLE[(outputs + upstream.seed) % 5])
    net.weight, row.weight = nn.Parameter(weight), nn.Parameter(weight.detach()[..., None, None].clone())
    original, net = net, copy.deepcopy(nn.Sequential(net))[0]
    words = nn.Embedding(5, 1, padding_idx=2)
    for batch in batches:
        x, x_ = Twin(dtype, (batch, 3), WRITABLE[(batch + upstream.seed) % 5], grad=True, seed=batch)
        with torch.no_grad():
            assert (net(x).grad_fn, original.weight.grad) == (None, None)
        out, out_ = upstream.but(shape=(batch, outputs), second=False, seed=batch + 1)
        wide = out_.astype(np.float64)
        expected = wide.T @ x_, wide.sum(0), wide @ w
        all_ways = (net, x, out), (net, x[:, None], out[:, None]), (row, x.T[None, ..., None], out.T[None, ..., None])
        for layer, given, weighed in all_ways[: 2 + (batch < 1000)]:
            x.grad = layer.weight.grad = layer.bias.grad = None
            layer.train(batch % 2 > 0)  # and its input is given by its name
            output = layer(input=given) if batch % 2 else layer(given)
            assert output.requires_grad
            output.backward(weighed)

            found = grad_of(layer.weight).view(outputs, 3), layer.bias.grad, grad_of(x)
            for gradient, exact in zip(found, expected):
                agree(gradient, exact, dtype == torch.bfloat16)
        net.weight.grad = None
        net(x.detach()[:, None]).backward(out[:, None])  # of what wants no gradient
        agree(grad_of(net.weight), expected[0], dtype == torch.bfloat16)
        of_words = [wide[word::5, :1].sum(0) * (word != words.padding_idx) for word in range(5)]
        for words.sparse in (False, True)[: 1 + (x.device.type == "cpu")]:  # few other devices have sparse tensors
            words.weight.grad = None
            words(torch.arange(batch) % 5).backward(out[:, :1].float())
            agree(grad_of(words.weight).to_dense(), of_words)


IMAGES = ((4, 4, 5, 2), (3, 4, 2, 3), (2, 4, 1, 129), (5, 4), (1027, 4), (2, 4, 3, 2, 2), (3, 4, 7))
LARGE = ((2, 4, 1031), (5, 300), (2, 70, 3, 2), (2, 2, 33, 35))
# Of one pixel, of one channel (for torch 2.2 see the last guard), of one feature.
IMAGES += (*[(4, 4, 1, 1), (5, 1, 3, 2)] * (RELEASE != (2, 2)), (7, 1))


@claim("nn-builds-on-autograd")
@over(
    x=twins(NORMALISED, WRITABLE, IMAGES, values=("fractions",), grad=(True, False)).rarely(
        *(Twin(dtype, shape, values="fractions", grad=True) for dtype in NORMALISED[::2] for shape in LARGE)
    ),
    name=each(*NORMALISATIONS),
)
def test_output_and_gradients_of_a_normalisation_are_its_formula_s_whatever_the_layout(x, name):
    """Beside some roundings of the dtype, sums in float32 of 40 numbers, or as many as there are of a channel. With its
    mean moved up, and so the running one, an input gives the same.
    """
    (tensor, array), (make, averaging) = x, NORMALISATIONS[name]
    norm, (shape, axes) = make(x.shape).to(tensor), averaging(x.shape)
    roundings = 4 + 2 * summed(x.dtype, max(40, array.size // x.shape[1]))
    (scale, s), (upstream, g) = (x.but(shape=norm.weight.shape, values="positive", grad=False), x.but(seed=x.seed + 1))
    norm.weight.data.copy_(scale)
    by_channel = (x.shape[1], *[1] * (len(x.shape) - 2)) if "Layer" not in name else s.shape
    own = tuple(axis for axis in range(-len(x.shape), 0) if axis < -len(by_channel) or by_channel[axis] == 1)
    array, g = array.astype(np.float64).reshape(shape), g.astype(np.float64)
    s = s.astype(np.float64).reshape(by_channel)
    mean, variance = (array.mean(axes, keepdims=True), array.var(axes, keepdims=True)) if axes else (0.0, 1.0)
    standard, back = (array - mean) / np.sqrt(variance + 1e-5), (g * s).reshape(shape)
    if axes:
        back = back - back.mean(axes, keepdims=True) - standard * (back * standard).mean(axes, keepdims=True)
    back, standard = (back / np.sqrt(variance + 1e-5)).reshape(x.shape), standard.reshape(x.shape)
    inverse = np.broadcast_to((variance + 1e-5) ** -0.5, array.shape).reshape(x.shape)
    far = np.abs(mean + 0 * array).reshape(x.shape) * inverse  # the mean is kept for the way back, rounded to the dtype

    ends = "Group" in name and x.layout == "channels last" and torch.__version__ < (2, 14)  # as the next guard shows
    tensor.requires_grad_(x.grad or ends)
    output = norm(tensor)
    for found in (output, torch.inference_mode()(norm)(tensor)):
        agree(found, standard * s, roundings, scale=32 * np.maximum(inverse, 1))
    leaves = [norm.weight, norm.bias, tensor][: 2 + tensor.requires_grad]
    products, scale = (g * standard).sum(own).reshape(norm.weight.shape), np.abs(g * np.maximum(far, 4)).sum()
    other, _ = x.but(seed=x.seed + 1, layout=WRITABLE[(x.seed + len(x.layout)) % 5])  # the same, laid out otherwise
    for weights in (upstream, other):
        gradients = accepted(torch.autograd.grad, output, leaves, weights.detach(), retain_graph=True)
        agree(gradients[0], products, roundings, scale)
        agree(gradients[1], g.sum(own).reshape(norm.weight.shape), roundings, np.abs(g).sum())
        for gradient in gradients[2:]:
            agree(gradient, back, roundings, np.maximum(far * 24, 64) * np.maximum(inverse, 1))
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


@claim("nn-builds-on-autograd")
@pytest.mark.cpu
@pytest.mark.parametrize("shape", [(2, 4, 1, 1), (2, 1, 3, 2)])
def test_in_torch_2_2_alone_group_norm_of_one_pixel_or_channel_refuses_a_gradient_in_another_order(shape):
    _, channels, height, width = shape
    images = torch.ones(shape, requires_grad=True)
    result = torch.nn.GroupNorm(1, channels)(images)
    refused = pytest.raises(RuntimeError, match="Expected memory formats of X and dY are same")
    with refused if RELEASE == (2, 2) else nullcontext():
        result.backward(torch.ones(2, height, width, channels).permute(0, 3, 1, 2))
