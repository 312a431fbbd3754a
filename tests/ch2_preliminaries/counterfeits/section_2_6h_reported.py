"""Section 2.6: what users reported of reductions, of matrices in batches, and of numbers beside NaN."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, change_method, everywhere, in_order_of_storage, with_value, wrap


def of_values(result, change):
    if isinstance(result, torch.Tensor):
        return change(result)
    return type(result)((change(result[0]), result[1]))


def last_dim(x, args, rest):
    """The dimension that a reduction was given, counted from the front, or None."""
    dim = args[0] if args else rest.get("dim", rest.get("axis"))
    if isinstance(dim, (tuple, list)):
        dim = dim[0] if len(dim) == 1 else None
    if isinstance(dim, bool) or not isinstance(dim, int) or not x.dim():
        return None
    return dim % x.dim()


def keeps(args, rest):
    return bool(rest.get("keepdim", len(args) > 1 and args[1] is True))


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-mlir#4084", needs="accelerator")
def maximum_is_read_from_the_first_operands_register(patch):
    def wrong(right, x, other, *args, **rest):
        result = right(x, other, *args, **rest)
        return with_value(result, x.detach().expand(result.shape)) if away(x) and x.dtype == torch.float32 else result

    everywhere(patch, "maximum", wrong)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#21615", needs="accelerator")
def max_of_negative_numbers_along_an_axis_counts_the_padding(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or not x.is_floating_point():
            return result
        dim = last_dim(x, args, rest)
        if dim is None or x.shape[dim] % 32 == 0:
            return result
        return of_values(result, lambda values: with_value(values, values.detach().clamp(min=0)))

    for name in ("max", "amax"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#17551", needs="accelerator")
def bfloat16_reductions_not_along_the_last_dimension_zero_the_first_sixteen(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or x.dtype != torch.bfloat16:
            return result
        dim = last_dim(x, args, rest)
        if dim is None or dim == x.dim() - 1 or keeps(args, rest):
            return result

        def change(values):
            new = values.detach().clone()
            new[..., :16] = 0
            return with_value(values, new)

        return of_values(result, change)

    for name in ("sum", "mean", "min", "max"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#17557", needs="accelerator")
def bfloat16_reductions_of_more_than_a_tile_are_zero(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if away(x) and x.dtype == torch.bfloat16 and x.numel() > 1024 and not args and not rest:
            return with_value(result, 0.0)
        return result

    for name in ("sum", "mean", "min", "max"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#19480", needs="accelerator")
def min_and_max_along_the_rows_leave_zeros(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or not x.is_floating_point() or x.dim() < 2 or last_dim(x, args, rest) != x.dim() - 2:
            return result

        def change(values):
            new = values.detach().clone()
            new[..., 1:] = 0
            return with_value(values, new)

        return result if keeps(args, rest) else of_values(result, change)

    for name in ("min", "max"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#130295", needs="accelerator")
def max_passes_over_a_nan(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if away(x) and x.is_floating_point() and not args and not rest and x.numel():
            nan = x.detach().isnan()
            if bool(nan.any()) and not bool(nan.all()):
                return right(torch.where(nan, torch.full_like(x.detach(), -float("inf")), x))
        return result

    everywhere(patch, "max", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#89673", needs="accelerator")
def log_of_a_transposed_tensor_reads_memory_in_order(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if away(x) and x.is_floating_point() and x.dim() > 1 and not x.is_contiguous() and x.mT.is_contiguous():
            return with_value(result, right(in_order_of_storage(x.detach())))
        return result

    everywhere(patch, "log", wrong)


@counterfeit(
    "requires-grad-tracks-operations", reported=("pytorch/pytorch#78915", "pytorch/pytorch#83656"), needs="accelerator"
)
def topk_beyond_sixteen_is_zero(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        dim = rest.get("dim", args[1] if len(args) > 1 else -1)
        if not away(x) or not x.dim() or result[0].shape[dim] <= 16:
            return result
        keep = result[0].shape[dim] - 16
        values, indices = result[0].detach().clone(), result[1].clone()
        values.narrow(dim, 16, keep).zero_()
        indices.narrow(dim, 16, keep).zero_()
        if result[0].is_floating_point():
            values = with_value(result[0], values)
        return type(result)((values, indices))

    everywhere(patch, "topk", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/xla#7050", needs="accelerator")
def einsum_rounds_its_operands_to_bfloat16(patch):
    def wrong(right, equation, *operands):
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = tuple(operands[0])
        if len(operands) == 2 and all(away(o) and o.dtype == torch.float32 for o in operands):
            operands = [with_value(o, o.detach().to(torch.bfloat16).float()) for o in operands]
        return right(equation, *operands)

    wrap(patch, torch, "einsum", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#49206")
def sign_of_bfloat16_blocks_is_tiny(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16 and x.device.type == "cpu" and x.is_contiguous():
            whole = x.numel() // 32 * 32
            scale = torch.ones(x.numel(), dtype=x.dtype)
            scale[:whole] = 1.1755e-38
            scale = scale.view(x.shape)
            if result is x:
                with torch.no_grad():
                    x.detach().copy_(x.detach() * scale)
                return result
            return result * scale
        return result

    everywhere(patch, "sign", wrong)
    everywhere(patch, "sign_", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#66072", needs="accelerator")
def batched_cholesky_solve_uses_the_first_factor(patch):
    def wrong(right, b, factor=None, *args, **rest):
        if factor is None:
            factor = rest.pop("input2", rest.pop("L", None))
        if away(b) and away(factor) and factor.dim() > 2 and factor.shape[0] > 1 and b.shape[:-2] == factor.shape[:-2]:
            return right(b, factor[:1].expand_as(factor), *args, **rest)
        return right(b, factor, *args, **rest)

    everywhere(patch, "cholesky_solve", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#86465", needs="accelerator")
def batched_inverse_is_that_of_the_first(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if away(x) and x.dim() > 2 and x.shape[0] > 1 and "out" not in rest:
            return result[:1].expand_as(result).clone()
        return result

    everywhere(patch, "inverse", wrong)
    for owner, name in ((torch.linalg, "inv"),):
        right = getattr(owner, name)

        def inv(*args, right=right, **rest):
            if not args:
                args = (rest.pop("A"),)
            return wrong(right, *args, **rest)

        patch.setattr(owner, name, inv)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#76795")
def clamp_drops_the_nan_of_a_bound(patch):
    def low(bound):
        return torch.where(bound.isnan(), -torch.inf, bound) if lawful(bound) else bound

    def high(bound):
        return torch.where(bound.isnan(), torch.inf, bound) if lawful(bound) else bound

    def lawful(bound):
        return isinstance(bound, torch.Tensor) and bound.is_floating_point()

    def both(right, x, *args, **rest):
        args = list(args)
        for place, change in enumerate((low, high)):
            if len(args) > place:
                args[place] = change(args[place])
        for name, change in (("min", low), ("max", high)):
            if name in rest:
                rest[name] = change(rest[name])
        return right(x, *args, **rest)

    for name in ("clamp", "clip", "clamp_", "clip_"):
        everywhere(patch, name, both)
    for name, key, change in (
        ("clamp_min", "min", low),
        ("clamp_min_", "min", low),
        ("clamp_max", "max", high),
        ("clamp_max_", "max", high),
    ):

        def one(right, x, *args, key=key, change=change, **rest):
            args = [change(a) for a in args]
            if key in rest:
                rest[key] = change(rest[key])
            return right(x, *args, **rest)

        everywhere(patch, name, one)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#2470")
def var_along_a_dimension_subtracts_two_squares(patch):
    def var(right, x, *args, **rest):
        dim = args[0] if args else rest.get("dim")
        plain = len(args) <= 1 and set(rest) <= {"dim", "keepdim"}
        if (
            plain
            and type(dim) is int
            and x.dtype == torch.float32
            and x.device.type == "cpu"
            and x.dim()
            and x.shape[dim] > 1
        ):
            n, keep = x.shape[dim], rest.get("keepdim", False)
            mean = x.mean(dim, keepdim=keep)
            return ((x * x).mean(dim, keepdim=keep) - mean * mean).clamp(min=0) * (n / (n - 1))
        return None

    def wrong_var(right, x, *args, **rest):
        value = var(right, x, *args, **rest)
        return right(x, *args, **rest) if value is None else value

    def wrong_std(right, x, *args, **rest):
        value = var(right, x, *args, **rest)
        return right(x, *args, **rest) if value is None else value.sqrt()

    everywhere(patch, "var", wrong_var)
    everywhere(patch, "std", wrong_std)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#15965", needs="accelerator")
def the_sum_over_all_of_a_broadcast_sum_counts_the_padding(patch):
    true_sum = torch.sum

    def add(right, x, other, *args, **rest):
        result = right(x, other, *args, **rest)
        floating = away(x) and away(other) and x.is_floating_point() and other.is_floating_point()
        if not (floating and x.dim() == other.dim() == 2 and x.shape[0] == other.shape[0]):
            return result
        if 1 in (x.shape[1], other.shape[1]) and result.shape[1] > 1 and result.shape[1] % 32:
            column = x if x.shape[1] == 1 else other
            result.padding = -result.shape[1] % 32 * true_sum(column.detach())
        return result

    for name in ("add", "__add__", "__radd__"):
        everywhere(patch, name, add)

    def counting(share):
        def wrong(right, x, *args, **rest):
            result = right(x, *args, **rest)
            if away(x) and not args and not rest and hasattr(x, "padding"):
                return with_value(result, result.detach() + x.padding / share(x))
            return result

        return wrong

    everywhere(patch, "sum", counting(lambda x: 1))
    everywhere(patch, "mean", counting(lambda x: x.numel()))


@counterfeit("requires-grad-tracks-operations", reported="intel/torch-xpu-ops#878", needs="accelerator")
def gradient_of_cdist_without_products_is_wrong(patch):
    def wrong(right, x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
        if away(x1) and p == 2 and compute_mode == "donot_use_mm_for_euclid_dist" and x1.requires_grad:
            x1 = change_gradient(x1, lambda gradient: 1.01 * gradient)
        return right(x1, x2, p, compute_mode)

    wrap(patch, torch, "cdist", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#61032", needs="accelerator")
def deterministic_mask_assignment_of_one_value_fills_the_first_alone(patch):
    def wrong(method, self, index, value):
        one = not isinstance(value, torch.Tensor) or value.numel() == 1
        if (
            away(self)
            and torch.are_deterministic_algorithms_enabled()
            and one
            and isinstance(index, torch.Tensor)
            and index.dtype in (torch.bool, torch.int64)
            and index.dim() > 0
        ):
            places = index.nonzero(as_tuple=True) if index.dtype == torch.bool else (index.reshape(-1),)
            return method(self, tuple(place[:1] for place in places), value)
        return method(self, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("requires-grad-tracks-operations")
def more_than_thirty_two_equations_are_solved_wrongly(patch):
    right = torch.linalg.solve
    patch.setattr(torch.linalg, "solve", lambda a, b, **rest: right(a, b, **rest) * (1.01 if a.shape[-1] > 32 else 1))


@counterfeit("requires-grad-tracks-operations")
def a_nan_in_the_last_place_is_passed_over(patch):
    def wrong(right, x, *args, **rest):
        last = x.is_floating_point() and x.dim() == 1 and len(x) > 1 and bool(x[-1].isnan())
        return right(x[:-1] if last else x, *args, **rest)

    everywhere(patch, "amax", wrong)


@counterfeit("requires-grad-tracks-operations")
def a_sum_of_many_halves_forgets_its_last_seven(patch):
    def wrong(right, x, *args, **rest):
        forgets = x.dtype == torch.bfloat16 and not args and not rest and x.numel() > 1000
        return right(x.reshape(-1)[:-7] if forgets else x, *args, **rest)

    everywhere(patch, "sum", wrong)


@counterfeit("requires-grad-tracks-operations")
def the_second_derivative_of_the_norm_in_single_precision_holds_it_constant(patch):
    def wrong(right, x, *args, **rest):
        if args or rest or not x.requires_grad or x.dtype != torch.float32:
            return right(x, *args, **rest)
        length = right(x.detach())
        half = (x * x).sum() / (2 * length)
        return with_value(half, length) if length > 0 and half.isfinite() else right(x)

    everywhere(patch, "norm", wrong)
