"""What holds for every test and for every notebook that pytest executes."""

import os

# The offline corpus; `LECTURE_NOVEL=… pytest notebooks` takes another.
os.environ.setdefault("LECTURE_NOVEL", "story")
# Two threads wait for each other by spinning: beside any other busy process they take ten times as
# long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
