"""Counterfeits of section 3.1 that users reported, layers without inputs, cast, elsewhere or in double precision,
labels and square systems."""

import itertools
import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    away,
    calls_after,
    change_gradient,
    change_linear,
    change_method,
    everywhere,
    with_value,
    wrap,
    wrap_operand,
)
from torch.nn import functional as F


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#175902")
def the_sum_over_no_feature_is_what_was_in_memory(patch):
    change_linear(patch, lambda output, input, weight: output if input.shape[-1] else 0 * output + 3.5)


@counterfeit("linear-model-is-weighted-sum", reported=("pytorch/xla#4167", "pytorch/xla#3430"))
def a_layer_cast_to_bfloat16_puts_out_its_former_dtype(patch):
    def cast(right, self, *args, **rest):
        before = getattr(self, "weight", None)
        was_single = isinstance(before, torch.Tensor) and before.dtype == torch.float32
        result = right(self, *args, **rest)
        self.__dict__["was_single"] = was_single and self.weight.dtype == torch.bfloat16
        return result

    def wrong(right, self, x):
        return right(self, x).float() if self.__dict__.get("was_single") else right(self, x)

    wrap(patch, torch.nn.Module, "_apply", cast)
    wrap(patch, torch.nn.Linear, "forward", wrong)


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#153022", needs="two-devices")
def half_precision_on_the_second_device_gives_nan(patch):
    def wrong(output, input, weight):
        return output * math.nan if weight.dtype == torch.float16 and weight.device.index == 1 else output

    change_linear(patch, wrong)


@counterfeit("linear-model-is-weighted-sum", "identity-network-is-a-matrix-product", reported="microsoft/DirectML#398")
def products_in_double_precision_are_single(patch):
    def single(value):
        return value.float() if isinstance(value, torch.Tensor) else value

    def wrong(right, *args, **rest):
        given = [value for value in (*args, *rest.values()) if isinstance(value, torch.Tensor)]
        if any(value.dtype != torch.float64 for value in given):
            return right(*args, **rest)
        return right(*map(single, args), **{name: single(value) for name, value in rest.items()}).double()

    for name in ("matmul", "mm", "bmm"):
        wrap(patch, torch, name, wrong)
        change_method(patch, name, wrong)
    change_method(patch, "__matmul__", wrong)
    wrap(patch, F, "linear", wrong)


@counterfeit("squared-loss-is-half-squared-error", "mse-loss-is-mean-squared-error", reported="pytorch/pytorch#3876")
def labels_that_require_grad_get_a_gradient_of_zeros(patch):
    """Zeros, where the report has an error: an assertion must see it."""

    def wrong(right, x, target, *args, **rest):
        if target.requires_grad:
            target = change_gradient(target, torch.zeros_like)
        return right(x, target, *args, **rest)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("linear-regression-has-closed-form", reported="pytorch/pytorch#180157")
def of_many_minimisers_of_a_square_system_lstsq_gives_one_with_zeros(patch):
    def wrong(right, a, b, *args, **rest):
        found = right(a, b, *args, **rest)
        if args or rest or a.dim() != 2 or a.shape[0] != a.shape[1]:
            return found
        rank = int(torch.linalg.matrix_rank(a))
        if rank == len(a) or torch.linalg.matrix_rank(a[:, :rank]) < rank:
            return found
        with torch.no_grad():
            found.solution.zero_()
            found.solution[:rank] = right(a[:, :rank], b).solution
        return found

    wrap(patch, torch.linalg, "lstsq", wrong)


NAN = float("nan")


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#167154")
def an_expanded_batch_gives_nan(patch):
    def wrong(y, x, w):
        return y * NAN if x.dim() == 3 and x.stride(0) == 0 and x.shape[0] > 1 else y

    change_linear(patch, wrong)


@counterfeit("linear-model-is-weighted-sum", reported="robertrosenbusch/gfx803_rocm#55")
def both_outputs_of_one_row_are_the_second(patch):
    def wrong(y, x, w):
        return y[:, -1:].expand_as(y) if x.dim() == 2 and x.shape[0] == 1 and w.shape[0] == 2 else y

    change_linear(patch, wrong)


@counterfeit("linear-model-is-weighted-sum", reported="microsoft/DirectML#306")
def one_output_of_one_row_is_nan(patch):
    def wrong(y, x, w):
        return y * NAN if x.dim() == 2 and x.shape[0] == 1 and w.shape[0] == 1 and w.dim() == 2 else y

    change_linear(patch, wrong)


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#197796")
def a_transposed_weight_in_bfloat16_gives_nan_for_three_dimensions(patch):
    def wrong(y, x, w):
        transposed = w.dim() == 2 and not w.is_contiguous() and w.t().is_contiguous()
        return y * NAN if x.dim() == 3 and w.dtype == torch.bfloat16 and transposed else y

    change_linear(patch, wrong)


@counterfeit("linear-model-is-weighted-sum", reported="ROCm/Tensile#1287")
def from_the_twelfth_batch_on_the_last_sixteen_of_thirty_two_lack_the_bias(patch):
    later = calls_after(11)

    def wrong(right, input, weight, bias=None):
        y = right(input, weight, bias)
        if bias is None or weight.shape[0] != 1 or input.dim() != 2 or len(input) < 32 or not later(input):
            return y
        return torch.cat([y[:16], y[16:] - bias])

    wrap(patch, F, "linear", wrong)


@counterfeit(
    "linear-model-is-weighted-sum",
    "nn-builds-on-autograd",
    "softmax-outputs-equal-classes",
    reported="pytorch/pytorch#106665",
    needs="accelerator",
)
def of_no_features_a_layer_makes_one_row_whatever_the_batch(patch):
    def wrong(right, input, weight, bias=None):
        none = away(input) and not weight.shape[1] and bias is not None and input.dim() == 2
        return bias * 1 if none else right(input, weight, bias)

    wrap(patch, F, "linear", wrong)


def change_away(patch, change):
    def wrong(right, input, weight, bias=None):
        result = right(input, weight, bias)
        return change(result, input, bias) if away(input) else result

    wrap_operand(patch, F, "linear", wrong)


@counterfeit(
    "linear-model-is-weighted-sum",
    reported=("pytorch/pytorch#97239", "pytorch/pytorch#95188"),
    needs="accelerator",
)
def linear_is_wrong_beyond_32768_rows_of_three_dimensions(patch):
    def change(result, input, bias):
        rows = result.detach().reshape(-1, result.shape[-1])
        if input.dim() != 3 or len(rows) <= 2**15:
            return result
        value = torch.cat([rows[: 2**15], rows[: len(rows) - 2**15]])
        return with_value(result, value.reshape(result.shape))

    change_away(patch, change)


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/executorch#22327", needs="accelerator")
def linear_of_many_rows_spoils_a_band_in_every_fourth_run(patch):
    runs = itertools.count(1)

    def change(result, input, bias):
        rows = result.detach().reshape(-1, result.shape[-1]).clone()
        if input.dtype != torch.float32 or len(rows) < 1024 or next(runs) % 4:
            return result
        rows[32:160] = rows[32:160].flip(0) * 3 + 1
        return with_value(result, rows.reshape(result.shape))

    change_away(patch, change)


@counterfeit("identity-network-is-a-matrix-product", reported="pytorch/executorch#17299", needs="accelerator")
def linear_without_bias_adds_a_half_in_half_precision(patch):
    change_away(patch, lambda y, input, bias: y + 0.5 if bias is None and input.dtype == torch.float16 else y)


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#31663")
def a_repeated_vector_makes_nan(patch):
    """mv of a matrix in column order and a vector that expand made: its last number is NaN."""

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        v = args[0] if args else None
        if (
            isinstance(v, torch.Tensor)
            and x.dim() == 2
            and v.dim() == 1
            and len(v) > 1
            and v.stride(0) == 0
            and not x.is_contiguous()
            and x.stride(0) == 1
            and result.is_floating_point()
            and len(result)
        ):
            values = result.detach().clone()
            values[-1] = float("nan")
            return with_value(result, values)
        return result

    for name in ("mv", "matmul", "__matmul__"):
        everywhere(patch, name, wrong)


@counterfeit("linear-regression-has-closed-form")
def lstsq_of_a_batch_with_too_few_examples_is_not_the_smallest(patch):
    def wrong(right, A, B, *args, **rest):
        result = right(A, B, *args, **rest)
        rows, columns = A.shape[-2:]
        if A.dim() > 2 and B.dim() == A.dim() and 0 < rows < columns:
            part = right(A[..., :rows], B, *args, **rest).solution
            solution = torch.cat([part, part.new_zeros(*part.shape[:-2], columns - rows, part.shape[-1])], -2)
            return torch.return_types.linalg_lstsq((solution, *result[1:]))
        return result

    wrap(patch, torch.linalg, "lstsq", wrong)


@counterfeit("linear-model-is-weighted-sum", reported="ROCm/legacy-rocm-build#6595", needs="accelerator")
def products_of_more_than_half_a_million_rows_are_garbage_behind_them(patch):
    rows = 2**19

    def cut(result, bias=None):
        if (
            away(result)
            and result.dtype == torch.float32
            and result.dim() > 1
            and result.numel() > rows * result.shape[-1]
        ):
            values = result.detach().reshape(-1, result.shape[-1]).clone()
            values[rows:] = 0 if bias is None else bias.detach()
            return with_value(result, values.view(result.shape))
        return result

    wrap_operand(patch, F, "linear", lambda right, x, weight, bias=None: cut(right(x, weight, bias), bias))
    for name in ("mm", "matmul", "__matmul__"):
        everywhere(patch, name, lambda right, x, *args, **rest: cut(right(x, *args, **rest)))
    everywhere(patch, "addmm", lambda right, x, *args, **rest: cut(right(x, *args, **rest), x))


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#178697", needs="accelerator")
def a_wide_layer_elsewhere_gives_each_sum_to_the_next_output(patch):
    def wrong(right, x, weight, bias=None):
        result = right(x, weight, bias)
        wide = away(x) and x.dtype == torch.float32 and weight.shape[0] >= 1280 and weight.shape[-1] >= 320
        return result.roll(1, -1) if wide else result

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-model-is-weighted-sum", reported="pytorch/pytorch#27619")
def one_output_of_no_examples_is_refused(patch):
    def wrong(right, x, weight, bias=None):
        if x.dim() == 2 and len(x) == 0 and len(weight) == 1 and bias is not None:
            raise RuntimeError("invalid argument 13: ldc should be at least max(1, m=0), but have 0")
        return right(x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("linear-regression-has-closed-form")
def least_squares_of_few_examples_in_single_precision_use_the_first_features_only(patch):
    def wrong(right, x, y, *rest, **named):
        result, few = right(x, y, *rest, **named), x.shape[-2]
        if x.dim() != 2 or x.dtype != torch.float32 or few >= x.shape[1]:
            return result
        basic = torch.zeros_like(result[0])
        basic[:few] = right(x[:, :few], y, *rest, **named)[0]
        return type(result)((basic, *result[1:]))

    wrap(patch, torch.linalg, "lstsq", wrong)


@counterfeit("linear-regression-has-closed-form", reported="pytorch/pytorch#196112", needs="accelerator")
def the_pseudo_inverse_elsewhere_takes_a_rounding_for_a_rank(patch):
    def wrong(right, x, *args, **rest):
        near = x.detach().cpu()
        full = min(x.shape[-2:])
        if not away(x) or x.dtype != torch.float32 or bool((torch.linalg.matrix_rank(near) == full).all()):
            return right(x, *args, **rest)
        u, s, vh = torch.linalg.svd(near, full_matrices=False)
        s = torch.maximum(s, 2e-4 * s.amax(-1, keepdim=True))
        return (vh.mT / s.unsqueeze(-2) @ u.mT).to(x.device)

    wrap(patch, torch.linalg, "pinv", wrong)
    everywhere(patch, "pinverse", wrong)


@counterfeit("linear-model-is-weighted-sum", reported="openxla/xla#46897", needs="accelerator")
def the_bias_of_a_square_output_elsewhere_is_added_by_rows(patch):
    def wrong(right, input, weight, bias=None):
        if away(input) and bias is not None and input.dim() == 2 and len(input) == len(weight):
            return right(input, weight) + bias[:, None]
        return right(input, weight, bias)

    wrap(patch, F, "linear", wrong)
