"""One thread of PyTorch's for each test process: with more, tests side by side wait for each other's threads."""

import torch

torch.set_num_threads(1)
