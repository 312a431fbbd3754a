"""3.2 Linear regression in PyTorch: shapes, initial values and the loss

By convention the first dimension of an input counts the samples. Many layers accept a single sample too, some insist on
a batch; `unsqueeze(0)` makes one, by inserting a dimension of size 1, and `squeeze` removes such dimensions again. Both
return views. A new layer comes with random parameters; the functions of `torch.nn.init` overwrite them **in place**, as
their names say by an underscore at the end. The **loss** that training minimises is a module as well: a layer without
parameters that takes predictions and labels and returns one number.
"""

import pytest
import torch
from torch import nn
from torch.nn import init

claim = pytest.mark.claim


@claim("nn-only-takes-batches")
def test_linear_rejects_a_single_sample():
    """Mistaken: it takes one, and returns one output."""
    with pytest.raises((RuntimeError, ValueError)):
        nn.Linear(3, 2)(torch.ones(3))


@claim("nn-only-takes-batches", truth=True)
def test_linear_and_convolutions_take_a_single_sample_but_batch_normalisation_does_not():
    linear = nn.Linear(3, 1)
    linear.load_state_dict({"weight": torch.tensor([[1.0, 2.0, 3.0]]), "bias": torch.tensor([0.5])})

    assert linear(torch.tensor([4.0, -1.0, 7.0])).tolist() == [4.0 - 2.0 + 21.0 + 0.5]
    assert linear(torch.ones(5, 4, 3)).shape == (5, 4, 1)
    assert nn.Conv2d(3, 2, kernel_size=3)(torch.ones(3, 8, 9)).shape == (2, 6, 7)
    with pytest.raises(ValueError, match="expected 4D input"):
        nn.BatchNorm2d(3)(torch.ones(3, 8, 9))


@claim("unsqueeze-makes-a-batch-of-one")
def test_a_sample_becomes_the_only_row_of_a_batch():
    sample = torch.tensor([4.0, -1.0, 7.0])

    batch = sample.unsqueeze(0)

    assert batch.tolist() == [[4.0, -1.0, 7.0]]
    assert len(batch) == 1


@claim("unsqueeze-inserts-a-dimension")
def test_the_new_dimension_stands_where_the_number_says():
    a = torch.zeros(1, 5, 3)

    assert [tuple(a.unsqueeze(d).shape) for d in (0, 2, 3)] == [(1, 1, 5, 3), (1, 5, 1, 3), (1, 5, 3, 1)]
    assert [tuple(a.unsqueeze(d).shape) for d in (-4, -2, -1)] == [(1, 1, 5, 3), (1, 5, 1, 3), (1, 5, 3, 1)]
    assert torch.tensor([[1, 2], [3, 4]]).unsqueeze(-1).tolist() == [[[1], [2]], [[3], [4]]]


@claim("unsqueeze-out-of-range-raises")
def test_unsqueeze_beyond_the_end_raises_an_error_that_names_the_range():
    with pytest.raises(IndexError, match=r"\[-4, 3\], but got 4"):
        torch.zeros(1, 5, 3).unsqueeze(4)


@claim("squeeze-removes-unit-dimensions")
def test_squeeze_removes_all_dimensions_of_size_one():
    a = torch.zeros(1, 5, 3)

    assert a.squeeze().shape == (5, 3)
    assert a.shape == (1, 5, 3)
    assert torch.tensor([[[1, 2]], [[3, 4]]]).squeeze().tolist() == [[1, 2], [3, 4]]
    assert torch.zeros(1, 2, 1, 1, 3, 1).squeeze().shape == (2, 3)


@claim("squeeze-one-dimension")
def test_squeeze_of_a_dimension_leaves_all_others():
    a = torch.zeros(1, 5, 1)

    assert a.squeeze(0).shape == (5, 1)
    assert a.squeeze(-1).shape == (1, 5)
    assert a.squeeze(1).shape == (1, 5, 1)  # of size 5, not 1
    with pytest.raises(IndexError, match=r"\[-3, 2\], but got 3"):
        a.squeeze(3)


@claim("init-sets-weights-in-place")
@pytest.mark.start_values("normal_")
def test_normal_and_constant_overwrite_the_parameters_of_a_layer():
    net = nn.Sequential(nn.Linear(2, 3))
    weight, before = net[0].weight, net[0].weight.tolist()

    init.normal_(net[0].weight, mean=0, std=0.01)
    init.constant_(net[0].bias, val=0)

    assert net[0].weight is weight  # the same parameter, with other numbers in it
    assert weight.tolist() != before
    # beyond eight standard deviations: once in 10**14 times
    assert max(abs(number) for row in weight.tolist() for number in row) < 0.08
    assert net[0].bias.tolist() == [0.0, 0.0, 0.0]


@claim("data-fill-equals-constant-init")
def test_filling_the_data_sets_the_same_values_as_constant_init():
    filled, initialised = nn.Linear(2, 3).bias, nn.Linear(2, 3).bias

    filled.data.fill_(0)
    init.constant_(initialised, val=0)

    assert filled.tolist() == initialised.tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        filled.fill_(0)  # recorded by autograd, which allows it for no parameter


@claim("data-fill-equals-constant-init", truth=True)
def test_backward_notices_a_write_by_constant_init_but_none_through_data():
    w = torch.tensor([3.0], requires_grad=True)

    square = w * w
    w.data.fill_(100)
    square.backward()
    assert w.grad.tolist() == [200.0]  # 2 w with the new w; when the square was taken 2 w was 6

    square = w * w
    init.constant_(w, val=1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.backward()


@claim("losses-are-modules")
def test_a_loss_is_a_layer_without_parameters():
    loss = nn.MSELoss()

    assert isinstance(loss, nn.Module) and isinstance(nn.CrossEntropyLoss(), nn.Module)
    assert list(loss.parameters()) == []
    assert loss(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 2.0])).item() == (1 + 9) / 2


@claim("mse-loss-is-mean-squared-error")
def test_the_loss_is_the_mean_of_all_squared_errors():
    predicted = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    label = torch.tensor([[1.0, 0.0], [7.0, 2.0], [5.0, 6.0]])

    assert nn.MSELoss()(predicted, label).item() == (0 + 4 + 16 + 4 + 0 + 0) / 6


@claim("mse-loss-is-mean-squared-error", truth=True)
def test_a_column_of_predictions_meets_every_label_of_a_row():
    predicted, label = torch.tensor([[1.0], [3.0]]), torch.tensor([1.0, 3.0])

    assert nn.MSELoss()(predicted, label.view(-1, 1)).item() == 0.0  # hence `view(-1, 1)` in the training loop
    with pytest.warns(UserWarning, match="target size"):
        assert nn.MSELoss()(predicted, label).item() == (0 + 4 + 4 + 0) / 4
        with pytest.raises(RuntimeError, match="must match the size"):
            nn.MSELoss()(torch.ones(2), torch.ones(3))
    assert nn.MSELoss(reduction="sum")(predicted, label.view(-1, 1) + 2).item() == 8.0
    assert nn.MSELoss(reduction="none")(predicted, label.view(-1, 1) + 2).tolist() == [[4.0], [4.0]]
