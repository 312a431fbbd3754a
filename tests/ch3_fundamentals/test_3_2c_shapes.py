"""3.2 Linear regression in PyTorch: batches and single samples

The layers of `torch.nn` are made for mini-batches: by convention the first dimension counts the samples. Many accept a
single sample too, some insist on a batch. Where a batch is needed, `unsqueeze(0)` turns one sample into a batch of one:
it inserts a dimension of size 1, and `squeeze` removes such dimensions again. Both return views: they change the shape
and copy no data.
"""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim


# ── nn-only-takes-batches ──


@claim("nn-only-takes-batches")
def test_linear_rejects_a_single_sample():
    with pytest.raises((RuntimeError, ValueError)):
        nn.Linear(3, 2)(torch.ones(3))


@claim("nn-only-takes-batches")
def test_a_convolution_rejects_a_single_image():
    with pytest.raises((RuntimeError, ValueError)):
        nn.Conv2d(3, 2, kernel_size=3)(torch.ones(3, 8, 9))


@claim("nn-only-takes-batches", truth=True)
@pytest.mark.parametrize("leading", [(), (1,), (4,), (4, 5), (2, 3, 4)], ids=str)
def test_linear_takes_any_number_of_leading_dimensions(leading):
    linear = nn.Linear(2, 3)
    linear.load_state_dict(
        {"weight": torch.tensor([[1.0, 2.0], [3.0, -4.0], [0.0, 5.0]]), "bias": torch.tensor([6.0, 0.0, -7.0])}
    )
    x = torch.randint(-9, 9, (*leading, 2)).float()

    output = linear(x)

    a, b = x[..., 0], x[..., 1]
    assert output.shape == (*leading, 3)
    assert output.tolist() == torch.stack([a + 2 * b + 6, 3 * a - 4 * b, 5 * b - 7], dim=-1).tolist()


@claim("nn-only-takes-batches", truth=True)
@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [(nn.Conv1d, (3, 9), (2, 8)), (nn.Conv2d, (3, 9, 7), (2, 8, 6)), (nn.Conv3d, (3, 9, 7, 5), (2, 8, 6, 4))],
)
def test_convolutions_take_a_single_sample_as_they_take_a_batch_of_it(layer, shape, expected):
    convolution = layer(3, 2, kernel_size=2)
    samples = torch.randn(2, *shape)

    single = convolution(samples[1])

    assert single.shape == expected
    torch.testing.assert_close(single, convolution(samples)[1])


@claim("nn-only-takes-batches", truth=True)
@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.BatchNorm1d, (3,)), (nn.BatchNorm2d, (3, 5, 4)), (nn.BatchNorm3d, (3, 2, 5, 4))]
)
def test_batch_normalisation_insists_on_a_batch(layer, shape):
    normalise = layer(3).eval()

    assert normalise(torch.ones(2, *shape)).shape == (2, *shape)
    with pytest.raises(ValueError, match=f"got {len(shape)}D input"):
        normalise(torch.ones(shape))


# ── unsqueeze-makes-a-batch-of-one ──


@claim("unsqueeze-makes-a-batch-of-one")
def test_a_sample_becomes_the_only_row_of_a_batch():
    sample = torch.tensor([4.0, -1.0, 7.0])

    batch = sample.unsqueeze(0)

    assert batch.tolist() == [[4.0, -1.0, 7.0]]
    assert len(batch) == 1


@claim("unsqueeze-makes-a-batch-of-one")
def test_the_only_row_of_the_output_is_the_output_for_the_sample():
    linear = nn.Linear(3, 2)
    linear.load_state_dict({"weight": torch.tensor([[1.0, 2, 3], [0, -1, 5]]), "bias": torch.tensor([0.5, 0.0])})
    sample = torch.tensor([4.0, -1.0, 7.0])

    assert linear(sample.unsqueeze(0)).tolist() == [[4 - 2 + 21 + 0.5, 1 + 35]]
    assert linear(sample).tolist() == [23.5, 36.0]


@claim("unsqueeze-makes-a-batch-of-one")
def test_a_layer_that_insists_on_a_batch_accepts_an_image_unsqueezed():
    # an eps that vanishes beside the variance of 1: what is left to do is to subtract the mean
    normalise, image = nn.BatchNorm2d(3, eps=1e-12).eval(), torch.randn(3, 5, 4)
    normalise.load_state_dict(normalise.state_dict() | {"running_mean": torch.tensor([1.0, 2.0, 3.0])})

    output = normalise(image.unsqueeze(0))

    torch.testing.assert_close(output.detach()[0], image - torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1))
    assert output.shape == (1, 3, 5, 4)


# ── unsqueeze-inserts-a-dimension ──


@claim("unsqueeze-inserts-a-dimension")
@pytest.mark.parametrize(
    ("d", "shape"),
    [
        (0, (1, 1, 5, 3)),
        (1, (1, 1, 5, 3)),
        (2, (1, 5, 1, 3)),
        (3, (1, 5, 3, 1)),
        (-1, (1, 5, 3, 1)),
        (-2, (1, 5, 1, 3)),
        (-4, (1, 1, 5, 3)),
    ],
)
def test_unsqueeze_inserts_a_dimension_of_size_one(d, shape):
    a = torch.arange(15.0).reshape(1, 5, 3)

    result = a.unsqueeze(d)

    assert (result.shape, a.shape) == (shape, (1, 5, 3))
    assert result.flatten().tolist() == list(range(15))


@claim("unsqueeze-inserts-a-dimension")
def test_the_innermost_dimension_wraps_every_number():
    assert torch.tensor([[1, 2], [3, 4], [5, 6]]).unsqueeze(-1).tolist() == [[[1], [2]], [[3], [4]], [[5], [6]]]


@claim("unsqueeze-inserts-a-dimension")
def test_unsqueeze_returns_a_view_of_the_same_data():
    a = torch.arange(15).reshape(5, 3).T  # not contiguous

    a.unsqueeze(1)[2, 0, 4] = -7

    assert a[2, 4].item() == -7


@claim("unsqueeze-inserts-a-dimension")
@pytest.mark.parametrize("shape", [(), (1,), (200, 300)], ids=str)
def test_unsqueeze_copies_neither_small_nor_large_tensors(shape):
    a = torch.zeros(shape)

    assert a.unsqueeze(-1).data_ptr() == a.data_ptr()


@claim("unsqueeze-inserts-a-dimension")
@given(shape=st.lists(st.integers(0, 4), max_size=5))
@example(shape=[1, 2, 1, 1, 3])
def test_unsqueeze_inserts_at_any_position_of_any_shape(shape):
    a, n = torch.zeros(shape), len(shape)

    for position in range(n + 1):
        expected = [*shape[:position], 1, *shape[position:]]
        assert list(a.unsqueeze(position).shape) == list(a.unsqueeze(position - n - 1).shape) == expected


# ── unsqueeze-out-of-range-raises ──


@claim("unsqueeze-out-of-range-raises")
@pytest.mark.parametrize("d", [4, 5, -5, 100])
def test_unsqueeze_beyond_the_end_raises_an_error_that_names_the_range(d):
    with pytest.raises(IndexError, match=rf"Dimension out of range .*\[-4, 3\], but got {d}"):
        torch.zeros(1, 5, 3).unsqueeze(d)


@claim("unsqueeze-out-of-range-raises")
@pytest.mark.parametrize(("shape", "d"), [((), 1), ((2,), -3), ((2, 3), 3), ((2, 3, 4, 5), -6)])
def test_the_range_follows_the_number_of_dimensions(shape, d):
    with pytest.raises(IndexError, match=rf"\[-{len(shape) + 1}, {len(shape)}\], but got {d}"):
        torch.zeros(shape).unsqueeze(d)


# ── squeeze-removes-unit-dimensions ──


@claim("squeeze-removes-unit-dimensions")
@pytest.mark.parametrize(
    ("shape", "squeezed"),
    [
        ((1, 5, 3), (5, 3)),
        ((5, 1, 3), (5, 3)),
        ((5, 3, 1), (5, 3)),
        ((1, 2, 1, 1, 3, 1), (2, 3)),
        ((2, 3), (2, 3)),
        ((1, 1), ()),
        ((1, 0, 1), (0,)),
    ],
)
def test_squeeze_removes_all_dimensions_of_size_one_at_once(shape, squeezed):
    a = torch.zeros(shape)

    assert a.squeeze().shape == squeezed
    assert a.shape == shape


@claim("squeeze-removes-unit-dimensions")
def test_squeeze_keeps_the_elements_in_order():
    assert torch.arange(6).reshape(3, 1, 2, 1).squeeze().tolist() == [[0, 1], [2, 3], [4, 5]]


@claim("squeeze-removes-unit-dimensions")
@pytest.mark.parametrize("size", [5, 500])
def test_squeeze_returns_a_view_of_the_same_data(size):
    a = torch.arange(3 * size).reshape(size, 1, 3)
    transposed = a.permute(2, 1, 0)  # not contiguous

    a.squeeze()[4, 2] = -7
    transposed.squeeze()[0, 3] = -8

    assert [a[4, 0, 2].item(), a[3, 0, 0].item()] == [-7, -8]


# ── squeeze-one-dimension ──


@claim("squeeze-one-dimension")
@pytest.mark.parametrize(
    ("d", "shape"),
    [(0, (5, 1, 3, 1)), (2, (1, 5, 3, 1)), (4, (1, 5, 1, 3)), (-1, (1, 5, 1, 3)), (-3, (1, 5, 3, 1))],
)
def test_squeeze_of_a_dimension_of_size_one_leaves_the_others(d, shape):
    a = torch.arange(15).reshape(1, 5, 1, 3, 1)

    result = a.squeeze(d)

    assert (result.shape, a.shape) == (shape, (1, 5, 1, 3, 1))
    assert result.flatten().tolist() == list(range(15))


@claim("squeeze-one-dimension")
@pytest.mark.parametrize("d", [1, 2, -1, -2])
def test_squeeze_of_another_size_changes_nothing(d):
    a = torch.arange(15).reshape(1, 5, 3)

    assert torch.equal(a.squeeze(d), a) is True
    assert torch.zeros(1, 0, 0).squeeze(d).shape == (1, 0, 0)  # not even size 0


@claim("squeeze-one-dimension")
@pytest.mark.parametrize("d", [3, -4])
def test_squeeze_of_a_dimension_that_does_not_exist_is_an_error(d):
    with pytest.raises(IndexError, match=rf"\[-3, 2\], but got {d}"):
        torch.zeros(1, 5, 1).squeeze(d)


@claim("squeeze-one-dimension")
@pytest.mark.parametrize("d", [0, 1])
def test_squeeze_of_one_dimension_returns_a_view_either_way(d):
    a = torch.arange(15).reshape(1, 5, 3)

    a.squeeze(d).view(15)[7] = -7

    assert a[0, 2, 1].item() == -7
