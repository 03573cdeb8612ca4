"""What `data/make.py` makes, a module for the notebooks that read it."""

SEEDS = range(5)
