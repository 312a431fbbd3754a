"""2.6 Autograd: slopes that true torch has wrong on the CPU, without an error, and one that an older one lacks."""

import pytest
import torch
from populations import SINGLE_AND_DOUBLE, among, over, whole
from populations.gradients import grad_of

claim = pytest.mark.claim
pytestmark = pytest.mark.cpu

DTYPES = among(*SINGLE_AND_DOUBLE)


@claim("requires-grad-tracks-operations", truth=True)
@over(count=whole(1, 9), step=whole(1, 3), offset=whole(0, 4), dtype=DTYPES)
def test_as_strided_scatter_passes_back_to_its_first_operand_where_it_wrote_over_it_alone(count, step, offset, dtype):
    x = torch.zeros(offset + step * count + 2, dtype=dtype, requires_grad=True)
    result = torch.as_strided_scatter(x, torch.ones(count, dtype=dtype), (count,), (step,), offset)
    written = [offset + step * index for index in range(count)]
    assert result.nonzero().flatten().tolist() == written

    back = list(range(1, len(x) + 1))  # another number for each place
    result.backward(torch.tensor(back, dtype=dtype))
    assert grad_of(x).tolist() == [number if place in written else 0 for place, number in enumerate(back)]


@claim("requires-grad-tracks-operations", truth=True)
@over(rows=whole(2, 9), columns=whole(2, 33), gap=whole(1, 3), training=among(True, False), dtype=DTYPES)
def test_batch_norm_of_a_matrix_reads_a_weight_with_gaps_on_the_way_back_as_if_it_had_none(
    rows, columns, gap, training, dtype
):
    memory = torch.arange(1, 1 + (1 + gap) * columns, dtype=dtype)
    weight = memory[:: 1 + gap]  # as a column of a table
    x = torch.ones(2 * rows, columns, dtype=dtype)
    x[1::2] = -1  # mean 0, variance 1
    x.requires_grad_()
    means, variances = torch.zeros(columns, dtype=dtype), torch.ones(columns, dtype=dtype)

    y = torch.nn.functional.batch_norm(x, means, variances, weight, training=training, eps=3.0)
    assert torch.equal(y, x * weight / 2)  # the root of 1 + 3
    first = torch.zeros_like(x)
    first[0] = 1
    y.backward(first)
    by_statistics = training * (1 + x.detach() / 4) / len(x)  # through mean and variance, where they are the batch's
    torch.testing.assert_close(grad_of(x), memory[:columns] / 2 * (first - by_statistics))


@claim("requires-grad-tracks-operations", truth=True)
@over(zeros=whole(0, 4), dtype=DTYPES)
def test_before_torch_2_2_the_gradient_of_a_product_with_two_zeros_is_not_tracked(zeros, dtype):
    x = torch.tensor([2.0, 3.0, *[0.0] * zeros], dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(x.prod(), x, create_graph=True)
    assert slope.requires_grad == (zeros < 2 or torch.__version__ >= (2, 2))  # tried from 2.0.1 to 2.15.0
