"""The trials of functions beside NumPy: each function is met along every kind of dimension, of every dtype it takes."""

import pytest
from populations.along import GROUPS, SLOPED, TRIALS
from populations.elements import ELEMENTS, WAYS
from populations.elements import TRIALS as OF_ELEMENTS
from populations.functions import COMPLEX, FLOATING, FUNCTIONS
from populations.grids import BINARIES, GRIDS
from populations.matrices import MANY, OF_MATRICES
from populations.matrices import TRIALS as OF_MATRIX
from populations.twins import LAYOUTS, WRITABLE
from populations.windows import GEOMETRIES, KINDS, PLANE, WINDOWS


def of(function):
    return [trial for trial in TRIALS.must if trial.function is function]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
@pytest.mark.parametrize("group", GROUPS)
def test_every_dtype_is_met_along_every_kind_of_dimension(function, group):
    cases = [case for case in GROUPS[group] if isinstance(case[1], function.over)]
    met = {
        trial.twin.dtype for trial in of(function) if (trial.twin.shape, trial.dim, trial.twin.layout) in GROUPS[group]
    }
    assert met == ({*function.dtypes} if cases else set())


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_every_layout_both_devices_and_many_elements_are_met(function):
    twins = [trial.twin for trial in of(function)]
    assert {twin.second for twin in twins} == {False, True}
    assert {twin.layout for twin in twins} >= ({*LAYOUTS} if function.repeated else {*WRITABLE})
    assert max(len(twin.shape) for twin in twins) == 5
    assert any(twin.shape[0] * twin.shape[-1] > 2**16 for twin in twins if len(twin.shape) == 2)


def test_numbers_without_a_dimension_are_met_in_every_dtype():
    taking = [function for function in FUNCTIONS if function.number and function.least < 2]
    assert len(taking) >= 25
    for function in taking:
        assert {trial.twin.dtype for trial in of(function) if trial.twin.shape == ()} == {*function.dtypes}, function


def test_what_is_differentiated_is_met_alone_in_its_dimension_and_in_every_dtype_with_a_gradient_of_its_own():
    differentiated = {trial.function for trial in SLOPED.must}
    assert len(differentiated) > 35
    for function in differentiated:
        rows = {t.twin.dtype for t in SLOPED.must if t.function is function and len(t.twin.shape) == 1}
        own = FLOATING if function.gives == "parts" else (*FLOATING, *COMPLEX)
        assert rows == {*own} & {*function.dtypes}, function.name


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: f"{element.name}{element.more or ''}")
def test_a_function_of_each_element_is_met_in_every_dtype_and_way(element):
    trials = [trial for trial in OF_ELEMENTS if trial.element is element]
    assert {trial.twin.dtype for trial in trials if trial.twin.shape == ()} == {*element.dtypes}
    met = {(trial.twin.dtype, trial.way) for trial in trials}
    floating = element.gives == "floating"
    assert met == {
        (dtype, way)
        for dtype in element.dtypes
        for way in WAYS[: element.ways]
        if not (way == "in place" and floating and not dtype.is_floating_point)
    }


@pytest.mark.parametrize("binary", BINARIES, ids=lambda binary: binary.name)
def test_a_function_of_two_numbers_is_met_in_every_dtype_and_way_and_on_both_devices(binary):
    grids = [grid for grid in GRIDS if grid.binary is binary]
    assert {(grid.dtype, grid.way) for grid in grids} == {(d, way) for d in binary.dtypes for way in binary.ways}
    assert {grid.second for grid in grids} == {False, True}


@pytest.mark.parametrize("kind", KINDS)
def test_windows_of_every_geometry_are_met_in_every_layout_batch_and_dtype(kind):
    windows = [window for window in WINDOWS if window.kind == kind]
    assert {window.geometry for window in windows} == {each for each in GEOMETRIES if kind not in PLANE or each.n == 2}
    assert {window.dtype for window in windows} == {*(FLOATING[:2] if kind in PLANE else FLOATING)}
    assert {window.second for window in windows} == {False, True}
    assert len({window.layout for window in windows}) >= (4 if kind in PLANE else 5)
    assert {window.examples for window in windows} == {1, 2, 3} | ({None} if KINDS[kind][2] else set())


@pytest.mark.parametrize("function", OF_MATRICES, ids=lambda function: function.name)
def test_a_function_of_a_matrix_is_met_in_every_dtype_and_shape_and_in_several_layouts(function):
    twins = [trial.twin for trial in OF_MATRIX if trial.function is function and trial not in MANY]
    assert {twin.dtype for twin in twins} == {*function.dtypes}
    assert {twin.shape for twin in twins} == {*function.shapes}
    assert {twin.second for twin in twins} == {False, True}
    assert len({twin.layout for twin in twins}) > 4


def test_functions_that_solve_are_met_by_more_matrices_than_two_bytes_count():
    assert {trial.function.name for trial in MANY} == {"inv", "solve", "det", "cholesky"}
    assert min(trial.twin.shape[0] for trial in MANY) > 2**16
    assert {*MANY} <= {*OF_MATRIX}
