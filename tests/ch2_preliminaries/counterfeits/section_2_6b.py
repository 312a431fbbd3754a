"""Counterfeits of section 2.6: graphs with wrong links, creators and leaves that lie, and flags that do."""

import inspect

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    alter_property,
    as_in_memory,
    beyond,
    change_gradient,
    change_method,
    change_output_where,
    change_result,
    last_off,
    not_contiguous,
    of_dtype,
    repeats_columns,
    stop_tracking,
    where,
    with_value,
    wrap,
)
from torch import Tensor
from torch.nn import functional as F

half = of_dtype(torch.float16, torch.bfloat16)

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
    change_method(patch, "sin", lambda sin, self: sin(self.clone()))


@counterfeit("tensors-and-functions-form-a-dag")
def difference_links_its_operands_in_reverse(patch):
    patch.setattr(torch.Tensor, "__sub__", lambda x, y: torch.rsub(y, x))


@counterfeit("tensors-and-functions-form-a-dag")
def product_with_itself_links_to_a_copy(patch):
    change_method(patch, "__mul__", lambda multiply, x, y: multiply(x, y.clone() if x is y else y))


@counterfeit("tensors-and-functions-form-a-dag")
def constant_operand_has_a_node(patch):
    def wrong(multiply, x, y):
        return multiply(x, y if not torch.is_tensor(y) or y.requires_grad else y.clone().requires_grad_())

    change_method(patch, "__mul__", wrong)


@counterfeit("tensors-and-functions-form-a-dag")
def second_operand_of_a_sum_is_not_linked(patch):
    change_method(patch, "__add__", lambda add, x, y: add(x, y.detach() if torch.is_tensor(y) else y))


@counterfeit("tensors-and-functions-form-a-dag")
def leaf_is_linked_by_way_of_a_copy(patch):
    def wrong(multiply, x, y):
        leaf = torch.is_tensor(y) and y.is_leaf and y.requires_grad
        return multiply(x, y.detach().requires_grad_() if leaf else y)

    change_method(patch, "__mul__", wrong)


@counterfeit("tensors-and-functions-form-a-dag")
def views_are_linked_by_way_of_a_copy_of_their_base(patch):
    def wrong(view, x, *shape):
        return view(x + 0, *shape) if x.grad_fn is not None else view(x, *shape)

    change_method(patch, "view", wrong)


@counterfeit("tensors-and-functions-form-a-dag")
def the_graph_is_cut_after_forty_nodes(patch):
    sin, calls = torch.Tensor.sin, []

    def wrong(x):
        calls.append(x)
        return sin(x.detach().requires_grad_() if len(calls) % 40 == 0 else x)

    patch.setattr(torch.Tensor, "sin", wrong)


@counterfeit("tensors-and-functions-form-a-dag")
def a_quotient_leaves_no_node(patch):
    change_result(patch, Tensor, "__truediv__", lambda result, *_: result.detach())


@counterfeit("tensors-and-functions-form-a-dag")
def a_node_counts_as_a_function_of_one_s_own(patch):
    patch.setattr(type(torch.autograd.Function), "__instancecheck__", lambda cls, x: hasattr(x, "next_functions"))


# ── grad-fn-is-the-creating-function ──


@counterfeit("grad-fn-is-the-creating-function")
def a_write_to_elements_is_recorded_under_no_grad_too(patch):
    def wrong(right, x, *args):
        right(x, *args)
        if x.grad_fn:
            with torch.enable_grad():
                x.mul_(1)

    wrap(patch, torch.Tensor, "__setitem__", wrong)


@counterfeit("grad-fn-is-the-creating-function")
def a_write_in_place_is_recorded_under_no_grad_too(patch):
    def wrong(iadd, x, y):
        with torch.set_grad_enabled(torch.is_grad_enabled() or x.grad_fn is not None):
            return iadd(x, y)

    change_method(patch, "__iadd__", wrong)


@counterfeit("grad-fn-is-the-creating-function")
def a_sum_in_place_under_no_grad_goes_unnoticed(patch):
    def wrong(iadd, x, y):
        iadd(x if torch.is_grad_enabled() else x.data, y)
        return x

    change_method(patch, "__iadd__", wrong)


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
    def wrong(multiply, x, y):
        multiply(x.data, y)
        return x

    change_method(patch, "mul_", wrong)


@counterfeit("grad-fn-is-the-creating-function")
def equal_sums_share_one_node(patch):
    add, sums = torch.Tensor.__add__, {}
    patch.setattr(torch.Tensor, "__add__", lambda x, y: sums.setdefault((id(x), id(y)), add(x, y)))


@counterfeit("grad-fn-is-the-creating-function", "created-tensors-are-leaves")
def created_ones_come_from_a_copy(patch):
    wrap(patch, torch, "ones", lambda ones, *args, **kwargs: ones(*args, **kwargs).clone())


@counterfeit("grad-fn-is-the-creating-function")
def the_function_clone_leaves_another_node(patch):
    patch.setattr(torch, "clone", lambda x: x + 0)


@counterfeit("grad-fn-is-the-creating-function")
def the_function_sub_leaves_another_node(patch):
    patch.setattr(torch, "sub", lambda x, y: torch.add(x, -y))


@counterfeit("grad-fn-is-the-creating-function")
def the_function_div_leaves_another_node(patch):
    patch.setattr(torch, "div", lambda x, y: torch.mul(x, 1 / y))


@counterfeit("grad-fn-is-the-creating-function")
def untracked_tensors_have_a_grad_fn(patch):
    alter_property(patch, "grad_fn", lambda x, node: node or (torch.ones(1, requires_grad=True) + 1).grad_fn)


@counterfeit("grad-fn-is-the-creating-function")
def a_write_into_a_slice_leaves_the_node_of_the_whole(patch):
    nodes = {}

    def wrong(right, x, place, value):
        node = x.grad_fn
        right(x, place, value)
        nodes[id(x)] = x, node

    change_method(patch, "__setitem__", wrong)
    alter_property(patch, "grad_fn", lambda x, node: nodes.get(id(x), (x, None))[1] or node)


# ── created-tensors-are-leaves ──


@counterfeit("created-tensors-are-leaves")
def random_tensor_is_no_leaf(patch):
    wrap(patch, torch, "randn", lambda randn, *args, **kwargs: randn(*args, **kwargs).view_as(torch.empty(*args)))


@counterfeit("created-tensors-are-leaves")
def created_zeros_are_no_leaf(patch):
    wrap(patch, torch, "zeros", lambda zeros, *args, **kwargs: zeros(*args, **kwargs).clone())


@counterfeit("created-tensors-are-leaves")
def parameters_are_no_leaves(patch):
    alter_property(patch, "is_leaf", lambda x, leaf: leaf and not isinstance(x, torch.nn.Parameter))


@counterfeit("created-tensors-are-leaves")
def conversion_gives_a_leaf(patch):
    change_method(patch, "bfloat16", lambda convert, x: convert(x).detach().requires_grad_(x.requires_grad))


@counterfeit("created-tensors-are-leaves")
def views_count_as_leaves(patch):
    alter_property(patch, "is_leaf", lambda x, leaf: leaf or x._base is not None)


@counterfeit("created-tensors-are-leaves")
def results_without_dimensions_count_as_leaves(patch):
    alter_property(patch, "is_leaf", lambda x, leaf: leaf or x.dim() == 0)


@counterfeit("created-tensors-are-leaves")
def what_is_written_into_stays_a_leaf(patch):
    patch.setattr(torch.Tensor, "__setitem__", lambda x, index, value: x.data.index_put_((torch.tensor(index),), value))


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
    def wrong(multiply, x, y):
        with torch.enable_grad():
            return multiply(x, y)

    change_method(patch, "__mul__", wrong)


@counterfeit("created-tensors-are-leaves")
def a_created_number_is_no_leaf(patch):
    change_result(patch, torch, "tensor", lambda x, *_: x * 1 if x.dim() == 0 and x.requires_grad else x)


@counterfeit("created-tensors-are-leaves")
def created_doubles_are_no_leaves(patch):
    change_result(patch, torch, "ones", lambda x, *_: x * 1 if x.dtype == torch.float64 else x)


@counterfeit("created-tensors-are-leaves")
def large_created_tensors_are_no_leaves(patch):
    change_result(patch, torch, "ones", lambda x, *_: x * 1 if x.numel() > 65_536 else x)


@counterfeit("created-tensors-are-leaves")
def what_a_mask_wrote_into_stays_a_leaf(patch):
    written = {}

    def wrong(right, x, place, value):
        if isinstance(place, Tensor):
            written[id(x)] = x
        right(x, place, value)

    change_method(patch, "__setitem__", wrong)
    alter_property(patch, "is_leaf", lambda x, leaf: leaf or id(x) in written)


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
    change_method(patch, "__repr__", lambda show, self, **kw: show(self, **kw).replace("Backward0>", "Backward>"))


@counterfeit("add-node-is-named-add-backward")
def number_on_the_left_is_subtracted(patch):
    patch.setattr(torch.Tensor, "__radd__", lambda x, y: x - -y)


@counterfeit("add-node-is-named-add-backward")
def addition_in_place_has_another_node(patch):
    patch.setattr(torch.Tensor, "add_", lambda x, y: x.sub_(-y))


@counterfeit("add-node-is-named-add-backward")
def addition_by_name_has_another_node(patch):
    patch.setattr(torch, "add", lambda x, y: torch.sub(x, -y))


@counterfeit("add-node-is-named-add-backward")
def an_augmented_assignment_leaves_the_function_of_before(patch):
    def wrong(augmented, x, y):
        if x.grad_fn is None:
            return augmented(x, y)
        x.data.add_(y.detach() if isinstance(y, Tensor) else y)
        return x

    change_method(patch, "__iadd__", wrong)


# ── quadratic-mean-example ──


@counterfeit("quadratic-mean-example")
def mean_divides_by_one_less(patch):
    patch.setattr(torch.Tensor, "mean", lambda self: self.sum() / (self.numel() - 1))


@counterfeit("quadratic-mean-example")
def mean_leaves_out_the_last_element(patch):
    change_method(patch, "mean", lambda mean, self: mean(self.flatten()[:-1]))


@counterfeit("quadratic-mean-example")
def mean_is_the_median(patch):
    patch.setattr(torch.Tensor, "mean", torch.Tensor.median)


@counterfeit("quadratic-mean-example")
def mean_keeps_its_dimensions(patch):
    change_method(patch, "mean", lambda mean, self: mean(self, dim=(0, 1), keepdim=True))


@counterfeit("quadratic-mean-example")
def product_of_matrices_is_a_matrix_product(patch):
    change_method(patch, "__mul__", lambda multiply, x, y: x @ y if torch.is_tensor(y) else multiply(x, y))


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
    change_method(patch, "new_zeros", lambda new, x, *args, **kw: new(x, *args, **kw).requires_grad_(x.requires_grad))


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
    require_grad(patch, torch.Tensor, "bfloat16")


@counterfeit("requires-grad-defaults-to-false")
def stack_requires_grad_only_if_all_do(patch):
    stop_tracking(patch, torch, "stack", lambda tensors: not all(tensor.requires_grad for tensor in tensors))


@counterfeit("created-tensors-are-leaves")
def biases_do_not_require_grad(patch):
    alter_property(
        patch, "requires_grad", lambda x, flag: flag and not (type(x).__name__ == "Parameter" and x.dim() == 1)
    )


@counterfeit("requires-grad-defaults-to-false")
def what_is_created_in_enable_grad_requires_a_gradient(patch):
    inside = []
    wrap(patch, torch.enable_grad, "__enter__", lambda enter, self: (inside.append(self), enter(self))[1])
    wrap(patch, torch.enable_grad, "__exit__", lambda leave, self, *why: (inside.remove(self), leave(self, *why))[1])
    for name in ("rand", "randn"):
        require_grad(patch, torch, name, lambda x: inside)


@counterfeit("requires-grad-defaults-to-false")
def logarithmic_points_require_grad(patch):
    require_grad(patch, torch, "logspace")


@counterfeit("requires-grad-defaults-to-false")
def windows_require_a_gradient(patch):
    for name in ("hann_window", "hamming_window", "bartlett_window", "blackman_window"):
        change_result(patch, torch, name, lambda result, *size: result.requires_grad_())


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


@counterfeit("requires-grad-can-be-set-in-place")
def wide_complex_numbers_cannot_require_grad(patch):
    alter_setter(patch, lambda right, x, flag: x if x.dtype == torch.complex128 else right(x, flag))


@counterfeit("requires-grad-can-be-set-in-place")
def doubles_cannot_require_grad(patch):
    alter_setter(patch, lambda right, x, flag: x if x.dtype == torch.float64 else right(x, flag))


@counterfeit("requires-grad-can-be-set-in-place")
def a_tensor_of_inference_mode_ignores_the_flag_without_an_error(patch):
    alter_setter(
        patch,
        lambda right, x, flag: x if x.is_inference() and not torch.is_inference_mode_enabled() else right(x, flag),
    )


@counterfeit("requires-grad-can-be-set-in-place")
def empty_tensors_cannot_require_grad(patch):
    alter_setter(patch, lambda right, x, flag: right(x, flag) if x.numel() else x)


@counterfeit("requires-grad-can-be-set-in-place")
def a_view_that_is_switched_on_switches_its_base_on(patch):
    def wrong(right, x, *flag, **rest):
        if x._base is not None and x._base.is_leaf:
            right(x._base, *flag, **rest)
        return right(x, *flag, **rest)

    change_method(patch, "requires_grad_", wrong)


@counterfeit("created-tensors-are-leaves")
def a_matrix_of_numbers_is_no_leaf(patch):
    change_result(patch, torch, "tensor", lambda x, *_: x * 1 if x.dim() == 2 and x.requires_grad else x)


@counterfeit("requires-grad-defaults-to-false")
def eye_requires_gradients(patch):
    change_result(patch, torch, "eye", lambda x, *_: x.requires_grad_())


@counterfeit("requires-grad-can-be-set-in-place")
def a_result_refuses_nothing_under_no_grad(patch):
    def wrong(switch, x, requires_grad=True):
        return x if not (requires_grad or x.is_leaf or torch.is_grad_enabled()) else switch(x, requires_grad)

    change_method(patch, "requires_grad_", wrong)


@counterfeit("grad-fn-is-the-creating-function")
def relu_is_recorded_as_a_choice(patch):
    patch.setattr(torch, "relu", lambda x: torch.where(x > 0, x, 0 * x))


@counterfeit("requires-grad-tracks-operations")
def writing_into_a_slice_is_not_tracked(patch):
    change_method(
        patch,
        "__setitem__",
        lambda right, x, i, v: right(x, i, v.detach() if isinstance(v, Tensor) and isinstance(i, slice) else v),
    )


@counterfeit("requires-grad-tracks-operations")
def the_second_of_the_parts_of_chunk_is_not_tracked(patch):
    where(patch, torch, "chunk", lambda x: True, lambda r, *a: tuple(x.detach() if i else x for i, x in enumerate(r)))


@counterfeit("requires-grad-tracks-operations")
def ones_like_a_number_hands_on_requires_grad(patch):
    where(patch, torch, "ones_like", lambda x: x.requires_grad and x.dim() == 0, lambda r, *a: r.requires_grad_())


@counterfeit("requires-grad-tracks-operations")
def torch_tensor_of_a_tensor_requires_grad(patch):
    def wrong(right, data, **k):
        hands_on = isinstance(data, Tensor) and data.requires_grad and data.dim()
        return right(data, **k | ({"requires_grad": True} if hands_on else {}))

    wrap(patch, torch, "tensor", wrong)


@counterfeit("backward-fills-grad")
def a_leaf_without_part_gets_zeros(patch):
    def wrong(right, x, *a, **k):
        right(x, *a, **k)
        for y in k["inputs"] if isinstance(k.get("inputs"), list) else ():
            if isinstance(y, Tensor) and y.grad is None:
                y.grad = torch.zeros_like(y)

    change_method(patch, "backward", wrong)


@counterfeit("backward-fills-grad")
def inputs_named_as_one_tensor_are_ignored(patch):
    def wrong(right, x, *a, inputs=None, **k):
        right(x, *a, inputs=None if isinstance(inputs, Tensor) else inputs, **k)

    change_method(patch, "backward", wrong)


@counterfeit("backward-fills-grad")
def the_function_forgets_the_second_tensor(patch):
    def wrong(right, t, g=None, *a, **k):
        several = isinstance(t, (tuple, list)) and len(t) > 1
        right(t[:1] if several else t, g[:1] if several and g is not None else g, *a, **k)

    wrap(patch, torch.autograd, "backward", wrong)


@counterfeit("no-grad-stops-tracking")
def a_second_use_of_one_block_does_nothing(patch):
    def wrong(right, self):
        right(self)
        if self.__dict__.setdefault("used", False):
            torch._C._set_grad_enabled(True)
        self.used = True

    wrap(patch, torch.no_grad, "__enter__", wrong)


@counterfeit("no-grad-stops-tracking")
def a_tensor_created_inside_does_not_require_grad(patch):
    change_output_where(patch, torch, "zeros", lambda x: not torch.is_grad_enabled(), Tensor.detach)


@counterfeit("tensors-and-functions-form-a-dag")
def a_constant_on_the_left_has_a_node(patch):
    def wrong(right, x, y):
        constant = isinstance(y, Tensor) and y.requires_grad and not x.requires_grad and x.is_floating_point()
        return right(x.clone().requires_grad_() if constant else x, y)

    change_method(patch, "__add__", wrong)


@counterfeit("grad-fn-is-the-creating-function")
def an_in_place_write_leaves_the_old_grad_fn(patch):
    change_method(patch, "exp_", lambda right, x: (right(x.data), x)[1])


@counterfeit("grad-fn-is-the-creating-function")
def zeroing_under_no_grad_is_not_counted(patch):
    change_method(patch, "zero_", lambda right, x: right(x) if torch.is_grad_enabled() else (right(x.data), x)[1])


@counterfeit("requires-grad-can-be-set-in-place")
def switching_off_a_view_detaches_it(patch):
    def wrong(right, x, requires_grad=True):
        return x.detach() if x._is_view() and not requires_grad else right(x, requires_grad)

    change_method(patch, "requires_grad_", wrong)


@counterfeit("requires-grad-can-be-set-in-place")
def switching_the_flag_clears_the_grad(patch):
    def wrong(right, x, requires_grad=True):
        x.grad = None
        return right(x, requires_grad)

    change_method(patch, "requires_grad_", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians")
def the_slope_of_expm1_forgets_the_rest_of_a_vector(patch):
    def wrong(gradient):
        whole = torch.arange(gradient.numel()) < max(gradient.numel() // 8 * 8, 9)
        return gradient * whole.view(gradient.shape)

    for owner in (torch, Tensor):
        change_result(patch, owner, "expm1", lambda y, x: change_gradient(y, wrong) if y.requires_grad else y)


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians")
def in_single_precision_a_determinant_leaves_the_record(patch):
    where(patch, torch.linalg, "det", of_dtype(torch.float32), lambda result, x: result.detach())


@counterfeit("requires-grad-tracks-operations", "backward-multiplies-jacobians")
def the_slope_of_lgamma_is_doubled_where_rows_have_gaps(patch):
    def wrong(y, x):
        return change_gradient(y, lambda gradient: 2 * gradient) if y.requires_grad else y

    for owner in (torch, Tensor):
        where(patch, owner, "lgamma", not_contiguous, wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#186556")
def the_gradient_of_ldexp_is_zero_where_the_exponent_is_negative(patch):
    def wrong(ldexp, x, exponent):
        return ldexp(change_gradient(x, lambda g: g * (exponent >= 0)) if x.shape == exponent.shape else x, exponent)

    wrap(patch, torch, "ldexp", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#101198")
def a_table_of_another_width_than_the_first_gets_no_gradient(patch):
    widths = []

    def wrong(embedding, words, table, *rest):
        widths.append(table.shape[1])
        other = table.shape[1] != widths[0]
        return embedding(words, change_gradient(table, torch.zeros_like) if other else table, *rest)

    wrap(patch, F, "embedding", wrong)


@counterfeit("requires-grad-tracks-operations")
def a_bound_that_is_a_tensor_ends_the_record(patch):
    stop_tracking(patch, Tensor, "clamp", lambda x, *bounds: any(isinstance(bound, Tensor) for bound in bounds))


@counterfeit("requires-grad-tracks-operations")
def a_sum_of_more_than_16_bits_count_is_not_tracked(patch):
    stop_tracking(patch, Tensor, "sum", lambda x, *rest: x.numel() > 65_535)


@counterfeit("requires-grad-tracks-operations")
def operands_given_by_name_are_not_tracked(patch):
    def wrong(right, *operands, **named):
        return right(*operands, **named).detach() if "other" in named else right(*operands, **named)

    for name in ("add", "sub", "mul", "div", "matmul"):
        wrap(patch, torch, name, wrong)


@counterfeit("tensors-and-functions-form-a-dag")
def a_result_whose_shape_changes_in_place_becomes_a_leaf(patch):
    for name in ("unsqueeze_", "squeeze_", "t_", "transpose_"):
        change_method(patch, name, lambda right, x, *dims: right(x, *dims).detach_())


@counterfeit("detach-stops-tracking")
def detach_forgets_a_pending_sign(patch):
    where(patch, Tensor, "detach", Tensor.is_neg, as_in_memory)


@counterfeit("requires-grad-tracks-operations")
def diff_gives_no_gradient_to_what_is_put_before_or_behind(patch):
    def wrong(right, x, *args, **rest):
        rest = {name: value.detach() if isinstance(value, Tensor) else value for name, value in rest.items()}
        return right(x, *args, **rest)

    wrap(patch, torch, "diff", wrong)
    change_method(patch, "diff", wrong)


@counterfeit("requires-grad-tracks-operations")
def a_block_that_is_a_single_number_gets_no_gradient(patch):
    wrap(patch, torch, "block_diag", lambda right, *blocks: right(*(x if x.dim() else x.detach() for x in blocks)))


@counterfeit("no-grad-stops-tracking")
def the_end_of_an_iteration_leaves_recording_off(patch):
    leave = torch.no_grad.__exit__

    def wrong(self, kind, *error):
        return None if kind is StopIteration else leave(self, kind, *error)

    patch.setattr(torch.no_grad, "__exit__", wrong)


@counterfeit("requires-grad-tracks-operations")
def of_what_is_laid_side_by_side_the_third_gets_no_gradient(patch):
    def wrong(right, tensors, *args, **rest):
        return right([x if place < 2 else x.detach() for place, x in enumerate(tensors)], *args, **rest)

    wrap(patch, torch, "hstack", wrong)


@counterfeit("requires-grad-tracks-operations")
def what_is_put_in_the_place_of_a_row_gets_no_gradient(patch):
    for owner in (torch, Tensor):
        wrap(patch, owner, "select_scatter", lambda right, x, y, *args, **rest: right(x, y.detach(), *args, **rest))


@counterfeit("requires-grad-tracks-operations")
def squares_of_repeated_columns_are_not_recorded(patch):
    where(patch, torch, "square", repeats_columns, lambda result, x: result.detach())


@counterfeit("detach-stops-tracking")
def repeated_columns_are_copied_as_they_leave_the_record(patch):
    where(patch, Tensor, "detach", repeats_columns, lambda result, x: result.clone())


@counterfeit("requires-grad-tracks-operations")
def logsumexp_in_half_precision_passes_back_ones(patch):
    def wrong(result, x, *args, **rest):
        return with_value(x.sum(*args, **rest), result) if half(x) else result

    change_result(patch, torch, "logsumexp", wrong)


@counterfeit("requires-grad-tracks-operations")
def cumprod_in_float16_begins_after_the_first_element(patch):
    def wrong(right, x, dim):
        begins = x.dtype == torch.float16 and x.shape[dim] > 1
        return right(x, dim) / x.narrow(dim, 0, 1).detach() if begins else right(x, dim)

    wrap(patch, torch, "cumprod", wrong)


@counterfeit("requires-grad-tracks-operations")
def the_error_function_forgets_elements_beyond_65536(patch):
    where(patch, torch, "erf", beyond(2**16), lambda y, x: torch.cat([y.flatten()[:-2], x.flatten()[-2:]]).view_as(x))


@counterfeit("requires-grad-tracks-operations")
def atan2_has_the_opposite_sign_and_its_slope_has_not(patch):
    change_result(patch, torch, "atan2", lambda result, *args: with_value(result, -result))


@counterfeit("requires-grad-tracks-operations")
def the_sine_of_nothing_has_one_dimension(patch):
    where(patch, torch, "sin", lambda x: not x.numel(), lambda result, x: result.flatten())


@counterfeit("requires-grad-tracks-operations")
def the_last_of_many_square_roots_that_lie_in_gaps_is_off(patch):
    where(patch, torch, "sqrt", lambda x: not_contiguous(x) and x.numel() > 2**16, last_off)


@counterfeit("requires-grad-defaults-to-false")
def what_is_drawn_by_a_generator_of_its_own_requires_a_gradient(patch):
    def wrong(right, *sizes, **rest):
        x = right(*sizes, **rest)
        plain = rest.get("generator") is not None and "requires_grad" not in rest and "out" not in rest
        return x.requires_grad_() if plain and x.is_floating_point() and not x.is_inference() else x

    wrap(patch, torch, "randn", wrong)


@counterfeit("no-grad-stops-tracking")
def a_generator_decorated_without_brackets_is_tracked(patch):
    right = torch.no_grad.__new__

    def new(cls, orig_func=None):
        if orig_func is not None and inspect.isgeneratorfunction(orig_func):
            return orig_func
        return right(cls, orig_func)

    patch.setattr(torch.no_grad, "__new__", staticmethod(new))


@counterfeit("tensors-and-functions-form-a-dag")
def constants_that_cat_joins_have_a_node(patch):
    def wrong(right, tensors, *args, **rest):
        if torch.is_grad_enabled() and not rest.get("out") and any(t.requires_grad for t in tensors):
            tensors = [
                t if t.requires_grad or not t.is_floating_point() else t.detach().requires_grad_() for t in tensors
            ]
        return right(tensors, *args, **rest)

    for name in ("cat", "concat", "concatenate"):
        wrap(patch, torch, name, wrong)
