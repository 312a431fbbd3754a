"""3.1 Linear regression for any number of examples and features, any labels and any rate."""

import math
import platform

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, LAYOUTS, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, over, twins, whole
from populations.comparing import accepted, host
from populations.layers import COMPUTED, arguments, columns_first, sigmoid, summed
from torch import nn

claim = pytest.mark.claim

# One sample and many, of no feature, one and many, behind none to four other dimensions; none at all.
TABLES = (
    *((0, 3), (1, 2), (3, 0), (5, 1), (5, 257), (33, 784), (9, 1025), (2, 4097), (4099, 3), (3, 1, 2)),
    *((3,), (1025,), (65_538, 1, 2), (4, 5, 3), (2, 3, 4, 3), (2, 1, 2, 1, 3)),
)


# ── the model and its loss ──


@claim("linear-model-is-weighted-sum", "regression-outputs-are-continuous")
@over(dtype=among(*SINGLE_AND_DOUBLE, torch.complex64))
def test_no_number_of_features_up_to_1040_is_an_exception(dtype):
    """Of two examples each: a kernel may go wrong at one number alone, where its blocks meet badly. In double precision
    the sums of these fractions are exact as well.
    """
    (x, w), sizes = (np.arange(2080) % 7 * 1.0, np.arange(1040) % 5 - 2), range(1, 1041)
    x += 2.0**-30 * (dtype == torch.float64)
    x, w = (x * (1 + 2j), w * (2 - 1j)) if dtype.is_complex else (x, w)
    features, weight = torch.tensor(x, dtype=dtype), torch.tensor(w[None], dtype=dtype)

    predicted = [nn.functional.linear(features[: 2 * n].view(2, n), weight[:, :n]).cpu() for n in sizes]
    agree(torch.cat(predicted, 1), np.stack([x[: 2 * n].reshape(2, n) @ w[:n] for n in sizes], 1))
    for bias in (None, weight[0, :1]):  # nor is one of examples, up to some past a block of 64, or of calls before
        rows = [nn.functional.linear(features.view(-1, 2)[:n], weight[:, :2], bias).cpu() for n in range(1, 70)]
        sums = x.reshape(-1, 2) @ w[:2] + (0 if bias is None else w[0])
        agree(torch.cat(rows)[:, 0], np.concatenate([sums[:n] for n in range(1, 70)]))
    # complex numbers may be marked as conjugated, others not
    agree(nn.functional.linear(features.view(2, -1).conj(), weight), (x.conj().reshape(2, -1) @ w)[:, None])
    agree(nn.functional.linear(features.view(2, -1), weight.conj()), (x.reshape(2, -1) @ w.conj())[:, None])


@claim("linear-model-is-weighted-sum")
@over(features=among(10_007, 70_001), dtype=among(*SINGLE_AND_DOUBLE, torch.complex64))
def test_one_example_may_have_very_many_features(features, dtype):
    x, w = (np.arange(features) % number - 2.0 for number in (7, 5))  # all sums are below 2 ** 24
    layer = nn.Linear(features, 1, bias=False, dtype=dtype)
    layer.weight.data.copy_(torch.tensor(w))
    for one in (torch.tensor(x, dtype=dtype), torch.tensor(x[None], dtype=dtype)):
        agree(layer(one), np.full((*one.shape[:-1], 1), x @ w))


@claim("linear-model-is-weighted-sum", "softmax-outputs-equal-classes", "regression-outputs-are-continuous")
@claim("unsqueeze-makes-a-batch-of-one", "identity-network-is-a-matrix-product")
@claim("nn-only-takes-batches", truth=True)
@over(
    EVERY_MODE,
    x=twins(COMPUTED, LAYOUTS, TABLES, grad=(False, True), values="small").rarely(
        *(
            Twin(dtype, (65, 9), "transposed", values="small", second=second)
            for dtype in COMPUTED
            for second in (False, True)
        )
    ),
    outputs=among(1, 3, 10),
    how=among(*WRITABLE),
)
def test_every_sample_whatever_stands_before_its_features_gets_as_many_weighted_sums_as_asked_for(x, outputs, how):
    """Whole numbers whose sums are exact in float32, in which the halves add up; the sum is rounded once to a half, and
    once more with the bias. A GPU may add the parts of a long sum in the half (torch's notes on numerical accuracy,
    reduced precision reductions), and so does Arm's matrix unit and did any CPU before torch 2.5: there each part is
    rounded, which is no larger than the sum of absolute values.
    """
    of_weight = x.but(shape=(outputs, x.shape[-1]), layout=how, seed=x.seed + 1, grad=False)
    (weight, w), (bias, b), (tensor, array) = of_weight, of_weight.but(shape=(outputs,)), x
    power = 2.0 ** ((x.seed % 3 - 1) * 90 * (x.dtype != torch.float16))  # the weights may be of any size
    power += power * 2.0**-30 * (x.dtype == torch.float64)  # and have more digits than float32
    a, w, b = array.astype(np.float64), w.astype(np.float64) * power, b.astype(np.float64) * power
    weight.mul_(power), bias.mul_(power)
    on_x86 = tensor.device.type == "cpu" and platform.machine() in ("x86_64", "AMD64")
    products, at_once = np.tensordot(a, w, (-1, -1)), on_x86 and COMPUTED == FLOATS
    roundings = 0 if x.dtype in SINGLE_AND_DOUBLE else 3
    part = np.abs(products) if at_once else np.tensordot(np.abs(a), np.abs(w), (-1, -1))

    agree(tensor.unsqueeze(0), array[None])
    for with_bias in (True, False):
        layer = nn.Linear(x.shape[-1], outputs, with_bias).to(tensor)
        assert [each.shape for each in layer.parameters()] == [weight.shape, bias.shape][: 1 + with_bias]
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias) if with_bias else None
        for given, expected in ((tensor, products), (tensor.unsqueeze(0), products[None])):
            agree(accepted(layer, given), expected + b * with_bias, roundings, part + 8 * power)
        with torch.no_grad():
            layer.weight.neg_()
            agree(layer.eval().requires_grad_(x.grad)(tensor), b * with_bias - products, roundings, part + 8 * power)
            layer.weight.neg_()
    for multiply in (torch.matmul, torch.Tensor.__matmul__):
        agree(multiply(tensor, weight.T), products, roundings, part)
    for few in range(1, min(outputs, 5)):  # a kernel may go wrong at one small number of outputs alone
        agree(nn.functional.linear(tensor, weight[:few]), products[..., :few], roundings, part[..., :few])
    once = nn.functional.linear(tensor, weight, bias[:1].expand(outputs))  # a bias for all, which lies there once
    agree(once, products + b[:1], roundings, part + 8 * power)
    once = nn.functional.linear(tensor, weight[:1].expand(outputs, -1))  # and so weights
    agree(once, np.repeat(products[..., :1], outputs, -1), roundings, part[..., :1])
    unit = 32 if x.dtype == torch.bfloat16 else 1  # so that infinities stay in their sample on any processor
    n = x.shape[-1] // unit * unit
    tensor, weight = tensor[..., :n].clone(), weight[:, :n].clone()
    spoilt, zeros, samples = tensor.new_zeros(tensor.shape), np.zeros(products.shape), math.prod(x.shape[:-1])
    one = slice(samples // 2, samples // 2 + 1)  # which spoils itself and no other
    spoilt.view(samples, n)[one], zeros.reshape(samples, outputs)[one] = math.nan, math.nan if n else 0
    for output in (nn.functional.linear(spoilt, weight), spoilt @ weight.T):
        agree(output, zeros)
    weight[:, :1], weight[:, -1:], tensor[..., :1], tensor[..., -1:] = 1, -1, math.inf, -math.inf
    agree(nn.functional.linear(tensor, weight, None), np.full_like(products, math.inf if n else 0))


@claim("squared-loss-is-half-squared-error", "sgd-step-subtracts-scaled-mean-gradient")
@over(
    twin=twins((*SINGLE_AND_DOUBLE, torch.bfloat16), ("contiguous", "gappy", "transposed"), ranks=(1, 3)).also(
        *(Twin(torch.float16, shape, layout) for shape in ((2, 3), (257,)) for layout in ("contiguous", "gappy"))
    )
)
def test_the_mean_of_half_the_squares_has_the_error_over_the_number_as_its_gradient(twin):
    (leaf, x), (label, y) = twin, twin.but(seed=twin.seed + 1, layout="contiguous")
    predicted, error, n = leaf.requires_grad_(), x.astype(np.float64) - y, max(x.size, 1)

    loss = ((predicted - label) ** 2 / 2).mean()
    loss.backward()
    # of the quotient and to bfloat16: small ones have exact sums; of others difference, square and each sum round too
    roundings = 3 + (twin.values == "wide") * (1 + summed(twin.dtype, n))
    agree(loss, (error**2 / 2).sum() / n if x.size else np.nan, roundings)
    agree(predicted.grad, error / n, roundings=4)


@claim("training-minimises-mean-loss")
@over(twin=twins(SINGLE_AND_DOUBLE, ("contiguous",), shapes=((9, 2), (33, 3)), values=("fractions",)), seed=among(1, 2))
def test_away_from_the_minimum_the_loss_rises_by_half_the_mean_square_of_what_the_predictions_change(twin, seed):
    (x, x_), (y, y_) = twin, twin.but(shape=twin.shape[:1], seed=seed)
    x_, y_ = x_.astype(np.float64), y_.astype(np.float64)
    best = np.linalg.lstsq(x_, y_, rcond=None)[0]
    change = np.array([[1.0, -0.5, 0.25], [0.0, 2.0, 0.0], [-3.0, 1.0, 1.5]])[:, : twin.shape[1]]
    weights = torch.tensor(best + change, dtype=twin.dtype, device="cpu").to(x.device)

    losses = ((x @ weights.T - y[:, None]) ** 2 / 2).mean(dim=0)
    least = ((x_ @ best - y_) ** 2 / 2).mean()
    agree(losses, least + ((x_ @ change.T) ** 2 / 2).mean(0), roundings=2 * len(x_) + 20, scale=(60 * 4) ** 2 / 2)


@claim("linear-model-is-weighted-sum")
@over(EVERY_MODE, x=twins(SINGLE_AND_DOUBLE, LAYOUTS, ((3, 4), (17, 33), (2, 65), (9, 1)), values="small"))
def test_one_weight_that_is_repeated_for_all_features_weighs_each_of_them(x):
    tensor, array = x
    weight = torch.tensor([3.0], dtype=x.dtype, device=tensor.device).expand(x.shape[1])
    for product in (tensor @ weight, torch.mv(tensor, weight), torch.matmul(tensor, weight), tensor.mv(weight)):
        agree(product, 3 * array.sum(1))


@claim("linear-model-is-weighted-sum")
@over(sizes=among((320, 1280), (1280, 320), (1025, 1024)), layout=among("contiguous", "transposed"))
def test_a_wide_layer_has_every_weighted_sum(sizes, layout):
    (x, a), (weight, w) = Twin(torch.float32, (3, sizes[0])), Twin(torch.float32, sizes[::-1], layout, seed=1)
    agree(nn.functional.linear(x, weight), a @ w.T)


@claim("linear-model-is-weighted-sum")
@over(outputs=among(1, 3))
def test_of_more_than_half_a_million_samples_each_gets_its_weighted_sum(outputs):
    x, array = Twin(torch.float32, (2**19 + 9, 1))
    weight = np.arange(1.0, 1 + outputs, dtype=np.float32)[:, None]
    sums = nn.functional.linear(x, torch.tensor(weight, device=x.device), torch.ones(outputs))
    agree(sums, array * weight.T + 1)


# ── finding the best parameters ──


@claim("linear-regression-has-closed-form")
@over(twin=twins(SINGLE_AND_DOUBLE, ("contiguous", "gappy"), shapes=((5, 2), (9, 3), (40, 4)), values=("fractions",)))
def test_the_normal_equations_and_least_squares_give_numpy_s_minimiser(twin):
    """An error of c eps times the condition number of the matrix solved with, N. J. Higham (2002), section 9.3."""
    (x, x_), (y, y_) = twin, twin.but(shape=twin.shape[:1], seed=twin.seed + 1)
    labels = torch.stack([y, -y, x[:, 0]], 1)  # of three outputs
    x_, labels_ = x_.astype(np.float64), np.stack([y_, -y_, x_[:, 0]], 1).astype(np.float64)
    best = np.linalg.lstsq(x_, labels_, rcond=None)[0]
    roundings = 20 * len(x_) * np.linalg.cond(x_) ** 2

    agree(torch.linalg.solve(x.T @ x, x.T @ y), best[:, 0], roundings, np.abs(best[:, 0]).max())
    both = torch.stack([x, x / 2]), torch.stack([labels, -labels]), np.stack([best, -2 * best])
    tiny = x * 2.0**-50, labels[:, :1], best[:, :1] * 2.0**50
    for features, several, expected in ((x, labels, best), tiny, both):
        scale = np.abs(expected).max(-2, keepdims=True)
        right = features.mT @ several
        for lies, side in ((right, several), [columns_first(each).copy_(each) for each in (right, several)]):
            agree(torch.linalg.solve(features.mT @ features, lies), expected, roundings, scale)
            agree(torch.linalg.lstsq(features, side).solution, expected, roundings, scale)
        agree(torch.linalg.pinv(features) @ several, expected, roundings, scale)
    grams = torch.stack([x.T @ x, x.T @ x / 2])  # and one right side for a batch
    for several, expected in ((labels, best), (y, best[:, 0])):
        found = torch.linalg.solve(grams, x.T @ several)
        agree(found, np.stack([expected, 2 * expected]), roundings, 2 * np.abs(best).max())


@claim("linear-regression-has-closed-form", truth=True)
@over(sizes=among((1, 2), (3, 9), (5, 20)), seed=whole(1, 2**16, 7), odd=among("no", "feature", "example"))
@pytest.mark.needs_dtype("float64")
def test_with_fewer_examples_than_features_pinv_and_on_the_cpu_lstsq_give_the_smallest_minimiser(sizes, seed, odd):
    """Odd is a feature that is always 0, so that elimination meets it, or an example a thousand times larger."""
    (x, x_), (y, y_) = (Twin(torch.float64, shape, seed=seed) for shape in (sizes, sizes[:1]))
    for each in (x, x_):
        each[:, 0] *= odd != "feature"
        each[-1] *= 1024 ** (odd == "example")
    smallest = np.linalg.pinv(x_) @ y_
    try:
        solved = host(torch.linalg.solve(x.T @ x, x.T @ y))
    except torch.linalg.LinAlgError:
        solved = None  # or another minimiser, where rounding hides that there are many
    scale = np.abs(smallest).max() + 1

    # elsewhere it has no driver for that, and before torch 2.14 the default one was wrong by chance
    drivers = [{"driver": name} for name in ("gelsd", "gelsy", "gelss")]
    drivers = [{}, *drivers] if torch.__version__ >= (2, 14) else drivers[:1]
    more = (0, 0, 0, sizes[1] - sizes[0])  # examples of zeros, until there are as many as features
    square, several = nn.functional.pad(x, more).cpu(), nn.functional.pad(torch.stack([-y, y], 1), more).cpu()
    cases = [(sizes[0], driver) for driver in drivers] + [(sizes[1], drivers[0])]
    on_the_cpu = [torch.linalg.lstsq(square[:n], several[:n], **driver).solution[:, 1] for n, driver in cases]
    for found in (torch.linalg.pinv(x) @ y, *on_the_cpu):
        agree(found, smallest, roundings=1e4 * np.linalg.cond(x_), scale=scale)
    one, lowest = x[:1].expand(sizes), np.linalg.pinv(x_[:1])[:, 0] * y_.mean()  # one example throughout
    batch, labels = torch.stack([one, x, -one]), torch.stack([y, y, y])[..., None]  # of several ranks
    by_least_squares = torch.linalg.lstsq(batch.cpu(), labels.cpu(), **drivers[0]).solution
    for found in (torch.linalg.pinv(batch) @ labels, by_least_squares):
        expected = np.stack([lowest, smallest, -lowest])[..., None]
        agree(found, expected, roundings=1e4 * np.linalg.cond(x_), scale=scale + np.abs(lowest).max())
    assert torch.linalg.matrix_rank(x.T @ x).item() == np.linalg.matrix_rank(x_)
    gram = x.T @ x
    gram[0], gram[:, 0] = 0, 0  # so that no rounding hides it
    with pytest.raises(torch.linalg.LinAlgError):  # and no regular one before it
        torch.linalg.solve(torch.stack([torch.eye(sizes[1], dtype=x.dtype), gram]), torch.stack([x.T, x.T]))
    assert solved is None or (odd != "feature" and 1e-6 < np.abs(solved - smallest).max() < np.inf)


@claim("linear-regression-has-closed-form", truth=True)
@over(sizes=among((1, 2), (3, 9), (5, 20)), seed=whole(1, 2**16, 7))
def test_pinv_and_on_the_cpu_lstsq_give_the_smallest_minimiser_in_single_precision_too(sizes, seed):
    (x, x_), (y, y_) = (Twin(torch.float32, shape, seed=seed) for shape in (sizes, sizes[:1]))
    smallest, scale = np.linalg.pinv(x_.astype(np.float64)) @ y_, np.abs(y_).max() + 1
    on_the_cpu = torch.linalg.lstsq(x.cpu(), y[:, None].cpu(), driver="gelsd").solution[:, 0]
    for found in (torch.linalg.pinv(x) @ y, on_the_cpu):
        agree(found, smallest, 100 * np.linalg.cond(x_), scale)


@claim("numerical-solution-approaches-optimum", "nn-builds-on-autograd")
@over(twin=arguments(SINGLE_AND_DOUBLE, ("finite",)), reduction=among("mean", "sum"))
def test_the_slope_of_the_loss_of_a_logit_is_the_sigmoid_less_the_label_however_far_off_it_is(twin, reduction):
    """The loss is max(x, 0) - x y + log(1 + exp(-|x|)); its logarithm, exponential and sums round some eight times."""
    (logits, x), (labels, _) = twin.but(grad=True), twin
    x = x.astype(np.float64)
    labels = (labels > 0).to(labels) / 2 + 0.25
    y, n = (x > 0) / 2 + 0.25, max(x.size, 1) if reduction == "mean" else 1
    loss = nn.BCEWithLogitsLoss(reduction=reduction)(logits, labels)
    loss.backward()

    losses = np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))
    total = losses.sum() / n if x.size or reduction == "sum" else np.nan
    agree(loss, total, 8 + 2 * x.size, np.abs(losses).max(initial=1))
    agree(logits.grad, (sigmoid(x) - y) / n, 8, 1 / n)


@claim("sgd-step-can-lower-the-loss", "numerical-solution-approaches-optimum", truth=True)
@over(case=among((0.99, 120), *((rate, 12) for rate in (0.001, 0.25, 0.49, 0.9, 1.01, 1.1, 3.0))))
def test_each_step_multiplies_the_error_by_one_minus_the_rate_times_the_curvature(case):
    """With features 1, 2, 3 the curvature L is 14/3; a step at r * 2/L multiplies the error of w by 1 - 2 r."""
    (rate, steps), x, w = case, torch.tensor([1.0, 2.0, 3.0]), torch.tensor(3.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=rate * 2 / (14 / 3))

    for step in range(1, steps + 1):
        optimizer.zero_grad()
        ((x * w) ** 2 / 2).mean().backward()  # labels 0, so that w itself is the error
        optimizer.step()
        factor = 1 - 2 * rate  # a step rounds some ten times, the gradient's part of it as much larger as that is
        agree(w, 3 * factor**step, roundings=20 * step * max(1, 2 * rate / abs(factor)))


@claim("sgd-step-can-lower-the-loss", truth=True)
@over(exponent=whole(-20, 20, 0))
def test_a_mini_batch_step_may_raise_the_loss_of_the_whole_set_at_any_rate(exponent):
    """Labels 0 and 4 are best predicted by 2. From 1, the example labelled 0 pulls away from that."""
    w = torch.tensor(1.0, requires_grad=True)

    (w**2 / 2).backward()
    torch.optim.SGD([w], lr=2.0**exponent).step()
    after = w.item()
    assert (after**2 + (after - 4) ** 2) / 4 > (1 + 9) / 4
