"""4.5 Custom layers: dictionaries of parameters

`nn.ParameterDict` holds parameters by name, so that `forward` can choose one of them by a key: a switch between
computations that all belong to one module. It follows a dict in most respects, and registers each member under its key.
It differs where a key has to serve as a module's attribute too: keys are strings, and a missing one is reported as a
missing attribute.
"""

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


class DictDense(nn.Module):
    """Multiplies by the matrix that the caller chooses by its key."""

    def __init__(self):
        super().__init__()
        self.params = nn.ParameterDict({"linear1": torch.ones(4, 4), "linear2": torch.full((4, 1), 2.0)})
        self.params.update({"linear3": torch.full((4, 2), 3.0)})

    def forward(self, x, choice="linear1"):
        return torch.mm(x, self.params[choice])


# ── parameterdict-prints-tensor-types ──


@claim("parameterdict-prints-tensor-types")
@pytest.mark.cpu
def test_a_printed_dict_shows_the_tensor_type():
    net = DictDense()

    assert str(net).splitlines() == [
        "DictDense(",
        "  (params): ParameterDict(",
        "      (linear1): Parameter containing: [torch.FloatTensor of size 4x4]",
        "      (linear2): Parameter containing: [torch.FloatTensor of size 4x1]",
        "      (linear3): Parameter containing: [torch.FloatTensor of size 4x2]",
        "  )",
        ")",
    ]


@claim("parameterdict-prints-tensor-types")
@pytest.mark.cpu
def test_a_printed_dict_shows_each_members_own_type():
    params = nn.ParameterDict({"kernel": torch.ones(2, 3, 5, dtype=torch.float16)})
    params["offset"] = torch.ones(7, dtype=torch.float64)

    assert "(kernel): Parameter containing: [torch.HalfTensor of size 2x3x5]" in str(params)
    assert "(offset): Parameter containing: [torch.DoubleTensor of size 7]" in str(params)


# ── parameterdict-acts-like-a-dict ──


@claim("parameterdict-acts-like-a-dict")
def test_keys_values_and_items_give_the_members():
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))

    params = nn.ParameterDict([("b", first), ("a", second)])

    assert list(params.keys()) == ["b", "a"]
    assert [id(value) for value in params.values()] == [id(first), id(second)]
    assert [(key, id(value)) for key, value in params.items()] == [("b", id(first)), ("a", id(second))]
    assert list(params) == ["b", "a"]
    assert len(params) == 2


@claim("parameterdict-acts-like-a-dict")
def test_a_member_is_read_by_its_key():
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))

    params = nn.ParameterDict({"a": first, "b": second})

    assert params["b"] is second
    assert params.get("a") is first
    assert params.get("c") is None
    assert ("a" in params) is True
    assert ("c" in params) is False
    assert ("keys" in params) is False  # an attribute, but no key


@claim("parameterdict-acts-like-a-dict")
def test_update_adds_new_members_and_replaces_old_ones():
    params = nn.ParameterDict({"a": torch.tensor(1.0), "b": torch.tensor(2.0)})

    params.update({"b": nn.Parameter(torch.tensor(20.0)), "c": nn.Parameter(torch.tensor(3.0))})

    assert [(key, value.item()) for key, value in params.items()] == [("a", 1.0), ("b", 20.0), ("c", 3.0)]
    assert [name for name, _ in params.named_parameters()] == ["a", "b", "c"]


@claim("parameterdict-acts-like-a-dict")
def test_members_can_be_deleted_and_popped():
    params = nn.ParameterDict({key: torch.tensor(float(n)) for n, key in enumerate("abcd")})

    del params["a"]
    popped = params.pop("c")

    assert popped.item() == 2.0
    assert list(params) == ["b", "d"]
    assert [name for name, _ in params.named_parameters()] == ["b", "d"]


@claim("parameterdict-acts-like-a-dict", truth=True)
@pytest.mark.parametrize("key", [1, None, ("a", "b")])
def test_a_key_that_is_no_string_is_refused(key):
    params = nn.ParameterDict()

    with pytest.raises(TypeError, match="cannot be used as a key as it is not a string"):
        params[key] = nn.Parameter(torch.ones(2))

    assert list(params.parameters()) == []


@claim("parameterdict-acts-like-a-dict", truth=True)
def test_reading_a_missing_key_raises_attribute_error_where_a_dict_raises_key_error():
    params = nn.ParameterDict({"a": torch.ones(2)})

    with pytest.raises(AttributeError, match="'ParameterDict' object has no attribute 'missing'"):
        params["missing"]


@claim("parameterdict-acts-like-a-dict", truth=True)
@pytest.mark.parametrize("key", ["half", "keys", "forward"])
def test_a_key_that_names_a_method_of_the_module_is_refused(key):
    params = nn.ParameterDict()

    with pytest.raises(KeyError, match=f"attribute '{key}' already exists"):
        params[key] = nn.Parameter(torch.ones(2))


@claim("parameterdict-acts-like-a-dict", truth=True)
def test_a_plain_tensor_becomes_a_parameter():
    plain = torch.tensor([1.0, 2.0])
    params = nn.ParameterDict({"given": plain})

    params["assigned"] = plain
    params.update({"updated": plain})

    assert [type(value) for value in params.values()] == [nn.Parameter] * 3
    assert [value.tolist() for value in params.parameters()] == [[1.0, 2.0]] * 3
    assert [value.data_ptr() for value in params.values()] == [plain.data_ptr()] * 3  # no copy is made


@claim("parameterdict-acts-like-a-dict", truth=True)
def test_the_keys_of_a_plain_dict_are_sorted_and_those_of_pairs_are_not():
    plain = {"b": torch.tensor(1.0), "a": torch.tensor(2.0)}

    from_dict, from_pairs = nn.ParameterDict(plain), nn.ParameterDict(plain.items())

    assert [(key, value.item()) for key, value in from_dict.items()] == [("a", 2.0), ("b", 1.0)]
    assert [(key, value.item()) for key, value in from_pairs.items()] == [("b", 1.0), ("a", 2.0)]


# ── parameterdict-selects-by-key ──


@claim("parameterdict-selects-by-key")
@pytest.mark.parametrize(
    "key, expected",
    [("linear1", [[10.0, 10.0, 10.0, 10.0]]), ("linear2", [[20.0]]), ("linear3", [[30.0, 30.0]])],
)
def test_the_key_chooses_the_matrix_and_with_it_the_shape(key, expected):
    output = DictDense()(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), key)

    assert output.tolist() == expected


@claim("parameterdict-acts-like-a-dict", "parameterdict-selects-by-key")
def test_similar_keys_are_different_keys():
    params = nn.ParameterDict([("w", torch.tensor(1.0)), ("W", torch.tensor(2.0)), ("w1", torch.tensor(3.0))])

    assert [params[key].item() for key in ("w", "W", "w1")] == [1.0, 2.0, 3.0]


@claim("parameterdict-selects-by-key")
def test_only_the_chosen_member_gets_a_gradient():
    net = DictDense()

    net(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), "linear2").sum().backward()

    assert net.params["linear2"].grad.tolist() == [[1.0], [2.0], [3.0], [4.0]]
    assert net.params["linear1"].grad is None
    assert net.params["linear3"].grad is None


# ── matmul-node-is-named-mm-backward ──


@claim("matmul-node-is-named-mm-backward")
def test_a_printed_product_names_mm_backward():
    product = torch.mm(torch.ones(1, 4), nn.Parameter(torch.ones(4, 2)))

    assert "grad_fn=<MmBackward>" in str(product)


@claim("matmul-node-is-named-mm-backward", truth=True)
def test_a_printed_product_names_mm_backward_with_a_zero():
    product = torch.mm(torch.ones(1, 4), nn.Parameter(torch.ones(4, 2)))

    assert "grad_fn=<MmBackward0>" in str(product)
    assert type(product.grad_fn).__name__ == "MmBackward0"
