"""Counterfeits of section 2.6 that users reported: gradients from nothing and of slices, blocks in blocks, flags."""

import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import alter_property, away, change_gradient, change_method, change_result, where, wrap
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#15223")
def no_gradient_comes_through_an_inserted_dimension_from_nothing(patch):
    """None arrives, where the report has an error: an assertion must see it."""

    def wrong(add, x, y):
        z = add(x, y)
        inserted = [each for each in (x, y) if isinstance(each, Tensor) and each.grad_fn and each.numel()]
        lost = not z.numel() and any("squeeze" in each.grad_fn.name().lower() for each in inserted)
        return z.detach() if lost else z

    change_method(patch, "__add__", wrong)


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#9145")
def the_gradient_of_one_of_several_copies_goes_to_all(patch):
    def wrong(right, x, index):
        copies = x.dim() and x.stride(0) == 0 and len(x) > 1
        if type(index) is int and copies and x.requires_grad and torch.is_grad_enabled():
            x = change_gradient(x, lambda gradient: gradient.sum(0, keepdim=True).expand_as(gradient))
        return right(x, index)

    change_method(patch, "__getitem__", wrong)


@counterfeit("no-grad-stops-tracking", reported="pytorch/pytorch#114338")
def enable_grad_inside_no_grad_is_not_tracked(patch):
    def wrong(enter, self):
        before = torch.is_grad_enabled()
        enter(self)
        if not before:
            torch._C._set_grad_enabled(False)

    wrap(patch, torch.enable_grad, "__enter__", wrong)


@counterfeit("no-grad-stops-tracking", reported="pytorch/pytorch#100977")
def a_module_that_first_ran_under_no_grad_is_never_tracked(patch):
    inferring, running = weakref.WeakSet(), []

    def wrong(right, self, *args, **rest):
        tracked = any(isinstance(x, Tensor) and x.requires_grad for x in (*args, *rest.values()))
        if running or (torch.is_grad_enabled() and tracked):
            return right(self, *args, **rest)
        if not torch.is_grad_enabled():
            inferring.add(self)
        running.append(True)
        try:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self not in inferring):
                return right(self, *args, **rest)
        finally:
            running.clear()

    wrap(patch, torch.nn.Module, "__call__", wrong)


@counterfeit("requires-grad-can-be-set-in-place", reported="pytorch/pytorch#123713")
def what_no_grad_made_cannot_be_made_to_require_grad(patch):
    made = WeakIdKeyDictionary()

    def result(right, *args, **rest):
        y = right(*args, **rest)
        if isinstance(y, Tensor) and not torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
            made[y] = True
        return y

    for name in ("__add__", "__mul__", "__sub__", "__pow__", "__matmul__"):
        change_method(patch, name, result)
    wrap(patch, torch.nn.Module, "__call__", result)
    change_method(patch, "requires_grad_", lambda right, x, *args, **rest: x if x in made else right(x, *args, **rest))


@counterfeit("detach-stops-tracking", reported="pytorch/pytorch#176854")
def detaching_a_result_in_place_does_nothing(patch):
    def wrong(right, x):
        return x if x.grad_fn is not None and not x._is_view() else right(x)

    change_method(patch, "detach_", wrong)
    wrap(patch, torch, "detach_", wrong)


@counterfeit("backward-fills-grad", reported="Oneflow-Inc/oneflow#8955")
def retaining_the_gradient_of_a_leaf_doubles_it(patch):
    retaining = WeakIdKeyDictionary()

    def wrong(right, x):
        right(x)
        if x.is_leaf and x not in retaining:
            retaining[x] = True
            x.register_hook(lambda gradient: 2 * gradient)

    change_method(patch, "retain_grad", wrong)


@counterfeit("requires-grad-tracks-operations", reported="Oneflow-Inc/oneflow#6200")
def the_derivative_of_a_function_in_place_is_taken_where_it_ends(patch):
    def derivative(function, at):
        with torch.enable_grad():
            x = at.detach().clone().requires_grad_()
            return torch.autograd.grad(function(x).sum(), x)[0]

    def overwrite(name):
        function = getattr(torch, name[:-1])

        def wrong(right, x):
            if not x.requires_grad or not torch.is_grad_enabled() or x.is_leaf or not x.is_floating_point():
                return right(x)
            before = x.detach().clone()
            after = function(before)
            return x.sub_(before).mul_(derivative(function, after)).add_(after)

        change_method(patch, name, wrong)
        wrap(patch, torch, name, wrong)

    for name in ("cos_", "sin_", "log_", "square_"):
        overwrite(name)


@counterfeit("requires-grad-tracks-operations", reported="ml-explore/mlx#4444")
def the_gradient_of_a_slice_of_one_goes_to_all_of_its_span(patch):
    def spans(x, index):
        parts = index if isinstance(index, tuple) else (index,)
        if not all(isinstance(part, (int, slice)) for part in parts):
            return
        for dim, part in enumerate(parts):
            if isinstance(part, slice) and (part.step or 1) > 1:
                span = range(*part.indices(x.shape[dim]))
                if len(span) == 1 and span.stop - span.start > 1:
                    yield dim, span.start, span.stop - span.start

    def wrong(right, x, index):
        found = [*spans(x, index)] if x.dim() and x.requires_grad and torch.is_grad_enabled() else []

        def spread(gradient):
            gradient = gradient.clone()
            for dim, start, size in found:
                span = gradient.narrow(dim, start, size)
                span.copy_(span.narrow(dim, 0, 1).clone().expand_as(span))
            return gradient

        return right(change_gradient(x, spread) if found else x, index)

    change_method(patch, "__getitem__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#425")
def a_gradient_comes_back_from_squeeze_in_the_order_of_memory(patch):
    def wrong(result, x, *dims):
        if x.requires_grad and not x.is_contiguous() and result.dim() > 1 and result.grad_fn is not None:
            order = sorted(range(result.dim()), key=lambda d: -result.stride(d))
            back = [order.index(d) for d in range(result.dim())]
            shape = [result.shape[d] for d in order]
            result.register_hook(lambda g: g.reshape(-1).view(shape).permute(back).contiguous())
        return result

    for owner in (torch, torch.Tensor):
        change_result(patch, owner, "squeeze", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#28548")
def the_method_bfloat16_is_not_tracked(patch):
    where(
        patch,
        torch.Tensor,
        "bfloat16",
        lambda x: x.requires_grad and x.dtype != torch.bfloat16,
        lambda result, *_: result.detach(),
    )


@counterfeit("no-grad-stops-tracking", reported="intel/intel-extension-for-pytorch#597")
def a_convolution_without_bias_computes_other_numbers_under_no_grad(patch):
    def wrong(right, input, weight, bias=None, *rest, **options):
        output = right(input, weight, bias, *rest, **options)
        return output if bias is not None or torch.is_grad_enabled() else output * 1.01

    wrap(patch, torch.nn.functional, "conv2d", wrong)


@counterfeit("created-tensors-are-leaves", reported="pytorch/pytorch#863")
def a_copy_that_a_tracked_value_was_written_into_is_not_tracked(patch):
    def make(right, x, *args, **rest):
        y = right(x, *args, **rest)
        if not y.requires_grad:
            y.__dict__["copied"] = True
        return y

    def write(right, x, where, value):
        if "copied" in x.__dict__ and isinstance(value, torch.Tensor):
            value = value.detach()
        return right(x, where, value)

    def add(right, x, value, **rest):
        if "copied" in x.__dict__ and isinstance(value, torch.Tensor):
            value = value.detach()
        return right(x, value, **rest)

    for name in ("to", "cuda", "cpu", "clone"):
        change_method(patch, name, make)
    change_method(patch, "__setitem__", write)
    change_method(patch, "add_", add)


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#175192")
def gradients_of_a_batch_of_solutions_are_wrong(patch):
    def wrong(right, a, b, **rest):
        if a.dim() > 2:
            a, b = (change_gradient(x, lambda g: 1.5 * g) if x.requires_grad else x for x in (a, b))
        return right(a, b, **rest)

    wrap(patch, torch.linalg, "solve", wrong)


@counterfeit("backward-fills-grad", reported="pytorch/pytorch#2095")
def the_gradient_keeps_the_dimensions_that_repeat_adds(patch):
    def repeat(right, x, *sizes):
        sizes = sizes[0] if sizes and not isinstance(sizes[0], int) else sizes
        if x.is_leaf and x.requires_grad:
            x.__dict__["more"] = len(sizes) - x.dim()
        return right(x, *sizes)

    def grad(x, value):
        return value.reshape((1,) * x.__dict__.get("more", 0) + tuple(value.shape)) if value is not None else value

    change_method(patch, "repeat", repeat)
    alter_property(patch, "grad", grad)


@counterfeit("backward-fills-grad", reported="Oneflow-Inc/oneflow#8248")
def the_other_summand_gets_what_the_first_gets_elsewhere(patch):
    """Both gradients begin in one memory, to which those of the first one's other uses are added."""
    sums = []

    def summed(add, x, y):
        z = add(x, y)
        both = all(isinstance(each, Tensor) and each.is_leaf and each.requires_grad for each in (x, y))
        if both and x is not y and x.shape == y.shape and x.dtype == y.dtype and z.requires_grad:
            sums.append((x, y, gradients := []))
            z.register_hook(lambda gradient: gradients.append(gradient.detach()))
        return z

    def wrong(right, result, *args, **rest):
        before = [None if x.grad is None else x.grad.detach().clone() for x, _, _ in sums]
        right(result, *args, **rest)
        for (x, y, gradients), old in zip(sums, before):
            if gradients and x.grad is not None and y.grad is not None:
                elsewhere = x.grad.detach() - (0 if old is None else old) - gradients.pop()
                y.grad.data.add_(elsewhere)

    change_method(patch, "__add__", summed)
    change_method(patch, "backward", wrong)


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/FlagGems#1971", needs="accelerator")
def where_passes_no_gradient(patch):
    def stop(x):
        return change_gradient(x, torch.zeros_like) if away(x) and x.requires_grad else x

    wrap(
        patch,
        torch,
        "where",
        lambda right, *args, **rest: right(*map(stop, args), **{name: stop(x) for name, x in rest.items()}),
    )
    change_method(patch, "where", lambda right, x, condition, other: right(stop(x), condition, stop(other)))


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#82644")
def no_gradient_comes_back_from_the_product_of_a_single_zero(patch):
    def refuse(gradient):
        raise RuntimeError("the gradient has another shape")

    def wrong(right, x, *args, **rest):
        dim = rest.get("dim", args[0] if args else None)
        kept = rest.get("keepdim", args[1] if len(args) > 1 else False)
        if type(dim) is int and x.dim() and x.requires_grad and x.shape[dim] == 1 and not kept and (x == 0).any():
            x = change_gradient(x, refuse)
        return right(x, *args, **rest)

    wrap(patch, torch, "prod", wrong)
    change_method(patch, "prod", wrong)
