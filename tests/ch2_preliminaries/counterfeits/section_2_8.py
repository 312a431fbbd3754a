"""Counterfeits of section 2.8: branches that leak gradients, switches that work for some tensors only, and a `data`
that copies, counts its writes or stays on the record.
"""

import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method, everywhere, wrap
from torch.utils.weak import WeakTensorKeyDictionary


def alter_data(patch, read=lambda x, data: data, write=lambda x, value: None):
    """Let `x.data` read as `read(x, right value)`, and do `write(x, value)` beside every assignment to it."""
    right = torch.Tensor.data

    def assign(self, value):
        right.__set__(self, value)
        write(self, value)

    patch.setattr(torch.Tensor, "data", property(lambda self: read(self, right.__get__(self)), assign))


def track_powers(patch, condition):
    """Let `x**n` be tracked under `no_grad` too if `condition` holds for x and n."""
    power = torch.Tensor.__pow__

    def wrong(x, n):
        with torch.set_grad_enabled(torch.is_grad_enabled() or condition(x, n)):
            return power(x, n)

    patch.setattr(torch.Tensor, "__pow__", wrong)


# ── no-grad-result-has-no-grad-fn and no-grad-branch-adds-no-gradient ──


@counterfeit("no-grad-result-has-no-grad-fn", "no-grad-branch-adds-no-gradient")
def cubes_are_tracked_under_no_grad(patch):
    track_powers(patch, lambda x, n: n == 3)


@counterfeit("no-grad-result-has-no-grad-fn", "no-grad-branch-adds-no-gradient")
def vectors_are_tracked_under_no_grad(patch):
    track_powers(patch, lambda x, n: x.dim() == 1)


@counterfeit("no-grad-result-has-no-grad-fn", "no-grad-branch-adds-no-gradient")
def large_tensors_are_tracked_under_no_grad(patch):
    track_powers(patch, lambda x, n: x.numel() > 10_000)


@counterfeit("no-grad-result-has-no-grad-fn")
def sum_follows_its_left_operand_only(patch):
    def wrong(add, x, y):
        total = add(x, y)
        return total if x.requires_grad else total.detach()

    change_method(patch, "__add__", wrong)


@counterfeit("no-grad-result-has-no-grad-fn")
def sum_follows_its_right_operand_only(patch):
    def wrong(add, x, y):
        total = add(x, y)
        return total if y.requires_grad else total.detach()

    change_method(patch, "__add__", wrong)


@counterfeit("no-grad-result-has-no-grad-fn")
def result_under_no_grad_claims_to_require_grad(patch):
    """The flag is set, but there is no record."""
    change_method(patch, "__pow__", lambda power, x, n: power(x, n).requires_grad_(x.requires_grad))


@counterfeit("no-grad-result-has-no-grad-fn")
def cube_under_no_grad_is_a_square(patch):
    change_method(patch, "__pow__", lambda power, x, n: power(x, n if torch.is_grad_enabled() else 2))


@counterfeit("no-grad-result-has-no-grad-fn")
def constant_operand_of_a_sum_has_a_node(patch):
    def wrong(add, x, y):
        return add(x, y if y.requires_grad else y.clone().requires_grad_())

    change_method(patch, "__add__", wrong)


@counterfeit("no-grad-branch-adds-no-gradient")
def the_derivative_of_a_cube_is_half_of_what_it_is(patch):
    def wrong(right, x, power):
        y = right(x, power)
        return change_gradient(y, lambda gradient: gradient / 2) if isinstance(power, int) and power == 3 else y

    wrap(patch, torch.Tensor, "__pow__", wrong)


@counterfeit("no-grad-branch-adds-no-gradient")
def tenth_of_the_gradient_leaks_through_no_grad(patch):
    def wrong(power, x, n):
        if torch.is_grad_enabled():
            return power(x, n)
        with torch.enable_grad():
            return power(x.detach(), n) + (x - x.detach()) * 0.1

    change_method(patch, "__pow__", wrong)


@counterfeit("no-grad-branch-adds-no-gradient")
def constant_operand_halves_the_gradient_of_a_sum(patch):
    def wrong(add, x, y):
        if x.requires_grad != y.requires_grad:
            x, y = x.detach() + (x - x.detach()) / 2, y
        return add(x, y)

    change_method(patch, "__add__", wrong)


@counterfeit("no-grad-branch-adds-no-gradient")
def second_block_is_tracked(patch):
    enter, entered = torch.no_grad.__enter__, []

    def wrong(self):
        enter(self)
        entered.append(self)
        torch._C._set_grad_enabled(len(entered) == 2)

    patch.setattr(torch.no_grad, "__enter__", wrong)


@counterfeit("no-grad-result-has-no-grad-fn")
def the_method_pow_is_tracked_under_no_grad_too(patch):
    change_method(patch, "pow", lambda power, x, n: torch.enable_grad()(power)(x, n))


@counterfeit("no-grad-branch-adds-no-gradient")
def whoever_leaves_no_grad_records_again(patch):
    wrap(patch, torch.no_grad, "__exit__", lambda leave, self, *why: torch._C._set_grad_enabled(True))


@counterfeit("no-grad-result-has-no-grad-fn")
def a_decorator_without_parentheses_does_nothing(patch):
    patch.setattr(torch.no_grad, "__new__", lambda cls, *function: function[0] if function else object.__new__(cls))


@counterfeit("no-grad-branch-adds-no-gradient", "no-grad-result-has-no-grad-fn")
def a_decorated_function_is_recorded_where_its_arguments_come_by_name(patch):
    def wrong(decorate, block, function):
        apart = decorate(block, function)
        return lambda *given, **named: (function if named else apart)(*given, **named)

    wrap(patch, torch.no_grad, "__call__", wrong)


# ── sum-node-is-named-th-add-backward ──


def name_sums(patch, name):
    """Let sums of tensors leave a node of another name."""

    def forward(ctx, x, y):
        return torch.add(x, y)

    def backward(ctx, gradient):
        return gradient, gradient

    function = type(
        name, (torch.autograd.Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    )
    patch.setattr(torch.Tensor, "__add__", lambda x, y: function.apply(x, y))


@counterfeit("sum-node-is-named-th-add-backward")
def sum_leaves_a_node_of_the_old_name(patch):
    """As the notes have it: a Function called ThAdd has a node called ThAddBackward."""
    name_sums(patch, "ThAdd")


@counterfeit("sum-node-is-named-th-add-backward")
def sum_leaves_a_node_without_a_number(patch):
    name_sums(patch, "Add")


@counterfeit("sum-node-is-named-th-add-backward")
def print_leaves_out_the_node(patch):
    change_method(patch, "__repr__", lambda show, self, **kw: show(self, **kw).partition(", grad_fn")[0] + ")")


@counterfeit("sum-node-is-named-th-add-backward")
def the_sum_of_a_tensor_and_itself_is_named_for_a_product(patch):
    change_method(patch, "__add__", lambda right, x, y: x * 2 if x is y else right(x, y))


@counterfeit("sum-node-is-named-th-add-backward")
def a_sum_without_dimensions_is_a_difference(patch):
    def wrong(add, x, y):
        return torch.sub(x, y, alpha=-1) if isinstance(y, torch.Tensor) and x.dim() == y.dim() == 0 else add(x, y)

    wrap(patch, torch.Tensor, "__add__", wrong)


# ── data-is-outside-the-graph ──


@counterfeit("data-is-outside-the-graph")
def data_of_a_result_stays_in_the_graph(patch):
    alter_data(patch, lambda x, data: data if x.is_leaf else x)


@counterfeit("data-is-outside-the-graph")
def data_of_a_parameter_stays_in_the_graph(patch):
    alter_data(patch, lambda x, data: x if isinstance(x, torch.nn.Parameter) else data)


@counterfeit("data-is-outside-the-graph")
def data_of_a_vector_stays_in_the_graph(patch):
    alter_data(patch, lambda x, data: x.view_as(x) if x.dim() == 1 else data)


@counterfeit("data-is-outside-the-graph")
def data_starts_a_record_of_its_own(patch):
    alter_data(patch, lambda x, data: data.requires_grad_(x.requires_grad))


@counterfeit("data-is-outside-the-graph")
def data_takes_its_tensor_out_of_the_graph(patch):
    alter_data(patch, lambda x, data: x.detach_())


@counterfeit("data-is-outside-the-graph")
def data_is_always_single_precision(patch):
    alter_data(patch, lambda x, data: data.float())


@counterfeit("data-is-outside-the-graph")
def data_loses_its_first_dimension_of_one(patch):
    alter_data(patch, lambda x, data: data.squeeze(0) if data.dim() > 1 else data)


@counterfeit("data-is-outside-the-graph")
def data_of_a_parameter_is_a_parameter(patch):
    alter_data(patch, lambda x, data: torch.nn.Parameter(data, False) if isinstance(x, torch.nn.Parameter) else data)


@counterfeit("data-is-outside-the-graph")
def data_reads_as_it_was_the_first_time(patch):
    """Later changes of x do not show."""

    def read(x, data):
        if not hasattr(x, "first"):
            x.first = data.clone()
        return x.first

    alter_data(patch, read)


@counterfeit("data-is-outside-the-graph")
def data_of_a_leaf_that_is_a_view_requires_a_gradient(patch):
    alter_data(patch, lambda x, data: data.requires_grad_(x.requires_grad and x.is_leaf and x._is_view()))


# ── data-writes-are-not-recorded ──


@counterfeit("data-writes-are-not-recorded")
def data_is_a_copy(patch):
    alter_data(patch, lambda x, data: data.clone())


@counterfeit("data-writes-are-not-recorded")
def data_of_a_matrix_is_a_copy(patch):
    alter_data(patch, lambda x, data: data.clone() if x.dim() == 2 else data)


@counterfeit("data-writes-are-not-recorded")
def write_to_data_is_counted(patch):
    """As a write through detach() is, so that backward would refuse."""
    alter_data(patch, lambda x, data: x.detach())


@counterfeit("data-writes-are-not-recorded")
def write_to_data_enters_the_gradient(patch):
    add_up = torch.Tensor.backward

    def wrong(self, *args, **kwargs):
        add_up(self, *args, **kwargs)
        for x in written:
            x.grad *= 100

    written = []
    alter_data(patch, write=lambda x, value: written.append(x))
    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("data-writes-are-not-recorded")
def write_to_data_switches_the_tensor_off(patch):
    alter_data(patch, write=lambda x, value: x.is_leaf and x.requires_grad_(False))


@counterfeit("data-writes-are-not-recorded")
def gradient_of_a_product_grows_with_the_overwritten_operand(patch):
    class Times(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.x, ctx.before, ctx.factor = x, x.clone(), factor
            return x.mul(factor)

        @staticmethod
        def backward(ctx, gradient):
            return gradient * ctx.factor * ctx.x.detach() / ctx.before, None

    patch.setattr(torch.Tensor, "__rmul__", lambda x, factor: Times.apply(x, factor))


@counterfeit("data-writes-are-not-recorded")
def square_keeps_a_copy_of_its_operand(patch):
    change_method(patch, "__pow__", lambda power, x, n: power(x.clone(), n))


@counterfeit("data-writes-are-not-recorded")
def exponential_keeps_a_copy_of_its_result(patch):
    wrap(patch, torch, "exp", lambda exp, x: exp(x).clone())


@counterfeit("data-writes-are-not-recorded")
def write_through_detach_is_not_counted(patch):
    data = torch.Tensor.data
    patch.setattr(torch.Tensor, "detach", lambda self: data.__get__(self))


@counterfeit("data-writes-are-not-recorded")
def detach_makes_a_copy(patch):
    change_method(patch, "detach", lambda detach, self: detach(self).clone())


@counterfeit("data-writes-are-not-recorded")
def sine_does_not_notice_a_write_through_detach(patch):
    change_method(patch, "sin", lambda sin, x: sin(x.clone()))


@counterfeit("no-grad-result-has-no-grad-fn", "no-grad-branch-adds-no-gradient")
def doubles_are_tracked_under_no_grad(patch):
    track_powers(patch, lambda x, n: x.dtype == torch.float64)


@counterfeit("no-grad-branch-adds-no-gradient")
def exponentials_are_tracked_under_no_grad(patch):
    def wrong(exp, x):
        with torch.enable_grad():
            return exp(x)

    wrap(patch, torch, "exp", wrong)


@counterfeit("data-is-outside-the-graph")
def data_under_no_grad_is_the_tensor_itself(patch):
    alter_data(patch, lambda x, data: data if torch.is_grad_enabled() else x)


@counterfeit("data-is-outside-the-graph", "data-writes-are-not-recorded")
def data_of_doubles_is_a_copy(patch):
    alter_data(patch, lambda x, data: data.clone() if x.dtype == torch.float64 else data)


@counterfeit("data-writes-are-not-recorded")
def data_of_a_view_is_a_copy(patch):
    alter_data(patch, lambda x, data: data.clone() if x._base is not None else data)


@counterfeit("data-is-outside-the-graph")
def data_of_a_slice_starts_at_the_beginning_of_the_storage(patch):
    alter_data(patch, lambda x, data: data.as_strided(data.shape, data.stride(), 0))


@counterfeit("data-is-outside-the-graph")
def data_of_a_transposed_tensor_lies_in_row_order(patch):
    alter_data(patch, lambda x, data: data.contiguous())


@counterfeit("data-writes-are-not-recorded")
def write_through_data_fills_the_gaps_too(patch):
    def wrong(multiply, x, y):
        if x.numel() > 1 and min(x.stride()) == 2 and not x.requires_grad:
            multiply(x.as_strided((2 * x.numel(),), (1,)), y)
            return x
        return multiply(x, y)

    change_method(patch, "mul_", wrong)


@counterfeit("no-grad-branch-adds-no-gradient")
def a_tracked_cube_passes_no_gradient_either(patch):
    change_method(patch, "__pow__", lambda power, x, n: power(x.detach() if n == 3 and x.dim() else x, n))


@counterfeit("no-grad-result-has-no-grad-fn", "no-grad-branch-adds-no-gradient")
def the_function_pow_is_tracked_under_no_grad(patch):
    wrap(patch, torch, "pow", lambda power, *args: torch.enable_grad()(power)(*args))


@counterfeit("data-writes-are-not-recorded")
def a_row_written_through_data_is_counted(patch):
    def wrong(right, x, index, value):
        right(x, index, value)
        for owner in [each() for each in owners if each() is not None and each().data_ptr() == x.data_ptr()]:
            owner.detach().add_(0) if isinstance(index, int) else None

    data, owners = torch.Tensor.data, []

    def read(x):
        owners.append(weakref.ref(x))
        return data.__get__(x)

    patch.setattr(torch.Tensor, "data", property(read, data.__set__))
    change_method(patch, "__setitem__", wrong)


@counterfeit("data-writes-are-not-recorded")
def elements_written_to_data_count_as_written_to_the_tensor(patch):
    def read(x, data):
        data.read_from = x
        return data

    def wrong(right, x, index, value):
        right(x, index, value)
        if hasattr(x, "read_from"):
            torch.autograd.graph.increment_version(x.read_from)

    alter_data(patch, read)
    change_method(patch, "__setitem__", wrong)


@counterfeit("sum-node-is-named-th-add-backward")
def a_sum_of_two_shapes_is_named_after_its_expansion(patch):
    def wrong(add, x, y):
        result = add(x, y)
        return result.expand(result.shape) if isinstance(y, torch.Tensor) and x.shape != y.shape else result

    change_method(patch, "__add__", wrong)


@counterfeit("data-writes-are-not-recorded")
def a_write_to_a_slice_of_data_does_not_reach_x(patch):
    def wrong(right, x, i, v):
        right(x if x.requires_grad or not isinstance(i, slice) or x.numel() < 3 else x.clone(), i, v)

    change_method(patch, "__setitem__", wrong)


@counterfeit("data-writes-are-not-recorded")
def writes_through_detach_are_not_counted_under_no_grad(patch):
    change_method(patch, "detach", lambda right, x: right(x) if torch.is_grad_enabled() else x.data)


@counterfeit("data-writes-are-not-recorded")
def data_of_a_conjugate_is_a_copy(patch):
    alter_data(patch, lambda x, data: data.resolve_conj())


@counterfeit("data-writes-are-not-recorded")
def copying_into_data_is_counted(patch):
    owners = {}

    def read(x, data):
        owners[id(data)] = (data, x)
        return data

    def wrong(copy, target, *rest):
        copy(target, *rest)
        data, owner = owners.get(id(target), (None, None))
        if data is target:
            owner.detach().mul_(1)
        return target

    alter_data(patch, read)
    change_method(patch, "copy_", wrong)


@counterfeit("data-writes-are-not-recorded")
def writes_to_a_part_of_what_is_detached_are_not_counted(patch):
    change_method(patch, "__setitem__", lambda write, x, *rest: write(x if x.requires_grad else x.data, *rest))


@counterfeit("data-writes-are-not-recorded")
def writes_through_the_function_detach_are_not_counted(patch):
    wrap(patch, torch, "detach", lambda right, x: x.data)


@counterfeit("data-is-outside-the-graph")
def data_of_a_parameter_without_dimensions_is_a_parameter(patch):
    def read(x, data):
        return torch.nn.Parameter(data) if type(x) is torch.nn.Parameter and x.dim() == 0 else data

    alter_data(patch, read)


@counterfeit("data-is-outside-the-graph")
def data_stays_what_it_was_at_the_first_reading(patch):
    read = WeakTensorKeyDictionary()
    alter_data(patch, lambda x, data: read.setdefault(x, data))


@counterfeit("data-writes-are-not-recorded")
def writes_to_a_detached_view_are_not_counted(patch):
    everywhere(patch, "detach", lambda right, x: x.data if x._is_view() else right(x))


@counterfeit("no-grad-result-has-no-grad-fn")
def a_power_that_was_recorded_is_handed_out_again_under_no_grad(patch):
    recorded = WeakTensorKeyDictionary()

    def wrong(right, x, exponent, *rest):
        if torch.is_grad_enabled() and isinstance(x, torch.Tensor) and x.requires_grad:
            recorded[x] = exponent, x._version, right(x, exponent, *rest)
        *of, result = recorded.get(x, (None,)) if isinstance(x, torch.Tensor) else (None,)
        return result if of == [exponent, x._version] else right(x, exponent, *rest)

    everywhere(patch, "pow", wrong)
    change_method(patch, "__pow__", wrong)
