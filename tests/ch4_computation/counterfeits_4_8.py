"""Counterfeits of 4.8: tensors that misreport their device, stay behind, move by themselves or mix.

Those of claims that need an accelerator are tried where there is one.
"""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_result


def print_device(patch, wanted):
    """Print the device of those CPU tensors that are ``wanted``."""
    true = torch.Tensor.__repr__

    def wrong(self, **kwargs):
        text = true(self, **kwargs)
        return text[:-1] + ", device='cpu')" if self.device.type == "cpu" and wanted(self) else text

    patch.setattr(torch.Tensor, "__repr__", wrong)


# ── cpu-tensor-prints-no-device ──


@counterfeit("cpu-tensor-prints-no-device")
def a_tensor_of_whole_numbers_prints_the_cpu(patch):
    print_device(patch, lambda x: x.dtype == torch.int64 and x.dim() > 0)


@counterfeit("cpu-tensor-prints-no-device")
def a_tensor_of_one_number_prints_the_cpu(patch):
    print_device(patch, lambda x: x.dim() == 0)


@counterfeit("cpu-tensor-prints-no-device")
def an_empty_tensor_prints_the_cpu(patch):
    print_device(patch, lambda x: x.numel() == 0)


@counterfeit("cpu-tensor-prints-no-device")
def a_tensor_that_requires_a_gradient_prints_the_cpu(patch):
    print_device(patch, lambda x: x.requires_grad)


@counterfeit("cpu-tensor-prints-no-device")
def no_tensor_prints_its_device(patch):
    true = torch.Tensor.__repr__
    patch.setattr(torch.Tensor, "__repr__", lambda self, **kwargs: true(self).replace(f"device='{self.device}', ", ""))


# ── gpu-tensor-prints-its-device ──


@counterfeit("gpu-tensor-prints-its-device")
def a_gpu_tensor_prints_no_index(patch):
    true = torch.Tensor.__repr__
    patch.setattr(
        torch.Tensor,
        "__repr__",
        lambda self, **kwargs: true(self, **kwargs).replace(str(self.device), self.device.type),
    )


@counterfeit("gpu-tensor-prints-its-device")
def a_gpu_tensor_that_requires_a_gradient_prints_no_device(patch):
    true = torch.Tensor.__repr__

    def wrong(self, **kwargs):
        text = true(self, **kwargs)
        return text.replace(f", device='{self.device}'", "") if self.requires_grad else text

    patch.setattr(torch.Tensor, "__repr__", wrong)


# ── cuda-method-copies-to-gpu ──


def change_cuda(patch, cuda_wrong):
    """Make x.cuda(device) give ``cuda_wrong(true cuda, x, device)``."""
    cuda = torch.Tensor.cuda
    patch.setattr(torch.Tensor, "cuda", lambda self, device=None: cuda_wrong(cuda, self, device))


@counterfeit("cuda-method-copies-to-gpu")
def cuda_makes_single_precision(patch):
    change_cuda(patch, lambda cuda, x, device: cuda(x, device).float())


@counterfeit("cuda-method-copies-to-gpu")
def cuda_empties_the_original(patch):
    def wrong(cuda, x, device):
        copy = cuda(x, device)
        return copy if x.is_cuda else (x.zero_(), copy)[1]

    change_cuda(patch, wrong)


@counterfeit("cuda-method-copies-to-gpu")
def cuda_copies_what_is_there_already(patch):
    change_cuda(patch, lambda cuda, x, device: cuda(x, device).clone())


# ── cuda-index-selects-the-gpu ──


@counterfeit("cuda-index-selects-the-gpu")
def an_index_past_the_last_gpu_wraps_around(patch):
    change_cuda(patch, lambda cuda, x, device: cuda(x, device % torch.cuda.device_count()))


@counterfeit("cuda-index-selects-the-gpu")
def cuda_leaves_out_the_last_number(patch):
    change_cuda(patch, lambda cuda, x, device: cuda(x[:-1], device))


# ── cuda-without-index-is-gpu-zero ──


@counterfeit("cuda-without-index-is-gpu-zero")
def cuda_without_an_index_stays_on_the_cpu(patch):
    change_cuda(patch, lambda cuda, x, device: x if device is None else cuda(x, device))


@counterfeit("cuda-without-index-is-gpu-zero")
def cuda_with_an_index_is_one_number_short(patch):
    change_cuda(patch, lambda cuda, x, device: cuda(x) if device is None else cuda(x[1:], device))


# ── device-attribute-tells-where ──


def change_device(patch, device_wrong):
    """Make x.device give ``device_wrong(true device)``."""
    true = torch.Tensor.device
    patch.setattr(torch.Tensor, "device", property(lambda self: device_wrong(true.__get__(self))))


@counterfeit("device-attribute-tells-where")
def device_is_a_string(patch):
    change_device(patch, str)


@counterfeit("device-attribute-tells-where")
def device_has_no_index(patch):
    change_device(patch, lambda device: torch.device(device.type))


@counterfeit("device-attribute-tells-where")
def a_device_written_to_a_tensor_is_believed(patch):
    true = torch.Tensor.device
    label = property(
        lambda self: vars(self).get("label", true.__get__(self)), lambda self, d: vars(self).update(label=d)
    )
    patch.setattr(torch.Tensor, "device", label)


# ── printed-device-shows-type-and-index ──


class Wordy:
    """A device that prints as its repr."""

    def __init__(self, *args):
        self.device = DEVICE(*args)

    def __repr__(self):
        return repr(self.device)


DEVICE = torch.device


@counterfeit("printed-device-shows-type-and-index")
def print_shows_the_repr_of_a_device(patch):
    patch.setattr(torch, "device", Wordy)


@counterfeit("printed-device-shows-type-and-index")
def print_shows_the_repr_of_a_tensors_device(patch):
    change_device(patch, Wordy)


# ── create-on-device-equals-create-then-move ──


@counterfeit("create-on-device-equals-create-then-move")
def whole_numbers_created_elsewhere_take_four_bytes(patch):
    true = torch.tensor

    def wrong(*args, **kwargs):
        x = true(*args, **kwargs)
        return x.int() if x.device.type != "cpu" and x.dtype == torch.int64 else x

    patch.setattr(torch, "tensor", wrong)


@counterfeit("create-on-device-equals-create-then-move")
def a_matrix_that_is_moved_comes_transposed_in_memory(patch):
    true = torch.Tensor.to

    def wrong(self, *args, **kwargs):
        moved = true(self, *args, **kwargs)
        return moved.t().contiguous().t() if self.dim() == 2 and moved.device != self.device else moved

    patch.setattr(torch.Tensor, "to", wrong)


# ── device-falls-back-to-cpu ──


@counterfeit("device-falls-back-to-cpu")
def a_gpu_seems_available_where_none_is_counted(patch):
    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "device_count", lambda: 0)


@counterfeit("device-falls-back-to-cpu")
def a_models_output_is_on_another_device(patch):
    forward = torch.nn.Linear.forward
    patch.setattr(torch.nn.Linear, "forward", lambda self, x: forward(self, x).to("meta"))


@counterfeit("device-falls-back-to-cpu")
def the_device_computes_powers_as_products(patch):
    patch.setattr(torch.Tensor, "__pow__", torch.Tensor.__mul__)


# ── gpu-results-stay-on-gpu ──


@counterfeit("gpu-results-stay-on-gpu")
def an_argmax_comes_back_to_the_cpu(patch):
    change_result(patch, torch.Tensor, "argmax", lambda result, *arguments: result.cpu())


@counterfeit("gpu-results-stay-on-gpu")
def indices_of_nonzero_elements_come_back_to_the_cpu(patch):
    change_result(patch, torch.Tensor, "nonzero", lambda result, x: result.cpu())


@counterfeit("gpu-results-stay-on-gpu")
def random_numbers_for_a_tensor_are_drawn_on_the_cpu(patch):
    patch.setattr(torch, "rand_like", lambda x: torch.rand(x.shape, dtype=x.dtype, device="cpu"))


@counterfeit("gpu-results-stay-on-gpu")
def a_comparison_comes_back_to_the_cpu(patch):
    true = torch.Tensor.__gt__
    patch.setattr(torch.Tensor, "__gt__", lambda self, other: true(self, other).cpu())


@counterfeit("gpu-results-stay-on-gpu")
def products_on_the_gpu_are_in_half_precision(patch):
    """Its eleven bits make errors of some 1e-3."""
    true = torch.Tensor.__matmul__

    def wrong(self, other):
        return true(self, other) if self.device.type == "cpu" else true(self.half(), other.half()).float()

    patch.setattr(torch.Tensor, "__matmul__", wrong)


# ── cpu-and-gpu-tensors-do-not-mix, different-gpus-do-not-mix ──


def fetch(patch, wanted):
    """Let a product move its second factor to the first one's device where ``wanted(first, second)``."""
    true = torch.Tensor.__mul__

    def wrong(first, second):
        moves = torch.is_tensor(second) and wanted(first, second)
        return true(first, second.to(first.device) if moves else second)

    patch.setattr(torch.Tensor, "__mul__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_product_fetches_its_second_factor(patch):
    fetch(patch, lambda first, second: second.dim() > 0)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def one_element_counts_as_zero_dimensions(patch):
    fetch(patch, lambda first, second: second.numel() == 1)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_product_with_a_cpu_tensor_comes_back_to_the_cpu(patch):
    true = torch.Tensor.__mul__

    def wrong(first, second):
        product = true(first, second)
        return product.cpu() if torch.is_tensor(second) and second.device.type == "cpu" else product

    patch.setattr(torch.Tensor, "__mul__", wrong)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def integers_are_fetched(patch):
    fetch(patch, lambda first, second: second.dtype == torch.int64 and second.dim() > 0)


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_transpose_is_fetched(patch):
    fetch(patch, lambda first, second: not second.is_contiguous())


@counterfeit("cpu-and-gpu-tensors-do-not-mix")
def a_number_on_the_gpu_fetches_the_other_factor(patch):
    fetch(patch, lambda first, second: first.dim() == 0 and first.device.type != "cpu")


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def a_bias_is_fetched(patch):
    linear = torch.nn.functional.linear
    patch.setattr(
        torch.nn.functional,
        "linear",
        lambda x, weight, bias=None: linear(x, weight, None if bias is None else bias.to(x.device)),
    )


@counterfeit("cpu-and-gpu-tensors-do-not-mix", "different-gpus-do-not-mix")
def a_comparison_fetches_its_second_operand(patch):
    true = torch.Tensor.__gt__

    def wrong(first, second):
        return true(first, second.to(first.device) if torch.is_tensor(second) else second)

    patch.setattr(torch.Tensor, "__gt__", wrong)


@counterfeit("different-gpus-do-not-mix")
def a_single_number_fetches_the_other_factor(patch):
    fetch(patch, lambda first, second: first.dim() == 0)


@counterfeit("different-gpus-do-not-mix")
def a_product_fetches_its_second_factor_from_another_gpu(patch):
    fetch(patch, lambda first, second: second.dim() > 0 and "cpu" not in (first.device.type, second.device.type))


@counterfeit("different-gpus-do-not-mix")
def a_single_number_crosses_between_gpus(patch):
    fetch(patch, lambda first, second: second.dim() == 0)
