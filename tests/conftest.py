"""What all tests share."""

import signal
from contextlib import contextmanager

import pytest
from hypothesis import settings

# No test fails for want of time: the processor may be busy with others.
settings.register_profile("course", deadline=None)
settings.load_profile("course")


@pytest.fixture
def full_disk():
    """A block in which no file may grow longer than so many bytes; pytest's own log is one too."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def block(size: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        asked = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, asked)

    return block


@pytest.fixture
def one_thread():
    """As the tables of data/ were made: nets so small only lose by a second thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
