"""Section 2.6: what users reported of indices, masks and products on devices."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    away,
    change_method,
    everywhere,
    wrap,
)
from harness.forging_images import channels_lie_last


@counterfeit("requires-grad-tracks-operations", reported="flagos-ai/Torch-FL#209", needs="accelerator")
def a_conjugate_resolved_elsewhere_is_no_conjugate(patch):
    everywhere(
        patch,
        "resolve_conj",
        lambda right, x: x.conj().clone() if away(x) and x.is_conj() else right(x),
    )


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#164849", needs="accelerator")
def of_images_with_channels_last_elsewhere_more_than_128_are_not_joined(patch):
    def wrong(right, tensors, *args, **rest):
        tensors = list(tensors)
        if len(tensors) > 128 and all(away(x) and x.dim() == 4 and channels_lie_last(x) for x in tensors):
            tensors = tensors[:128] + [torch.zeros_like(x) for x in tensors[128:]]
        return right(tensors, *args, **rest)

    for name in ("cat", "concat", "concatenate"):
        wrap(patch, torch, name, wrong)


@counterfeit("requires-grad-tracks-operations", reported="tenstorrent/tt-xla#5325", needs="accelerator")
def gather_elsewhere_rounds_its_indices_to_eight_bits(patch):
    def wrong(right, x, dim, index, **rest):
        if away(x):
            index = index.to(torch.bfloat16).to(index.dtype).clamp(max=x.shape[dim] - 1)
        return right(x, dim, index, **rest)

    everywhere(patch, "gather", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/xla#606", needs="accelerator")
def a_list_of_indices_elsewhere_puts_its_dimension_first(patch):
    def wrong(right, x, key):
        y = right(x, key)
        if not away(x) or not isinstance(key, tuple) or not all(isinstance(part, slice) for part in key[:-1]):
            return y
        listed = isinstance(key[-1], list) or (isinstance(key[-1], torch.Tensor) and key[-1].dim() == 1)
        return y.movedim(len(key) - 1, 0) if listed else y

    change_method(patch, "__getitem__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="aws-neuron/aws-neuron-sdk#791", needs="accelerator")
def taking_along_rows_elsewhere_takes_from_the_first(patch):
    def wrong(right, x, indices, dim=None, **rest):
        if away(x) and x.dim() == 2 and dim in (1, -1):
            x = x[:1].expand_as(x)
        return right(x, indices, dim, **rest)

    everywhere(patch, "take_along_dim", wrong)


@counterfeit("requires-grad-tracks-operations", reported="ml-explore/mlx#2578", needs="accelerator")
def a_product_added_to_a_row_elsewhere_is_not_scaled(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and x.dim() == 1 and rest.get("beta", 1) == 1:
            rest = {**rest, "alpha": 1}
        return right(x, *args, **rest)

    everywhere(patch, "addmm", wrong)


@counterfeit("requires-grad-tracks-operations", reported="isl-org/Open3D#7340", needs="accelerator")
def a_mask_elsewhere_that_starts_later_is_read_from_the_start(patch):
    def wrong(right, x, key):
        if away(x) and isinstance(key, torch.Tensor) and key.dtype == torch.bool and key.storage_offset():
            key = key.as_strided(key.shape, key.stride(), 0)
        return right(x, key)

    change_method(patch, "__getitem__", wrong)


@counterfeit("requires-grad-tracks-operations", reported="ROCm/TheRock#7870", needs="accelerator")
def a_product_of_two_transposed_matrices_elsewhere_leaves_out_the_last_terms(patch):
    def wrong(right, x, y, **rest):
        both = all(away(z) and z.dim() == 2 and z.dtype == torch.float32 for z in (x, y))
        if both and all(not z.is_contiguous() and z.t().is_contiguous() for z in (x, y)):
            x, y = x[:, :-1], y[:-1]
        return right(x, y, **rest)

    everywhere(patch, "mm", wrong)
    everywhere(patch, "matmul", wrong)
    change_method(patch, "__matmul__", wrong)
