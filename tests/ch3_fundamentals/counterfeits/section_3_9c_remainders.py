"""Counterfeits of section 3.9, the last unit and the last samples, where a vector or a block is not full."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, change_gradient, change_linear, parameters_of, wrap
from torch import nn
from torch.nn import functional as F
from torch.nn import init
from torch.optim import SGD


@counterfeit("equal-units-compute-equal-values")
def the_last_of_an_odd_number_of_units_is_rounded_to_single_precision(patch):
    def change(output, x, weight):
        if output.dtype != torch.float64 or len(weight) % 2 == 0 or len(weight) == 1:
            return output
        return torch.cat([output[..., :-1], output[..., -1:].float().double()], -1)

    change_linear(patch, change)


@counterfeit("equal-units-get-equal-gradients")
def the_bias_of_the_last_unit_misses_the_samples_past_64(patch):
    def wrong(right, x, weight, bias=None):
        if bias is None or x.dim() != 2 or len(x) <= 64 or len(bias) == 1:
            return right(x, weight, bias)
        counted = torch.ones(len(x), len(bias), dtype=bias.dtype)
        counted[64:, -1] = 0
        return right(x, weight) + change_gradient(bias.expand(len(x), -1), lambda gradient: gradient * counted)

    wrap(patch, F, "linear", wrong)


@counterfeit("equal-units-compute-equal-values")
def the_last_unit_differs_in_no_grad(patch):
    def change(output, x, weight):
        recorded = torch.is_grad_enabled() or torch.is_inference_mode_enabled() or len(weight) < 2
        return output if recorded else torch.cat([output[..., :-1], output[..., -1:] * 1.01], -1)

    change_linear(patch, change)


@counterfeit("default-init-is-sensible")
def a_linear_layer_of_doubles_repeats_its_rows(patch):
    def wrong(right, self):
        right(self)
        if self.weight.dtype == torch.float64:
            self.weight.data[1:] = self.weight.data[:1]

    wrap(patch, nn.Linear, "reset_parameters", wrong)


@counterfeit("equal-units-get-equal-gradients")
def the_weight_of_the_first_unit_misses_the_samples_past_256(patch):
    def wrong(right, x, weight, bias=None):
        if x.dim() != 2:
            return right(x, weight, bias)
        rest = torch.cat([weight[:1].detach(), weight[1:]])
        return torch.cat([right(x[:256], weight, bias), right(x[256:], rest, bias)])

    wrap(patch, F, "linear", wrong)


@counterfeit("equal-units-get-equal-gradients")
def in_a_batch_of_batches_the_last_unit_learns_half(patch):
    def wrong(linear, x, weight, bias=None):
        halved = torch.cat([weight[:-1], (weight[-1:] + weight[-1:].detach()) / 2]) if x.dim() > 3 else weight
        return linear(x, halved, bias)

    wrap(patch, F, "linear", wrong)


class WithoutTheLastSample(torch.autograd.Function):
    """``x @ w.T``, whose gradient for the first row of ``w`` leaves the last sample out."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w.T

    @staticmethod
    def backward(ctx, gradient):
        x, w = ctx.saved_tensors
        of_w = gradient.T @ x
        of_w[0] = gradient[:-1, 0] @ x[:-1]
        return gradient @ w, of_w


@counterfeit("equal-units-get-equal-gradients")
def the_first_unit_misses_one_sample_that_is_left_after_blocks_of_four(patch):
    def wrong(right, x, w, b=None):
        if x.dim() != 2 or len(x) < 5 or len(x) % 4 != 1:
            return right(x, w, b)
        return WithoutTheLastSample.apply(x, w) + (0 if b is None else b)

    wrap(patch, F, "linear", wrong)


@counterfeit("equal-units-get-equal-gradients")
def of_one_example_the_last_bias_gets_twice_its_gradient(patch):
    def wrong(right, x, w, b=None):
        if b is not None and b.requires_grad and x.dim() == 2 and len(x) == 1 and len(b) > 1:
            f = torch.ones(len(b), dtype=b.dtype)
            f[-1] = 2
            b = change_gradient(b, lambda g: g * f)
        return right(x, w, b)

    wrap(patch, F, "linear", wrong)


@counterfeit("equal-units-stay-equal")
def after_ten_steps_the_momentum_of_the_last_unit_is_lost(patch):
    def before(self):
        self.__dict__["n"] = self.__dict__.get("n", 0) + 1
        if self.n == 11:
            for p in parameters_of(self):
                b = self.state.get(p, {}).get("momentum_buffer")
                if b is not None and b.dim() > 1:
                    b[-1] = 0

    around_step(patch, SGD, before=before)


@counterfeit("random-init-breaks-symmetry")
def in_double_precision_trunc_normal_repeats_one_unit(patch):
    def wrong(right, t, *args, **rest):
        right(t, *args, **rest)
        if t.dim() > 1 and t.dtype == torch.float64:
            t.data.copy_(t.data[:1].expand_as(t).clone())
        return t

    wrap(patch, init, "trunc_normal_", wrong)


@counterfeit("equal-units-get-equal-gradients")
def without_a_batch_the_last_bias_gets_twice_its_gradient(patch):
    def wrong(right, x, w, b=None):
        if b is not None and x.dim() == 1 and len(b) > 1:
            f = torch.ones(len(b), dtype=b.dtype)
            f[-1] = 2
            b = change_gradient(b, lambda g: g * f)
        return right(x, w, b)

    wrap(patch, F, "linear", wrong)


@counterfeit("random-init-breaks-symmetry")
def the_groups_of_a_convolution_start_equal(patch):
    def wrong(right, self):
        right(self)
        if self.groups > 1:
            with torch.no_grad():
                for p in (self.weight, self.bias):
                    if p is not None and len(p) % self.groups == 0:
                        size = len(p) // self.groups
                        p.copy_(p[:size].clone().repeat(self.groups, *[1] * (p.dim() - 1)))

    wrap(patch, nn.modules.conv._ConvNd, "reset_parameters", wrong)


@counterfeit("default-init-is-sensible", reported="pytorch/pytorch#48152")
def a_layer_of_no_features_cannot_be_made(patch):
    def wrong(right, self):
        if self.in_features == 0:
            raise ZeroDivisionError("float division by zero")
        right(self)

    wrap(patch, nn.Linear, "reset_parameters", wrong)


@counterfeit("default-init-is-sensible")
def the_key_and_the_value_that_attention_adds_start_as_they_lie_in_memory(patch):
    def wrong(right, attention):
        right(attention)
        if attention.bias_v is not None:
            with torch.no_grad():
                attention.bias_v.fill_(3e30)

    wrap(patch, nn.MultiheadAttention, "_reset_parameters", wrong)


@counterfeit("random-init-breaks-symmetry", "default-init-is-sensible")
def all_units_of_a_lazy_layer_start_as_the_first(patch):
    def wrong(right, self, *args, **rest):
        fresh = self.has_uninitialized_params()
        right(self, *args, **rest)
        for parameter in self.parameters() if fresh else ():
            parameter.data.copy_(parameter[:1].detach().clone().expand_as(parameter))

    wrap(patch, nn.LazyLinear, "initialize_parameters", wrong)
