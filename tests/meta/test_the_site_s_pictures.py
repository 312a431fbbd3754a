"""What the site's pictures show is what torch makes of the same code."""

import pictures
import pytest
import torch


@pytest.mark.parametrize("code", pictures.VIEWS)
def test_a_view_is_drawn_with_the_shape_strides_and_offset_that_torch_gives_it(code):
    storage = torch.tensor(pictures.STORAGE.tolist())
    view = eval(code, {"x": storage.view(2, 3)})
    strides, offset = pictures.layout(pictures.VIEWS[code])
    assert pictures.VIEWS[code].tolist() == view.tolist()
    assert (strides, offset) == (view.stride(), view.storage_offset())
    html = pictures.strides(zh=False)
    for line in (f"shape {tuple(view.shape)}", f"strides {view.stride()}", f"offset {view.storage_offset()}"):
        assert line in html
    ((row, column),) = (view == pictures.MARKED).nonzero().tolist()
    place = view[row, column].storage_offset()
    assert f"{offset} + {row}·{strides[0]} + {column}·{strides[1]} = {place}" in html
    assert storage[place] == pictures.MARKED


def test_broadcasting_is_drawn_as_torch_expands():
    x, y = torch.tensor(pictures.ROW.tolist()), torch.tensor(pictures.COLUMN.tolist())
    html = pictures.broadcasting(zh=False)
    for operand in (x, y):
        read = operand.expand(3, 2)
        assert f"shape {tuple(operand.shape)}<br>read as {tuple(read.shape)}<br>strides {read.stride()}" in html
        assert f'aria-label="{read.tolist()}"' in html
    assert f'aria-label="{(x + y).tolist()}"' in html
    assert html.count('class="repeated"') == 2 * 6 - x.numel() - y.numel()


def test_the_graph_has_the_nodes_and_edges_of_torch():
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    out = (y * y * 3).mean()
    nodes = [out.grad_fn]
    for node in nodes:
        nodes += [one for one in dict(node.next_functions) if one is not None and one not in nodes]
    found = [
        (node.name().rpartition("::")[2], tuple(one and nodes.index(one) for one, _ in node.next_functions))
        for node in nodes
    ]
    assert found == [(name, following) for _, name, following in pictures.GRAPH]
    assert y.grad_fn is nodes[3]
    assert nodes[4].variable is x


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_is_the_same_in_both_languages_but_for_its_words(name):
    draw, english, chinese = pictures.PICTURES[name]
    assert draw(False).count("<rect") == draw(True).count("<rect") > 0
    assert all(ord(sign) < 0x3000 for sign in draw(False) + english)
    assert any(ord(sign) > 0x3000 for sign in chinese)
