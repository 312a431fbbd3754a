"""4.5 Custom layers: containers of parameters beside Python's own after any edits."""

from collections import OrderedDict

import pytest
import torch
from populations import SINGLE_AND_DOUBLE, after_any_history, agree, among, containers, over, twins
from populations.containers import KEYS
from torch import nn

claim = pytest.mark.claim


# ── parameterlist-is-indexable-and-grows ──


@claim("parameterlist-is-indexable-and-grows")
def test_after_any_history_a_list_of_parameters_is_like_a_list():
    containers.edited_alike("ParameterList")
    after_any_history(containers.history("ParameterList"))


@claim("parameterlist-is-indexable-and-grows", truth=True)
@over(
    twin=twins((*SINGLE_AND_DOUBLE, torch.float16, torch.complex64), shapes=((), (2, 3))), other=among(5, "text", None)
)
def test_a_tensor_becomes_a_parameter_on_its_memory_and_any_other_object_stays_what_it_is(twin, other):
    tensor, array = twin
    params = nn.ParameterList([tensor, other])
    params.append(tensor)
    params.extend([other, tensor])
    params[0] = tensor

    for index in (0, 2, 4):
        agree(params[index], array)
        assert (type(params[index]), params[index].data_ptr()) == (nn.Parameter, tensor.data_ptr())
    assert (params[1], params[3], len(list(params.parameters()))) == (other, other, 3)
    assert not any(hasattr(params, name) for name in ("insert", "pop", "__delitem__"))
    kept = nn.Module()
    kept.params = [nn.Parameter(tensor)]
    assert list(kept.parameters()) == []  # of a Python list nothing is registered
    with pytest.raises(TypeError):
        params[0:1] = [tensor]


# ── parameterlist-prints-tensor-types, parameterdict-prints-tensor-types ──

TYPES = {torch.float32: "Float", torch.float64: "Double", torch.float16: "Half", torch.bfloat16: "BFloat16"}


PRINTED = {"dtype": among(*TYPES), "shape": among((4, 4), (7,), (2, 3, 5), (4, 1))}


def sized(shape):
    return "x".join(map(str, shape))


@claim("parameterlist-prints-tensor-types", truth=True)
@pytest.mark.cpu
@over(**PRINTED)
def test_a_list_prints_the_dtype_and_size_of_each_member(dtype, shape):
    params = nn.ParameterList([torch.ones(3)] * 11 + [torch.ones(shape, dtype=dtype)])
    assert str(params).splitlines()[12:13] == [f"    (11): Parameter containing: [{dtype} of size {sized(shape)}]"]


@claim("parameterdict-prints-tensor-types")
@pytest.mark.cpu
@over(**PRINTED)
def test_a_dict_prints_the_type_and_size_of_each_member(dtype, shape):
    others = [(f"n{number}", torch.ones(3)) for number in range(11)]
    params = nn.ParameterDict([*others, ("m", torch.ones(shape, dtype=dtype))])
    assert str(params).splitlines()[1:] == [
        *(f"    ({name}): Parameter containing: [torch.FloatTensor of size 3]" for name, _ in others),
        f"    (m): Parameter containing: [torch.{TYPES[dtype]}Tensor of size {sized(shape)}]",
        ")",
    ]


# ── parameterdict-acts-like-a-dict, parameterdict-selects-by-key ──


@claim("parameterdict-acts-like-a-dict")
def test_after_any_history_a_dict_of_parameters_is_like_a_dict():
    containers.edited_alike("ParameterDict")
    after_any_history(containers.history("ParameterDict"))


@claim("parameterdict-selects-by-key")
@over(key=among(*KEYS), before=among(*KEYS))
def test_each_key_chooses_its_own_parameter_for_the_computation_and_for_its_gradient(key, before):
    numbers = {each: float(number) for number, each in enumerate(KEYS, 2)}
    params = nn.ParameterDict([(each, torch.tensor(number)) for each, number in numbers.items()])

    assert params[before].item() == numbers[before]
    y = params[key] * params[key]
    y.backward()
    assert y.item() == numbers[key] ** 2
    assert {each: None if p.grad is None else p.grad.item() for each, p in params.items()} == {
        **dict.fromkeys(KEYS),
        key: 2 * numbers[key],
    }


@claim("parameterdict-acts-like-a-dict", truth=True)
@over(key=among(1, None, ("a", "b"), "", "a.b", "half", "keys", "forward"), way=among("item", "update", "setdefault"))
def test_what_is_no_name_or_the_name_of_a_method_is_no_key(key, way):
    error, params = KeyError if isinstance(key, str) else TypeError, nn.ParameterDict({"a": torch.ones(2)})
    value = nn.Parameter(torch.ones(2))
    with pytest.raises(error):
        {
            "item": lambda: params.__setitem__(key, value),
            "update": lambda: params.update([(key, value)]),
            "setdefault": lambda: params.setdefault(key, value) if key != "" else params.__setitem__(key, value),
        }[way]()
    assert [name for name, _ in params.named_parameters()] == ["a"]
    for missing in ("missing", "b", "A"):
        with pytest.raises(AttributeError):
            params[missing]
    assert params["train"] == params.train
    with pytest.raises(TypeError):
        params.pop("missing", None)


@claim("parameterlist-is-indexable-and-grows", "parameterdict-acts-like-a-dict", truth=True)
@over(dtype=among("uint8", "int32", "int64", "bool"), shape=among((), (2, 3)))
def test_integers_and_booleans_do_not_become_parameters(dtype, shape):
    tensor, listed, keyed = torch.ones(shape, dtype=getattr(torch, dtype)), nn.ParameterList(), nn.ParameterDict()
    for add in (
        lambda: listed.extend([tensor]),
        lambda: keyed.update({"a": tensor}),
        lambda: keyed.setdefault("b", tensor),
    ):
        with pytest.raises(RuntimeError, match="can require gradients"):
            add()
    assert [*listed.parameters(), *keyed.parameters()] == []


@claim("parameterdict-acts-like-a-dict", truth=True)
@over(key=among("", "a.b", "half", "forward"))
def test_what_is_no_tensor_may_have_any_text_for_its_key(key):
    params = nn.ParameterDict()
    params[key] = 5
    assert list(params) == [key]
    assert (params[key], list(params.parameters())) == (5, [])


@claim("parameterdict-acts-like-a-dict", truth=True)
@over(
    twin=twins((*SINGLE_AND_DOUBLE, torch.float16), shapes=((), (2, 3))),
    made=among(dict, OrderedDict, list, nn.ParameterDict),
)
def test_tensors_become_parameters_and_only_a_plain_dict_is_sorted(twin, made):
    tensor, array = twin
    pairs = [("b", tensor), ("c", tensor), ("a", 5)]
    params, updated = nn.ParameterDict(made(pairs)), nn.ParameterDict()
    updated.update(made(pairs))

    for each in (params, updated):
        assert list(each) == (["a", "b", "c"] if made is dict else ["b", "c", "a"])
        agree(each["b"], array)
        assert (type(each["b"]), each["b"].data_ptr(), each["a"]) == (nn.Parameter, tensor.data_ptr(), 5)
        assert [name for name, _ in each.named_parameters()] == ["b", "c"]
    params["training"] = tensor
    with pytest.raises(TypeError, match="training"):
        params.eval()


# ── matmul-node-is-named-mm-backward ──


@claim("matmul-node-is-named-mm-backward", truth=True)
@over(dtype=among(*SINGLE_AND_DOUBLE), rows=among(0, 1, 3), spelled=among("function", "method", "operator"))
def test_every_product_of_matrices_names_its_node_with_a_zero(dtype, rows, spelled):
    x, w = torch.ones(rows, 4, dtype=dtype), nn.Parameter(torch.ones(4, 2, dtype=dtype))
    product = {"function": lambda: torch.mm(x, w), "method": lambda: x.mm(w), "operator": lambda: x @ w}[spelled]()

    assert (product.grad_fn.name(), type(product.grad_fn).__name__) == ("MmBackward0", "MmBackward0")
    assert "grad_fn=<MmBackward0>" in str(product)
