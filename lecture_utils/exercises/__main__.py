"""Command line: `start` (a student's copies), `make` (homework), `grade`."""

import argparse
import sys
from pathlib import Path

from lecture_utils.exercises.homework import HomeworkError, make, start
from lecture_utils.files import speak_on_any_console


def main(arguments: list[str] | None = None) -> int:
    """Returns 2 if it could not be done."""
    speak_on_any_console()
    parser = argparse.ArgumentParser("lecture_utils.exercises", description="Упражнения курса.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start", help="сделать рядом с тетрадями свои копии my_…")
    maker = commands.add_parser("make", help="тетради без решений, чтобы задать на дом")
    maker.add_argument("folder", type=Path, help="пустая папка")
    grader = commands.add_parser("grade", help="проверить работы группы")
    grader.add_argument("folder", type=Path, help="папка с тетрадями, архивами .zip или папками")
    grader.add_argument("--points", type=Path, help="таблица баллов (без неё баллы курса)")
    grader.add_argument("--seed", type=int, help="повторить числа прошлой проверки")
    grader.add_argument("--memory", type=float, default=2, help="предел памяти, ГиБ (2)")
    grader.add_argument("--output", type=Path, default=Path("grades.csv"), help="куда (grades.csv)")
    options = parser.parse_args(arguments)
    try:
        if options.command == "start":
            print(start())
        elif options.command == "make":
            make(options.folder)
        else:
            from lecture_utils.exercises.grading import grade

            grade(options.folder, options.points, options.seed, options.memory, options.output)
    except HomeworkError as error:
        print(f"Не вышло: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
