"""Exercises of a notebook."""

EXERCISES = {}
