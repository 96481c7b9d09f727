"""The order of tests, and a bound on compiled programs."""

import jax

TESTS_BETWEEN_CLEARANCES = 150
_tests_run = 0


def pytest_collection_modifyitems(items):
    """Fast tests first; then, of the slow ones, the longest, so that no process waits for it in the end."""

    def seconds(item):
        marker = item.get_closest_marker("slow")
        return 0 if marker is None else marker.kwargs.get("seconds", 1)

    items.sort(key=lambda item: (seconds(item) > 0, -seconds(item)))


def pytest_runtest_teardown(item):
    """Compiled programs map memory, and a process may hold only so many maps: some 900 tests are too many."""
    global _tests_run
    _tests_run += 1
    if _tests_run % TESTS_BETWEEN_CLEARANCES == 0:
        jax.clear_caches()
