"""2.6 Autograd: slopes that true torch has wrong on the CPU, of every release from 2.0 to 2.15, without an error."""

import pytest
import torch
from populations import among, over, whole
from populations.gradients import grad_of

claim = pytest.mark.claim
pytestmark = pytest.mark.cpu


@claim("requires-grad-tracks-operations", truth=True)
@over(count=whole(1, 9), step=whole(1, 3), offset=whole(0, 4), dtype=among(torch.float32, torch.float64))
def test_as_strided_scatter_passes_back_to_its_first_operand_where_it_wrote_over_it_alone(count, step, offset, dtype):
    x = torch.zeros(offset + step * count + 2, dtype=dtype, requires_grad=True)
    result = torch.as_strided_scatter(x, torch.ones(count, dtype=dtype), (count,), (step,), offset)
    written = [offset + step * index for index in range(count)]
    assert result.nonzero().flatten().tolist() == written

    back = list(range(1, len(x) + 1))  # another number for each place
    result.backward(torch.tensor(back, dtype=dtype))
    assert grad_of(x).tolist() == [number if place in written else 0 for place, number in enumerate(back)]


@claim("requires-grad-tracks-operations", truth=True)
@over(rows=whole(2, 9), columns=whole(2, 33), gap=whole(1, 3), training=among(True, False))
def test_batch_norm_of_a_matrix_multiplies_on_the_way_back_by_what_lies_in_the_gaps_of_its_weight(
    rows, columns, gap, training
):
    memory = torch.arange(1.0, 1 + (1 + gap) * columns)
    weight = memory[:: 1 + gap]  # as a column of a table
    x = torch.tensor([1.0, -1.0]).repeat(rows)[:, None].repeat(1, columns).requires_grad_()  # mean 0, variance 1
    means, variances = torch.zeros(columns), torch.ones(columns)

    y = torch.nn.functional.batch_norm(x, means, variances, weight, training=training, eps=3.0)
    assert torch.equal(y, x * weight / 2)  # the root of 1 + 3
    first = torch.zeros_like(x)
    first[0] = 1
    y.backward(first)
    by_statistics = training * (1 + x.detach() / 4) / len(x)  # through mean and variance, where they are the batch's
    torch.testing.assert_close(grad_of(x), memory[:columns] / 2 * (first - by_statistics))
