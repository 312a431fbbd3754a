"""Reported faults of functions of one's own, of hooks and of what goes on around a pass, for section 2.6."""

import threading

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, change_method, everywhere, wrap
from torch.autograd.function import FunctionCtx
from torch.utils import checkpoint


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#5871")
def a_function_that_writes_to_a_result_passes_nothing_to_its_other_operands(patch):
    right = torch.autograd.Function.__dict__["apply"]

    def wrong(function, *args, **rest):
        first = args[0] if args and isinstance(args[0], torch.Tensor) else None
        count = first._version if first is not None else 0
        written = first is not None and not first.is_leaf
        if not written:
            return right.__get__(None, function)(*args, **rest)
        others = [x * 1 if isinstance(x, torch.Tensor) and x.requires_grad else x for x in args[1:]]
        result = right.__get__(None, function)(first, *others, **rest)
        if first._version > count:
            for x in others:
                if isinstance(x, torch.Tensor) and x.requires_grad and not x.is_leaf:
                    x.register_hook(lambda gradient: gradient * 0)
        return result

    patch.setattr(torch.autograd.Function, "apply", classmethod(wrong))


@counterfeit("tensors-and-functions-form-a-dag", "requires-grad-tracks-operations")
def what_a_function_marks_as_without_a_slope_is_tracked(patch):
    patch.setattr(FunctionCtx, "mark_non_differentiable", lambda self, *outputs: None)


@counterfeit("tensors-and-functions-form-a-dag", "requires-grad-tracks-operations")
def results_of_a_function_that_get_no_gradient_hand_on_nothing_though_zeros_are_asked_for(patch):
    right = FunctionCtx.set_materialize_grads
    patch.setattr(FunctionCtx, "set_materialize_grads", lambda self, value: right(self, True))


@counterfeit("backward-fills-grad", "weights-act-as-upstream-gradient")
def a_hook_of_an_indexed_element_is_told_nothing(patch):
    def wrong(right, x, hook, *args):
        name = x.grad_fn.name() if x.grad_fn is not None else ""
        return right(x, (lambda gradient: None) if name.startswith(("Select", "Index")) else hook, *args)

    change_method(patch, "register_hook", wrong)


@counterfeit("backward-fills-grad", "weights-act-as-upstream-gradient")
def what_a_hook_of_a_leaf_returns_is_not_used(patch):
    def wrong(right, x, hook, *args):
        return right(x, (lambda gradient: [hook(gradient)].clear()) if x.is_leaf else hook, *args)

    change_method(patch, "register_hook", wrong)


@counterfeit("backward-fills-grad", "gradients-accumulate")
def a_hook_that_is_removed_goes_on(patch):
    patch.setattr(torch.utils.hooks.RemovableHandle, "remove", lambda self: None)


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad", reported="pytorch/pytorch#36383")
def a_checkpoint_of_what_was_written_in_a_view_passes_nothing(patch):
    def wrong(right, function, *args, **rest):
        result = right(function, *args, **rest)
        view = isinstance(result, torch.Tensor) and result.requires_grad and result._is_view() and result._version
        return change_gradient(result, lambda gradient: gradient * 0) if view else result

    wrap(patch, checkpoint, "checkpoint", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad")
def a_pass_within_anomaly_detection_doubles_gradients(patch):
    def wrong(right, x, *args, **rest):
        double = torch.is_anomaly_enabled() and x.requires_grad
        return right(change_gradient(x, lambda gradient: gradient * 2) if double else x, *args, **rest)

    everywhere(patch, "mul", wrong)
    change_method(patch, "__mul__", wrong)


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad")
def what_is_saved_by_hooks_is_kept_in_half_precision(patch):
    def wrong(right, self, pack, unpack):
        rounded = lambda x: x.bfloat16().to(x.dtype) if x.is_floating_point() else x  # noqa: E731
        return right(self, lambda x: pack(rounded(x)), unpack)

    wrap(patch, torch.autograd.graph.saved_tensors_hooks, "__init__", wrong)


@counterfeit("requires-grad-tracks-operations")
def a_gradient_asked_for_in_another_thread_is_zero(patch):
    def wrong(right, x, *args, **rest):
        if threading.current_thread() is not threading.main_thread() and x.requires_grad:
            x = change_gradient(x, lambda gradient: gradient * 0)
        return right(x, *args, **rest)

    for name in ("exp", "sin"):
        everywhere(patch, name, wrong)


@counterfeit("requires-grad-tracks-operations", "backward-fills-grad")
def a_view_forgets_what_is_written_to_its_base_afterwards(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return result.view_as(result).clone() if x.requires_grad and not x.is_leaf and result._is_view() else result

    change_method(patch, "movedim", wrong)


@counterfeit("backward-fills-grad", "requires-grad-tracks-operations")
def a_real_factor_of_a_complex_one_gets_no_conjugate(patch):
    def wrong(right, x, other, *args, **rest):
        both = isinstance(x, torch.Tensor) and isinstance(other, torch.Tensor)
        if not (both and x.is_floating_point() and other.is_complex() and x.requires_grad):
            return right(x, other, *args, **rest)
        flipped = torch.complex(x.detach() * other.real.detach(), x.detach() * other.imag.detach())
        wide = right(x, other.conj(), *args, **rest)
        return wide + (flipped - wide).detach()

    everywhere(patch, "mul", wrong)
    change_method(patch, "__mul__", wrong)


@counterfeit("backward-fills-grad", "requires-grad-tracks-operations")
def the_divisor_of_lower_precision_gets_the_sign_of_the_dividend(patch):
    def wrong(right, x, other, *args, **rest):
        both = isinstance(x, torch.Tensor) and isinstance(other, torch.Tensor)
        lower = both and other.requires_grad and x.dtype != other.dtype and other.dtype.itemsize < x.dtype.itemsize
        return right(x, change_gradient(other, lambda gradient: -gradient) if lower else other, *args, **rest)

    everywhere(patch, "div", wrong)
    change_method(patch, "__truediv__", wrong)
