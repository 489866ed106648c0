"""How much an update counts that was trained on an old version: s(tau) of algorithms 3.7 (5), 3.12 and 3.13.

tau is counted in versions of the model, never in seconds; s(0) = 1, and s falls with tau but never to 0
(Xie et al. 2019, "Asynchronous Federated Optimization", section 5.2).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from edgesim.papers import FEDASYNC, Paper
from edgesim.registry import Named, component
from edgesim.yaml_source import Positive


@component
class Constant:
    """Old updates count as much as fresh ones."""

    def factor(self, staleness: int) -> float:  # noqa: ARG002
        """s(tau) = 1."""
        return 1.0


@component
class Poly:
    """The factor falls as a power of the staleness.

    Attributes:
        exponent: a; FedGMR takes 0.6, FedBuff 0.5.
    """

    papers: ClassVar[tuple[Paper, ...]] = (FEDASYNC,)

    exponent: Annotated[float, Field(gt=0, le=5)] = 0.6

    def factor(self, staleness: int) -> float:
        """s(tau) = (tau + 1)^-a."""
        return float((staleness + 1) ** -self.exponent)


@component
class Hinge:
    """The factor is 1 up to a delay and falls hyperbolically after it.

    Attributes:
        delay: b, in versions.
        slope: a.
    """

    papers: ClassVar[tuple[Paper, ...]] = (FEDASYNC,)

    delay: Annotated[int, Field(ge=0)] = 2
    slope: Positive = 0.6

    def factor(self, staleness: int) -> float:
        """s(tau) = 1 for tau <= b, else 1 / (a (tau - b) + 1)."""
        return 1.0 / (self.slope * max(0, staleness - self.delay) + 1)


_DISCOUNTS: dict[str, type[Any]] = {"constant": Constant, "poly": Poly, "hinge": Hinge}
Staleness = Annotated[Constant | Poly | Hinge, Named(lambda: _DISCOUNTS, "staleness")]
