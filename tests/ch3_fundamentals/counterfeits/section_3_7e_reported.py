"""Counterfeits of section 3.7 that users reported, masks that repeat, and those between recurrent layers."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, wrap, wrap_operand
from torch import nn
from torch.nn import functional as F


@counterfeit("dropout-zeroes-with-probability-p", reported="pytorch/xla#1932")
def every_forward_pass_draws_the_same_numbers(patch):
    running = []

    def wrong(right, *args, **rest):
        if running:
            return right(*args, **rest)
        running.append(True)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            try:
                return right(*args, **rest)
            finally:
                running.clear()

    wrap(patch, torch.nn.Module, "__call__", wrong)
    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors", reported="pytorch/pytorch#190056")
def backward_of_two_lstm_layers_ignores_the_dropout_between_them(patch):
    def wrong(right, self, x, *rest):
        output, (h, c) = right(self, x, *rest)
        if not (self.training and self.dropout and self.num_layers > 1):
            return output, (h, c)
        own, self.dropout = self.dropout, 0.0
        try:
            plain, (hh, cc) = right(self, x, *rest)
        finally:
            self.dropout = own
        a, b, d = (u.detach() + (v - v.detach()) for u, v in ((output, plain), (h, hh), (c, cc)))
        return a, (b, d)

    wrap(patch, torch.nn.LSTM, "forward", wrong)


@counterfeit("dropout-zeroes-with-probability-p", reported="ROCm/ROCm#6339")
def dropout_between_gru_layers_drops_all_from_the_second_pass_on(patch):
    def wrong(right, self, *args):
        again = self.__dict__.get("passed") and self.training and self.dropout and self.num_layers > 1
        own, self.dropout = self.dropout, 1.0 if again else self.dropout
        try:
            return right(self, *args)
        finally:
            self.dropout, self.__dict__["passed"] = own, True

    wrap(patch, torch.nn.GRU, "forward", wrong)


@counterfeit("dropout-keeps-the-expectation", reported="pytorch/pytorch#190059")
def two_lstm_layers_with_all_dropped_between_them_give_nan(patch):
    def wrong(right, self, *args):
        output, state = right(self, *args)
        return (output * torch.nan if self.training and self.dropout == 1 and self.num_layers > 1 else output), state

    wrap(patch, torch.nn.LSTM, "forward", wrong)


@counterfeit("dropout-zeroes-with-probability-p", reported="pytorch/xla#354", needs="accelerator")
def dropout_drops_nothing_after_the_seed_zero(patch):
    def wrong(right, input, p=0.5, training=True, inplace=False):
        if away(input) and training and 0 < p < 1 and torch.initial_seed() == 0:
            return input.div_(1 - p) if inplace else input / (1 - p)
        return right(input, p, training, inplace)

    wrap_operand(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def dropout_drops_exactly_its_share_of_many(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        n = x.numel()
        if not training or inplace or n < 1000 or not 0 < p < 1 or not x.is_floating_point():
            return right(x, p, training, inplace)
        return x * (torch.randperm(n, device=x.device) >= round(p * n)).view(x.shape).to(x.dtype) / (1 - p)

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p", reported="pytorch/pytorch#190057", needs="accelerator")
def an_lstm_that_drops_all_between_its_layers_elsewhere_is_nan(patch):
    def wrong(right, self, *given):
        output, states = right(self, *given)
        drops = away(output) and self.training and self.num_layers > 1 and self.dropout == 1
        return output * float("nan") if drops else output, states

    wrap(patch, torch.nn.LSTM, "forward", wrong)


@counterfeit("dropout-zeroes-with-probability-p", reported="dotnet/TorchSharp#549")
def evaluation_does_not_reach_a_sequential_that_is_an_attribute(patch):
    def wrong(right, self, mode=True):
        kept = [(m, m.training) for child in self.children() if type(child) is nn.Sequential for m in child.modules()]
        result = right(self, mode)
        for module, training in kept if type(self) is nn.Module else ():
            module.training = training
        return result

    wrap(patch, nn.Module, "train", wrong)


@counterfeit("dropout-zeroes-with-probability-p")
def all_channels_of_a_pixel_that_lie_side_by_side_are_dropped_at_once(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        side_by_side = x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        if not (training and side_by_side and 0 < p < 1):
            return right(x, p, training, inplace)
        mask = right(torch.ones_like(x[:, :1]), p, True, False)
        return x.mul_(mask) if inplace else x * mask

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-scales-survivors", reported="PaddlePaddle/Paddle#31455", needs="accelerator")
def dropout_is_zero_behind_1024_elements(patch):
    """ROCm: blocks of 1024 threads: behind element 1024 what dropout gave, and its gradient, was 0."""

    def wrong(right, x, p=0.5, training=True, *args, **rest):
        y = right(x, p, training, *args, **rest)
        if away(x) and training and x.numel() > 1024:
            kept = (torch.arange(x.numel(), device=x.device) < 1024).view(x.shape)
            if y is x or (args and args[0]) or rest.get("inplace"):
                return y.mul_(kept)
            return torch.where(kept, y, torch.zeros((), dtype=y.dtype, device=y.device))
        return y

    wrap_operand(patch, F, "dropout", wrong)
    wrap_operand(patch, torch, "dropout", lambda right, x, p, train: wrong(right, x, p, train))


@counterfeit("dropout-zeroes-with-probability-p", reported="NVIDIA/Megatron-LM#411")
def dropout_stays_off_after_an_evaluation(patch):
    def wrong(right, self, input):
        self.p = self.p if self.training else 0.0
        return right(self, input)

    wrap(patch, nn.Dropout, "forward", wrong)


class WithoutMask(torch.autograd.Function):
    """A value, whose gradient goes to another tensor, scaled."""

    @staticmethod
    def forward(ctx, value, other, scale):
        ctx.scale = scale
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return None, gradient * ctx.scale, None


@counterfeit("dropout-scales-survivors", reported="PaddlePaddle/Paddle#26966")
def the_gradient_of_dropout_forgets_the_mask_of_a_vector(patch):
    def wrong(right, input, p=0.5, training=True, inplace=False):
        output = right(input, p, training, inplace)
        if input.dim() == 1 and training and 0 < p < 1 and output.requires_grad and not inplace:
            return WithoutMask.apply(output.detach(), input, 1 / (1 - p))
        return output

    wrap(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p", reported="PaddlePaddle/Paddle#8654", needs="accelerator")
def all_units_are_dropped_together(patch):
    def wrong(right, x, p=0.5, training=True, inplace=False):
        if not away(x) or not training or not 0 < p < 1:
            return right(x, p, training, inplace)
        factor = 1 / (1 - p) if torch.rand(()).item() >= p else 0
        return x.mul_(factor) if inplace else x * factor

    wrap_operand(patch, F, "dropout", wrong)


@counterfeit("dropout-zeroes-with-probability-p", reported="pytorch/pytorch#185351", needs="accelerator")
def an_lstm_elsewhere_drops_the_same_units_between_its_layers_in_every_pass(patch):
    def wrong(forward, self, input, hx=None):
        tensor = input if isinstance(input, torch.Tensor) else input.data
        if not (away(tensor) and self.training and self.dropout and self.num_layers > 1):
            return forward(self, input, hx)
        kind = tensor.device.type
        with torch.random.fork_rng(range(getattr(torch, kind).device_count()), device_type=kind):
            torch.manual_seed(1)
            return forward(self, input, hx)

    wrap(patch, nn.LSTM, "forward", wrong)
