"""The executors' contract, on real nodes."""

import pytest

from tests.worker.executors.contract import ExecutorContract

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


class TestKubernetesExecutor(ExecutorContract):
    """The contract."""
