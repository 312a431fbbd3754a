"""4.5 Custom layers: lists of parameters

A Python list of parameters stays invisible to the module that holds it. `nn.ParameterList` is indexed, sliced and
extended like a list, and registers each member under its position: `params.0`, `params.1` and so on. A plain tensor put
into it becomes a parameter. How the list prints has changed over the years; what is asserted here is exact, so that it
can be compared with what is on the screen. Small integer matrices that do not commute make the order of the products
visible.
"""

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


class ListDense(nn.Module):
    """Multiplies by every matrix of a ParameterList in turn."""

    def __init__(self, matrices):
        super().__init__()
        self.params = nn.ParameterList(nn.Parameter(matrix) for matrix in matrices)

    def forward(self, x):
        for matrix in self.params:
            x = torch.mm(x, matrix)
        return x


# ── parameterlist-is-indexable-and-grows ──


@claim("parameterlist-is-indexable-and-grows")
def test_the_matrices_of_a_list_apply_in_turn():
    shear, swap = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    net = ListDense([shear, swap])
    net.params.append(nn.Parameter(torch.tensor([[10.0], [1.0]])))

    output = net(torch.tensor([[3.0, 5.0]]))  # [3, 5] -> [3, 11] -> [11, 3] -> [113]

    assert output.tolist() == [[113.0]]


@claim("parameterlist-is-indexable-and-grows")
def test_a_list_is_indexed_from_both_ends_and_sliced():
    members = [nn.Parameter(torch.full((n,), float(n))) for n in (1, 2, 3)]

    params = nn.ParameterList(members)

    assert len(params) == 3
    assert params[0] is members[0]
    assert params[-1] is members[2]
    assert [param.tolist() for param in params[1:]] == [[2.0, 2.0], [3.0, 3.0, 3.0]]
    assert params[1:][0] is members[1]
    for outside in (3, -4):
        with pytest.raises(IndexError, match=f"index {outside} is out of range"):
            params[outside]


@claim("parameterlist-is-indexable-and-grows")
def test_append_and_extend_add_at_the_end():
    params = nn.ParameterList([nn.Parameter(torch.tensor(1.0))])

    params.append(nn.Parameter(torch.tensor(2.0)))
    params.extend([nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(4.0))])

    assert len(params) == 4
    assert [param.item() for param in params] == [1.0, 2.0, 3.0, 4.0]
    assert [name for name, _ in params.named_parameters()] == ["0", "1", "2", "3"]


@claim("parameterlist-is-indexable-and-grows")
def test_more_than_ten_members_stay_in_order():
    """Their names would sort otherwise: "10" comes before "2"."""
    params = nn.ParameterList([torch.tensor(float(n)) for n in range(12)])

    assert [param.item() for param in params] == list(range(12))
    assert [param.item() for param in params.parameters()] == list(range(12))


@claim("parameterlist-is-indexable-and-grows")
def test_an_index_can_be_assigned():
    params = nn.ParameterList([torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)])

    params[0] = nn.Parameter(torch.tensor(9.0))
    params[-1] = nn.Parameter(torch.tensor(7.0))

    assert [param.item() for param in params.parameters()] == [9.0, 2.0, 7.0]


@claim("parameterlist-is-indexable-and-grows")
def test_members_become_parameters_of_the_module_and_get_gradients():
    net = ListDense([torch.eye(2), torch.eye(2)])
    net.params.append(torch.tensor([[1.0], [2.0]]))  # a plain tensor becomes a Parameter
    net.params.extend([torch.tensor([[5.0]])])

    net(torch.tensor([[3.0, 7.0]])).sum().backward()

    assert [name for name, _ in net.named_parameters()] == ["params.0", "params.1", "params.2", "params.3"]
    assert all(isinstance(param, nn.Parameter) for param in net.params) is True
    assert net.params[1].grad.tolist() == [[15.0, 30.0], [35.0, 70.0]]  # outer product of [3, 7] and 5 * [1, 2]
    assert net.params[2].grad.tolist() == [[15.0], [35.0]]
    assert net.params[3].grad.tolist() == [[17.0]]  # 3 * 1 + 7 * 2


@claim("parameterlist-is-indexable-and-grows")
def test_the_members_of_a_python_list_stay_unregistered():
    net = nn.Module()

    net.params = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]

    assert list(net.parameters()) == []


# ── parameterlist-prints-tensor-types ──


@claim("parameterlist-prints-tensor-types")
@pytest.mark.cpu  # a GPU would be named in the print
def test_a_printed_list_shows_the_tensor_type():
    params = nn.ParameterList([torch.ones(4, 4)])

    assert "(0): Parameter containing: [torch.FloatTensor of size 4x4]" in str(params)


@claim("parameterlist-prints-tensor-types", truth=True)
@pytest.mark.cpu
def test_a_printed_list_shows_the_dtype():
    params = nn.ParameterList([torch.ones(4, 4), torch.ones(4, 1, dtype=torch.float64)])

    assert str(params).splitlines() == [
        "ParameterList(",
        "    (0): Parameter containing: [torch.float32 of size 4x4]",
        "    (1): Parameter containing: [torch.float64 of size 4x1]",
        ")",
    ]


@claim("parameterlist-prints-tensor-types", truth=True)
@pytest.mark.cpu
def test_a_printed_dict_still_shows_the_tensor_type_where_a_list_does_not():
    weight = nn.Parameter(torch.ones(4, 4))

    printed_list, printed_dict = str(nn.ParameterList([weight])), str(nn.ParameterDict({"w": weight}))

    assert "torch.FloatTensor" in printed_dict
    assert "torch.FloatTensor" not in printed_list
