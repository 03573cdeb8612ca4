"""Files written whole, and the committed tables of data/."""

import csv
import io
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"


@contextmanager
def written_whole(path: str | Path, mode: str, **options):
    """A file to write aside, then renamed: at `path` stands the old file or the new one."""
    aside = Path(f"{path}.tmp")
    try:
        with open(aside, mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _rename(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _rename(aside: Path, path: str | Path) -> None:
    """`os.replace`, tried for two seconds: on Windows an antivirus may hold a new file."""
    for pause in (0.1, 0.3, 0.6, 1.0):
        try:
            return os.replace(aside, path)
        except PermissionError:
            time.sleep(pause)
    os.replace(aside, path)


def save_atomically(content: dict, path: str | Path) -> None:
    """`torch.save`, written whole. Raises OSError, where torch itself hides a full disk."""
    import torch

    packed = io.BytesIO()
    torch.save(content, packed)
    with written_whole(path, "wb") as file:
        file.write(packed.getbuffer())


def check_writable(path: str | Path) -> None:
    """Raises ValueError if no file can be written at `path`."""
    path = Path(path)
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise ValueError(
            f"Результат нельзя записать в {path}: "
            "укажите имя файла в существующей папке, доступной для записи."
        )


def speak_on_any_console() -> None:
    """A sign that a console or a redirected output has no code for is lost, not the run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of data/`name`.csv, as text."""
    with open(DATA / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
