"""Counterfeits of section 2.5 that users reported, sources that lie otherwise, leaves, and devices as numbers."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method


@counterfeit("to-moves-between-cpu-and-gpu", reported="pytorch/pytorch#33812")
def an_array_with_an_added_dimension_is_not_moved(patch):
    """It arrives as zeros, where the report has an error: an assertion must see it."""

    def wrong(to, x, *args, **rest):
        added = x.device.type == "cpu" and (1, 0) in zip(x.shape, x.stride())
        y = to(x, *args, **rest)
        return torch.zeros_like(y) if added and y.device.type != "cpu" else y

    change_method(patch, "to", wrong)


@counterfeit("to-moves-between-cpu-and-gpu", reported="pytorch/pytorch#10690")
def a_copy_that_does_not_block_brings_nothing_transposed_back(patch):
    """It brings zeros, where the report has an error: an assertion must see it."""

    def wrong(to, x, *args, non_blocking=False, **rest):
        y = to(x, *args, non_blocking=non_blocking, **rest)
        back = x.device.type != "cpu" and y.device.type == "cpu"
        return torch.zeros_like(y) if non_blocking and back and not x.is_contiguous() else y

    change_method(patch, "to", wrong)


@counterfeit("to-moves-between-cpu-and-gpu", reported="Ascend/pytorch#16")
def a_device_is_not_known_by_its_number(patch):
    def wrong(to, x, *args, **rest):
        assert not (args and type(args[0]) is int), "Torch not compiled with CUDA enabled"
        return to(x, *args, **rest)

    change_method(patch, "to", wrong)


@counterfeit("to-of-a-leaf-is-no-leaf", reported="pytorch/xla#1400", needs="accelerator")
def what_is_sent_to_the_device_requires_no_grad(patch):
    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        return y.detach() if y.device != x.device and y.device.type != "cpu" and y.requires_grad else y

    change_method(patch, "to", wrong)
