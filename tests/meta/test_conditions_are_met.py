"""What the kernels meet while the guards try the members that every run must meet, whatever its seed.

A guard is as strong as its population: where no tensor with gaps, no bfloat16 or nothing past 2**16 elements reaches a
kernel, a fault of that kernel there passes. So the kernels are watched, and asked what they were given.
"""

import contextlib
import importlib.util
import inspect
from pathlib import Path

import pytest
import torch
from hypothesis.errors import UnsatisfiedAssumption
from populations import ANY, LAYOUTS, containers, files, journeys, modules, slopes, statistics, twins
from populations.core import after_any_history, lacking
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

TESTS = Path(__file__).parents[1]
CONDITIONS = {
    "not contiguous": lambda x: not x.is_contiguous(),
    "gaps": lambda x: x.dim() == 1 and x.numel() > 1 and x.stride(0) == 2,
    "offset": lambda x: x.storage_offset() > 0,
    "double": lambda x: x.dtype == torch.float64,
    "bfloat16": lambda x: x.dtype == torch.bfloat16,
    "half": lambda x: x.dtype == torch.float16,
    "long": lambda x: x.numel() > 2**16,
    "empty": lambda x: x.numel() == 0,
    "rank 0": lambda x: x.dim() == 0,
    "rank 4 or 5": lambda x: x.dim() in (4, 5),
    "square": lambda x: x.dim() == 2 and x.shape[0] == x.shape[1] > 1,
    "tall": lambda x: x.dim() == 2 and x.shape[0] > x.shape[1] > 1,
    "wide": lambda x: x.dim() == 2 and x.shape[1] > x.shape[0] > 1,
}
FORM = ("square", "tall", "wide")
LAYOUT, PRECISION, SIZE = ("not contiguous", "gaps", "offset"), ("double", "bfloat16"), ("long", "empty")
ALL = (*LAYOUT, *PRECISION, *SIZE, "rank 0", "rank 4 or 5")
# A population, a module of guards that draw from it, kernels of theirs, and what each must be given there.
MET = [
    ("operations", "ch2_preliminaries/guards/test_2_6a_tracking.py", ("add", "mul"), (*LAYOUT, *PRECISION, "empty")),
    ("pairs", "ch2_preliminaries/guards/test_2_3_broadcasting.py", ("add", "sub"), ALL),
    ("optimizers", "ch3_fundamentals/guards/test_3_2c_optimizers.py", ("add_", "addcdiv_"), (*LAYOUT, *PRECISION)),
    ("optimizers", "ch3_fundamentals/guards/test_3_2c_optimizers.py", ("_foreach_add_",), (*LAYOUT, *PRECISION)),
    ("optimizers", "ch3_fundamentals/guards/test_3_2d_steps.py", ("add_",), ("long", "rank 0", "half")),
    ("scores", "ch3_fundamentals/guards/test_3_3a_softmax.py", ("_softmax",), ALL),
    (
        "scores",
        "ch3_fundamentals/guards/test_3_3a_softmax.py",
        ("_log_softmax",),
        (*LAYOUT, *PRECISION, *SIZE),
    ),
    (
        *("scores", "ch3_fundamentals/guards/test_3_3a_softmax.py"),
        *(("_log_softmax_backward_data", "_softmax_backward_data"), (*PRECISION, "long")),
    ),
    ("layers", "ch3_fundamentals/guards/test_3_5_multilayer_perceptrons.py", ("relu", "sigmoid", "tanh"), ALL),
    (
        *("layers", "ch3_fundamentals/guards/test_3_5_multilayer_perceptrons.py"),
        *(("threshold_backward", "sigmoid_backward", "tanh_backward"), (*PRECISION, *SIZE, "not contiguous")),
    ),
    (
        *("twins", "ch3_fundamentals/guards/test_3_1_linear_regression.py"),
        *(("addmm",), (*LAYOUT, *PRECISION, *FORM, "half")),
    ),
    (
        *("twins", "ch3_fundamentals/guards/test_3_2b_shapes.py"),
        *(("convolution",), ("not contiguous", "offset", *PRECISION, "half", "long", "empty")),
    ),
    (
        *("twins", "ch3_fundamentals/guards/test_3_2a_model.py"),
        *(("native_batch_norm", "native_layer_norm"), ("not contiguous", *PRECISION, "half")),
    ),
    (
        *("operations", "ch2_preliminaries/guards/test_2_6a_tracking.py"),
        *(("sort", "bmm", "embedding", "index", "stack", "cat"), PRECISION),
    ),
    ("smooth", "ch2_preliminaries/guards/test_2_6a_tracking.py", ("lgamma", "expm1"), ("not contiguous", *PRECISION)),
    ("decay", "ch3_fundamentals/guards/test_3_6a_decaying_steps.py", ("add_",), (*LAYOUT, "double", "rank 4 or 5")),
    ("twins", "ch2_preliminaries/guards/test_2_7a_derivatives.py", ("mm",), (*FORM, *PRECISION, "not contiguous")),
    ("twins", "ch4_computation/guards/test_4_5_custom_layers.py", ("mm",), (*FORM, *LAYOUT[::2], *PRECISION)),
    ("scores", "ch3_fundamentals/guards/test_3_3b_cross_entropy.py", ("nll_loss_forward",), (*PRECISION, "long")),
    ("optimizers", "ch3_fundamentals/guards/test_3_2d_steps.py", ("_fused_adam_", "_fused_sgd_"), ("long",)),
    ("optimizers", "ch3_fundamentals/guards/test_3_6a_decaying_steps.py", ("_fused_adam_", "_fused_sgd_"), ("half",)),
    (
        *("initialisers", "ch4_computation/guards/test_4_3a_presets.py"),
        *(("normal_", "uniform_"), ("not contiguous", "offset", *PRECISION, "half")),
    ),
]


class Watch(TorchDispatchMode):
    """Notes which of the CONDITIONS each of the ``kernels`` was given."""

    def __init__(self, kernels):
        super().__init__()
        self.met: dict[str, set[str]] = {f"aten::{kernel}": set() for kernel in kernels}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        met = self.met.get(function._schema.name)
        if met is not None:
            given = [x for x in tree_flatten((args, kwargs))[0] if type(x) in (torch.Tensor, torch.nn.Parameter)]
            given = [x for x in given if x.layout == torch.strided]
            met.update(told for told, asked in CONDITIONS.items() if told not in met and any(map(asked, given)))
        return function(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def met():
    """``met(module)`` runs the guards of a module with their members that must be met, and gives what kernels met."""
    known = {}

    def watched(module):
        if module not in known:
            spec = importlib.util.spec_from_file_location("guards_watched", TESTS / module)
            loaded = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded)
            watch = Watch(kernel for _, where, kernels, _ in MET if where == module for kernel in kernels)
            for guard in [each for name, each in vars(loaded).items() if name.startswith("test")]:
                own = getattr(guard, "combined", [])
                if own and set(inspect.signature(guard.hypothesis.inner_test).parameters) == set(own[0]):
                    for row in own:
                        if not any(map(lacking, row.values())):
                            with watch, contextlib.suppress(UnsatisfiedAssumption):
                                guard.hypothesis.inner_test(**row)
            known[module] = watch.met
        return known[module]

    return watched


@pytest.mark.parametrize(("population", "module", "kernels", "conditions"), MET)
@pytest.mark.filterwarnings("ignore")  # as of any guard
def test_kernels_are_given_what_the_population_promises(met, population, module, kernels, conditions):
    assert Path(TESTS, "populations", f"{population}.py").is_file()
    missing = {
        kernel: [each for each in conditions if each not in met(module)[f"aten::{kernel}"]] for kernel in kernels
    }
    assert missing == {kernel: [] for kernel in kernels}


def test_a_condition_that_no_kernel_meets_is_noticed():
    with Watch(["abs", "sin"]) as watch:
        torch.ones(3, dtype=torch.float64)[1:].abs()
    assert watch.met == {"aten::abs": {"offset", "double"}, "aten::sin": set()}


# ── populations whose members are no tensors ──


def test_copies_go_every_way_by_every_route_with_a_long_tensor_and_without_waiting():
    must = journeys.journeys(twins()).must
    far = {(journey.route, journey.way) for journey in must if journey.twin.shape == (65537,)}
    assert far == {(route, way) for route in ("there", "back", "across") for way in journeys.COPIES}
    assert {journey.twin.layout for journey in must if "non_blocking" in journey.way} == set(LAYOUTS)
    assert {(journey.route, journey.twin.second) for journey in must} == {
        (r, second) for r, _ in far for second in (0, 1)
    }
    by = {(journey.route, journey.twin.shape) for journey in journeys.journeys(twins(ANY)).must}
    assert by == {(route, shape) for route, _ in far for _, shape in by}  # no route goes in step with a shape


def test_files_are_opened_in_every_way_and_hold_any_dtype_in_any_layout_and_more_than_ten_tensors():
    assert {way.kind for way in files.ways().must} == set(files.WAYS)
    stored = files.bits(files.savable_dtypes()).must
    assert {each.dtype for each in stored} == set(files.savable_dtypes())
    assert {each.layout for each in stored} == set(LAYOUTS)
    assert max(len(recipe[1]) for recipe in files.nested("list", "dict").must) > 10


def test_trees_are_three_deep_with_every_kind_of_container_layer_sharing_and_freezing():
    def places(tree):
        yield tree
        for child in tree.children:
            yield from places(child)

    def depth(tree):
        return 1 + max(map(depth, tree.children), default=0)

    met = [place for tree in modules.trees().must for place in places(tree)]
    assert max(map(depth, modules.trees().must)) >= 4  # the root, and three below it
    assert {*modules.CONTAINERS, *modules.SHARED} <= {place.kind for place in met}
    assert {place.frozen for place in met} == {True, False}
    assert {tree.second for tree in modules.trees().must} == {True, False}
    assert {layer.kind for layer in modules.layers().must} == set(modules.LAYERS)
    assert any(name in modules.UNSAVED for layer in modules.LAYERS.values() for name in layer.buffers)


def test_draws_are_of_every_rank_short_and_past_two_to_the_sixteenth():
    shapes = {(len(sample.shape), sample.calls > 1) for sample in statistics.samples(torch.float32).must}
    assert {rank for rank, _ in shapes} >= {0, 1, 2, 3, 4, 5}
    assert max(sum(sample.shape) for sample in statistics.samples(torch.float32).must) > 2**16


def test_nearly_every_function_takes_more_numbers_than_a_block_of_1024_threads_strided_and_in_half_precision():
    met = set()
    for trial in slopes.WIDE_SLOPES:
        _, x, _ = trial
        met |= {(trial.name, x.dtype, x.is_contiguous())} if x.numel() > 1024 and x.requires_grad else set()

    assert len({name for name, dtype, lies in met if dtype == torch.float32 and not lies}) > 0.9 * len(slopes.REST)
    in_half = [name for name in slopes.REST if slopes.known(name, torch.float16, "offset")]
    assert len({name for name, dtype, _ in met if dtype == torch.float16}) > 0.9 * len(in_half)


@pytest.mark.parametrize("kind", list(containers.UNKNOWN))
def test_histories_of_containers_make_many_kinds_of_edit_one_after_another(kind, monkeypatch):
    """Each kind alone, at several lengths, is met by guards of its own."""
    made, edited = [], containers.edited
    monkeypatch.setattr(containers, "edited", lambda edit, *rest: (made.append(edit), edited(edit, *rest)))
    after_any_history(containers.history(kind))
    assert len(set(made)) >= 5
    assert len(made) >= 20
