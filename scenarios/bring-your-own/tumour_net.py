"""A model of one's own: any torch Module; the names of what edgesim offers are enough to be given it."""

from torch import Tensor, nn


class TumourNet(nn.Module):
    """Thirty measurements of a cell nucleus to benign or malignant."""

    def __init__(self, hidden: int, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(input_shape[0], hidden)
        self.second = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of cells."""
        return self.output(self.second(self.first(x).relu()).relu())  # type: ignore[no-any-return]
