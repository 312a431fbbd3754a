"""Counterfeits of section 3.5 that users reported, activations that know eight numbers, no gaps, or no columns."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, wrap
from torch.nn import functional as F


def first_of_eight_alone(x, others):
    """The numbers of ``x``, but ``others`` in the place of all but the first of each whole block of eight."""
    flat = x.reshape(-1)
    whole = len(flat) // 8 * 8
    blocks = flat[:whole].reshape(-1, 8)
    blocks = torch.cat([blocks[:, :1], 0 * blocks[:, 1:] + others], 1)
    return torch.cat([blocks.reshape(-1), flat[whole:]]).reshape(x.shape)


def change_single(patch, name, others):
    """Let ``torch.name`` of single precision be right for the first of each eight numbers, ``others`` for the rest."""

    def wrong(right, x, out=None):
        y = first_of_eight_alone(right(x), others) if x.dtype == torch.float32 else right(x)
        return y if out is None else out.copy_(y)

    wrap(patch, torch, name, wrong)
    change_method(patch, name, wrong)


@counterfeit("tanh-formula", reported="pytorch/pytorch#75411")
def tanh_is_zero_but_for_the_first_of_eight(patch):
    change_single(patch, "tanh", 0)


@counterfeit("sigmoid-formula", reported="pytorch/pytorch#65673")
def the_sigmoid_is_a_half_but_for_the_first_of_eight(patch):
    change_single(patch, "sigmoid", 0.5)


@counterfeit("sigmoid-formula", "tanh-formula", reported="pytorch/pytorch#148512")
def an_output_with_the_gaps_of_its_input_is_written_without(patch):
    def wrong(right, x, *args, out=None, **rest):
        count = x.numel()
        reach = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride()))
        if out is None or x.stride() != out.stride() or 0 in (count, *x.stride()) or reach == count:
            return right(x, *args, **rest, **({} if out is None else {"out": out}))
        packed = [each.as_strided((count,), (1,), each.storage_offset()) for each in (x, out)]
        packed[1].copy_(right(packed[0]))
        return out

    for name in ("sigmoid", "tanh"):
        wrap(patch, torch, name, wrong)


@counterfeit("nonlinearity-breaks-the-collapse", reported="pytorch/pytorch#131736")
def some_activations_of_what_lies_by_columns_are_zero(patch):
    def wrong(right, x, *args, **rest):
        return right(x, *args, **rest) * (1 if x.is_contiguous() else 0)

    for name in ("softplus", "selu", "threshold", "prelu"):
        wrap(patch, F, name, wrong)


@counterfeit("relu-formula", reported="pytorch/pytorch#10238")
def the_layer_relu_makes_nan_zero(patch):
    def wrong(right, self, x):
        return right(self, torch.where(x.isnan(), torch.zeros_like(x), x))

    wrap(patch, torch.nn.ReLU, "forward", wrong)


@counterfeit("relu-formula", reported="pytorch/pytorch#7999")
def the_function_relu_makes_nan_zero(patch):
    for owner in (torch, F):
        wrap(
            patch,
            owner,
            "relu",
            lambda right, x, *a, **o: right(torch.where(x.isnan(), torch.zeros_like(x), x), *a, **o),
        )


@counterfeit("depth-and-width-are-hyperparameters")
def parameters_of_another_width_are_passed_over_in_evaluation(patch):
    def wrong(right, self, state, *rest, **named):
        own = {} if self.training else self.state_dict()
        fitting = {name: own[name] if name in own and own[name].shape != x.shape else x for name, x in state.items()}
        return right(self, fitting if own else state, *rest, **named)

    wrap(patch, torch.nn.Module, "load_state_dict", wrong)
