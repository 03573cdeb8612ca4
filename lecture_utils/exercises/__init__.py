"""Checks of the exercises and of the installation."""
