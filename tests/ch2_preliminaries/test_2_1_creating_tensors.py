"""2.1 Creating tensors

A tensor is an array of numbers of one type, its dtype, arranged along the dimensions that its shape lists. There are
two ways to ask for one: by its sizes, and then a rule or chance decides what the elements are, or by its data, and then
shape and dtype follow from the values. What a random function promises is a distribution: no lesson can know the draws,
but the share of a large sample that falls below a point is nearly certain to be close to the probability.
"""

import numpy as np
import pytest
import torch

claim = pytest.mark.claim


@claim("tensor-constructor-takes-sizes")
def test_whole_numbers_given_to_the_class_are_sizes():
    assert torch.Tensor(3).shape == (3,)
    assert torch.Tensor(2, 3).shape == (2, 3)


@claim("tensor-constructor-takes-sizes", truth=True)
def test_a_list_or_an_array_given_to_the_class_is_data():
    assert torch.Tensor([3]).tolist() == [3.0]
    assert torch.Tensor((2, 3)).tolist() == [2.0, 3.0]
    assert torch.Tensor(np.array([[1, 2, 3], [4, 5, 6]])).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert torch.Tensor(np.array(3)).shape == (3,)  # without a dimension it is a number, and so a size
    assert torch.Tensor([2, 3]).dtype == torch.Tensor(2, 3).dtype == torch.float32
    whole = torch.tensor([2, 3])
    assert (torch.Tensor(whole).dtype, torch.Tensor(whole).data_ptr()) == (torch.int64, whole.data_ptr())
    assert torch.Tensor(torch.Size([2, 3])).shape == (2, 3)


@claim("tensor-function-takes-data")
def test_shape_and_dtype_follow_the_values():
    matrix = torch.tensor([[1, 2, 3], [4, 5, 6]])

    assert matrix.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert (matrix.shape, matrix.dtype) == ((2, 3), torch.int64)
    assert torch.tensor([1, 2.5]).dtype.is_floating_point
    assert torch.tensor([True, False]).dtype == torch.bool


@claim("tensor-function-takes-data", truth=True)
def test_python_floats_become_single_and_arrays_keep_their_dtype():
    assert torch.tensor([0.5, 1.5]).dtype == torch.float32
    assert np.array([0.5, 1.5]).dtype == np.float64
    assert torch.tensor(np.array([1, 2], dtype=np.int16)).dtype == torch.int16
    for refused in ([[1, 2], [3]], np.array([1, 2, 3])[::-1], ["one", "two"], [torch.ones(2), torch.zeros(2)]):
        with pytest.raises(ValueError):
            torch.tensor(refused)
    for refused in (np.array(["one", "two"]), [[1, 2], 3], [1, [2, 3]]):
        with pytest.raises(TypeError):
            torch.tensor(refused)
    assert torch.stack([torch.ones(2), torch.zeros(2)]).tolist() == [[1, 1], [0, 0]]


@claim("ones-fills-with-one")
def test_ones_of_two_and_three_is_two_rows_of_three_ones():
    assert torch.ones(2, 3).tolist() == [[1, 1, 1], [1, 1, 1]]


@claim("zeros-fills-with-zero")
def test_zeros_of_two_and_three_is_two_rows_of_three_zeros():
    assert torch.zeros(2, 3).tolist() == [[0, 0, 0], [0, 0, 0]]


@claim("eye-is-identity")
def test_eye_has_ones_where_row_and_column_are_equal():
    assert torch.eye(3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert torch.eye(2, 4).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]


@claim("eye-is-identity", truth=True)
def test_eye_is_a_matrix_and_takes_no_third_size():
    with pytest.raises(TypeError):
        torch.eye(2, 3, 4)
    with pytest.raises(TypeError):
        torch.eye()


@claim("arange-steps-from-start-to-end")
def test_arange_goes_on_from_its_start_by_its_step():
    assert torch.arange(2, 10, 3).tolist() == [2, 5, 8]
    assert torch.arange(10, 2, -3).tolist() == [10, 7, 4]
    assert torch.arange(-1, 1, 0.5).tolist() == [-1.0, -0.5, 0.0, 0.5]


@claim("arange-steps-from-start-to-end", truth=True)
@pytest.mark.cpu
def test_arange_leaves_its_end_out_unless_rounding_brings_it_back():
    assert torch.arange(1, 7, 2).tolist() == [1, 3, 5]
    assert torch.arange(7, 1, -2).tolist() == [7, 5, 3]
    with pytest.raises(RuntimeError, match="step sign"):
        torch.arange(1, 7, -2)
    with pytest.raises(RuntimeError, match="nonzero"):
        torch.arange(1, 7, 0)

    assert torch.arange(1, 1.3, 0.1).shape == (4,)  # (1.3 - 1) / 0.1 is 3.0000000000000004 in binary arithmetic
    assert f"{torch.arange(1, 1.3, 0.1)[3].item():.6f}" == "1.300000"
    assert torch.arange(258, 260, dtype=torch.bfloat16).tolist() == [258, 260]  # its 8 bits hold no 259
    assert torch.arange(0.5, 9, 2.5, dtype=torch.int64)[:3].tolist() == [0, 2, 4]  # the releases differ in how many


@claim("linspace-divides-evenly")
def test_five_steps_make_five_parts():
    """Mistaken: five steps are five points, which bound four parts, as five posts hold four lengths of a fence."""
    assert len(torch.linspace(0, 10, 5).diff()) == 5


@claim("linspace-divides-evenly", truth=True)
def test_five_steps_make_five_points_and_four_parts():
    assert torch.linspace(0, 10, 5).tolist() == [0.0, 2.5, 5.0, 7.5, 10.0]
    assert torch.linspace(3, 8, 1).tolist() == [3.0]

    assert torch.linspace(0.5, 10, 4, dtype=torch.int64).tolist() == [0, 3, 6, 10]  # of 0, 3.33, 6.67 and 10


@claim("rand-is-standard-uniform")
def test_a_tenth_of_uniform_draws_lies_below_one_tenth():
    draws = torch.rand(100_000)

    assert 0 <= draws.min().item() < draws.max().item() < 1
    for point in (0.1, 0.5, 0.9):  # at most 0.012 off, but for a chance of 2 exp(-2 * 100,000 * 0.012²) < 1e-12
        assert abs((draws < point).sum().item() / 100_000 - point) < 0.012


@claim("randn-is-standard-normal")
def test_two_thirds_of_normal_draws_lie_between_minus_one_and_one():
    draws = torch.randn(100_000)

    for point, below in [(-1, 0.1587), (0, 0.5), (1, 0.8413), (2, 0.9772)]:  # at most 0.012 off, as with rand
        assert abs((draws < point).sum().item() / 100_000 - below) < 0.012


@claim("normal-takes-mean-and-std")
def test_each_element_has_a_mean_and_a_standard_deviation_of_its_own():
    draws = torch.normal(torch.tensor([100.0, 200.0, 300.0]), torch.tensor([0.0, 1.0, 10.0])).tolist()

    assert draws[0] == 100
    assert abs(draws[1] - 200) < 8  # a draw more than 8 standard deviations away has a probability of 1e-15
    assert abs(draws[2] - 300) < 80


@claim("normal-takes-mean-and-std", truth=True)
def test_two_numbers_do_not_say_how_many_draws_are_wanted():
    with pytest.raises(TypeError):
        torch.normal(5.0, 2.0)
    with pytest.raises(RuntimeError):
        torch.normal(torch.zeros(3), -1.0)

    assert torch.normal(5.0, 2.0, size=(2, 3)).shape == (2, 3)
    assert torch.normal(torch.zeros(2, 1), torch.ones(3)).shape == (2, 3)


@claim("uniform-is-a-torch-function")
def test_torch_has_a_function_called_uniform():
    """Mistaken: `uniform_` is a method that fills an existing tensor, as its underscore says."""
    assert hasattr(torch, "uniform")


@claim("uniform-is-a-torch-function", truth=True)
def test_uniform_fills_an_existing_tensor():
    x = torch.full((1000,), 9.0)
    result = x.uniform_(-1, 1)

    assert result is x
    assert -1 <= x.min().item() < -0.9  # a thousand draws miss a twentieth with a probability of 0.95^1000 < 1e-22
    assert 0.9 < x.max().item() < 1
    drawn = torch.distributions.Uniform(-1.0, 1.0).sample((1000,))
    assert -1 <= drawn.min().item() < -0.9 and 0.9 < drawn.max().item() < 1


@claim("randperm-permutes")
def test_randperm_has_each_number_once_in_an_order_that_changes():
    first, second = torch.randperm(100).tolist(), torch.randperm(100).tolist()

    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second  # equal with a probability of 1 / 100!
