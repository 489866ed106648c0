"""One thread of PyTorch's for each test process; more would wait for those of the process beside it."""

import torch

torch.set_num_threads(1)
