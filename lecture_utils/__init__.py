"""Helpers of the course on recurrent neural networks; importing the package loads nothing heavy."""
