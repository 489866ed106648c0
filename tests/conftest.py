"""How the tests run, whichever they are."""

import pytest
import torch

# One thread of PyTorch's for each test process; more would wait for those of the process beside it.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that in the end no process is left alone with it."""
    items.sort(key=lambda item: "long" not in item.keywords)
