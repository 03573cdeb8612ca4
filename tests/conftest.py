"""What all tests share."""

from hypothesis import settings

# No test fails for want of time: the processor may be busy with others.
settings.register_profile("course", deadline=None)
settings.load_profile("course")
