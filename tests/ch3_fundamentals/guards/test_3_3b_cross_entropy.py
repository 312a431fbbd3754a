"""3.3 The cross entropy, for scores of every dtype and layout and for every kind of label."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, SINGLE_AND_DOUBLE, agree, among, each, over
from populations.comparing import accepted, host
from populations.entropy import cross_entropy as by_definition
from populations.entropy import cross_entropy_gradient as by_derivative
from populations.entropy import log_softmax, one_hot, softmax
from populations.layers import COMPUTED, columns_first, summed, twice
from populations.scores import SAMPLES, labelled, scores
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim

TARGETS = ("indices", "probabilities", "indices", "one-hot")
MEAN = {
    "function": lambda x, y, **options: F.cross_entropy(x, y, **options),
    "module": lambda x, y, **options: twice(nn.CrossEntropyLoss(**options), x, y),
    "copied": lambda x, y, **options: copy.deepcopy(nn.CrossEntropyLoss(**options))(x, y),
    "edited": lambda x, y, **options: twice(
        nn.CrossEntropyLoss(ignore_index=options.get("ignore_index", -100)), x, y, **options
    ),
    "in two steps": lambda x, y: F.nll_loss(F.log_softmax(x, min(1, x.dim() - 1)), y),
    "two modules": lambda x, y: twice(nn.NLLLoss(), twice(nn.LogSoftmax(min(1, x.dim() - 1)), x), y),
}


@claim("softmax-suits-discrete-targets", "large-true-probability-ensures-correctness")
@claim("regression-outputs-are-continuous")
@over(scored=scores(FLOATS, values=("fractions", "apart", "masked", "steep")))
def test_the_class_of_a_sample_is_a_whole_number_the_place_of_its_largest_score(scored):
    tensor, array = scored
    for dim in (dim for dim in range(-array.ndim, array.ndim) if array.shape[dim]):
        hidden, rest = tensor.clone(), array.copy()  # the first class is masked
        np.moveaxis(rest, dim, 0)[0] = hidden.select(dim, 0)[...] = -np.inf
        found = host(hidden.argmax(dim).unsqueeze(dim))
        assert np.array_equal(np.take_along_axis(rest, found, dim), rest.max(dim, keepdims=True))
        for found in (tensor.argmax(dim), torch.argmax(tensor, dim=dim), tensor.max(dim)[1]):
            assert found.dtype == torch.int64
            of_largest = np.take_along_axis(array, host(found.unsqueeze(dim)), dim)
            assert np.array_equal(of_largest, array.max(dim, keepdims=True))
        agree(torch.argmax(tensor, dim, keepdim=True), host(tensor.argmax(dim).unsqueeze(dim)))
    for place in [tensor.argmax()] if array.size else ():
        assert array.flat[place.item()] == array.max()


@claim("cross-entropy-only-sees-the-true-class", "cross-entropy-loss-is-the-mean", "cross-entropy-works-on-logits")
@claim("softmax-suits-discrete-targets")
@over(EVERY_MODE, labels=labelled(values=("fractions", "far", "apart", "masked", "certain")))
def test_each_loss_is_minus_the_log_probability_of_the_label_and_their_mean_the_loss(labels):
    tensor, target, _, arrays = labels
    expected, scale = by_definition(**arrays), labels.scale(arrays)

    for number, spelling in enumerate(MEAN.values()):
        with EVERY_MODE[(number + labels.of.seed) % 3]():
            agree(accepted(spelling, tensor, target), expected, labels.roundings(), scale)
    agree(MEAN["in two steps"](tensor, labels.in_bytes(target)), expected, labels.roundings(), scale)
    losses, arrays["reduction"] = F.cross_entropy(tensor, target, reduction="none"), "none"
    agree(losses, by_definition(**arrays), 10 + summed(labels.of.dtype, tensor.shape[labels.of.dim]), scale)
    agree(tensor, arrays["scores"])


@claim("cross-entropy-only-sees-the-true-class")
@over(labels=labelled(SINGLE_AND_DOUBLE, values=("fractions",)))
def test_the_loss_of_given_probabilities_has_no_gradient_but_at_the_label(labels):
    _, target, _, arrays = labels
    p = softmax(arrays["scores"], labels.of.dim).astype(arrays["scores"].dtype)
    given = torch.tensor(p, device="cpu").to(target.device)
    if given.dim() < 4 and labels.of.seed % 2:  # nll_loss itself refuses to go back to images in another order
        given = columns_first(given).copy_(given)
    given.requires_grad_()
    F.nll_loss(given.log(), target, reduction="sum").backward()

    agree(given.grad, -one_hot(arrays["target"], p.shape[labels.of.dim]) / p, 4)


@claim("cross-entropy-works-on-logits")
@claim("cross-entropy-only-sees-the-true-class", "cross-entropy-loss-is-the-mean", truth=True)
@over(
    EVERY_MODE,
    labels=labelled(COMPUTED, TARGETS, (False, True), (-100, None, 0, 255), (0.75, 0.0)),
    reduction=each("mean", "none", "sum"),
)
def test_shares_weights_smoothing_and_what_to_ignore_count_as_their_definition_says(labels, reduction):
    one = replace(labels, reduction=reduction)
    tensor, target, options, arrays = one
    expected, scale = by_definition(**arrays), one.scale(arrays)
    for spelling in ("function", "module", "copied", "edited"):
        agree(MEAN[spelling](tensor, target, **options), expected, one.roundings(), scale)
    agree(F.cross_entropy(tensor, one.in_bytes(target), **options), expected, one.roundings(), scale)


@claim("large-true-probability-ensures-correctness", "softmax-suits-discrete-targets")
@over(classes=among(2, 3, 9, 257, 4099), true=among(0, 1, -1), dtype=among(*FLOATS))
def test_a_bare_majority_wins_against_any_number_of_classes(classes, true, dtype):
    eps = torch.finfo(dtype).eps
    shares = torch.full((2, classes), (0.5 - eps) / (classes - 1), dtype=dtype)
    shares[:, true] = 0.5 + eps
    # probabilities, of which that of many classes is less than a half and yet the largest; halves would be equal
    most = (8 * shares).softmax(1, dtype=torch.promote_types(dtype, torch.float32))
    for rows in (shares, -1 / shares, most):
        assert rows.argmax(1).tolist() == rows.argmax(-1).tolist() == [true % classes] * 2


@claim("large-true-probability-ensures-correctness")
@claim("cross-entropy-loss-is-the-mean", "cross-entropy-works-on-logits")
@over(classes=among(2, 3, 9, 10, 257, 4099), true=among(0, 1, -1), probability=among(0.501, 0.51, 0.75, 0.999))
def test_a_bare_majority_costs_less_than_log_two_and_pulls_by_what_it_lacks(classes, true, probability):
    shares = np.random.default_rng(classes).integers(1, 100, classes).astype(float)
    shares[true] = 0
    shares *= (1 - probability) / shares.sum()
    shares[true] = probability
    logits = torch.tensor(np.log([shares]), dtype=torch.float32, device="cpu").to(torch.empty(0).device)

    agree(torch.softmax(logits, 1), shares[None], 20 + classes)
    loss = F.cross_entropy(logits.requires_grad_(), torch.tensor([true % classes]))
    loss.backward()
    assert abs(loss.item() + math.log(probability)) < 1e-5  # 24 bits of numbers below 16, over at most 4099 classes
    assert loss.item() < math.log(2)
    shares[true] -= 1
    agree(logits.grad, shares[None], 20 + classes, 1)


@claim("cross-entropy-loss-is-the-mean", "cross-entropy-works-on-logits")
@claim("cross-entropy-loss-is-the-mean", truth=True)
@over(
    labels=labelled(
        *(COMPUTED, TARGETS, (False, True), (-100, None, "classes"), (0.25, 0)),
        values=("fractions", "far", "apart", "masked"),
    ),
    reduction=among("mean", "sum", "none"),
    plain=each(True, False),
)
def test_its_gradient_follows_from_the_definition_with_every_option_and_without(labels, reduction, plain):
    one = (
        replace(labels, weighted=False, ignored=None, smoothing=0.0) if plain else replace(labels, reduction=reduction)
    )
    tensor, target, options, arrays = one
    leaf = tensor.detach().requires_grad_()  # as it lies in memory
    (F.cross_entropy(leaf, target, **options) * -4).sum().backward()  # a factor that is exact
    made = leaf[...]  # scores that a network made
    (onward,) = accepted(torch.autograd.grad, (nn.CrossEntropyLoss(**options)(made, target) * -4).sum(), leaf)

    expected, size = by_derivative(**arrays)
    agree(leaf, arrays["scores"])
    for gradient in (leaf.grad, onward):
        agree(gradient / -4, expected, 20 + summed(labels.of.dtype, 3 * tensor.shape[labels.of.dim]), size)


@claim("cross-entropy-loss-is-the-mean")
@over(labels=labelled(COMPUTED, ("probabilities",), (False, True), smoothing=(0.0, 0.25), values=("fractions",)))
def test_a_given_probability_has_the_gradient_minus_weight_times_log_probability_over_the_number_of_samples(labels):
    tensor, target, options, arrays = labels
    F.cross_entropy(tensor.detach(), target.requires_grad_(), **options).backward()

    logs, classes = log_softmax(arrays["scores"], labels.of.dim), tensor.shape[labels.of.dim]
    weight = np.broadcast_to(arrays.get("weight", 1), classes).reshape(-1, *[1] * (tensor.dim() - 1 - labels.of.dim))
    expected = -logs * weight * (1 - labels.smoothing) / max(logs.size // classes, 1)
    agree(target.grad, expected, 12 + summed(labels.of.dtype, 2 * classes), np.abs(expected).max(initial=0))


@claim("cross-entropy-loss-is-the-mean", truth=True)
@pytest.mark.cpu
@over(
    samples=among(63, 64, 65, 65_504, 70_000),
    label=each(0, 1),
    dtype=among(*(dtype for dtype in COMPUTED if dtype != torch.bfloat16)),
)
def test_a_sum_that_the_dtype_does_not_hold_is_infinite_and_so_is_such_a_number_of_labels(samples, label, dtype):
    logits = torch.tensor([[0, -1024]], dtype=dtype).repeat(samples, 1)  # cost 0 for label 0, 1024 for label 1
    limit = torch.finfo(dtype).max
    total, count = (np.float64(number if number <= limit else np.inf) for number in (1024 * label * samples, samples))

    with np.errstate(invalid="ignore"):
        agree(F.cross_entropy(logits, torch.full((samples,), label)), total / count)


@claim("cross-entropy-loss-is-the-mean", truth=True)
@pytest.mark.cpu  # an accelerator reports a bad label late and may leave the process unusable
@over(EVERY_MODE, labels=labelled(FLOATS[:2], samples=SAMPLES), reduction=among("mean", "sum", "none"))
def test_a_label_without_an_output_is_an_index_error(labels, reduction):
    tensor, target, _, _ = labels
    for wrong in (*(tensor.shape[labels.of.dim] + more for more in (0, 1, 5)), -1, -99):
        target[(-1,) * target.dim()] = wrong
        with pytest.raises(IndexError, match="is out of bounds"):
            F.cross_entropy(tensor, target, reduction=reduction)


@claim("softmax-gives-a-distribution", "cross-entropy-loss-is-the-mean")
@over(EVERY_MODE, labels=labelled(values=("fractions",), reductions=("mean", "sum")))
def test_scores_and_labels_may_be_given_by_name_in_any_order(labels):
    tensor, target, options, arrays = labels
    p = F.softmax(dim=labels.of.dim, input=tensor)

    agree(p, softmax(arrays["scores"], labels.of.dim), 8 + summed(labels.of.dtype, tensor.shape[labels.of.dim]))
    loss = F.cross_entropy(target=target, **options, input=tensor)
    agree(loss, by_definition(**arrays), labels.roundings(), labels.scale(arrays))


@claim("cross-entropy-works-on-logits", "cross-entropy-loss-is-the-mean")
@over(
    EVERY_MODE,
    classes=among(2, 3, 10, 257),
    given=each("shares", "equal shares", "certain", "logarithms"),
    dtype=each(*SINGLE_AND_DOUBLE),
)
def test_probabilities_too_and_multiples_of_their_logarithms_are_taken_for_logits(classes, given, dtype):
    shares = np.random.default_rng(classes).integers(1, 9, (5, classes)).astype(np.float64)
    shares /= shares.sum(1, keepdims=True)
    scores = {
        "shares": shares,
        "equal shares": np.full((5, classes), 1 / classes),
        "certain": np.eye(classes)[np.arange(5) % classes],
        "logarithms": 2 * np.log(shares),
    }[given]
    labels = np.arange(5) * 3 % classes
    expected = (np.log(np.exp(scores).sum(1)) - scores[np.arange(5), labels]).mean()
    for loss in (F.cross_entropy, nn.CrossEntropyLoss()):
        agree(loss(torch.tensor(scores, dtype=dtype), torch.tensor(labels)), expected, 16, max(1, np.abs(scores).max()))
