"""What holds for all tests."""

from hypothesis import HealthCheck, settings

import tests.virtual_time  # noqa: F401 - before callbot, whose functions have `time.monotonic` for a default

# The same examples on every run, and no limit of time: a slow machine is no fault.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
