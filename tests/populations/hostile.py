"""Files with pickles that call functions: each call leaves ``trace``, a file or folder."""

import io
import os
import pickle
from collections.abc import Callable

import torch

from populations.files import OLDER, archive

CALLS: dict[str, Callable[[str], tuple]] = {
    "os.mkdir": lambda trace: (os.mkdir, trace),
    "os.system": lambda trace: (os.system, f"mkdir '{trace}'"),
    "builtins.exec": lambda trace: (exec, f"import os; os.mkdir({trace!r})"),
    "builtins.eval": lambda trace: (eval, f"__import__('os').mkdir({trace!r})"),
    "builtins.open": lambda trace: (open, trace, "w"),
    "torch.save": lambda trace: (torch.save, None, trace),
    "os.makedirs": lambda trace: (os.makedirs, trace),
}
SPELLINGS = [f"protocol {number}" for number in range(6)]
SPELLINGS += ["among weights", "as a key", "INST", "OBJ", "second pickle"]


class Call:
    """Its pickle calls ``function(*arguments)``, which must be functions with a name and texts."""

    def __init__(self, function: Callable, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def hostile(call: str, spelled: str, trace: str, older: bool) -> bytes:
    """A file whose pickle makes the ``call``: as ``save`` writes it, or with opcodes that ``save`` does not use."""
    payload = Call(*CALLS[call](trace))
    if spelled in ("INST", "OBJ"):
        function, *arguments = CALLS[call](trace)
        texts = b"".join(b"N" if text is None else b"V%s\n" % text.encode("ascii") for text in arguments)
        name = f"{function.__module__}\n{function.__name__}\n".encode()
        return archive(b"(" + texts + b"i" + name + b"." if spelled == "INST" else b"(c" + name + texts + b"o.", older)
    if spelled == "second pickle":  # an honest one, dropped from the stack, and what it hides
        return archive(pickle.dumps([1, 2], 2)[:-1] + b"0" + pickle.dumps(payload, 2)[2:], older)
    state = {"weight": torch.ones(2, 3, device="cpu"), "more": [{"deep": payload}]}
    thing = {"among weights": state, "as a key": {(1, payload): 2}}.get(spelled, payload)
    protocol = int(spelled[-1]) if spelled.startswith("protocol") else 2
    file = io.BytesIO()
    torch.save(thing, file, pickle_protocol=protocol, **{OLDER: not older})
    return file.getvalue()
