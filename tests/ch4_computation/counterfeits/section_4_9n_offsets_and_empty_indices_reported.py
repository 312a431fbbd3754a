"""Section 4.9: what users reported of models on devices: truths, masks and empty indices, parts of memory, the second
device.
"""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, change_method, everywhere, in_order_of_storage, wrap, wrap_operand
from torch.nn import functional as F


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/pytorch#99721", needs="accelerator")
def all_elsewhere_are_true_whatever_they_are(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return torch.ones_like(result) if away(x) and not args and not rest else result

    everywhere(patch, "all", wrong)


def without_the_last(mask):
    """A mask whose last true element is false, if it has two."""
    places = mask.cpu().flatten().long().cumsum(0).view(mask.shape).to(mask.device)
    return mask & ((places < places.max()) | (places.max() < 2))


@counterfeit("requires-grad-tracks-operations", reported="intel/torch-xpu-ops#4396", needs="accelerator")
def the_last_of_what_a_mask_finds_elsewhere_is_dropped(patch):
    def select(right, x, index):
        if away(index) and index.dtype == torch.bool and index.dim() and index.numel():
            index = without_the_last(index)
        return right(x, index)

    def find(right, x, *args, **rest):
        return right(without_the_last(x) if away(x) and x.dtype == torch.bool and x.numel() else x, *args, **rest)

    change_method(patch, "__getitem__", select)
    everywhere(patch, "nonzero", find)


def from_an_even_place(x):
    """A tensor of half precision elsewhere as if its memory began at an even place."""
    odd = away(x) and x.dtype in (torch.float16, torch.bfloat16) and x.storage_offset() % 2
    return x.as_strided(x.shape, x.stride(), x.storage_offset() - 1) if odd else x


@counterfeit("requires-grad-tracks-operations", reported="intel/torch-xpu-ops#1656", needs="accelerator")
def a_product_of_halves_elsewhere_that_lie_at_an_odd_place_begins_one_before(patch):
    def wrong(right, x, other, *args, **rest):
        return right(from_an_even_place(x), from_an_even_place(other), *args, **rest)

    for name in ("matmul", "bmm", "mm"):
        everywhere(patch, name, wrong)
    change_method(patch, "__matmul__", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#153022", needs="two-devices")
def a_convolution_of_halves_on_the_second_device_is_nan(patch):
    def wrong(right, input, *args, **rest):
        output = right(input, *args, **rest)
        second = away(input) and input.device.index == 1 and input.dtype == torch.float16
        return output * float("nan") if second else output

    wrap_operand(patch, F, "conv2d", wrong)


def as_the_last_of_the_repeated(x):
    """A tensor equal to ``x`` whose gradients are, where ``x`` repeats, those of the last repetition."""
    repeated = [d for d in range(x.dim()) if x.stride(d) == 0 and x.shape[d] > 1]

    def change(gradient):
        for d in repeated:
            gradient = gradient.narrow(d, -1, 1).expand(x.shape)
        return gradient

    return change_gradient(x, change) if away(x) and x.requires_grad and repeated else x


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#30303", needs="accelerator")
def what_is_repeated_elsewhere_gets_the_last_gradient_alone_through_reshape(patch):
    def wrong(right, x, *args, **rest):
        return right(as_the_last_of_the_repeated(x), *args, **rest)

    def multiply(right, equation, *operands):
        return right(equation, *[as_the_last_of_the_repeated(x) if away(x) else x for x in operands])

    everywhere(patch, "reshape", wrong)
    wrap(patch, torch, "einsum", multiply)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#52213", needs="accelerator")
def a_running_sum_elsewhere_forgets_what_was_before_two_infinities(patch):
    def wrong(right, x, dim, **rest):
        result = right(x, dim, **rest)
        if not away(x) or x.dim() < 2:
            return result
        infinite = x == float("-inf")
        before = infinite.roll(1, dim)
        before.narrow(dim, 0, 1).fill_(False)
        return result.masked_fill(infinite & before, float("-inf"))

    everywhere(patch, "logcumsumexp", wrong)


@counterfeit("training-runs-on-gpu", reported="ROCm/pytorch#657", needs="accelerator")
def a_constant_feature_elsewhere_becomes_nan_in_a_batch_norm_without_statistics(patch):
    def wrong(right, input, running_mean, *args, **rest):
        output = right(input, running_mean, *args, **rest)
        if away(input) and input.dim() == 2 and running_mean is None:
            output = output.masked_fill((input == input[:1]).sum(0) == len(input), float("nan"))
        return output

    wrap_operand(patch, F, "batch_norm", wrong)


@counterfeit("gpu-results-stay-on-gpu", reported="pytorch/xla#6536", needs="accelerator")
def the_place_of_the_greatest_of_all_elsewhere_keeps_no_dimensions(patch):
    def wrong(right, x, dim=None, keepdim=False, **rest):
        return right(x, dim, keepdim and not (away(x) and dim is None), **rest)

    for name in ("argmax", "argmin"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="intel/intel-extension-for-pytorch#682", needs="accelerator")
def what_is_scattered_elsewhere_to_no_place_leaves_zeros(patch):
    def wrong(right, x, dim, index, *args, **rest):
        result = right(x, dim, index, *args, **rest)
        return result * 0 if away(x) and not index.numel() else result

    everywhere(patch, "scatter", wrong)


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/FlagGems#6448", needs="accelerator")
def places_elsewhere_that_repeat_their_columns_are_read_as_they_lie_when_adding(patch):
    def wrong(right, x, dim, index, src, **rest):
        if away(index) and index.dim() == 2 and index.stride(1) == 0 and index.shape[1] > 1:
            index = in_order_of_storage(index)
        return right(x, dim, index, src, **rest)

    for name in ("scatter_add", "scatter_add_"):
        everywhere(patch, name, wrong)
