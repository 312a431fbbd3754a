"""2.7 Autograd: backward

For a chain of functions the derivative is the product of the Jacobian matrices of its links. `backward()` computes this
product from the result towards the leaves, one vector times one matrix at a time, and never builds the matrices. The
vector it starts with is 1 for a scalar, which is why a scalar needs no argument. What arrives at a leaf is added to its
`.grad`: that serves gradients that come in several parts, and asks for a reset before an independent one. What the pass
needs on its way are values that were saved as the result was computed; they must not change, and are freed as it ends.
"""

import pytest
import torch

claim = pytest.mark.claim


@claim("scalar-backward-needs-no-argument")
def test_a_scalar_is_differentiated_as_if_by_one():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)

    (x**3).sum().backward()
    assert x.grad.tolist() == [3, 12, 27]
    x.grad = None
    (x**3).sum().backward(torch.tensor(1.0))
    assert x.grad.tolist() == [3, 12, 27]


@claim("scalar-backward-needs-no-argument", truth=True)
def test_one_element_in_brackets_takes_one_in_brackets():
    x = torch.tensor([3.0], requires_grad=True)

    (x**2).backward()
    (x**2).backward(torch.tensor([1.0]))
    assert x.grad.tolist() == [12]
    with pytest.raises(RuntimeError):
        (x**2).backward(torch.tensor(1.0))
    with pytest.raises(RuntimeError):
        torch.ones(2, requires_grad=True).mul(3).backward()


@claim("quadratic-mean-gradient")
def test_gradient_of_the_mean_is_four_and_a_half():
    """out = ¼ Σ 3 (x + 2)², so d out / dx = 3 (x + 2) / 2 = 4.5 at x = 1."""
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    z = y * y * 3
    out = z.mean()

    out.backward()
    print(x.grad)
    assert x.grad.tolist() == [[4.5, 4.5], [4.5, 4.5]]


@claim("backward-multiplies-jacobians")
def test_the_gradient_is_a_row_of_the_product_of_both_jacobians():
    """At (2, 3) the derivatives are [[3, 2], [1, 4]] and then, at y = (6, 14), [[14, 6], [1, -1]]; their product,
    the later one first, is [[48, 52], [2, -2]].
    """
    for weights, row in [([1.0, 0.0], [48, 52]), ([0.0, 1.0], [2, -2])]:
        x = torch.tensor([2.0, 3.0], requires_grad=True)
        y = torch.stack([x[0] * x[1], x[0] + 4 * x[1]])
        z = torch.stack([y[0] * y[1], y[0] - y[1]])
        z.backward(torch.tensor(weights))

        assert x.grad.tolist() == row


@claim("backward-multiplies-jacobians", truth=True)
def test_a_hundred_thousand_elements_need_no_matrix_of_forty_gigabytes():
    n = 100_000
    x = torch.full((n,), 3.0, requires_grad=True)

    (x * x).backward(torch.ones(n))

    assert x.grad.tolist() == [6.0] * n
    assert n * n * x.element_size() == 40 * 10**9  # bytes that the Jacobian would take


@claim("gradients-accumulate")
def test_each_pass_adds_to_the_gradient_until_it_is_cleared():
    x = torch.ones(2, 2, requires_grad=True)

    (3 * (x + 2) ** 2).mean().backward()
    assert x.grad.tolist() == [[4.5, 4.5], [4.5, 4.5]]
    x.sum().backward()
    print(x.grad)
    assert x.grad.tolist() == [[5.5, 5.5], [5.5, 5.5]]

    x.grad.data.zero_()
    x.sum().backward()
    print(x.grad)
    assert x.grad.tolist() == [[1, 1], [1, 1]]


@claim("backward-argument-is-grad-variables")
def test_the_function_backward_takes_weights_by_the_name_of_grad_variables():
    x = torch.tensor([1.0, 2.0], requires_grad=True)

    with pytest.warns((UserWarning, FutureWarning), match="deprecated"):
        torch.autograd.backward(x**2, grad_variables=torch.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2, 40]


@claim("backward-argument-is-grad-variables", truth=True)
def test_the_method_calls_its_weights_gradient():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([1.0, 10.0])

    (x**2).backward(gradient=w)
    assert x.grad.tolist() == [2, 40]
    with pytest.raises(TypeError):
        (x**2).backward(grad_variables=w)
    torch.autograd.backward(x**2, grad_tensors=w)
    assert x.grad.tolist() == [4, 80]
    for _ in range(2):  # in every call
        with pytest.warns((UserWarning, FutureWarning), match="deprecated"):
            torch.autograd.backward(x**2, grad_variables=w)


@claim("weighted-backward-differentiates-the-weighted-sum")
def test_weights_give_the_gradient_of_the_weighted_sum():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    w = torch.tensor([1.0, -2.0, 0.5])

    (x**2).backward(w)
    assert x.grad.tolist() == [2, -8, 3]  # 2 w x
    x.grad = None
    (x**2 * w).sum().backward()
    assert x.grad.tolist() == [2, -8, 3]


@claim("weighted-backward-differentiates-the-weighted-sum", truth=True)
def test_weights_are_not_broadcast_as_they_would_be_in_a_product():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)

    (x**2 * torch.tensor(10.0)).sum().backward()
    assert x.grad.tolist() == [20, 40, 60]
    with pytest.raises(RuntimeError):
        (x**2).backward(torch.tensor(10.0))

    x.grad = None
    (x**2).backward(x)  # the weights depend on x, but count as constants
    assert x.grad.tolist() == [2, 8, 18]  # 2x · x, and not 3x², the derivative of x² · x

    x.grad, w = None, torch.tensor([1.0, 10.0, 100.0])
    x.view(-1).backward(w)  # x.grad now lies in the memory of w
    x.sum().backward()  # adds 1 to each, of w, too
    assert w.tolist() == [2, 11, 101]
    x.grad, w = None, torch.tensor([1.0, 10.0, 100.0])
    x.view(-1).backward(w.clone())
    x.sum().backward()
    assert w.tolist() == [1, 10, 100]


@claim("weights-act-as-upstream-gradient")
def test_weights_select_a_component_or_stand_for_the_gradient_of_a_later_loss():
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    (x**2).backward(torch.tensor([0.0, 1.0]))
    assert x.grad.tolist() == [0, 6]  # of the second component alone

    x.grad = None
    y = x**2  # 4, 9
    y.backward(torch.tensor([4.0, 9.0]))  # of the loss Σ y² / 2 by y
    assert x.grad.tolist() == [16, 54]
    x.grad = None
    ((x**2) ** 2 / 2).sum().backward()  # Σ x⁴ / 2, whose derivative is 2 x³
    assert x.grad.tolist() == [16, 54]


@claim("default-weight-is-one-for-scalars")
def test_other_weights_scale_the_derivative_and_mix_those_of_a_vector():
    x = torch.tensor(3.0, requires_grad=True)
    (x**2).backward()
    assert x.grad.item() == 6  # the derivative of x² at 3
    (x**2).backward(torch.tensor(-0.5))
    assert x.grad.item() == 6 - 3

    x = torch.tensor([5.0, 6.0], requires_grad=True)
    torch.stack([x[0] + 2 * x[1], 3 * x[0] + 4 * x[1]]).backward(torch.ones(2))
    assert x.grad.tolist() == [4, 6]  # 1 + 3 and 2 + 4: neither function's derivative


@claim("default-weight-is-one-for-scalars", truth=True)
def test_weights_of_one_give_the_derivative_of_each_element():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x**3).backward(torch.ones(3))
    assert x.grad.tolist() == [3, 12, 27]

    x = torch.tensor([3.0], requires_grad=True)
    (x**2).backward()
    assert x.grad.tolist() == [6]


@claim("second-backward-needs-a-retained-graph")
def test_a_second_pass_needs_what_the_first_one_frees():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x**2).sum()

    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


@claim("second-backward-needs-a-retained-graph", truth=True)
def test_a_sum_saves_nothing_and_can_be_passed_again():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x + 1).sum()

    y.backward()
    y.backward()
    assert x.grad.tolist() == [2, 2]

    square = (x**2).sum()
    torch.autograd.grad(square, x, create_graph=True)
    torch.autograd.grad(square, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        square.backward()


@claim("in-place-write-spoils-backward")
def test_a_value_that_backward_needs_must_not_be_overwritten():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x + 2
    z = (y**2).sum()

    y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


@claim("in-place-write-spoils-backward", truth=True)
def test_writes_are_counted_unless_they_go_through_data():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x + 2
    z = (y**2).sum()
    y.data += 10
    z.backward()
    assert x.grad.tolist() == [26, 28]  # instead of 2 y, which was 6 and 8

    z = (y**2).sum()
    y.mul_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()
