"""Files written whole, and the committed tables of data/."""

import csv
import os
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
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def save_atomically(content: dict, path: str | Path) -> None:
    """`torch.save`, written whole."""
    import torch

    with written_whole(path, "wb") as file:
        torch.save(content, file)


def check_writable(path: str | Path) -> None:
    """Raises ValueError if no file can be written at `path`."""
    path = Path(path)
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise ValueError(
            f"Результат нельзя записать в {path}: "
            "укажите имя файла в существующей папке, доступной для записи."
        )


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of data/`name`.csv, as text."""
    with open(DATA / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
