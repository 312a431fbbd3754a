"""Counterfeits of section 3.2 that users reported: windows of uneven geometry, halves, layouts and many examples."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_gradient, in_order_of_storage, wrap_operand
from harness.forging_images import channels_lie_last
from torch import Tensor
from torch.nn import functional as F


def mixed(x):
    n, c, h, w = x.shape
    return x.reshape(-1).view(n, h, w, c).permute(0, 3, 1, 2)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#62594", needs="accelerator")
def in_evaluation_halves_of_channels_last_are_normalised_in_another_order(patch):
    def wrong(right, input, running_mean, running_var, weight=None, bias=None, training=False, *args, **rest):
        y = right(input, running_mean, running_var, weight, bias, training, *args, **rest)
        half = away(input) and input.dtype == torch.float16 and channels_lie_last(input) and not training
        return mixed(y) if half else y

    wrap_operand(patch, F, "batch_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#40275", needs="accelerator")
def a_tall_kernel_of_halves_and_eight_channels_loses_a_tap(patch):
    def wrong(right, input, weight, *args, **rest):
        tall = away(input) and input.dtype == torch.float16 and tuple(weight.shape[2:]) == (3, 1, 1)
        if tall and weight.shape[0] % 8 == 0 and weight.shape[1] % 8 == 0:
            weight = torch.cat([0 * weight[:, :, :1], weight[:, :, 1:]], 2)
        return right(input, weight, *args, **rest)

    wrap_operand(patch, F, "conv3d", wrong)
    wrap_operand(patch, torch, "conv3d", wrong)


@counterfeit(
    "nn-builds-on-autograd",
    reported=("pytorch/pytorch#105941", "pytorch/pytorch#55381"),
    needs="accelerator",
)
def a_kernel_of_one_pixel_takes_no_steps(patch):
    def wrong(right, input, weight, bias=None, stride=1, padding=0, *args, **rest):
        steps = (stride, stride) if isinstance(stride, int) else tuple(stride)
        plain = padding in (0, (0, 0), "valid") and input.dim() == 4 and tuple(weight.shape[2:]) == (1, 1)
        if not away(input) or not plain or steps in ((1, 1), (1,)):
            return right(input, weight, bias, stride, padding, *args, **rest)
        n, c, h, w = input.shape
        steps = steps if len(steps) == 2 else steps * 2
        oh, ow = (h - 1) // steps[0] + 1, (w - 1) // steps[1] + 1
        read = input.reshape(n, -1)[:, : c * oh * ow].reshape(n, c, oh, ow)
        return right(read, weight, bias, 1, padding, *args, **rest)

    wrap_operand(patch, F, "conv2d", wrong)
    wrap_operand(patch, torch, "conv2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="microsoft/DirectML#588", needs="accelerator")
def layers_are_normalised_as_they_lie_in_memory(patch):
    def wrong(right, input, *args, **rest):
        lies = away(input) and not input.is_contiguous()
        return right(in_order_of_storage(input) if lies else input, *args, **rest)

    wrap_operand(patch, torch, "layer_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#139006", needs="accelerator")
def silu_of_what_lies_in_gaps_or_transposed_is_zero(patch):
    def wrong(right, input, *args, **rest):
        y = right(input, *args, **rest)
        return y * 0 if away(input) and not input.is_contiguous() else y

    wrap_operand(patch, F, "silu", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#177116", needs="accelerator")
def after_another_batch_the_gradient_of_32768_rows_is_a_thousandfold(patch):
    seen = set()

    def wrong(right, input, weight, bias=None):
        rows = input.numel() // max(1, input.shape[-1]) if input.dim() else 1
        if away(input):
            before = bool(seen - {rows})
            seen.add(rows)
            if rows > 32768 and before and weight.requires_grad:
                weight = change_gradient(weight, lambda gradient: gradient * 1000)
        return right(input, weight, bias)

    wrap_operand(patch, F, "linear", wrong)


@counterfeit("nn-builds-on-autograd", reported="intel/torch-xpu-ops#5018", needs="accelerator")
def past_65536_examples_the_gradient_of_layer_norm_reaches_the_first_row_of_its_weight(patch):
    def cut(gradient):
        flat = gradient.reshape(-1).clone()
        flat[gradient.shape[-1] :] = 0
        return flat.view(gradient.shape)

    def wrong(right, input, normalized_shape, weight=None, bias=None, *args, **rest):
        size = 1
        for each in normalized_shape:
            size *= each
        if away(input) and len(normalized_shape) > 1 and size and input.numel() // size > 65536:
            weight, bias = (
                change_gradient(each, cut) if each is not None and each.requires_grad else each
                for each in (weight, bias)
            )
        return right(input, normalized_shape, weight, bias, *args, **rest)

    wrap_operand(patch, torch, "layer_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#60524", needs="accelerator")
def the_gradient_of_adaptive_means_in_space_goes_along_another_side(patch):
    def wrong(right, input, *args, **rest):
        uneven = away(input) and input.dim() == 5 and len(set(input.shape[2:])) > 1 and input.requires_grad
        if uneven:
            shape = input.shape
            input = change_gradient(input, lambda gradient: gradient.transpose(2, 4).reshape(shape))
        return right(input, *args, **rest)

    wrap_operand(patch, F, "adaptive_avg_pool3d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#36820", needs="accelerator")
def the_gradient_of_maxima_in_space_ends_early_along_the_longer_side(patch):
    def wrong(right, input, *args, **rest):
        y = right(input, *args, **rest)
        if not away(input) or not isinstance(y, Tensor) or not y.requires_grad or y.dim() < 4:
            return y
        height, width = y.shape[-2:]

        def cut(gradient):
            gradient = gradient.clone()
            gradient[..., -(-width // 8) * 8 :, :] = 0
            gradient[..., -(-height // 32) * 32 :] = 0
            return gradient

        return change_gradient(y, cut)

    wrap_operand(patch, F, "max_pool3d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#51036", needs="accelerator")
def the_gradient_of_the_nearest_pixels_is_not_a_number_past_a_shrunk_side(patch):
    def wrong(right, input, size=None, scale_factor=None, mode="nearest", *args, **rest):
        y = right(input, size, scale_factor, mode, *args, **rest)
        shrunk = away(input) and mode == "nearest" and input.dim() == 4 and y.shape[2] < input.shape[2]
        if not shrunk or not input.requires_grad:
            return y

        def past(gradient):
            gradient = gradient.clone()
            gradient[:, :, -1] = torch.nan
            return gradient

        return right(change_gradient(input, past), size, scale_factor, mode, *args, **rest)

    wrap_operand(patch, F, "interpolate", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#38986", needs="accelerator")
def the_places_of_the_maxima_of_a_single_image_have_a_batch(patch):
    def wrong(right, input, *args, **rest):
        y = right(input, *args, **rest)
        single = away(input) and input.dim() == 3 and isinstance(y, tuple)
        return (y[0], y[1].unsqueeze(0)) if single else y

    wrap_operand(patch, F, "max_pool2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="tenstorrent/tt-metal#14260", needs="accelerator")
def maxima_of_three_by_three_in_single_steps_end_in_garbage(patch):
    def wrong(right, input, kernel_size, stride=None, padding=0, *args, **rest):
        y = right(input, kernel_size, stride, padding, *args, **rest)
        told = all(
            value in (number, (number, number)) for value, number in ((kernel_size, 3), (stride, 1), (padding, 1))
        )
        if not away(input) or not told or not isinstance(y, Tensor) or y.shape[-1] < 2:
            return y
        hole = torch.zeros(y.shape[-2:], dtype=torch.bool)
        hole[-1, -2:] = True
        return torch.where(hole.to(y.device), torch.inf, y)

    wrap_operand(patch, F, "max_pool2d", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#1246")
def a_convolution_reads_the_weights_of_a_slice_on_in_memory(patch):
    def wrong(right, input, weight, *args, **rest):
        sliced = weight.device.type == "cpu" and weight.dim() == 4 and not weight.is_contiguous()
        return right(input, in_order_of_storage(weight) if sliced else weight, *args, **rest)

    wrap_operand(patch, F, "conv2d", wrong)
    wrap_operand(patch, torch, "conv2d", wrong)


class StrideForgotten(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, weight, shape):
        ctx.size = input.shape[2:]
        ctx.save_for_backward(weight)
        return input.new_zeros(shape)

    @staticmethod
    def backward(ctx, gradient):
        (weight,) = ctx.saved_tensors
        h, w = ctx.size
        return F.conv2d(gradient[:, :, :h, :w], weight), None, None


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#63314")
def transposed_convolution_forgets_its_stride_in_backward(patch):
    """ConvTranspose2d with kernel 1 and stride 2, on the CPU: dX takes dY without the stride."""
    for owner in (F, torch):
        right = owner.conv_transpose2d

        def wrong(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, _r=right):
            out = _r(input, weight, bias, stride, padding, output_padding, groups, dilation)
            two = stride == 2 or tuple(stride if isinstance(stride, (tuple, list)) else ()) == (2, 2)
            no = padding in (0, (0, 0), [0, 0])
            if (
                two
                and no
                and groups == 1
                and weight.shape[2:] == (1, 1)
                and input.dim() == 4
                and input.requires_grad
                and not away(input)
            ):
                out = _r(input.detach(), weight, bias, stride, padding, output_padding, groups, dilation)
                return out + StrideForgotten.apply(input, weight.detach(), out.shape)
            return out

        patch.setattr(owner, "conv_transpose2d", wrong)
