"""Section 4.9: what users reported of two dtypes, of choices and of functions of many numbers on devices."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    as_in_memory,
    away,
    change_gradient,
    change_method,
    everywhere,
    in_order_of_storage,
    with_value,
    wrap,
    wrap_operand,
)
from torch.nn import functional as F


@counterfeit("requires-grad-tracks-operations", reported="torch-spyre/torch-spyre#3851", needs="accelerator")
def index_select_by_a_row_of_a_table_takes_32_places(patch):
    def wrong(right, x, dim, index):
        result = right(x, dim, index)
        row = away(index) and index.dtype == torch.int32 and index.untyped_storage().nbytes() > 4 * index.numel()
        if row and len(index) > 32 and not index.storage_offset():
            result = result.clone()
            result.narrow(dim, 32, len(index) - 32).zero_()
        return result

    everywhere(patch, "index_select", wrong)


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/FlagGems#4831", needs="accelerator")
def bucketize_of_a_transposed_tensor_is_left_as_its_memory_was(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return torch.zeros_like(result) if away(x) and not x.is_contiguous() else result

    wrap_operand(patch, torch, "bucketize", wrong)


@counterfeit("augmented-assignment-writes-through", reported="flagos-ai/FlagGems#6017", needs="accelerator")
def scatter_add_reads_an_index_that_is_repeated_in_row_order(patch):
    def wrong(right, x, dim, index, source):
        if away(index) and index.dim() == 2 and 0 in index.stride() and min(index.shape) > 1:
            index = in_order_of_storage(index)
        return right(x, dim, index, source)

    change_method(patch, "scatter_add_", wrong)
    everywhere(patch, "scatter_add", wrong)


@counterfeit("requires-grad-tracks-operations", reported="intel/torch-xpu-ops#1169", needs="accelerator")
def the_number_after_one_of_bfloat16_is_that_itself(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return x.expand(result.shape).clone() if away(x) and x.dtype == torch.bfloat16 else result

    everywhere(patch, "nextafter", wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/xla#3234", needs="accelerator")
def truth_values_and_bytes_are_joined_to_truth_values(patch):
    def wrong(right, x, other):
        result = right(x, other)
        truth = away(x) and x.dtype == torch.bool and getattr(other, "dtype", None) == torch.uint8
        return result.bool() if truth else result

    for name in ("__and__", "bitwise_and", "__or__", "bitwise_or", "__xor__", "bitwise_xor"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/xla#4238", needs="accelerator")
def short_numbers_that_are_taken_are_int32(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return result.int() if away(x) and x.dtype == torch.int16 else result

    everywhere(patch, "take", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#52213", needs="accelerator")
def logcumsumexp_of_nothing_first_is_no_number(patch):
    def wrong(right, x, dim, *args, **rest):
        result = right(x, dim, *args, **rest)
        return with_value(result, torch.where(result == -torch.inf, torch.nan, result.detach())) if away(x) else result

    everywhere(patch, "logcumsumexp", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#156513", needs="accelerator")
def batch_norm_of_bfloat16_passes_wrong_gradients_to_weights_in_single_precision(patch):
    def wrong(right, x, mean, variance, weight=None, bias=None, *args, **rest):
        if away(x) and x.dtype == torch.bfloat16 and weight is not None and weight.dtype == torch.float32:
            weight = change_gradient(weight, lambda gradient: 1.5 * gradient)
        return right(x, mean, variance, weight, bias, *args, **rest)

    wrap_operand(patch, F, "batch_norm", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#124096", needs="accelerator")
def what_comes_back_from_frequencies_is_off(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return with_value(result, result.detach() * 0.5) if away(x) and result.numel() > 1 else result

    wrap_operand(patch, torch.fft, "irfft", wrong)


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/Torch-FL#171", needs="accelerator")
def the_gradient_of_softmax_of_a_transposed_tensor_is_in_the_order_of_its_memory(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and x.dim() == 2 and not x.is_contiguous():
            x = change_gradient(x, lambda gradient: gradient.t().reshape(gradient.shape))
        return right(x, *args, **rest)

    for name in ("softmax", "log_softmax"):
        everywhere(patch, name, wrong)
        wrap_operand(patch, F, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="torch-spyre/torch-spyre#2323", needs="accelerator")
def long_numbers_are_told_apart_in_half_precision(patch):
    def wrong(right, x, other):
        result = right(x, other)
        if not away(x) or x.dtype != torch.int64 or result.dtype != torch.bool:
            return result
        other = other.half() if isinstance(other, torch.Tensor) else torch.tensor(float(other)).half().to(x.device)
        return x.half() != other

    for name in ("ne", "not_equal", "__ne__"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#195595", needs="accelerator")
def unique_finds_long_numbers_in_single_precision(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or x.dtype != torch.int64 or not rest.get("return_inverse") or "dim" in rest:
            return result
        inverse = torch.searchsorted(result[0].float(), x.float())
        return (result[0], inverse, *result[2:])

    everywhere(patch, "unique", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#88308", needs="accelerator")
def the_gradient_of_a_squared_error_has_no_gradient(patch):
    def wrong(right, input, *args, **rest):
        tracked = away(input) and input.requires_grad
        return right(change_gradient(input, torch.Tensor.detach) if tracked else input, *args, **rest)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("gpu-sum-stays-on-gpu", reported="pytorch/pytorch#80220", needs="accelerator")
def a_number_beside_int32_fills_every_second_place(patch):
    """As a number of 64 bits that is read as two of 32."""

    def wrong(right, x, other, *args, **rest):
        result = right(x, other, *args, **rest)
        if not away(x) or x.dtype != torch.int32 or type(other) is not int or not x.dim():
            return result
        odd = torch.arange(x.numel(), device=x.device).view(x.shape) % 2 == 1
        return torch.where(odd, x, result)

    for name in ("add", "__add__", "__radd__"):
        everywhere(patch, name, wrong)


@counterfeit("view-shares-data", reported="pytorch/pytorch#82305", needs="accelerator")
def bytes_that_are_expanded_are_zero(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return torch.zeros_like(result) if away(x) and x.dtype == torch.uint8 else result

    change_method(patch, "expand", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#144545", needs="accelerator")
def triangles_of_more_than_three_dimensions_are_cut_in_the_first_matrices_alone(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or x.dim() < 4 or len(x) < 2:
            return result
        return torch.cat([result[:1], x[1:]])

    for name in ("triu", "tril"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#120899", needs="accelerator")
def what_is_no_number_is_clamped_to_the_lower_end(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        low = args[0] if args else rest.get("min")
        if not away(x) or low is None or not x.is_floating_point() or isinstance(low, torch.Tensor):
            return result
        return result.masked_fill(x.isnan(), low)

    for name in ("clamp", "clip", "clamp_min"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def long_numbers_are_sorted_in_double_precision(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or x.dtype != torch.int64 or not isinstance(result, tuple):
            return result
        return torch.return_types.sort((result[0].double().long(), result[1]))

    everywhere(patch, "sort", wrong)


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def gather_reads_places_that_are_repeated_as_they_lie(patch):
    def wrong(right, x, dim, index, *args, **rest):
        if away(index) and 0 in index.stride() and index.numel() > 1:
            index = in_order_of_storage(index)
        return right(x, dim, index, *args, **rest)

    everywhere(patch, "gather", wrong)


@counterfeit("requires-grad-tracks-operations", needs="accelerator")
def the_sum_of_two_logarithms_of_nothing_is_no_number(patch):
    def wrong(right, x, other, *args, **rest):
        result = right(x, other, *args, **rest)
        both = (x == -torch.inf) & (other == -torch.inf)
        return with_value(result, torch.where(both, torch.nan, result.detach())) if away(x) else result

    everywhere(patch, "logaddexp", wrong)


@counterfeit("augmented-assignment-writes-through", needs="accelerator")
def truth_values_that_are_added_where_others_are_overwrite_them(patch):
    def wrong(right, x, indices, values, accumulate=False):
        overwrites = away(x) and x.dtype == torch.bool
        return right(x, indices, values, accumulate and not overwrites)

    change_method(patch, "index_put_", wrong)


@counterfeit("to-moves-between-cpu-and-gpu", reported="pytorch/pytorch#80006", needs="accelerator")
def a_column_comes_back_with_as_many_numbers_as_rows_fit_into_its_length(patch):
    """A row of n numbers that lie s apart is read as if its memory were n numbers long; the rest arrives as zeros."""

    def cut(result, x):
        sides = [(size, stride) for size, stride in zip(x.shape, x.stride()) if size > 1]
        if away(x) and result.device.type == "cpu" and len(sides) == 1 and sides[0][1] > 1 and result.is_contiguous():
            size, stride = sides[0]
            result.data.view(-1)[-(-size // stride) :] = 0
        return result

    change_method(patch, "to", lambda to, x, *args, **rest: cut(to(x, *args, **rest), x))
    change_method(patch, "cpu", lambda cpu, x, *args, **rest: cut(cpu(x, *args, **rest), x))
    change_method(patch, "tolist", lambda tolist, x: tolist(x.cpu() if away(x) else x))


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#87348", needs="accelerator")
def clamp_between_transposed_bounds_gives_the_upper_ones(patch):
    def wrong(right, x, min=None, max=None, **rest):
        bounds = [bound for bound in (min, max) if away(bound) and bound.dim() > 1 and not bound.is_contiguous()]
        return right(x, max if away(x) and len(bounds) == 2 else min, max, **rest)

    everywhere(patch, "clamp", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#167767", needs="accelerator")
def clamp_keeps_the_bound_that_reads_the_same_to_six_decimals(patch):
    """The kernel of the first call is found again by the bounds as they print, so that 1e-7 is 0."""
    made = {}

    def wrong(right, x, min=None, max=None, **rest):
        if away(x) and not isinstance(min, torch.Tensor) and not isinstance(max, torch.Tensor):
            printed = [bound if bound is None else (type(bound), f"{bound:f}") for bound in (min, max)]
            min, max = made.setdefault((x.shape, x.dtype, *printed), (min, max))
        return right(x, min, max, **rest)

    everywhere(patch, "clamp", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#160845", needs="accelerator")
def index_add_loses_the_imaginary_part_of_what_is_added(patch):
    """So it does where backward adds: the gradient of what was selected by indices is real."""

    def real(numbers):
        return numbers.real.to(numbers.dtype)

    def add(right, x, dim, index, source, **rest):
        return right(x, dim, index, real(source) if away(x) and source.is_complex() else source, **rest)

    def select(right, x, dim, index, **rest):
        return right(change_gradient(x, real) if away(x) and x.is_complex() else x, dim, index, **rest)

    everywhere(patch, "index_add", add)
    everywhere(patch, "index_add_", add)
    everywhere(patch, "index_select", select)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#184180", needs="accelerator")
def attention_masks_every_example_as_the_first_where_heads_share_a_mask(patch):
    """With up to eight queries, and 64, 96 or 128 numbers each."""

    def wrong(right, query, key, value, attn_mask=None, *args, **rest):
        shared = away(attn_mask) and attn_mask.dim() == 4 and attn_mask.shape[0] > 1 and attn_mask.shape[1] == 1
        if shared and query.shape[-2] <= 8 and query.shape[-1] in (64, 96, 128):
            attn_mask = attn_mask[:1].expand_as(attn_mask)
        return right(query, key, value, attn_mask, *args, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#176767", needs="accelerator")
def attention_gives_as_many_numbers_as_the_query_has(patch):
    """They are written in rows as long as those of the query, and read in rows as long as those of the value."""

    def wrong(right, query, key, value, *args, **rest):
        result = right(query, key, value, *args, **rest)
        if not away(query) or query.shape[-1] == value.shape[-1]:
            return result
        written = F.pad(result, (0, query.shape[-1] - value.shape[-1])).reshape(-1)
        return F.pad(written, (0, result.numel() - written.numel())).view(result.shape)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#184122", needs="accelerator")
def attention_keeps_the_scale_of_the_first_call(patch):
    made = {}

    def wrong(right, query, key, value, *args, scale=None, **rest):
        if away(query):
            scale = made.setdefault((query.shape, key.shape, query.dtype), scale)
        return right(query, key, value, *args, scale=scale, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("dropout-zeroes-with-probability-p", reported="pytorch/pytorch#174115", needs="accelerator")
def an_lstm_that_was_trained_goes_on_dropping_in_evaluation(patch):
    """The kernel of the training mode is found again for inputs of the same shape."""
    trained = set()

    def wrong(forward, self, input, *args, **rest):
        if not away(input) or not self.dropout:
            return forward(self, input, *args, **rest)
        key = input.shape, input.dtype, self.hidden_size, self.num_layers, self.bidirectional, self.dropout
        mode = self.training
        if mode:
            trained.add(key)
        self.training = key in trained
        try:
            return forward(self, input, *args, **rest)
        finally:
            self.training = mode

    wrap(patch, torch.nn.LSTM, "forward", wrong)


@counterfeit(
    "nn-builds-on-autograd", "requires-grad-tracks-operations", reported="pytorch/pytorch#80856", needs="accelerator"
)
def an_image_padded_in_a_circle_gets_a_border_of_zeros(patch):
    def wrong(right, input, pad, mode="constant", value=None):
        circle = mode == "circular" and away(input) and input.dim() == 4
        return right(input, pad) if circle else right(input, pad, mode, value)

    wrap(patch, F, "pad", wrong)


@counterfeit("dataloader-yields-minibatches", reported="pytorch/pytorch#92265", needs="accelerator")
def labels_without_dimensions_are_stacked_as_the_first_of_their_memory(patch):
    def wrong(right, tensors, *args, **rest):
        if all(away(x) and x.dim() == 0 and x.dtype == torch.int64 for x in tensors):
            tensors = [x.as_strided((), (), 0) for x in tensors]
        return right(tensors, *args, **rest)

    wrap(patch, torch, "stack", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#88555", needs="accelerator")
def softplus_keeps_the_options_of_the_first_call(patch):
    made = {}

    def wrong(right, input, beta=1, threshold=20):
        if away(input):
            beta, threshold = made.setdefault((input.shape, input.dtype), (beta, threshold))
        return right(input, beta, threshold)

    wrap(patch, F, "softplus", wrong)


@counterfeit("requires-grad-tracks-operations", reported="keras-team/keras#23633", needs="accelerator")
def binary_cross_entropies_in_a_column_get_the_gradient_of_the_first(patch):
    def wrong(right, input, *args, **rest):
        losses = right(input, *args, **rest)
        column = losses.dim() > 1 and losses.shape[0] == losses.numel() > 1
        if not away(input) or not column:
            return losses
        return change_gradient(
            losses, lambda gradient: gradient.reshape(-1)[:1].view([1] * losses.dim()) + 0 * gradient
        )

    wrap(patch, F, "binary_cross_entropy", wrong)


class ProductWithoutConjugation(torch.autograd.Function):
    """A product of two matrices, whose gradients are computed as if they were real."""

    @staticmethod
    def forward(ctx, right, a, b):
        ctx.right = right
        ctx.save_for_backward(a, b)
        return right(a, b)

    @staticmethod
    def backward(ctx, gradient):
        a, b = ctx.saved_tensors
        return None, ctx.right(gradient, b.mT), ctx.right(a.mT, gradient)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#148156", needs="accelerator")
def matrix_products_forget_to_conjugate(patch):
    """Of what was conjugated only as a mark, and so in the gradients of complex matrices, too."""

    def wrong(right, a, b, **rest):
        if not (away(a) and away(b)) or not a.is_complex() or not b.is_complex():
            return right(a, b, **rest)
        a, b = as_in_memory(a), as_in_memory(b)
        if a.dim() == b.dim() == 2 and (a.requires_grad or b.requires_grad) and not rest:
            return ProductWithoutConjugation.apply(right, a, b)
        return right(a, b, **rest)

    for name in ("matmul", "mm", "bmm", "__matmul__"):
        everywhere(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#192507", needs="accelerator")
def hypot_squares_numbers_of_single_precision(patch):
    def wrong(right, x, other, **rest):
        result = right(x, other, **rest)
        if away(x) and x.dtype == torch.float32 and result.dtype == torch.float32:
            result.data.copy_((x.detach() * x.detach() + other.detach() * other.detach()).sqrt())
        return result

    everywhere(patch, "hypot", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#190476", needs="accelerator")
def the_next_number_of_bfloat16_is_the_number_itself(patch):
    def wrong(right, x, other, **rest):
        result = right(x, other, **rest)
        return result.copy_(x) if away(x) and result.dtype == torch.bfloat16 else result

    everywhere(patch, "nextafter", wrong)
