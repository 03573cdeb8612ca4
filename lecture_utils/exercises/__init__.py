"""Exercises that answer back, homework and its grading, and a look at the installation."""

from lecture_utils.exercises.homework import start
from lecture_utils.exercises.student import check, progress

__all__ = ["check", "progress", "start"]
