"""Drawings, pictures of data, live widgets and the look of the course."""
