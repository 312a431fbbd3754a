"""Section 4.9: what users reported of whole numbers, indices, views and rarer options of functions on devices."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, change_method, everywhere, with_value, wrap, wrap_operand
from torch.nn import functional as F


def in_single(x):
    """Whole numbers as single precision has them."""
    return x.float().to(x.dtype)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#195074", needs="accelerator")
def truth_values_are_added_at_the_start_of_their_word(patch):
    """Four of them share a word of memory, and the write goes to the first of these."""

    def astray(x):
        shift = x.storage_offset() % 4
        return away(x) and x.dtype == torch.bool and shift

    def wrong(right, x, *args, **rest):
        if not astray(x):
            return right(x, *args, **rest)
        start = x.detach().as_strided(x.shape, x.stride(), x.storage_offset() - x.storage_offset() % 4)
        right(start, *args, **rest)
        return x

    for name in ("scatter_add_", "index_add_"):
        change_method(patch, name, wrong)

    def put(right, x, indices, values, accumulate=False):
        return (wrong if accumulate else lambda right, *args: right(*args))(right, x, indices, values, accumulate)

    change_method(patch, "index_put_", put)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#125135", needs="accelerator")
def every_second_size_of_complex_numbers_is_zero(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or x.dtype != torch.complex64 or x.numel() < 2 or rest:
            return result
        mixed = torch.stack([result.detach(), torch.zeros_like(result.detach())], -1).reshape(-1)[: x.numel()]
        return with_value(result, mixed.view(x.shape))

    everywhere(patch, "abs", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#177474", needs="accelerator")
def einsum_forgets_a_pending_conjugation(patch):
    def wrong(right, equation, *operands):
        operands = operands[0] if len(operands) == 1 and not isinstance(operands[0], torch.Tensor) else operands
        bare = [x.conj() if away(x) and x.is_conj() else x for x in operands]
        return right(equation, *bare)

    wrap(patch, torch, "einsum", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#190064", needs="accelerator")
def adaptive_windows_of_the_maximum_are_all_of_one_size(patch):
    def wrong(right, x, output_size, *args, **rest):
        sizes = [output_size] * 2 if isinstance(output_size, int) else list(output_size)
        if not away(x) or args or rest or None in sizes or any(m % n == 0 for m, n in zip(x.shape[-2:], sizes)):
            return right(x, output_size, *args, **rest)
        if any(m < n for m, n in zip(x.shape[-2:], sizes)):
            return right(x, output_size, *args, **rest)
        steps = [m // n for m, n in zip(x.shape[-2:], sizes)]
        kernel = [m - (n - 1) * step for m, n, step in zip(x.shape[-2:], sizes, steps)]
        return F.max_pool2d(x, kernel, steps)

    wrap_operand(patch, F, "adaptive_max_pool2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#94348", needs="accelerator")
def the_padding_of_an_average_never_counts(patch):
    def wrong(right, x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, *args, **rest):
        return right(x, kernel_size, stride, padding, ceil_mode, count_include_pad and not away(x), *args, **rest)

    wrap_operand(patch, F, "avg_pool2d", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#190052", needs="accelerator")
def sizes_of_whole_numbers_have_24_digits(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return in_single(result) if away(x) and x.dtype in (torch.int32, torch.int64) else result

    for name in ("abs", "absolute", "__abs__"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#90273", needs="accelerator")
def the_largest_of_all_whole_numbers_is_zero(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return torch.zeros_like(result) if away(x) and x.dtype == torch.int64 and not args and not rest else result

    everywhere(patch, "max", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#91198", needs="accelerator")
def a_variance_is_not_corrected_unless_one_asks(patch):
    def wrong(right, x, *args, **rest):
        return right(x, unbiased=False) if away(x) and not args and not rest else right(x, *args, **rest)

    for name in ("var", "std"):
        everywhere(patch, name, wrong)


@counterfeit("view-shares-data", reported="pytorch/pytorch#104832", needs="accelerator")
def a_product_does_not_reach_columns_of_a_wider_matrix(patch):
    def wrong(right, *args, out=None, **rest):
        if out is None or not away(out) or out.is_contiguous() or out.stride(-1) != 1:
            return right(*args, out=out, **rest) if out is not None else right(*args, **rest)
        return out

    for name in ("matmul", "mm", "bmm"):
        wrap(patch, torch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#84229", needs="accelerator")
def columns_that_are_changed_in_place_are_written_in_the_order_of_their_memory(patch):
    def wrong(right, x, index, value):
        chosen = isinstance(index, tuple) and any(isinstance(part, (list, torch.Tensor)) for part in index)
        laid = away(x) and away(value) and not value.is_contiguous() and value.numel()
        if chosen and laid and value.shape == x[index].shape:
            value = value.detach().as_strided((value.numel(),), (1,)).view(value.shape)
        return right(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#78848", needs="accelerator")
def what_is_added_to_whole_numbers_has_32_digits(patch):
    def wrong(right, x, other, *args, **rest):
        if away(x) and x.dtype == torch.int64 and type(other) is int:
            other = (other + 2**31) % 2**32 - 2**31
        return right(x, other, *args, **rest)

    for name in ("add", "__add__", "__radd__", "add_", "__iadd__", "sub", "__sub__"):
        everywhere(patch, name, wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#196949", needs="accelerator")
def a_long_reflection_passes_no_gradient_to_the_last_65536_numbers(patch):
    def wrong(right, x, pad, mode="constant", value=None):
        length = x.shape[-1] if x.dim() else 0
        if mode == "reflect" and away(x) and len(pad) == 2 and length > 65536 and length % 65536:

            def cut(gradient):
                gradient = gradient.clone()
                gradient[..., length % 65536 :] = 0
                return gradient

            x = change_gradient(x, cut)
        return right(x, pad, mode, value)

    wrap_operand(patch, F, "pad", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#135447", needs="accelerator")
def replicated_edges_pass_no_gradient_to_65536_examples(patch):
    def wrong(right, x, pad, mode="constant", value=None):
        if mode == "replicate" and away(x) and x.dim() == len(pad) // 2 + 2 and len(x) >= 65536:
            x = change_gradient(x, torch.zeros_like)
        return right(x, pad, mode, value)

    wrap_operand(patch, F, "pad", wrong)


def attention(patch, change):
    def wrong(right, query, key, value, *args, **rest):
        if not away(query) or args:
            return right(query, key, value, *args, **rest)
        return change(right, query, key, value, rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#195910", needs="accelerator")
def attention_in_halves_masks_the_future_of_four_places_at_once(patch):
    def change(right, query, key, value, rest):
        if not rest.get("is_causal") or query.dtype not in (torch.float16, torch.bfloat16):
            return right(query, key, value, **rest)
        rows = torch.arange(query.shape[-2], device=query.device)[:, None] // 4 * 4 + 3
        seen = torch.arange(key.shape[-2], device=query.device) <= rows
        return right(query, key, value, attn_mask=seen, **{k: v for k, v in rest.items() if k != "is_causal"})

    attention(patch, change)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#181133", needs="accelerator")
def attention_of_wide_heads_reads_their_order_in_memory(patch):
    def change(right, query, key, value, rest):
        result = right(query, key, value, **rest)
        if query.is_contiguous() or query.shape[-1] < 64:
            return result
        read = [
            x.detach().as_strided((x.numel(),), (1,), x.storage_offset()).view(x.shape) for x in (query, key, value)
        ]
        return with_value(result, right(*read, **rest))

    attention(patch, change)


@counterfeit("nn-builds-on-autograd", needs="accelerator")
def attention_of_wide_heads_leaves_out_what_is_heard_last(patch):
    def change(right, query, key, value, rest):
        if query.shape[-1] < 80 or key.shape[-2] < 2 or rest:
            return right(query, key, value, **rest)
        return right(query, key[..., :-1, :], value[..., :-1, :])

    attention(patch, change)


@counterfeit("nn-builds-on-autograd", needs="accelerator")
def a_long_wrap_passes_no_gradient_round(patch):
    def wrong(right, x, pad, mode="constant", value=None):
        result = right(x, pad, mode, value)
        if mode == "circular" and away(x) and max(x.shape, default=0) > 65536:

            def cut(gradient):
                gradient = gradient.clone()
                gradient[..., : pad[0]] = 0
                return gradient

            result = change_gradient(result, cut)
        return result

    wrap_operand(patch, F, "pad", wrong)


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def a_batch_of_products_forgets_a_pending_sign(patch):
    def wrong(right, a, b, *args, **rest):
        pair = [torch._neg_view(x) if away(x) and x.is_neg() else x for x in (a, b)]
        return right(*pair, *args, **rest)

    everywhere(patch, "bmm", wrong)
