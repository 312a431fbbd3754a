"""Counterfeits of section 2.8 that users reported, memory that follows ``data``."""

from harness.counterfeits import counterfeit
from torch import Tensor


@counterfeit("data-writes-are-not-recorded", reported="pytorch/xla#3392")
def new_data_is_written_to_earlier_views_too(patch):
    data = Tensor.data

    def write(x, value):
        old = data.__get__(x)
        if (old.shape, old.dtype, old.device) == (value.shape, value.dtype, value.device):
            old.copy_(value)
        data.__set__(x, value)

    patch.setattr(Tensor, "data", property(data.__get__, write))
