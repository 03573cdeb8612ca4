"""Answers."""

RIGHT = {}
WRONG = {}
