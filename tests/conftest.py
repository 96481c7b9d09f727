"""The order of tests, how they are compiled, and a bound on compiled programs."""

import os

import jax
import pytest

# Most programs of the tests run once, and compiling them well takes longer than all else. With `XLA_FLAGS=` in the
# environment they are compiled as users compile theirs.
QUICK_FLAGS = ["--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"]
if jax.__version_info__ < (0, 11):
    QUICK_FLAGS.append("--xla_cpu_use_fusion_emitters=false")  # later versions lack this option
os.environ.setdefault("XLA_FLAGS", " ".join(QUICK_FLAGS))

TESTS_BETWEEN_CLEARANCES = 150
_tests_run = 0

FAST_SECONDS = 3


def pytest_addoption(parser):
    parser.addoption(
        "--fast",
        action="store_true",
        help=f"the first case of each test of at most {FAST_SECONDS} seconds (with -k, every case)",
    )
    parser.addoption("--longest", type=float, help="leave out the tests that are marked as slower, in seconds")


def pytest_sessionstart():
    from sandbox.cli.startup import store_programs_whole  # not before jaxtyping's plugin has seen that nothing is

    store_programs_whole()


def pytest_collection_modifyitems(config, items):
    """Fast tests first; then the slow ones, longest first, so that no process waits for a long one at the end."""

    def seconds(item):
        marker = item.get_closest_marker("slow")
        return 0 if marker is None else marker.kwargs.get("seconds", 10)

    items.sort(key=lambda item: (seconds(item) > 0, -seconds(item)))
    fast = config.getoption("--fast")
    longest = FAST_SECONDS if fast else config.getoption("--longest")
    kept = [item for item in items if longest is None or seconds(item) <= longest]
    if fast and not config.option.keyword:
        kept = list({(item.path, item.originalname): item for item in reversed(kept)}.values())
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def pytest_runtest_teardown(item):
    """Linux limits the memory mappings of a process, and the compiled programs of some 900 tests exceed it."""
    global _tests_run
    _tests_run += 1
    if _tests_run % TESTS_BETWEEN_CLEARANCES == 0:
        jax.clear_caches()


@pytest.fixture
def without_shape_checker():
    """Lets the errors of public functions through, which the shape checker of the tests would precede."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
