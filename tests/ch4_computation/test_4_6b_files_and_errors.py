"""4.6 Saving and loading: files

`save` and `load` take a path, as text or as a `pathlib.Path`, or an open binary file; an `io.BytesIO` is such a file in
memory. Loading reads the whole file once and keeps nothing of it: two loads give two independent tensors. What is not a
complete file of the right kind is refused, and the kind of error tells what is wrong: an incomplete archive, no archive
at all, an archive of something else, nothing there.
"""

import io
import pickle
import zipfile

import pytest
import torch

claim = pytest.mark.claim


# ── tensor-round-trips: places to write to ──


@claim("tensor-round-trips")
@pytest.mark.parametrize("name", ["x.pt", "two words.pt", "权重.pt", "poids à 100%.pt", "no_suffix"])
@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["text", "pathlib"])
def test_any_file_name_will_do_as_text_or_as_a_path(tmp_path, name, kind):
    torch.save(torch.tensor([1, 2, 3]), kind(tmp_path / name))

    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert torch.load(kind(tmp_path / name)).tolist() == [1, 2, 3]


@claim("tensor-round-trips")
def test_an_open_file_will_do_as_well_as_a_path(tmp_path):
    with open(tmp_path / "x.pt", "wb") as file:
        torch.save(torch.tensor([1, 2, 3]), file)

    with open(tmp_path / "x.pt", "rb") as file:
        from_file = torch.load(file)

    assert from_file.tolist() == [1, 2, 3]
    assert torch.load(tmp_path / "x.pt").tolist() == [1, 2, 3]


@claim("tensor-round-trips")
def test_a_file_in_memory_must_be_rewound_before_it_is_read():
    memory = io.BytesIO()
    torch.save(torch.tensor([1, 2, 3]), memory)

    with pytest.raises(EOFError):
        torch.load(memory)
    memory.seek(0)

    assert torch.load(memory).tolist() == [1, 2, 3]


@claim("tensor-round-trips")
def test_saving_again_replaces_the_file(tmp_path):
    torch.save(torch.arange(1000), tmp_path / "x.pt")

    torch.save(torch.tensor([7, 8]), tmp_path / "x.pt")

    assert torch.load(tmp_path / "x.pt").tolist() == [7, 8]
    assert (tmp_path / "x.pt").stat().st_size < 1000 * 8  # nothing is left of the longer file


@claim("tensor-round-trips")
def test_the_file_the_source_and_every_loaded_tensor_are_independent(tmp_path):
    x = torch.tensor([1, 2, 3])
    torch.save(x, tmp_path / "x.pt")

    x[0] = 10
    first = torch.load(tmp_path / "x.pt")
    first[1] = 20
    second = torch.load(tmp_path / "x.pt")

    assert x.tolist() == [10, 2, 3]
    assert first.tolist() == [1, 20, 3]
    assert second.tolist() == [1, 2, 3]


@claim("tensor-round-trips")
def test_a_tensor_of_100_megabytes_is_written_to_its_last_element(tmp_path):
    """25 million numbers of four bytes, and three more, so that the size is no multiple of any buffer's."""
    size = 25_000_003
    x = torch.zeros(size)
    x[0], x[size // 2], x[-1] = 1, 2, 3

    torch.save(x, tmp_path / "x.pt")
    loaded = torch.load(tmp_path / "x.pt")

    assert 4 * size <= (tmp_path / "x.pt").stat().st_size <= 4 * size + 10_000
    assert loaded.shape == (size,)
    assert [loaded[0].item(), loaded[size // 2].item(), loaded[-1].item()] == [1, 2, 3]
    assert torch.count_nonzero(loaded).item() == 3


# ── tensor-round-trips: what cannot be written ──


@claim("tensor-round-trips")
def test_saving_needs_an_existing_folder(tmp_path):
    with pytest.raises(RuntimeError, match="Parent directory .*missing does not exist"):
        torch.save(torch.ones(2), tmp_path / "missing" / "x.pt")

    assert list(tmp_path.iterdir()) == []


@claim("tensor-round-trips")
def test_saving_below_a_file_fails_as_below_a_missing_folder(tmp_path):
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(RuntimeError, match="Parent directory .*file does not exist"):
        torch.save(torch.ones(2), tmp_path / "file" / "x.pt")


@claim("tensor-round-trips")
def test_saving_needs_a_file_that_is_open_for_writing(tmp_path):
    """Whoever runs it: permissions would not stop the superuser."""
    (tmp_path / "x.pt").write_bytes(b"as it was")

    with open(tmp_path / "x.pt", "rb") as file, pytest.raises(io.UnsupportedOperation, match="write"):
        torch.save(torch.ones(2), file)

    assert (tmp_path / "x.pt").read_bytes() == b"as it was"


# ── tensor-round-trips: what cannot be read ──


@claim("tensor-round-trips")
def test_loading_a_missing_file_raises_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: .*missing\.pt"):
        torch.load(tmp_path / "missing.pt")


@claim("tensor-round-trips")
def test_loading_an_empty_file_raises_eof_error(tmp_path):
    (tmp_path / "x.pt").touch()

    with pytest.raises(EOFError):
        torch.load(tmp_path / "x.pt")


@claim("tensor-round-trips")
@pytest.mark.parametrize("elements", [1, 100_000])
@pytest.mark.parametrize("missing", [1, 300])
def test_loading_a_truncated_file_raises_runtime_error(tmp_path, elements, missing):
    """For files between about 4 and 64 KiB the search for the lost end stops with an OSError instead."""
    torch.save(torch.arange(elements), tmp_path / "x.pt")
    content = (tmp_path / "x.pt").read_bytes()

    (tmp_path / "x.pt").write_bytes(content[:-missing])

    with pytest.raises(RuntimeError, match="failed finding central directory"):
        torch.load(tmp_path / "x.pt")


@claim("tensor-round-trips")
@pytest.mark.parametrize("content", [b"x,y\n1,2\n", b'{"x": [1, 2]}', bytes(64)], ids=["csv", "json", "zeros"])
def test_loading_a_file_of_another_kind_raises_unpickling_error(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)

    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(tmp_path / "x.pt", weights_only=True)


@claim("tensor-round-trips")
def test_loading_another_zip_archive_raises_runtime_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("letter.txt", "Dear reader")

    with pytest.raises(RuntimeError, match=r"file in archive is not in a subdirectory: letter\.txt"):
        torch.load(tmp_path / "x.pt")
