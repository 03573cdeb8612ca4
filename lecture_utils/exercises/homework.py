"""The notebooks as work: a student's own copies, and copies without solutions to hand out."""

import copy
import csv
import io
import json
import re
from pathlib import Path

from lecture_utils.exercises.engine import MODULES, every, find
from lecture_utils.files import written_whole

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
OWN = "my_"  # a student's copies; git ignores them, and so do tests and slides
POINTS = "points.csv"
FOLD = re.compile(r"(?s)<details><summary>Решение</summary>.*?</details>\s*")
WHO = '# Впишите между кавычками, кто сдаёт работу\nname = ""\ngroup = ""'


class HomeworkError(Exception):
    """What a student or lecturer is told in one sentence."""


def course(folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks that have exercises, in order."""
    return [path for path in sorted(folder.glob("[0-9]*.ipynb")) if path.name[:2] in MODULES]


def _save(notebook: dict, path: Path) -> None:
    with written_whole(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n")


def start(folder: Path = NOTEBOOKS) -> str:
    """Make the student's copies `my_…` beside the notebooks and say which; others are left alone.

    Raises HomeworkError if the folder cannot be written.
    """
    made, kept = [], []
    for path in course(folder):
        own = path.with_name(OWN + path.name)
        if own.exists():
            kept.append(own.name)
            continue
        notebook = json.loads(path.read_text("utf-8"))
        for cell in notebook["cells"]:  # from copy to copy, not back to the originals
            cell["source"] = re.sub(
                r"\]\((0[1-9]_\w+\.ipynb)", rf"]({OWN}\1", "".join(cell["source"])
            )
        try:
            _save(notebook, own)
        except OSError as error:
            raise HomeworkError(f"в папку {folder} нельзя писать ({error.strerror}).") from error
        made.append(own.name)
    told = ["Готово, решайте в этих тетрадях:", *made] if made else []
    return "\n".join(told + (["Уже были и не тронуты:", *kept] if kept else []))


def _without_solutions(notebook: dict) -> dict:
    bare = copy.deepcopy(notebook)
    for cell in bare["cells"]:
        cell["source"] = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = FOLD.sub("", cell["source"])
    bare["cells"] = [cell for cell in bare["cells"] if cell["source"].strip()]
    who = copy.deepcopy(next(cell for cell in bare["cells"] if cell["cell_type"] == "code"))
    who |= {"id": "who", "source": WHO, "outputs": [], "execution_count": None}
    who["metadata"] = {"slideshow": {"slide_type": "skip"}}
    bare["cells"].insert(1, who)
    return bare


def make(folder: Path) -> None:
    """Write into `folder` the notebooks without solutions and the table of points.

    Raises HomeworkError if something of that name is there already: nothing is overwritten.
    """
    names = [path.name for path in course()] + [POINTS]
    if there := [name for name in names if (folder / name).exists()]:
        raise HomeworkError(f"в папке {folder} уже есть {there[0]}: укажите пустую папку.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in course():
            _save(_without_solutions(json.loads(path.read_text("utf-8"))), folder / path.name)
        with written_whole(folder / POINTS, "w", encoding="utf-8-sig", newline="") as file:
            rows = csv.writer(file, delimiter=";")
            rows.writerow(["упражнение", "функция", "баллы"])
            for number, exercise in every().items():
                rows.writerow([number, exercise.name, exercise.points])
    except OSError as error:
        raise HomeworkError(f"в папку {folder} нельзя писать ({error.strerror}).") from error
    print(f"В папке {folder}: {len(names) - 1} тетрадей без решений и таблица баллов {POINTS}.")


def points(path: Path | None) -> dict[str, float]:
    """Exercise → its points: of the lecturer's table, or of the course. Raises HomeworkError."""
    if path is None:
        return {number: exercise.points for number, exercise in every().items()}
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise HomeworkError(f"таблицу баллов {path} не прочесть: {error}.") from error
    table, delimiter = {}, ";" if ";" in text.partition("\n")[0] else ","
    for line, row in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), 1):
        if line == 1 or not "".join(row).strip():
            continue
        try:
            number = row[0].strip()
            find(number)
            table[number] = float(row[-1].replace(",", "."))
        except ValueError as error:
            raise HomeworkError(f"{path}, строка {line}, {';'.join(row)}: {error}") from error
    return {number: worth for number, worth in table.items() if worth}
