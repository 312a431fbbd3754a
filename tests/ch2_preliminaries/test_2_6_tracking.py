"""2.6 Autograd: tracking and the graph

Autograd computes derivatives of ordinary code by keeping a record of it. A tensor with `requires_grad=True` starts the
record: every operation on it, and on whatever is computed from it, leaves a node that knows its own derivative.
`backward()` then reads the record from the end to the beginning and applies the chain rule, and each tensor where the
record began, a *leaf*, finds its gradient in `.grad`. Two ways lead out of the record: `detach()` for one tensor,
`torch.no_grad()` for a block of code.
"""

import pytest
import torch

claim = pytest.mark.claim


@claim("requires-grad-tracks-operations")
def test_the_chain_rule_goes_back_through_every_operation_of_the_record():
    x = torch.tensor(2.0, requires_grad=True)
    y = (3 * x + 1) ** 2

    assert y.requires_grad
    y.backward()

    assert x.grad.item() == 42  # 2(3x + 1) = 14 from the square, times 3 from 3x + 1


@claim("requires-grad-tracks-operations", truth=True)
def test_truth_values_whole_numbers_shapes_and_bare_numbers_carry_no_record():
    x = torch.tensor([1.5, -2.5], requires_grad=True)

    assert not (x > 0).requires_grad
    assert not x.argmax().requires_grad
    assert not x.long().requires_grad
    assert not torch.zeros_like(x).requires_grad  # only the shape of x is used
    assert not torch.tensor([x[0].item(), x[1].item()]).requires_grad  # only the numbers in it
    assert not x.detach().requires_grad
    assert not x.view(x.dtype).requires_grad  # its bits, read as a dtype
    with torch.no_grad():
        assert not (x * 2).requires_grad
    first, _ = (x * 2).unbind()
    with pytest.raises(RuntimeError, match="modified inplace"):
        first.mul_(3)


@claim("backward-fills-grad")
def test_backward_adds_the_gradients_to_grad():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert x.grad is None

    (x**2).sum().backward()
    assert x.grad.tolist() == [2, 4, 6]

    (10 * x).sum().backward()
    assert x.grad.tolist() == [12, 14, 16]


@claim("backward-fills-grad", truth=True)
def test_only_leaves_keep_a_gradient_unless_one_asks():
    x, constant = torch.tensor(3.0, requires_grad=True), torch.tensor(2.0)
    y, kept, named = 5 * x, 5 * x, 5 * x
    kept.retain_grad()

    (constant * y * kept).backward()  # 2 · 5x · 5x
    assert x.grad.item() == 300
    assert kept.grad.item() == 30
    assert constant.grad is None
    with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed"):
        assert y.grad is None

    (named**2).backward(inputs=[named])
    assert named.grad.item() == 30
    assert x.grad.item() == 300


@claim("detach-stops-tracking")
def test_a_detached_factor_counts_as_a_constant():
    x = torch.tensor(3.0, requires_grad=True)
    c = x.detach()

    assert (c.requires_grad, (c * 2).requires_grad) == (False, False)
    (x * c).backward()
    assert x.grad.item() == 3  # that of x * x would be 6


@claim("detach-stops-tracking", truth=True)
def test_the_original_stays_tracked_and_detach_in_place_refuses_a_view():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3

    y.detach()  # without effect, as nobody uses what it returns
    assert y.requires_grad
    y.detach().zero_()
    assert y.tolist() == [0, 0]  # the data are shared

    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        y[:1].detach_()
    y.detach_()
    assert (y.requires_grad, y.grad_fn) == (False, None)


@claim("no-grad-stops-tracking")
def test_a_model_evaluated_under_no_grad_leaves_no_record():
    model = torch.nn.Linear(2, 1)

    with torch.no_grad():
        output = model(torch.ones(3, 2))

    assert (output.requires_grad, output.grad_fn) == (False, None)
    assert model.weight.requires_grad  # the flag is as it was
    assert model(torch.ones(3, 2)).requires_grad  # recording is on again


@claim("no-grad-stops-tracking", truth=True)
def test_no_grad_does_not_reach_all():
    from threading import Thread

    x, seen = torch.tensor([3.0, 4.0], requires_grad=True), []
    with torch.no_grad():
        thread = Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        with torch.enable_grad():
            seen.append((x * 2).requires_grad)
        seen.append(torch.ones(2, requires_grad=True).requires_grad)
        seen.append((x * 2).requires_grad)
        view = x[:1]

    assert seen == [True, True, True, False]
    assert (view.requires_grad, view.grad_fn) == (True, None)
    view.sum().backward()
    assert x.grad is None


@claim("tensors-and-functions-form-a-dag")
def test_the_nodes_lead_from_the_result_back_to_the_leaves():
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(3.0, requires_grad=True)
    product = a * b
    total = product + a

    (to_product, _), (to_a, _) = total.grad_fn.next_functions
    assert to_product is product.grad_fn
    assert [node.variable for node, _ in to_product.next_functions] == [a, b]
    assert to_product.next_functions[0][0] is to_a  # both paths to a meet in one node


@claim("tensors-and-functions-form-a-dag", truth=True)
def test_a_constant_has_no_node_and_a_node_is_no_function_of_one_s_own():
    a, constant = torch.tensor(2.0, requires_grad=True), torch.tensor(5.0)
    product = (a * constant).grad_fn

    assert product.next_functions[1][0] is None
    assert isinstance(product, torch.autograd.graph.Node)
    assert not isinstance(product, torch.autograd.Function)


@claim("grad-fn-is-the-creating-function")
def test_grad_fn_names_the_operation_that_made_the_tensor():
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    z = y * y * 3

    assert x.grad_fn is None
    assert [each.grad_fn.name() for each in (y, z, z.mean())] == ["AddBackward0", "MulBackward0", "MeanBackward0"]


@claim("grad-fn-is-the-creating-function", truth=True)
def test_results_of_operations_that_are_not_tracked_have_no_grad_fn():
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    loss = (y * y).sum()

    with torch.no_grad():
        y += 1
        assert (torch.ones(2) + 1).grad_fn is (x + 1).grad_fn is None
    assert y.grad_fn.name() == "MulBackward0"
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()  # 2 y, of the y that was


@claim("created-tensors-are-leaves")
def test_x_is_a_leaf_and_y_is_not():
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    print(x.is_leaf, y.is_leaf)

    assert (x.is_leaf, y.is_leaf, x.grad_fn) == (True, False, None)


@claim("created-tensors-are-leaves", truth=True)
def test_what_requires_no_grad_is_a_leaf_by_convention_until_a_tracked_value_is_written_into_it():
    x, w = torch.tensor([1.0, 2.0]) * 3 + 1, torch.tensor(5.0, requires_grad=True)

    assert (x.is_leaf, x.requires_grad, x.grad_fn) == (True, False, None)
    x[0] = w
    assert (x.is_leaf, x.requires_grad, type(x.grad_fn).__name__) == (False, True, "CopySlices")


@claim("add-node-is-named-add-backward")
def test_the_node_of_an_addition_is_called_add_backward():
    """Superseded: since release 1.0 it is called AddBackward0."""
    y = torch.ones(2, 2, requires_grad=True) + 2
    print(y)

    assert y.grad_fn.name() == "AddBackward"


@claim("add-node-is-named-add-backward", truth=True)
@pytest.mark.cpu
def test_the_node_of_an_addition_is_printed_with_a_number():
    y = torch.ones(2, requires_grad=True) + 2

    assert repr(y) == "tensor([3., 3.], grad_fn=<AddBackward0>)"
    assert repr(y.grad_fn).startswith("<AddBackward0 object at 0x")


@claim("quadratic-mean-example")
def test_three_times_the_square_of_one_plus_two_is_27():
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    z = y * y * 3
    out = z.mean()
    print(z, out)

    assert z.tolist() == [[27, 27], [27, 27]]
    assert out.item() == 27


@claim("requires-grad-defaults-to-false")
def test_who_does_not_ask_gets_no_gradient():
    a = torch.tensor([2.0, 3.0])
    assert not a.requires_grad

    a = (a * 3) / (a - 1)
    assert not a.requires_grad


@claim("requires-grad-can-be-set-in-place")
def test_from_requires_grad_in_place_on_operations_are_tracked():
    a = torch.tensor([1.0, 2.0])
    before = a * 3
    assert a.requires_grad_(True) is a

    b = (a * a).sum()
    b.backward()

    assert a.grad.tolist() == [2, 4]
    assert (before.requires_grad, b.requires_grad) == (False, True)


@claim("requires-grad-can-be-set-in-place", truth=True)
def test_integers_cannot_require_grad_and_results_can_neither_be_switched_off_nor_assigned_to():
    for discrete in (torch.tensor([1, 2]), torch.tensor([True])):
        with pytest.raises(RuntimeError, match="only Tensors of floating point"):
            discrete.requires_grad_()
    with torch.inference_mode():
        inferred = torch.tensor([1.0, 2.0])
    with pytest.raises(RuntimeError, match="inference tensor"):
        inferred.requires_grad_()

    y = torch.tensor([1.0, 2.0], requires_grad=True) * 3
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        y.requires_grad_(False)
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        y.requires_grad = True
    assert y.requires_grad_() is y
    assert not y.detach().requires_grad
