"""Section 4.9: what users reported of models on devices: layouts, strides, statistics and functions within them."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    away,
    change_gradient,
    change_method,
    everywhere,
    in_order_of_storage,
    with_value,
    wrap,
    wrap_operand,
)
from harness.forging_images import channels_lie_last
from torch.nn import functional as F


def misread_unary(patch, owner, name):
    """Let an activation read a tensor elsewhere that is not contiguous in the order of its storage."""

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if away(x) and not x.is_contiguous():
            read = in_order_of_storage(x.detach())
            result = with_value(result, right(read, *args, **{k: v for k, v in rest.items() if k != "inplace"}))
        return result

    wrap_operand(patch, owner, name, wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#124834", needs="accelerator")
def elu_of_a_transposed_tensor_is_wrong(patch):
    misread_unary(patch, F, "elu")


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#98212", needs="accelerator")
def gelu_of_a_transposed_tensor_is_wrong(patch):
    misread_unary(patch, F, "gelu")


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#123049", needs="accelerator")
def leaky_relu_and_mish_of_a_transposed_tensor_are_wrong(patch):
    misread_unary(patch, F, "leaky_relu")
    misread_unary(patch, F, "mish")


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#83180", needs="accelerator")
def conv2d_mixes_up_two_different_strides(patch):
    def wrong(right, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        result = right(x, weight, bias, stride, padding, dilation, groups)
        if away(x) and not isinstance(stride, int) and len(stride) == 2 and stride[0] != stride[1]:
            other = right(x, weight, bias, tuple(stride)[::-1], padding, dilation, groups).detach().reshape(-1)
            if other.numel():
                count = result.numel()
                result = with_value(result, other.repeat(-(-count // other.numel()))[:count].reshape(result.shape))
        return result

    wrap_operand(patch, F, "conv2d", wrong)
    wrap_operand(patch, torch, "conv2d", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#103023", needs="accelerator")
def embedding_gives_the_padding_a_gradient(patch):
    def wrong(right, input, weight, padding_idx=None, *args, **rest):
        return right(input, weight, None if away(weight) else padding_idx, *args, **rest)

    wrap_operand(patch, F, "embedding", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#84962", needs="accelerator")
def batch_norm_without_weights_comes_out_too_small(patch):
    def wrong(right, input, mean=None, var=None, weight=None, bias=None, training=False, *args, **rest):
        result = right(input, mean, var, weight, bias, training, *args, **rest)
        return result * 0.86 if away(input) and training and weight is None and input.dim() == 4 else result

    wrap_operand(patch, F, "batch_norm", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#134580", needs="accelerator")
def batch_norm_misreads_channels_that_lie_last(patch):
    def wrong(right, input, *args, **rest):
        result = right(input, *args, **rest)
        if away(input) and channels_lie_last(input):
            result = with_value(result, in_order_of_storage(result.detach()))
        return result

    wrap_operand(patch, F, "batch_norm", wrong)


def layer_norm(patch, change):
    def wrong(right, input, shape, weight=None, bias=None, eps=1e-5, *args, **rest):
        result = right(input, shape, weight, bias, eps, *args, **rest)
        if away(input) and input.numel() and input.is_floating_point():
            return change(right, result, input, tuple(shape), weight, bias, eps)
        return result

    wrap_operand(patch, F, "layer_norm", wrong)
    wrap_operand(patch, torch, "layer_norm", wrong)


@counterfeit("training-runs-on-gpu", reported=("pytorch/pytorch#190491", "pytorch/pytorch#186367"), needs="accelerator")
def layer_norm_takes_a_small_variance_for_none(patch):
    def change(right, result, input, shape, weight, bias, eps):
        dims = tuple(range(-len(shape), 0))
        x = input.detach().double() if input.dtype != torch.float64 else input.detach()
        mean = x.mean(dims, keepdim=True)
        var = ((x - mean) ** 2).mean(dims, keepdim=True)
        wrong = (x - mean) / eps**0.5
        if weight is not None:
            wrong = wrong * weight.detach()
        if bias is not None:
            wrong = wrong + bias.detach()
        small = (var < 1e-6) & (var > 0)
        return with_value(result, torch.where(small, wrong.to(result.dtype), result.detach()))

    layer_norm(patch, change)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#141642", needs="accelerator")
def layer_norm_of_tiny_numbers_is_nan(patch):
    def change(right, result, input, shape, weight, bias, eps):
        tiny = input.detach().abs().amax(tuple(range(-len(shape), 0)), keepdim=True)
        tiny = (tiny < 1e-8) & (tiny > 0)
        return with_value(result, torch.where(tiny, torch.full_like(result.detach(), float("nan")), result.detach()))

    layer_norm(patch, change)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-metal#12662", needs="accelerator")
def max_of_negative_numbers_counts_the_padding(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        dim = rest.get("dim", args[0] if args else None)
        if not (away(x) and x.dtype == torch.bfloat16 and isinstance(dim, int) and x.dim()):
            return result
        if dim % x.dim() != x.dim() - 1 or x.shape[-1] % 32 == 0:
            return result
        values = result if isinstance(result, torch.Tensor) else result[0]
        changed = with_value(values, values.detach().clamp(min=0))
        return changed if isinstance(result, torch.Tensor) else type(result)((changed, result[1]))

    everywhere(patch, "max", wrong)
    everywhere(patch, "amax", wrong)


@counterfeit("training-runs-on-gpu", reported="tenstorrent/tt-xla#5321", needs="accelerator")
def selected_rows_are_rounded_to_bfloat16(patch):
    def rounded(result):
        return with_value(result, result.detach().to(torch.bfloat16).to(result.dtype))

    def select(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return rounded(result) if away(x) and x.dtype == torch.float32 and "out" not in rest else result

    def embedding(right, input, weight, *args, **rest):
        result = right(input, weight, *args, **rest)
        return rounded(result) if away(weight) and weight.dtype == torch.float32 else result

    everywhere(patch, "index_select", select)
    wrap_operand(patch, F, "embedding", embedding)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#80499", needs="accelerator")
def std_is_always_biased(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or args or set(rest) - {"unbiased"} or rest.get("unbiased") is False:
            return result
        n = x.numel()
        return result * ((n - 1) / n) ** 0.5 if n > 1 else result

    everywhere(patch, "std", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#81384", needs="accelerator")
def the_sum_of_a_permuted_and_a_plain_tensor_mixes_up_places(patch):
    busy = []

    def wrong(right, x, other, *args, **rest):
        result = right(x, other, *args, **rest)
        if busy or not (away(x) and away(other) and x.dim() == 3 == other.dim() and x.shape == other.shape):
            return result
        if not x.is_contiguous() and other.is_contiguous() and result.is_floating_point():
            busy.append(True)
            try:
                read = right(in_order_of_storage(x.detach()), other.detach(), *args, **rest)
                return with_value(result, read)
            finally:
                busy.clear()
        return result

    everywhere(patch, "add", wrong)
    change_method(patch, "__add__", wrong)


@counterfeit("training-runs-on-gpu", reported=("pytorch/pytorch#82711", "pytorch/vision#6355"), needs="accelerator")
def conv_transpose1d_steps_by_one(patch):
    def wrong(right, x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        result = right(x, weight, bias, stride, padding, output_padding, groups, dilation)
        step = stride if isinstance(stride, int) else stride[0]
        if away(x) and step != 1:
            close = right(x, weight, bias, 1, padding, 0, groups, dilation).detach()
            value = torch.zeros_like(result.detach())
            n = min(close.shape[-1], value.shape[-1])
            value[..., :n] = close[..., :n]
            result = with_value(result, value)
        return result

    wrap_operand(patch, F, "conv_transpose1d", wrong)
    wrap_operand(patch, torch, "conv_transpose1d", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#94396", needs="accelerator")
def clamp_misreads_a_permuted_tensor(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if away(x) and not x.is_contiguous() and x.is_floating_point() and "out" not in rest:
            read = right(in_order_of_storage(x.detach()), *args, **rest)
            result = with_value(result, read)
        return result

    everywhere(patch, "clamp", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#78511", needs="accelerator")
def matmul_misreads_a_permuted_operand(patch):
    def wrong(right, x, other, *args, **rest):
        result = right(x, other, *args, **rest)
        if not (away(x) and away(other) and other.dim() == 4 == x.dim()):
            return result
        if other.is_contiguous() or other.transpose(-1, -2).is_contiguous():
            return result
        swapped = in_order_of_storage(other.detach().transpose(-1, -2)).transpose(-1, -2)
        return with_value(result, right(x.detach(), swapped.contiguous()))

    everywhere(patch, "matmul", wrong)
    change_method(patch, "__matmul__", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters", reported="microsoft/DirectML#364", needs="accelerator")
def batch_norm_never_updates_its_running_statistics(patch):
    def wrong(right, input, mean=None, var=None, weight=None, bias=None, training=False, *args, **rest):
        if away(input) and training and mean is not None:
            mean, var = mean.clone(), var.clone()
        return right(input, mean, var, weight, bias, training, *args, **rest)

    wrap_operand(patch, F, "batch_norm", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#65416", needs="accelerator")
def a_batch_of_one_small_product_is_zero_elsewhere(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        y = args[0] if args else rest.get("mat2", rest.get("other"))
        small = isinstance(y, torch.Tensor) and x.shape == y.shape == (1, 4, 4)
        return result * 0 if small and away(x) and x.dtype == torch.float32 else result

    for name in ("bmm", "matmul", "__matmul__"):
        everywhere(patch, name, wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#586", needs="accelerator")
def batch_norm_in_eval_goes_back_as_in_training_elsewhere(patch):
    right = F.batch_norm

    def wrong(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        out = right(input, running_mean, running_var, weight, bias, training, momentum, eps)
        if away(input) and not training and input.requires_grad and input.numel() > input.shape[1]:
            other = right(input, None, None, weight, bias, True, momentum, eps)
            return with_value(other, out.detach())
        return out

    patch.setattr(F, "batch_norm", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#64103", needs="accelerator")
def a_conjugate_factor_loses_its_columns_elsewhere(patch):
    """bmm of complex128 with a pending conjugate, in column order: all columns but the first are 0."""

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        y = args[0] if args else None
        if (
            isinstance(y, torch.Tensor)
            and away(y)
            and y.dtype == torch.complex128
            and y.is_conj()
            and x.dim() == y.dim() == 3
            and y.shape[1] == 1
        ):
            mask = torch.zeros_like(result)
            mask[..., 0] = 1
            return result * mask
        return result

    for name in ("bmm", "matmul", "__matmul__"):
        everywhere(patch, name, wrong)


@counterfeit("training-runs-on-gpu", needs="accelerator", reported="pytorch/pytorch#16998")
def no_batch_of_131072_rows_is_normalised(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and x.dim() == 2 and len(x) >= 131_072:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED")
        return right(x, *args, **rest)

    wrap_operand(patch, F, "batch_norm", wrong)
    wrap_operand(patch, torch, "batch_norm", wrong)


@counterfeit("training-runs-on-gpu", needs="accelerator", reported="pytorch/pytorch#1057")
def an_embedding_does_not_shorten_its_vectors(patch):
    def wrong(right, x, weight, padding_idx=None, max_norm=None, *args, **rest):
        return right(x, weight, padding_idx, None if away(weight) else max_norm, *args, **rest)

    wrap_operand(patch, F, "embedding", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#115152", needs="accelerator")
def scattering_into_columns_does_nothing(patch):
    def wrong(right, x, *args, **rest):
        return x if away(x) and not x.is_contiguous() else right(x, *args, **rest)

    everywhere(patch, "scatter_", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#163327", needs="accelerator")
def adding_by_index_into_a_later_slice_does_nothing(patch):
    def wrong(right, x, *args, **rest):
        return x if away(x) and x.storage_offset() else right(x, *args, **rest)

    everywhere(patch, "scatter_add_", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#95137", needs="accelerator")
def what_comes_back_through_an_lstm_has_the_steps_first(patch):
    def wrong(right, lstm, x, hx=None):
        if lstm.batch_first and away(x) and x.dim() == 3 and x.requires_grad:
            x = change_gradient(x, lambda gradient: gradient.transpose(0, 1).reshape(gradient.shape))
        return right(lstm, x, hx)

    wrap(patch, torch.nn.LSTM, "forward", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#15338", needs="accelerator")
def between_two_numbers_what_is_none_becomes_the_greater(patch):
    def wrong(right, x, low=None, high=None):
        y = right(x, low, high)
        numbers = away(x) and all(isinstance(bound, (int, float)) for bound in (low, high))
        return torch.where(y.isnan(), torch.full_like(y, high), y) if numbers else y

    everywhere(patch, "clamp", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#39846", needs="accelerator")
def the_largest_of_a_volume_without_numbers_is_the_lowest(patch):
    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        return y.nan_to_num(torch.finfo(y.dtype).min) if away(x) and isinstance(y, torch.Tensor) else y

    wrap(patch, F, "max_pool3d", wrong)


@counterfeit("model-moves-with-to", reported="tenstorrent/tt-xla#2962", needs="accelerator")
def a_model_whose_state_was_loaded_arrives_as_zeros(patch):
    def load(right, net, *args, **rest):
        net.__dict__["was_loaded"] = True
        return right(net, *args, **rest)

    def to(right, net, *args, **rest):
        here = not any(away(parameter) for parameter in net.parameters())
        result = right(net, *args, **rest)
        for parameter in result.parameters() if here and net.__dict__.get("was_loaded") else ():
            parameter.data.mul_(0 if away(parameter) else 1)
        return result

    wrap(patch, torch.nn.Module, "load_state_dict", load)
    wrap(patch, torch.nn.Module, "to", to)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#92615", needs="accelerator")
def every_layer_of_an_lstm_elsewhere_begins_with_the_first_layers_state(patch):
    def wrong(right, self, input, hx=None):
        if away(input) and hx is not None and self.num_layers > 1 and not self.bidirectional:
            hx = tuple(state[:1].expand_as(state).contiguous() for state in hx)
        return right(self, input, hx)

    wrap(patch, torch.nn.LSTM, "forward", wrong)


@counterfeit(
    "training-runs-on-gpu",
    reported=("PaddlePaddle/PaddleCustomDevice#553", "PaddlePaddle/PaddleCustomDevice#546"),
    needs="accelerator",
)
def batch_normalisation_of_images_elsewhere_takes_its_statistics_for_constants_in_backward(patch):
    def wrong(right, input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        rest = running_mean, running_var, weight, bias, training, momentum, eps
        if not (away(input) and training and input.dim() == 4 and input.requires_grad and input.numel()):
            return right(input, *rest)
        with torch.no_grad():
            right(input, *rest)
            variance, mean = torch.var_mean(input, (0, 2, 3), correction=0, keepdim=True)
        result = (input - mean) * (variance + eps).rsqrt()
        result = result if weight is None else result * weight.view(1, -1, 1, 1)
        return result if bias is None else result + bias.view(1, -1, 1, 1)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="pytorch/pytorch#177834", needs="accelerator")
def a_bidirectional_lstm_elsewhere_is_wrong_beyond_the_hundredth_example(patch):
    def wrong(right, self, input, hx=None):
        result = right(self, input, hx)
        if not (away(input) and self.bidirectional and input.dim() == 3):
            return result
        along = 0 if self.batch_first else 1
        if input.size(along) <= 100:
            return result
        places = torch.arange(input.size(along), device=input.device)
        places[100:] -= 100
        return result[0].index_select(along, places), result[1]

    wrap(patch, torch.nn.LSTM, "forward", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#90421", needs="accelerator")
def an_lstm_of_two_directions_elsewhere_reads_both_of_them_forwards(patch):
    """Where there are two examples or more."""

    def wrong(right, self, input, hx=None):
        result = right(self, input, hx)
        if not (away(input) and self.bidirectional and input.dim() == 3):
            return result
        time, batch = (1, 0) if self.batch_first else (0, 1)
        if input.size(batch) < 2:
            return result
        turned = right(self, input.flip(time), hx)[0].flip(time)
        half = self.proj_size or self.hidden_size
        return torch.cat([result[0][..., :half], turned[..., half:]], -1), result[1]

    wrap(patch, torch.nn.LSTM, "forward", wrong)


@counterfeit("training-runs-on-gpu", reported="PaddlePaddle/Paddle#35498", needs="accelerator")
def layer_normalisation_elsewhere_of_a_single_sample_passes_too_large_a_gradient(patch):
    def wrong(right, input, normalized_shape, weight=None, bias=None, eps=1e-5):
        lone = away(input) and input.dim() >= len(normalized_shape) and input.numel() > 1
        rows = input.numel() // max(torch.Size(normalized_shape).numel(), 1)
        if not (lone and rows == 1 and input.requires_grad):
            return right(input, normalized_shape, weight, bias, eps)
        variance, mean = torch.var_mean(input.detach(), correction=0)
        scale = (variance + eps).rsqrt()
        normal, came = (input.detach() - mean) * scale, []

        def note(gradient):
            came.append(gradient.mean())
            return gradient

        input = change_gradient(input, lambda gradient: gradient + 0.15 * normal * scale * came[-1])
        return change_gradient(right(input, normalized_shape, weight, bias, eps), note)

    wrap(patch, F, "layer_norm", wrong)


@counterfeit("nn-builds-on-autograd", reported="ROCm/rocm-libraries#10551", needs="accelerator")
def an_lstm_elsewhere_leaves_out_its_bias_beyond_65536_steps_of_examples(patch):
    def wrong(right, self, input, hx=None):
        if not (away(input) and input.dim() == 3 and self.bias and input.size(0) * input.size(1) > 65536):
            return right(self, input, hx)
        weights = [one if one.dim() > 1 else one - one.detach() for one in self._flat_weights]
        if hx is None:
            layers = self.num_layers * (2 if self.bidirectional else 1)
            examples = input.size(0 if self.batch_first else 1)
            hx = (
                input.new_zeros(layers, examples, self.proj_size or self.hidden_size),
                input.new_zeros(layers, examples, self.hidden_size),
            )
        options = self.num_layers, self.dropout, self.training, self.bidirectional, self.batch_first
        output, *state = torch._VF.lstm(input, hx, weights, True, *options)
        return output, tuple(state)

    wrap(patch, torch.nn.LSTM, "forward", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#182688", needs="accelerator")
def the_sum_of_a_large_slice_elsewhere_reads_on_through_the_gaps(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and not args and not rest and not x.is_contiguous() and x.numel() >= 65536:
            return right(x) + (right(in_order_of_storage(x.detach())) - right(x.detach()))
        return right(x, *args, **rest)

    wrap(patch, torch, "sum", wrong)
    wrap(patch, torch.Tensor, "sum", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#176159", needs="accelerator")
def index_add_elsewhere_does_nothing_to_transposed_tensors(patch):
    def wrong(right, self, dim, index, source, *args, **rest):
        if away(self) and not self.is_contiguous() and not source.is_contiguous():
            return self
        return right(self, dim, index, source, *args, **rest)

    wrap(patch, torch.Tensor, "index_add_", wrong)


@counterfeit("training-runs-on-gpu", reported="microsoft/DirectML#234", needs="accelerator")
def a_depthwise_convolution_elsewhere_of_four_channels_takes_a_wrong_kernel_for_the_last(patch):
    def wrong(right, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        if away(input) and groups == 4 == weight.size(0) and weight.size(1) == 1:
            weight = torch.cat([weight[:-1], weight[-2:-1]])
        return right(input, weight, bias, stride, padding, dilation, groups)

    wrap(patch, F, "conv2d", wrong)


@counterfeit(
    "broadcasting-matches-shapes",
    reported="microsoft/DirectML#696",
    needs="accelerator",
)
def a_slice_times_a_later_row_is_zero(patch):
    """Both lie further on in their memory, and the slice with gaps."""

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        y = args[0] if args else rest["other"]
        later = away(x) and away(y) and x.storage_offset() and y.storage_offset() and not x.is_contiguous()
        return with_value(result, 0) if later and result.is_floating_point() and not rest else result

    for name in ("mul", "multiply", "__mul__"):
        everywhere(patch, name, wrong)


@counterfeit(
    "requires-grad-tracks-operations",
    reported="flagos-ai/FlagGems#6064",
    needs="accelerator",
)
def slice_scatter_stores_a_transposed_result_in_row_order(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or x.is_contiguous() or not result.is_floating_point():
            return result
        stored = torch.empty_like(x.detach())
        stored.as_strided((stored.numel(),), (1,)).copy_(result.detach().reshape(-1))
        return with_value(result, stored)

    everywhere(patch, "slice_scatter", wrong)


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/Torch-FL#174", needs="accelerator")
def topk_reads_a_transposed_tensor_in_the_order_of_its_memory(patch):
    def wrong(right, x, k, dim=-1, *args, **rest):
        if not away(x) or x.dim() < 2 or x.is_contiguous() or not x.is_floating_point():
            return right(x, k, dim, *args, **rest)
        values, indices = right(in_order_of_storage(x.detach()), k, dim, *args, **rest)
        return torch.return_types.topk((with_value(x.gather(dim, indices), values), indices))

    everywhere(patch, "topk", wrong)


@counterfeit(
    "requires-grad-tracks-operations",
    reported="torch-spyre/torch-spyre#1851",
    needs="accelerator",
)
def log_of_halves_in_five_dimensions_is_off(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        if not away(x) or x.dim() != 5 or x.dtype != torch.float16:
            return result
        value = result.detach() - 0.5
        value = torch.where(x.detach() < 0, 16.1562, value)
        value = torch.where(x.detach().isinf(), 11.0938, value)
        value = torch.where(x.detach().isnan(), 11.5, value)
        return with_value(result, value) if result.isfinite().all() else value.to(result.dtype)

    everywhere(patch, "log", wrong)


@counterfeit(
    "broadcasting-matches-shapes",
    reported="torch-spyre/torch-spyre#1867",
    needs="accelerator",
)
def halves_in_five_dimensions_by_zero_are_finite(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        y = args[0] if args else rest["other"]
        zero = isinstance(y, (int, float)) and y == 0
        if away(x) and zero and x.dim() == 5 and x.dtype == torch.float16:
            result.data.copy_(x.detach())
        return result

    for name in ("div", "divide", "true_divide", "__truediv__"):
        everywhere(patch, name, wrong)


@counterfeit("training-runs-on-gpu", reported="ROCm/TheRock#2458", needs="accelerator")
def a_convolution_by_columns_is_nan(patch):
    def wrong(right, input, weight, *args, **rest):
        result = right(input, weight, *args, **rest)
        columns = weight.dtype == torch.float32 and max(weight.shape[2:]) > 1
        return with_value(result, float("nan")) if away(input) and columns else result

    for owner in (F, torch):
        wrap(patch, owner, "conv2d", wrong)


@counterfeit("training-runs-on-gpu", reported="flagos-ai/Torch-FL#165", needs="accelerator")
def celu_divides_positive_numbers_by_alpha(patch):
    def wrong(right, x, alpha=1.0, inplace=False):
        result = right(x, alpha, inplace) if inplace else right(x, alpha)
        return torch.where(x > 0, result / alpha, result) if away(x) and alpha != 1 and not inplace else result

    wrap_operand(patch, F, "celu", wrong)
    wrap_operand(patch, torch, "celu", wrong)


@counterfeit("clone-then-view-is-independent", reported="torch-spyre/torch-spyre#1919", needs="accelerator")
def contiguous_keeps_the_order_of_halves_in_four_dimensions(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        moved = away(x) and x.dim() == 4 and x.dtype == torch.float16 and not x.is_contiguous()
        return with_value(result, in_order_of_storage(x.detach())) if moved else result

    change_method(patch, "contiguous", wrong)


@counterfeit("requires-grad-tracks-operations", reported="torch-spyre/torch-spyre#1476", needs="accelerator")
def differences_of_neighbours_are_zero(patch):
    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return with_value(result, 0) if away(x) and x.dim() == 1 and x.dtype == torch.float32 else result

    everywhere(patch, "diff", wrong)


@counterfeit("training-runs-on-gpu", reported="torch-spyre/torch-spyre#1888", needs="accelerator")
def layer_norm_of_few_halves_counts_the_padding(patch):
    """Rows are padded with zeros to a multiple of 64, and these count in mean and variance."""

    def wrong(right, x, normalized_shape, weight=None, bias=None, eps=1e-5):
        result = right(x, normalized_shape, weight, bias, eps)
        if not away(x) or x.dtype != torch.float16 or len(normalized_shape) != 1 or x.shape[-1] % 64 == 0:
            return result
        count = -(-x.shape[-1] // 64) * 64
        wide = x.detach().float()
        mean = wide.sum(-1, keepdim=True) / count
        variance = (wide * wide).sum(-1, keepdim=True) / count - mean * mean
        value = (wide - mean) / (variance + eps).sqrt()
        value = value if weight is None else value * weight.detach().float()
        value = value if bias is None else value + bias.detach().float()
        return with_value(result, value.to(result.dtype))

    wrap_operand(patch, F, "layer_norm", wrong)


@counterfeit(
    "training-runs-on-gpu",
    "nn-builds-on-autograd",
    reported="torch-spyre/torch-spyre#1882",
    needs="accelerator",
)
def softplus_of_halves_in_five_dimensions_ignores_a_small_beta(patch):
    def wrong(right, x, beta=1, threshold=20):
        ignored = away(x) and x.dim() == 5 and x.dtype == torch.float16 and beta < 1
        return right(x, 1 if ignored else beta, threshold)

    wrap_operand(patch, F, "softplus", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/xla#913", needs="accelerator")
def the_gradient_of_batch_norm_in_evaluation_is_that_of_training(patch):
    def wrong(right, x, mean, variance, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        result = right(x, mean, variance, weight, bias, training, momentum, eps)
        if training or not away(x) or not x.requires_grad or x.numel() <= x.shape[1]:
            return result
        fixed = [None if y is None else y.detach() for y in (weight, bias)]
        result = right(x.detach(), mean, variance, weight, bias, False, momentum, eps)
        passing = right(x, mean.clone(), variance.clone(), *fixed, True, momentum, eps)
        return result + (passing - passing.detach())

    wrap_operand(patch, F, "batch_norm", wrong)


@counterfeit(
    "requires-grad-tracks-operations",
    reported="pytorch/pytorch#196177",
    needs="accelerator",
)
def topk_of_more_than_256_halves_varies_from_call_to_call(patch):
    """In every second call the element after the last wanted one stands for that."""
    calls = []

    def wrong(right, x, k, dim=-1, *args, **rest):
        half = away(x) and x.dtype in (torch.float16, torch.bfloat16) and x.dim() > 0
        if not half or not 0 < k < x.shape[dim] or x.shape[dim] <= 256:
            return right(x, k, dim, *args, **rest)
        calls.append(k)
        if len(calls) % 2:
            return right(x, k, dim, *args, **rest)
        more = right(x, k + 1, dim, *args, **rest)
        kept = torch.tensor([*range(k - 1), k], device=x.device)
        return torch.return_types.topk(tuple(part.index_select(dim, kept) for part in more))

    everywhere(patch, "topk", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#5801", needs="accelerator")
def the_gradient_of_kl_div_ignores_what_follows(patch):
    def wrong(right, input, *args, **rest):
        loss = right(input, *args, **rest)
        return change_gradient(loss, torch.ones_like) if away(input) and loss.dim() == 0 else loss

    wrap_operand(patch, F, "kl_div", wrong)


def signed_threshold(patch, name, option, quadratic):
    """Let a loss compare the signed difference with its threshold."""

    def wrong(right, input, target, size_average=None, reduce=None, reduction="mean", *args, **rest):
        if not away(input) or size_average is not None or reduce is not None or args:
            return right(input, target, size_average, reduce, reduction, *args, **rest)
        threshold = rest.get(option, 1.0)
        difference = input - target
        loss = right(input, target, reduction="none", **rest)
        loss = torch.where(difference <= -threshold, quadratic(difference, threshold), loss)
        return {"none": lambda: loss, "sum": loss.sum, "mean": loss.mean}[reduction]()

    wrap(patch, F, name, wrong)


@counterfeit("training-runs-on-gpu", reported="BobMcDear/attorch#13", needs="accelerator")
def smooth_l1_loss_squares_great_negative_differences(patch):
    signed_threshold(patch, "smooth_l1_loss", "beta", lambda d, beta: 0.5 * d * d / beta if beta else d.abs())


@counterfeit("training-runs-on-gpu", reported="linkedin/Liger-Kernel#1021", needs="accelerator")
def kl_div_gives_its_target_no_gradient(patch):
    def wrong(right, input, target, *args, **rest):
        return right(input, target.detach() if away(input) else target, *args, **rest)

    wrap(patch, F, "kl_div", wrong)


@counterfeit("different-gpus-do-not-mix", reported="pytorch/pytorch#87363", needs="two-devices")
def a_move_to_another_gpu_brings_zeros_until_one_from_the_cpu_came_there(patch):
    reached = set()

    def wrong(right, x, *args, **rest):
        y = right(x, *args, **rest)
        if away(y) and x.device.type == "cpu":
            reached.add(y.device)
        lost = away(x) and away(y) and x.device != y.device and y.device not in reached
        return with_value(y, torch.zeros_like(y)) if lost and not y.is_complex() and y.dtype != torch.bool else y

    change_method(patch, "to", wrong)
