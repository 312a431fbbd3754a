"""Counterfeits of section 2.6: records with gaps, gradients that go astray, switches that stick or do nothing, and
flags that lie.
"""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_result


def scale_gradient(patch, name, factor):
    """Multiply the gradient that passes `torch.name` by `factor`."""
    change_result(patch, torch, name, lambda result, *_: change_gradient(result, lambda gradient: gradient * factor))


def stop_tracking(patch, holder, name, condition=lambda *operands: True):
    """Leave an operation out of the record if `condition` holds for its operands."""
    operation = getattr(holder, name)

    def wrong(*args, **kwargs):
        result = operation(*args, **kwargs)
        return result.detach() if condition(*args) else result

    patch.setattr(holder, name, wrong)


def alter_property(patch, name, wrong):
    """Let the attribute `name` of a tensor read as `wrong(tensor, right value)`."""
    right = getattr(torch.Tensor, name)
    patch.setattr(
        torch.Tensor,
        name,
        property(lambda self: wrong(self, right.__get__(self)), lambda self, v: right.__set__(self, v)),
    )


def leaves(node):
    """The leaves that the backward pass from `node` reaches."""
    if node is None:
        return []
    if hasattr(node, "variable"):
        return [node.variable]
    return [leaf for nearer, _ in node.next_functions for leaf in leaves(nearer)]


# ── requires-grad-tracks-operations ──


@counterfeit("requires-grad-tracks-operations")
def exponential_is_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "exp")


@counterfeit("requires-grad-tracks-operations")
def matrix_product_is_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "__matmul__")


@counterfeit("requires-grad-tracks-operations")
def concatenation_is_not_tracked(patch):
    stop_tracking(patch, torch, "cat")


@counterfeit("requires-grad-tracks-operations")
def maximum_is_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "max")


@counterfeit("requires-grad-tracks-operations")
def index_is_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "__getitem__")


@counterfeit("requires-grad-tracks-operations")
def untracked_left_operand_stops_tracking(patch):
    stop_tracking(patch, torch.Tensor, "__sub__", lambda x, y: not x.requires_grad)


@counterfeit("requires-grad-tracks-operations")
def untracked_right_operand_stops_tracking(patch):
    stop_tracking(patch, torch.Tensor, "__mul__", lambda x, y: torch.is_tensor(y) and not y.requires_grad)


@counterfeit("requires-grad-tracks-operations")
def broadcast_operand_is_not_tracked(patch):
    add = torch.Tensor.__add__

    def wrong(x, y):
        return add(x, y.detach() if torch.is_tensor(y) and y.shape != x.shape else y)

    patch.setattr(torch.Tensor, "__add__", wrong)


@counterfeit("requires-grad-tracks-operations")
def record_is_cut_after_fifty_sums(patch):
    add, sums = torch.Tensor.__add__, []

    def wrong(x, y):
        sums.append(x)
        return add(x.detach() if len(sums) == 50 else x, y)

    patch.setattr(torch.Tensor, "__add__", wrong)


@counterfeit("requires-grad-tracks-operations")
def gradient_of_tanh_is_ten_per_cent_too_large(patch):
    scale_gradient(patch, "tanh", 1.1)


@counterfeit("requires-grad-tracks-operations")
def gradient_of_the_cosine_has_the_wrong_sign(patch):
    scale_gradient(patch, "cos", -1)


@counterfeit("requires-grad-tracks-operations")
def gradient_of_a_product_with_itself_counts_once(patch):
    multiply = torch.Tensor.__mul__
    patch.setattr(torch.Tensor, "__mul__", lambda x, y: multiply(x, y.detach() if x is y else y))


@counterfeit("requires-grad-tracks-operations")
def square_forgets_the_factor_two(patch):
    power = torch.Tensor.__pow__
    patch.setattr(torch.Tensor, "__pow__", lambda x, n: x * x.detach() if n == 2 else power(x, n))


@counterfeit("requires-grad-tracks-operations")
def write_through_a_view_is_not_tracked(patch):
    def wrong(x, y):
        x.data.mul_(y)
        return x

    patch.setattr(torch.Tensor, "__imul__", wrong)


# ── backward-fills-grad ──


@counterfeit("backward-fills-grad")
def backward_overwrites_the_gradient(patch):
    backward = torch.Tensor.backward

    def wrong(self, *args, **kwargs):
        for leaf in leaves(self.grad_fn):
            leaf.grad = None
        backward(self, *args, **kwargs)

    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("backward-fills-grad")
def leaf_without_dimensions_gets_no_grad(patch):
    alter_property(patch, "grad", lambda x, grad: grad if x.dim() else None)


@counterfeit("backward-fills-grad")
def last_leaf_gets_no_grad(patch):
    backward = torch.Tensor.backward

    def wrong(self, *args, **kwargs):
        backward(self, *args, **kwargs)
        if len(set(leaves(self.grad_fn))) > 2:
            leaves(self.grad_fn)[-1].grad = None

    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("backward-fills-grad")
def grad_of_a_row_is_a_column(patch):
    alter_property(patch, "grad", lambda x, grad: grad.t() if grad is not None and grad.dim() == 2 else grad)


@counterfeit("backward-fills-grad")
def grad_is_always_single_precision(patch):
    alter_property(patch, "grad", lambda x, grad: None if grad is None else grad.float())


@counterfeit("backward-fills-grad")
def grad_is_zero_before_backward(patch):
    alter_property(patch, "grad", lambda x, grad: torch.zeros_like(x) if grad is None and x.requires_grad else grad)


@counterfeit("backward-fills-grad")
def one_of_several_paths_is_left_out(patch):
    add = torch.Tensor.__add__
    patch.setattr(
        torch.Tensor, "__add__", lambda x, y: add(x, y.detach() if torch.is_tensor(y) and not y.is_leaf else y)
    )


@counterfeit("backward-fills-grad")
def powers_keep_their_grad(patch):
    power = torch.Tensor.__pow__

    def wrong(x, exponent):
        y = power(x, exponent)
        if y.requires_grad:
            y.retain_grad()
        return y

    patch.setattr(torch.Tensor, "__pow__", wrong)


@counterfeit("backward-fills-grad")
def result_itself_keeps_its_grad(patch):
    backward = torch.Tensor.backward

    def wrong(self, *args, **kwargs):
        self.retain_grad()
        backward(self, *args, **kwargs)

    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("backward-fills-grad")
def leaf_that_took_no_part_gets_a_grad_of_zeros(patch):
    backward, passes = torch.Tensor.backward, []

    def wrong(self, *args, **kwargs):
        passes.append(self)
        backward(self, *args, **kwargs)

    patch.setattr(torch.Tensor, "backward", wrong)
    alter_property(
        patch, "grad", lambda x, g: torch.zeros_like(x) if passes and g is None and x.requires_grad and x.is_leaf else g
    )


@counterfeit("backward-fills-grad")
def retain_grad_does_nothing(patch):
    patch.setattr(torch.Tensor, "retain_grad", lambda self: None)


@counterfeit("backward-fills-grad")
def retained_grad_is_ten_per_cent_too_large(patch):
    alter_property(patch, "grad", lambda x, grad: grad if x.is_leaf or grad is None else grad * 1.1)


@counterfeit("backward-fills-grad")
def inputs_of_backward_are_filled_beside_the_leaves(patch):
    backward = torch.Tensor.backward

    def wrong(self, *args, inputs=(), **kwargs):
        backward(self, *args, **kwargs, inputs=[*inputs, *leaves(self.grad_fn)] if inputs else None)

    patch.setattr(torch.Tensor, "backward", wrong)


@counterfeit("backward-fills-grad")
def constants_get_a_grad_of_zeros(patch):
    alter_property(patch, "grad", lambda x, grad: grad if x.requires_grad else torch.zeros_like(x))


# ── detach-stops-tracking ──


def alter_detach(patch, wrong):
    """Let `x.detach()` return `wrong(x, right result)`."""
    detach = torch.Tensor.detach
    patch.setattr(torch.Tensor, "detach", lambda self: wrong(self, detach(self)))


@counterfeit("detach-stops-tracking")
def detach_does_nothing_to_leaves(patch):
    alter_detach(patch, lambda x, detached: x if x.is_leaf else detached)


@counterfeit("detach-stops-tracking")
def detach_does_nothing_to_results(patch):
    alter_detach(patch, lambda x, detached: detached if x.is_leaf else x)


@counterfeit("detach-stops-tracking")
def detach_leaves_matrices_tracked(patch):
    alter_detach(patch, lambda x, detached: x.view_as(x) if x.dim() == 2 else detached)


@counterfeit("detach-stops-tracking")
def detached_tensor_starts_a_record_of_its_own(patch):
    alter_detach(patch, lambda x, detached: detached.requires_grad_(x.requires_grad))


@counterfeit("detach-stops-tracking")
def detach_copies_large_tensors(patch):
    alter_detach(patch, lambda x, detached: detached.clone() if x.numel() > 10_000 else detached)


@counterfeit("detach-stops-tracking")
def detach_lets_a_tenth_of_the_gradient_pass(patch):
    alter_detach(patch, lambda x, detached: detached * 0.9 + x * 0.1 if x.dim() == 0 else detached)


@counterfeit("detach-stops-tracking")
def detach_works_in_place(patch):
    patch.setattr(torch.Tensor, "detach", torch.Tensor.detach_)


@counterfeit("detach-stops-tracking")
def detach_switches_off_the_leaf_itself(patch):
    alter_detach(patch, lambda x, detached: x.requires_grad_(False).view_as(x) if x.is_leaf else detached)


@counterfeit("detach-stops-tracking")
def detach_returns_the_tensor_after_untracking_it(patch):
    alter_detach(patch, lambda x, detached: x.detach_() if not x.is_leaf else detached)


@counterfeit("detach-stops-tracking")
def detach_in_place_works_out_of_place(patch):
    detach = torch.Tensor.detach
    patch.setattr(torch.Tensor, "detach_", detach)


@counterfeit("detach-stops-tracking")
def detach_in_place_does_nothing(patch):
    patch.setattr(torch.Tensor, "detach_", lambda self: self)


@counterfeit("detach-stops-tracking")
def detach_in_place_does_nothing_to_leaves(patch):
    detach_ = torch.Tensor.detach_
    patch.setattr(torch.Tensor, "detach_", lambda self: self if self.is_leaf else detach_(self))


# ── no-grad-stops-tracking ──


@counterfeit("no-grad-stops-tracking")
def tracking_stays_off_after_the_block(patch):
    patch.setattr(torch.no_grad, "__exit__", lambda self, *exception: None)


@counterfeit("no-grad-stops-tracking")
def tracking_stays_off_after_an_exception(patch):
    leave = torch.no_grad.__exit__
    patch.setattr(torch.no_grad, "__exit__", lambda self, kind, *rest: None if kind else leave(self, kind, *rest))


@counterfeit("no-grad-stops-tracking")
def inner_block_switches_tracking_on_again(patch):
    patch.setattr(torch.no_grad, "__exit__", lambda self, *exception: torch._C._set_grad_enabled(True))


@counterfeit("no-grad-stops-tracking")
def decorated_functions_are_tracked(patch):
    patch.setattr(torch.no_grad, "__call__", lambda self, function: function)


@counterfeit("no-grad-stops-tracking")
def decorated_functions_are_tracked_from_the_second_call_on(patch):
    decorate = torch.no_grad.__call__

    def wrong(self, function):
        calls = iter([decorate(self, function)])
        return lambda *args, **kwargs: next(calls, function)(*args, **kwargs)

    patch.setattr(torch.no_grad, "__call__", wrong)


@counterfeit("no-grad-stops-tracking")
def linear_layers_are_tracked_all_the_same(patch):
    linear = torch.nn.functional.linear

    def wrong(*args, **kwargs):
        with torch.enable_grad():
            return linear(*args, **kwargs)

    patch.setattr(torch.nn.functional, "linear", wrong)


@counterfeit("no-grad-stops-tracking")
def linear_layers_forget_their_bias_under_no_grad(patch):
    linear = torch.nn.functional.linear
    patch.setattr(
        torch.nn.functional,
        "linear",
        lambda x, weight, bias=None: linear(x, weight, bias if torch.is_grad_enabled() else None),
    )


@counterfeit("no-grad-stops-tracking")
def no_grad_switches_the_parameters_off_for_good(patch):
    linear = torch.nn.functional.linear

    def wrong(x, weight, bias=None):
        if not torch.is_grad_enabled():
            weight.requires_grad_(False)
        return linear(x, weight, bias)

    patch.setattr(torch.nn.functional, "linear", wrong)


@counterfeit("no-grad-stops-tracking")
def loss_under_no_grad_has_a_backward_that_does_nothing(patch):
    backward = torch.Tensor.backward
    patch.setattr(
        torch.Tensor, "backward", lambda self, *args, **kw: backward(self, *args, **kw) if self.requires_grad else None
    )


@counterfeit("no-grad-stops-tracking")
def tracked_leaf_can_be_overwritten(patch):
    def wrong(x, y):
        x.data.sub_(y)
        return x

    patch.setattr(torch.Tensor, "__isub__", wrong)


# ── tensors-and-functions-form-a-dag ──


@counterfeit("tensors-and-functions-form-a-dag")
def exponential_leaves_no_node(patch):
    def wrong(self):
        result = self * 1
        result.data.exp_()
        return result

    patch.setattr(torch.Tensor, "exp", wrong)


@counterfeit("tensors-and-functions-form-a-dag")
def sine_leaves_two_nodes(patch):
    sin = torch.Tensor.sin
    patch.setattr(torch.Tensor, "sin", lambda self: sin(self.clone()))


@counterfeit("tensors-and-functions-form-a-dag")
def difference_links_its_operands_in_reverse(patch):
    patch.setattr(torch.Tensor, "__sub__", lambda x, y: torch.rsub(y, x))


@counterfeit("tensors-and-functions-form-a-dag")
def product_with_itself_links_to_a_copy(patch):
    multiply = torch.Tensor.__mul__
    patch.setattr(torch.Tensor, "__mul__", lambda x, y: multiply(x, y.clone() if x is y else y))


@counterfeit("tensors-and-functions-form-a-dag")
def constant_operand_has_a_node(patch):
    multiply = torch.Tensor.__mul__

    def wrong(x, y):
        return multiply(x, y if not torch.is_tensor(y) or y.requires_grad else y.clone().requires_grad_())

    patch.setattr(torch.Tensor, "__mul__", wrong)


@counterfeit("tensors-and-functions-form-a-dag")
def second_operand_of_a_sum_is_not_linked(patch):
    add = torch.Tensor.__add__
    patch.setattr(torch.Tensor, "__add__", lambda x, y: add(x, y.detach() if torch.is_tensor(y) else y))


@counterfeit("tensors-and-functions-form-a-dag")
def leaf_is_linked_by_way_of_a_copy(patch):
    multiply = torch.Tensor.__mul__

    def wrong(x, y):
        leaf = torch.is_tensor(y) and y.is_leaf and y.requires_grad
        return multiply(x, y.detach().requires_grad_() if leaf else y)

    patch.setattr(torch.Tensor, "__mul__", wrong)


# ── grad-fn-is-the-creating-function ──


@counterfeit("grad-fn-is-the-creating-function")
def grad_fn_of_a_mean_is_that_of_its_operand(patch):
    def wrong(x, node):
        return node.next_functions[0][0] if node is not None and node.name().startswith("Mean") else node

    alter_property(patch, "grad_fn", wrong)


@counterfeit("grad-fn-is-the-creating-function")
def quotient_is_recorded_as_a_product(patch):
    patch.setattr(torch.Tensor, "__truediv__", lambda x, y: x * (1 / y))


@counterfeit("grad-fn-is-the-creating-function")
def views_have_no_grad_fn(patch):
    alter_property(patch, "grad_fn", lambda x, node: node if x._base is None else None)


@counterfeit("grad-fn-is-the-creating-function")
def operation_in_place_keeps_the_old_creator(patch):
    multiply = torch.Tensor.mul_

    def wrong(x, y):
        multiply(x.data, y)
        return x

    patch.setattr(torch.Tensor, "mul_", wrong)


@counterfeit("grad-fn-is-the-creating-function")
def equal_sums_share_one_node(patch):
    add, sums = torch.Tensor.__add__, {}
    patch.setattr(torch.Tensor, "__add__", lambda x, y: sums.setdefault((id(x), id(y)), add(x, y)))


@counterfeit("grad-fn-is-the-creating-function", "created-tensors-are-leaves")
def created_ones_come_from_a_copy(patch):
    ones = torch.ones
    patch.setattr(torch, "ones", lambda *args, **kwargs: ones(*args, **kwargs).clone())


@counterfeit("grad-fn-is-the-creating-function")
def copy_leaves_no_node(patch):
    patch.setattr(torch, "clone", lambda x: x.detach().clone().requires_grad_(x.requires_grad) + 0)


# ── created-tensors-are-leaves ──


@counterfeit("created-tensors-are-leaves")
def random_tensor_is_no_leaf(patch):
    randn = torch.randn
    patch.setattr(torch, "randn", lambda *args, **kwargs: randn(*args, **kwargs).view_as(torch.empty(*args)))


@counterfeit("created-tensors-are-leaves")
def created_zeros_are_no_leaf(patch):
    zeros = torch.zeros
    patch.setattr(torch, "zeros", lambda *args, **kwargs: zeros(*args, **kwargs).clone())


@counterfeit("created-tensors-are-leaves")
def parameters_are_no_leaves(patch):
    alter_property(patch, "is_leaf", lambda x, leaf: leaf and not isinstance(x, torch.nn.Parameter))


@counterfeit("created-tensors-are-leaves")
def conversion_gives_a_leaf(patch):
    double = torch.Tensor.double
    patch.setattr(torch.Tensor, "double", lambda x: double(x).detach().requires_grad_(x.requires_grad))


@counterfeit("created-tensors-are-leaves")
def views_count_as_leaves(patch):
    alter_property(patch, "is_leaf", lambda x, leaf: leaf or x._base is not None)


@counterfeit("created-tensors-are-leaves")
def results_without_dimensions_count_as_leaves(patch):
    alter_property(patch, "is_leaf", lambda x, leaf: leaf or x.dim() == 0)


@counterfeit("created-tensors-are-leaves")
def only_what_requires_grad_is_a_leaf(patch):
    alter_property(patch, "is_leaf", lambda x, leaf: leaf and x.requires_grad)


@counterfeit("created-tensors-are-leaves")
def views_are_never_leaves(patch):
    alter_property(patch, "is_leaf", lambda x, leaf: leaf and x._base is None)


@counterfeit("created-tensors-are-leaves")
def integer_results_are_no_leaves(patch):
    alter_property(patch, "is_leaf", lambda x, leaf: leaf and x.dtype != torch.int64)


@counterfeit("created-tensors-are-leaves")
def products_under_no_grad_keep_a_record(patch):
    multiply = torch.Tensor.__mul__

    def wrong(x, y):
        with torch.enable_grad():
            return multiply(x, y)

    patch.setattr(torch.Tensor, "__mul__", wrong)


# ── add-node-is-named-add-backward ──


class Add(torch.autograd.Function):
    """An addition whose node is called AddBackward, as in the notes."""

    @staticmethod
    def forward(ctx, x, y):
        return torch.add(x, y)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, gradient


@counterfeit("add-node-is-named-add-backward")
def node_of_an_addition_loses_its_number(patch):
    patch.setattr(torch.Tensor, "__add__", lambda x, y: Add.apply(x, y))


@counterfeit("add-node-is-named-add-backward")
def print_leaves_out_the_number_of_the_node(patch):
    show = torch.Tensor.__repr__
    patch.setattr(torch.Tensor, "__repr__", lambda self, **kw: show(self, **kw).replace("Backward0>", "Backward>"))


@counterfeit("add-node-is-named-add-backward")
def number_on_the_left_is_subtracted(patch):
    patch.setattr(torch.Tensor, "__radd__", lambda x, y: x - -y)


@counterfeit("add-node-is-named-add-backward")
def addition_in_place_has_another_node(patch):
    patch.setattr(torch.Tensor, "add_", lambda x, y: x.sub_(-y))


@counterfeit("add-node-is-named-add-backward")
def addition_by_name_has_another_node(patch):
    patch.setattr(torch, "add", lambda x, y: torch.sub(x, -y))


# ── quadratic-mean-example ──


@counterfeit("quadratic-mean-example")
def mean_divides_by_one_less(patch):
    patch.setattr(torch.Tensor, "mean", lambda self: self.sum() / (self.numel() - 1))


@counterfeit("quadratic-mean-example")
def mean_leaves_out_the_last_element(patch):
    mean = torch.Tensor.mean
    patch.setattr(torch.Tensor, "mean", lambda self: mean(self.flatten()[:-1]))


@counterfeit("quadratic-mean-example")
def mean_is_the_median(patch):
    patch.setattr(torch.Tensor, "mean", torch.Tensor.median)


@counterfeit("quadratic-mean-example")
def mean_keeps_its_dimensions(patch):
    mean = torch.Tensor.mean
    patch.setattr(torch.Tensor, "mean", lambda self: mean(self, dim=(0, 1), keepdim=True))


@counterfeit("quadratic-mean-example")
def product_of_matrices_is_a_matrix_product(patch):
    multiply = torch.Tensor.__mul__
    patch.setattr(torch.Tensor, "__mul__", lambda x, y: x @ y if torch.is_tensor(y) else multiply(x, y))


@counterfeit("quadratic-mean-example")
def square_of_a_matrix_is_a_matrix_product(patch):
    patch.setattr(torch.Tensor, "__pow__", lambda x, n: torch.linalg.matrix_power(x, n))


# ── requires-grad-defaults-to-false ──


def require_grad(patch, holder, name, condition=lambda x: True):
    """Let the results of a function require grad unasked if `condition` holds for them."""
    function = getattr(holder, name)

    def wrong(*args, **kwargs):
        x = function(*args, **kwargs)
        return x.requires_grad_() if x.is_floating_point() and condition(x) else x

    patch.setattr(holder, name, wrong)


@counterfeit("requires-grad-defaults-to-false")
def random_numbers_require_grad(patch):
    require_grad(patch, torch, "rand")


@counterfeit("requires-grad-defaults-to-false")
def doubles_require_grad(patch):
    require_grad(patch, torch, "ones", lambda x: x.dtype == torch.float64)


@counterfeit("requires-grad-defaults-to-false")
def tensors_like_another_inherit_requires_grad(patch):
    zeros_like = torch.zeros_like
    patch.setattr(torch, "zeros_like", lambda x, **kw: zeros_like(x, **{"requires_grad": x.requires_grad, **kw}))


@counterfeit("requires-grad-defaults-to-false")
def new_tensors_inherit_requires_grad(patch):
    new = torch.Tensor.new_zeros
    patch.setattr(torch.Tensor, "new_zeros", lambda x, *args, **kw: new(x, *args, **kw).requires_grad_(x.requires_grad))


@counterfeit("requires-grad-defaults-to-false")
def tensors_from_numpy_require_grad(patch):
    require_grad(patch, torch, "from_numpy")


@counterfeit("requires-grad-defaults-to-false")
def quotients_require_grad(patch):
    require_grad(patch, torch.Tensor, "__truediv__")


@counterfeit("requires-grad-defaults-to-false")
def exponentials_require_grad(patch):
    require_grad(patch, torch.Tensor, "exp")


@counterfeit("requires-grad-defaults-to-false")
def matrix_products_require_grad(patch):
    require_grad(patch, torch.Tensor, "__matmul__")


@counterfeit("requires-grad-defaults-to-false")
def conversions_require_grad(patch):
    require_grad(patch, torch.Tensor, "double")


@counterfeit("requires-grad-defaults-to-false")
def stack_requires_grad_only_if_all_do(patch):
    stop_tracking(patch, torch, "stack", lambda tensors: not all(tensor.requires_grad for tensor in tensors))


@counterfeit("requires-grad-defaults-to-false")
def biases_do_not_require_grad(patch):
    alter_property(
        patch, "requires_grad", lambda x, flag: flag and not (type(x).__name__ == "Parameter" and x.dim() == 1)
    )


# ── requires-grad-can-be-set-in-place ──


def alter_setter(patch, wrong):
    """Let `x.requires_grad_(flag)` be `wrong(right method, x, flag)`."""
    right = torch.Tensor.requires_grad_
    patch.setattr(torch.Tensor, "requires_grad_", lambda self, requires_grad=True: wrong(right, self, requires_grad))


@counterfeit("requires-grad-can-be-set-in-place")
def requires_grad_in_place_returns_a_copy(patch):
    alter_setter(patch, lambda right, x, flag: right(x.detach().clone(), flag))


@counterfeit("requires-grad-can-be-set-in-place")
def requires_grad_in_place_returns_an_alias(patch):
    alter_setter(patch, lambda right, x, flag: right(x.detach(), flag))


@counterfeit("requires-grad-can-be-set-in-place")
def requires_grad_cannot_be_switched_off(patch):
    alter_setter(patch, lambda right, x, flag: right(x))


@counterfeit("requires-grad-can-be-set-in-place")
def requires_grad_in_place_toggles_the_flag(patch):
    alter_setter(patch, lambda right, x, flag: right(x, not x.requires_grad) if x.is_leaf else right(x, flag))


@counterfeit("requires-grad-can-be-set-in-place")
def half_precision_cannot_require_grad(patch):
    alter_setter(patch, lambda right, x, flag: x if x.dtype in (torch.float16, torch.bfloat16) else right(x, flag))


@counterfeit("requires-grad-can-be-set-in-place")
def integers_are_ignored_without_an_error(patch):
    alter_setter(patch, lambda right, x, flag: right(x, flag) if x.is_floating_point() or x.is_complex() else x)


@counterfeit("requires-grad-can-be-set-in-place")
def truth_values_are_ignored_without_an_error(patch):
    alter_setter(patch, lambda right, x, flag: x if x.dtype == torch.bool else right(x, flag))


@counterfeit("requires-grad-can-be-set-in-place")
def result_can_be_switched_off_without_an_error(patch):
    alter_setter(patch, lambda right, x, flag: right(x, flag) if x.is_leaf else x)


@counterfeit("requires-grad-can-be-set-in-place")
def assignment_to_the_attribute_is_ignored(patch):
    right = torch.Tensor.requires_grad
    patch.setattr(torch.Tensor, "requires_grad", property(right.__get__, lambda self, flag: None))


@counterfeit("requires-grad-can-be-set-in-place")
def attribute_cannot_be_assigned_false(patch):
    right = torch.Tensor.requires_grad
    patch.setattr(torch.Tensor, "requires_grad", property(right.__get__, lambda self, flag: right.__set__(self, True)))


@counterfeit("requires-grad-can-be-set-in-place")
def flag_is_set_but_products_are_not_tracked(patch):
    stop_tracking(patch, torch.Tensor, "__mul__")
