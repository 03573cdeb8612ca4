"""What all tests share."""

import signal

import pytest
from hypothesis import settings

# No test fails for want of time: the processor may be busy with others.
settings.register_profile("course", deadline=None)
settings.load_profile("course")


@pytest.fixture
def full_disk():
    """A function: from its call on no file may be longer than so many bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    asked = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, asked)
