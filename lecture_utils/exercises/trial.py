"""One trial of a student's function: its answer, its exception, or its end by the clock.

Stands alone, because the grader sends this very text to the student's kernel. What goes in and what
comes out is packed as JSON knows it, so that nothing of a student's is ever unpickled.
"""

import ctypes
import linecache
import threading
import time
from collections import namedtuple
from collections.abc import Callable
from traceback import walk_tb

import numpy as np
import torch
from torch import Tensor

LARGEST = 100_000  # numbers in one array of an answer; those of the exercises have a few hundred


class OutOfTime(BaseException):
    """Thrown into a function that runs too long; no `except Exception` of its own catches it."""


def pack(value):
    """What JSON knows, for tensors, arrays, numbers, strings, lists, tuples, dictionaries.

    A namedtuple keeps its names. Anything else becomes the name of its type.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor) and value.numel() <= LARGEST and not value.is_complex():
        dtype, values = str(value.dtype).removeprefix("torch."), value.detach().tolist()
        return {"tensor": values, "dtype": dtype, "shape": list(value.shape)}
    is_array = isinstance(value, np.ndarray | np.generic) and value.size <= LARGEST
    if is_array and value.dtype.kind in "biuf":
        values, shape = value.tolist(), list(value.shape)
        return {"array": values, "dtype": str(value.dtype), "shape": shape}
    if hasattr(value, "_asdict"):
        return {"named": {name: pack(part) for name, part in value._asdict().items()}}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [pack(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[pack(key), pack(part)] for key, part in value.items()]}
    return {"other": type(value).__name__}


def unpack(packed):
    """The value that was packed, a new one each time."""
    if not isinstance(packed, dict):
        return packed
    kind, content = next(iter(packed.items()))
    if kind == "tensor":
        dtype = getattr(torch, packed["dtype"])
        return torch.tensor(content, dtype=dtype).reshape(packed["shape"])
    if kind == "array":
        return np.array(content, dtype=packed["dtype"]).reshape(packed["shape"])
    if kind == "named":
        return namedtuple("Named", content)(*map(unpack, content.values()))
    if kind == "dict":
        return {unpack(key): unpack(part) for key, part in content}
    if kind == "other":
        return type(content, (), {})()  # nothing but its name
    parts = [unpack(part) for part in content]
    return tuple(parts) if kind == "tuple" else parts


def home(function) -> str:
    """The file (for a notebook: the cell) in which a function or class was written, or ""."""
    parts = vars(function).values() if isinstance(function, type) else [function]
    return next((part.__code__.co_filename for part in parts if hasattr(part, "__code__")), "")


def _told(error: BaseException, function) -> dict:
    """An exception with the last line of the student's own code that it passed."""
    file = home(function)
    passed = [n for f, n in walk_tb(error.__traceback__) if f.f_code.co_filename == file]
    number = passed[-1] if passed else None
    line = linecache.getline(file, number).strip() if number else ""
    name, message = type(error).__name__, str(error)[:300]
    return {"error": name, "message": message, "number": number, "line": line}


def _stop(thread: threading.Thread) -> bool:
    """End a thread by an exception, thrown until it hits; a call into C is not ended so."""
    until = time.monotonic() + 1
    while thread.is_alive() and time.monotonic() < until:
        identity = ctypes.c_ulong(thread.ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(OutOfTime))
        thread.join(0.01)
    return not thread.is_alive()


def attempt(function: Callable, ask: Callable, packed: dict, seconds: float) -> dict:
    """Run `ask(function, **arguments)` on packed arguments in a thread of its own.

    Returns {"answer": …, "changed": [names]}, {"error", "message", "number", "line"} or
    {"timeout": whether the thread could be ended}. The global random numbers stay as they were.
    """
    outcome = {}

    def work():
        arguments = {name: unpack(value) for name, value in packed.items()}
        try:
            with torch.random.fork_rng(devices=[]), torch.enable_grad():
                answer = pack(ask(function, **arguments))
            changed = [name for name, value in arguments.items() if pack(value) != packed[name]]
            outcome.update(answer=answer, changed=changed)
        except OutOfTime:
            pass
        except BaseException as error:  # SystemExit of a student's code too
            outcome.update(_told(error, function))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return {"timeout": _stop(thread)}
    return outcome
