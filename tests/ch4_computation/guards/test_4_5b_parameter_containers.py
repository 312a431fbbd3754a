"""4.5 Custom layers: containers of parameters beside Python's own after any edits."""

from collections import OrderedDict

import pytest
import torch
from hypothesis import strategies as st
from populations import SINGLE_AND_DOUBLE, Population, agree, among, over, twins
from torch import nn

claim = pytest.mark.claim


def told(pairs):
    return [(name, id(value)) for name, value in pairs]


# ── parameterlist-is-indexable-and-grows ──

# What a ParameterList and a Python list both know.
EDITS = {
    "append": lambda x, at, new: x.append(new[0]),
    "extend": lambda x, at, new: x.extend(new),
    "extend by a generator": lambda x, at, new: x.extend(each for each in new),
    "extend by another": lambda x, at, new: x.extend(nn.ParameterList(new)),
    "+=": lambda x, at, new: x.__iadd__(tuple(new)),
    "replace": lambda x, at, new: x.__setitem__(at, new[0]),
}
LIVES = Population(
    (
        (("extend", 0),) * 4,  # twelve members: the alphabet has 10 before 2
        (("append", 0), ("replace", -1), ("extend by another", 0), ("replace", 1), ("+=", 0), ("replace", -3)),
        (("extend by a generator", 0), ("append", 0), ("replace", 0)),
    ),
    st.lists(st.tuples(st.sampled_from(list(EDITS)), st.integers(-4, 4)), max_size=10).map(tuple),
)


@claim("parameterlist-is-indexable-and-grows")
@over(life=LIVES)
def test_after_any_edits_a_parameter_list_shows_what_a_list_shows_and_registers_it_in_order(life):
    first = nn.Parameter(torch.ones(1))
    params, beside = nn.ParameterList([first]), [first]
    net = nn.Sequential(params)
    for edit, at in life:
        at, new = (at if -len(beside) <= at < len(beside) else 0), [nn.Parameter(torch.ones(n)) for n in (1, 2, 3)]
        EDITS[edit](params, at, new)
        EDITS[edit](beside, at, new)

    size, ids = len(beside), list(map(id, beside))
    assert len(params) == size
    assert [id(each) for each in params] == [id(params[index]) for index in range(size)] == ids
    assert [id(params[index]) for index in range(-size, 0)] == ids
    assert type(params[1:]) is nn.ParameterList
    assert (list(map(id, params[1:])), list(map(id, params[::-2]))) == (ids[1:], ids[::-2])
    assert told(net.named_parameters()) == [(f"0.{index}", each) for index, each in enumerate(ids)]
    for index in (size, -size - 1, size + 5):
        with pytest.raises(IndexError):
            params[index]


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
    params = nn.ParameterList([torch.ones(3), torch.ones(shape, dtype=dtype)])
    assert str(params).splitlines()[2] == f"    (1): Parameter containing: [{dtype} of size {sized(shape)}]"


@claim("parameterdict-prints-tensor-types")
@pytest.mark.cpu
@over(**PRINTED)
def test_a_dict_prints_the_type_and_size_of_each_member(dtype, shape):
    params = nn.ParameterDict([("n", torch.ones(3)), ("m", torch.ones(shape, dtype=dtype))])
    assert str(params).splitlines()[1:] == [
        "    (n): Parameter containing: [torch.FloatTensor of size 3]",
        f"    (m): Parameter containing: [torch.{TYPES[dtype]}Tensor of size {sized(shape)}]",
        ")",
    ]


# ── parameterdict-acts-like-a-dict, parameterdict-selects-by-key ──

KEYS = ("w", "W", "w1", "10", "9", "with space", "键", "a_b", "scale")
DICT_EDITS = {
    "add or replace": lambda x, key, new: x.__setitem__(key, new[0]),
    "update from pairs": lambda x, key, new: x.update([("new", new[1]), (key, new[0])]),
    "update from a dict": lambda x, key, new: x.update({key: new[0]}),
    "update from an ordered dict": lambda x, key, new: x.update(OrderedDict([("z", new[1]), (key, new[0])])),
    "delete": lambda x, key, new: x.__delitem__(key) if key in x else None,
    "pop": lambda x, key, new: x.pop(key) if key in x else None,
    "setdefault": lambda x, key, new: x.setdefault(key, new[2]),
    "popitem": lambda x, key, new: x.popitem() if len(x) else None,
}
DICT_LIVES = Population(
    (
        tuple(("add or replace", key) for key in KEYS),
        (("update from pairs", "w"), ("update from a dict", "w"), ("delete", "new"), ("update from pairs", "W")),
        (("update from an ordered dict", "9"), ("pop", "z"), ("setdefault", "9"), ("setdefault", "w"), ("popitem", "")),
        (
            ("add or replace", "b"),
            ("add or replace", "a"),
            ("add or replace", "b"),
            ("pop", "b"),
            ("update from a dict", "b"),
        ),
    ),
    st.lists(st.tuples(st.sampled_from(list(DICT_EDITS)), st.sampled_from(KEYS)), max_size=10).map(tuple),
)


@claim("parameterdict-acts-like-a-dict")
@claim("parameterdict-selects-by-key")
@over(life=DICT_LIVES)
def test_after_any_edits_a_parameter_dict_shows_what_a_dict_shows_and_registers_it_in_order(life):
    first = nn.Parameter(torch.ones(1))
    params, beside = nn.ParameterDict({"scale": first}), {"scale": first}
    net = nn.Sequential(params)
    for edit, key in life:
        new = [nn.Parameter(torch.ones(n)) for n in (1, 2, 3)]
        handed, expected = DICT_EDITS[edit](params, key, new), DICT_EDITS[edit](beside, key, new)
        assert handed is expected or edit == "popitem" or expected is None

    expected = told(beside.items())
    assert (list(params), list(params.keys()), len(params)) == (list(beside), list(beside), len(beside))
    assert told(params.items()) == expected
    assert [id(value) for value in params.values()] == [value for _, value in expected]
    assert [(key, id(params[key])) for key in beside] == [(key, id(params.get(key))) for key in beside] == expected
    assert told(net.named_parameters()) == [(f"0.{key}", value) for key, value in expected]
    assert [key in params for key in (*beside, "absent", "keys")] == [True] * len(beside) + [False, False]
    assert params.get("absent") is None
    for key in list(beside)[:1]:
        (params[key] * 2).sum().backward()
    assert [value.grad is not None for value in params.values()] == [True, *[False] * len(beside)][: len(beside)]


@claim("parameterdict-acts-like-a-dict", truth=True)
@over(
    key=among(
        (1, TypeError),
        (None, TypeError),
        (("a", "b"), TypeError),
        ("", KeyError),
        ("a.b", KeyError),
        ("half", KeyError),
        ("keys", KeyError),
        ("forward", KeyError),
    ),
    way=among("item", "update", "setdefault"),
)
def test_what_is_no_name_or_the_name_of_a_method_is_no_key(key, way):
    (key, error), params = key, nn.ParameterDict({"a": torch.ones(2)})
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
