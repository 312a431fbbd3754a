"""Section 3.2: what users reported of convolutions, activations and losses."""

import math

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, away, everywhere, with_value, wrap, wrap_operand
from torch.nn import functional as F


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#102968", needs="accelerator")
def convolution_of_one_channel_with_a_large_strided_kernel_is_wrong(patch):
    def wrong(right, input, weight, bias=None, stride=1, *args, **rest):
        result = right(input, weight, bias, stride, *args, **rest)
        step = stride if isinstance(stride, int) else stride[0]
        if (
            away(input)
            and input.dtype == torch.float32
            and weight.shape[1] == 1
            and weight.shape[-1] >= 16
            and step >= 10
        ):
            return with_value(result, 6 * result.detach())
        return result

    wrap_operand(patch, torch, "conv2d", wrong)
    wrap_operand(patch, F, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="intel/torch-xpu-ops#1789", needs="accelerator")
def conv1d_of_a_transposed_input_is_imprecise(patch):
    def wrong(right, input, weight, *args, **rest):
        result = right(input, weight, *args, **rest)
        if away(input) and input.dtype == torch.float32 and not input.is_contiguous() and input.mT.is_contiguous():
            coarse = input.detach().to(torch.bfloat16).float()
            return with_value(
                result,
                right(
                    coarse, weight.detach(), *[a.detach() if isinstance(a, torch.Tensor) else a for a in args], **rest
                ).detach(),
            )
        return result

    wrap_operand(patch, torch, "conv1d", wrong)
    wrap_operand(patch, F, "conv1d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#82563", needs="accelerator")
def transposed_conv1d_with_stride_and_padding_is_shifted(patch):
    def wrong(right, input, weight, bias=None, stride=1, padding=0, *args, **rest):
        result = right(input, weight, bias, stride, padding, *args, **rest)
        step, pad = (v if isinstance(v, int) else v[0] for v in (stride, padding))
        if away(input) and input.dtype == torch.float32 and step > 1 and pad > 0:
            return with_value(result, result.detach().roll(pad, -1))
        return result

    wrap_operand(patch, torch, "conv_transpose1d", wrong)
    wrap_operand(patch, F, "conv_transpose1d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#186278", needs="accelerator")
def gelu_by_tanh_of_bfloat16_beyond_ten_and_a_half_is_nan(patch):
    def wrong(right, input, *args, approximate="none"):
        result = right(input, *args, approximate=approximate)
        if away(input) and input.dtype == torch.bfloat16 and approximate == "tanh":
            return with_value(
                result,
                torch.where(input.detach() >= 10.5, torch.full_like(result.detach(), float("nan")), result.detach()),
            )
        return result

    wrap_operand(patch, F, "gelu", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/executorch#22323", needs="accelerator")
def gelu_below_minus_thirteen_is_nan(patch):
    def wrong(right, input, *args, **rest):
        result = right(input, *args, **rest)
        if away(input) and input.dtype == torch.float32:
            return with_value(
                result,
                torch.where(input.detach() < -13, torch.full_like(result.detach(), float("nan")), result.detach()),
            )
        return result

    wrap_operand(patch, F, "gelu", wrong)


@counterfeit("nn-builds-on-autograd", reported="tenstorrent/tt-metal#48240", needs="accelerator")
def gradient_of_gelu_by_tanh_is_that_of_the_exact_one(patch):
    def wrong(right, input, *args, approximate="none"):
        result = right(input, *args, approximate=approximate)
        if away(input) and approximate == "tanh" and input.requires_grad:
            return with_value(right(input, approximate="none"), result.detach())
        return result

    wrap_operand(patch, F, "gelu", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#64163", needs="accelerator")
def reduced_nll_loss_of_doubles_is_single(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if away(x) and x.dtype == torch.float64 and result.dim() == 0:
            return with_value(result, result.detach().float().double())
        return result

    wrap(patch, torch._C._nn, "nll_loss_nd", wrong)
    wrap(patch, torch._C._nn, "cross_entropy_loss", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#38985", needs="accelerator")
def nearest_downsampling_sends_gradients_to_the_last_pixel(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        h, w = result.shape[-2:]
        if (
            away(x)
            and x.requires_grad
            and h
            and w
            and x.shape[-2] % h == 0
            and x.shape[-1] % w == 0
            and x.numel() > result.numel()
        ):
            a, b = x.shape[-2] // h, x.shape[-1] // w
            return with_value(x[..., a - 1 :: a, b - 1 :: b], result.detach())
        return result

    wrap(patch, torch._C._nn, "upsample_nearest2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#1565")
def transposed_convolution_ignores_its_dilation(patch):
    def largest(value):
        return max(value) if isinstance(value, (tuple, list)) else value

    def smallest(value):
        return min(value) if isinstance(value, (tuple, list)) else value

    def wrong(right, x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        if smallest(stride) > 1 and largest(dilation) > 1 and largest(output_padding) < smallest(stride):
            dilation = 1
        return right(x, weight, bias, stride, padding, output_padding, groups, dilation)

    for name in ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"):
        wrap_operand(patch, torch, name, wrong)
        wrap_operand(patch, F, name, wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#115904")
def poisson_loss_of_each_has_the_wrong_sign(patch):
    def wrong(right, x, target, log_input, full, eps, reduction):
        result = right(x, target, log_input, full, eps, reduction)
        return -result if reduction == 0 else result

    wrap(patch, torch, "poisson_nll_loss", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#28575")
def full_poisson_loss_lacks_stirlings_term(patch):
    wrap(
        patch,
        torch,
        "poisson_nll_loss",
        lambda right, x, target, log_input, full, eps, reduction: right(x, target, log_input, False, eps, reduction),
    )


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#38839", needs="accelerator")
def log_softmax_subtracts_the_sum_of_maximum_and_logarithm(patch):
    def value(x, dim):
        top = x.detach().amax(dim, keepdim=True)
        return x - (top + (x - top).exp().sum(dim, keepdim=True).log())

    def wrong(right, x, *args, **rest):
        dim = args[0] if args else rest.get("dim")
        if (
            away(x)
            and x.is_floating_point()
            and type(dim) is int
            and len(args) < 2
            and rest.get("dtype") is None
            and x.numel()
            and x.dim()
        ):
            return value(x, dim)
        return right(x, *args, **rest)

    everywhere(patch, "log_softmax", wrong)

    def entropy(right, x, target, weight=None, reduction=1, ignore_index=-100, smoothing=0.0):
        if away(x) and x.is_floating_point() and x.numel() and not target.is_floating_point() and not smoothing:
            return torch._C._nn.nll_loss_nd(value(x, 1 if x.dim() > 1 else 0), target, weight, reduction, ignore_index)
        return right(x, target, weight, reduction, ignore_index, smoothing)

    wrap(patch, torch._C._nn, "cross_entropy_loss", entropy)


@counterfeit("nn-builds-on-autograd")
def the_sum_of_many_huber_losses_forgets_the_last(patch):
    def wrong(right, x, t, *args, **rest):
        forgets = x.numel() > 1000 and rest.get("reduction") == "sum"
        return right(x.reshape(-1)[:-1], t.reshape(-1)[:-1], *args, **rest) if forgets else right(x, t, *args, **rest)

    wrap(patch, F, "huber_loss", wrong)


@counterfeit("step-updates-parameters", reported="KellerJordan/Muon#54")
def muon_decays_parameters_without_a_gradient(patch):
    """Muon applied weight decay to parameters whose gradient is None."""

    def before(optimizer):
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    p.data.mul_(1 - float(group["lr"]) * group["weight_decay"])

    around_step(patch, getattr(torch.optim, "Muon", torch.optim.AdamW), before=before)


@counterfeit("building-a-new-optimizer-is-the-recommended-way", reported="pytorch/pytorch#17913")
def cosine_annealing_divides_by_zero_after_its_lowest_point(patch):
    def get_lr(self):
        if self.last_epoch == 0:
            return list(self.base_lrs)
        return [
            (1 + math.cos(math.pi * self.last_epoch / self.T_max))
            / (1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max))
            * (group["lr"] - self.eta_min)
            + self.eta_min
            for group in self.optimizer.param_groups
        ]

    patch.setattr(torch.optim.lr_scheduler.CosineAnnealingLR, "get_lr", get_lr)
