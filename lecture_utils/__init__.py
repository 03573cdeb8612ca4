"""Helpers of the course on recurrent neural networks; importing the package loads nothing heavy.

corpora → vocabulary → batching   texts, names, tables (story: the offline text) → ids → batches
series                            prices day by day, and what a day knew of them
cells, tasks, probes              theory: one step of each cell, tasks for memory, measurements
models → training → sampling      the networks of the labs, the loop that trains them, what they say
metrics                           perplexity, Kneser–Ney, novelty: judging a language model
checkpoints, distributed          resuming a run, networks kept, several processes
files, downloads                  files written whole, files from the network
novel                             the recipe for one long text and its command line
figures/                          diagrams, plots, live widgets and the style of the notebooks
exercises/                        exercises that answer back, homework, a look at the installation
slides                            decks to show without Jupyter
"""
