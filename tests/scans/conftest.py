"""What the tests of several scans need."""

import jaxtyping
import pytest


@pytest.fixture
def without_shape_checker():
    """Lets the errors of the public functions through, which the shape checker of the tests would precede."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
