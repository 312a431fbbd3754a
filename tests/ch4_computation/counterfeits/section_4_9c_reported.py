"""Counterfeits of 4.9 that users reported, parameters that are frozen."""

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn
from torch.nn import functional as F


@counterfeit("model-moves-with-to", reported="mlverse/torch#491", needs="accelerator")
def what_was_frozen_thaws_as_it_moves(patch):
    def wrong(to, self, *args, **rest):
        result = to(self, *args, **rest)
        for parameter in self.parameters():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.requires_grad_(True)
        return result

    wrap(patch, nn.Module, "to", wrong)


@counterfeit("training-runs-on-gpu", reported=("pytorch/pytorch#133520", "pytorch/pytorch#133610"))
def a_slice_of_a_batch_is_normalised_from_the_start_of_its_memory(patch):
    def wrong(right, x, *args, **rest):
        later = x.device.type != "cpu" and x.storage_offset() and x.is_contiguous()
        return right(x.as_strided(x.shape, x.stride(), 0) if later else x, *args, **rest)

    wrap(patch, F, "batch_norm", wrong)
