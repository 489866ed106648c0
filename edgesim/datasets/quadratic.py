"""Quadratics that differ from client to client, made up: the problems of theory, whose answers are known.

Client i minimises

    f_i(x) = 1/2 x'L_i x - b_i'x        L_i = B_i'B_i / d + ridge I        B_i, b_i Gaussian

(Shulgin and Richtarik 2023, arXiv 2306.16484; sizes as in algorithms 3.5), and all together the mean of
the f_i, whose minimum is at x* = Lbar^-1 bbar. A sample is one function, as the model `vector` reads it; a
client has one, or several whose b scatters around b_i: the noise of stochastic gradients, whose mean over the
client is 0. Training and test samples are the same. The problem is drawn from `instance`, so that runs with
other seeds work on the same one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgesim.datasets._dataset import Data, Dataset
from edgesim.datasets._partition import Natural, Partition
from edgesim.errors import InputError, Problem
from edgesim.registry import component
from edgesim.rng import Streams
from edgesim.yaml_source import Count, NonNegative

Floats = NDArray[np.float64]


@component
class Quadratic(Dataset):
    """One function per client, or several.

    Attributes:
        partition: which device has which function.
        clients: n.
        dimension: d.
        instance: number of the problem.
        ridge: what is added to the diagonal; large makes the matrices dominated by it.
        offset: standard deviation of the coordinates of b_i; 0 puts every minimum at 0.
        shared: what all clients have in common: L_i, or L_i and b_i.
        diagonal: whether L_i is diagonal, of squared Gaussians and the ridge.
        matrix: L_i itself, of all clients.
        preconditioned: whether D^-1/2 L D^-1/2 and D^-1/2 b take the place of L and b, D being the diagonal
            of L, so that the diagonal is 1.
        noise: standard deviation of each coordinate of b among the samples of a client.
        samples: of each client.
    """

    functions: ClassVar[bool] = True

    partition: Partition = Natural()
    clients: Count = 10
    dimension: Count = 50
    instance: Annotated[int, Field(ge=0)] = 0
    ridge: NonNegative = 0.1
    offset: NonNegative = 1.0
    shared: Literal["nothing", "curvature", "everything"] = "nothing"
    diagonal: bool = False
    matrix: tuple[tuple[float, ...], ...] | None = None
    preconditioned: bool = False
    noise: NonNegative = 0.0
    samples: Count = 1

    def __post_init__(self) -> None:
        if self.noise and self.samples == 1:
            raise ValueError("noise is what the samples of a client differ by; give more than 1 of them")

    def load(self, root: Path | None, download: bool) -> Data:  # noqa: ARG002
        """Make the problem up; both arguments are without effect, see `Dataset.load`.

        Raises:
            InputError: a matrix is not symmetric and positive definite.
        """
        curvatures, offsets = self._problem()
        factors = _factors(curvatures)
        scattered = offsets[:, None] + self._noise()
        rows = np.broadcast_to(factors[:, None], (*scattered.shape[:2], *factors.shape[1:]))
        x = np.concatenate([rows, scattered[:, :, None]], axis=2).reshape(-1, *_one_more(factors.shape[1:]))
        y = np.zeros(len(x), dtype=np.int64)
        owners = np.repeat(np.arange(self.clients), self.samples)
        optimum = np.linalg.solve(curvatures.mean(0), offsets.mean(0))
        return Data(x, y, x, y, classes=1, clients=owners, optimum=optimum)

    def _problem(self) -> tuple[Floats, Floats]:
        """L_i [clients, d, d] and b_i [clients, d]."""
        drawn = [self._client(client) for client in range(self.clients)]
        curvatures, offsets = (np.stack(part) for part in zip(*drawn, strict=True))
        if self.preconditioned:
            scale = 1 / np.sqrt(np.einsum("ijj->ij", curvatures))
            curvatures = scale[:, :, None] * curvatures * scale[:, None, :]
            offsets = scale * offsets
        return curvatures, offsets

    def _client(self, client: int) -> tuple[Floats, Floats]:
        curvature_of = 0 if self.shared != "nothing" else client
        offset_of = 0 if self.shared == "everything" else client
        offset = Streams(self.instance).generator("offset", offset_of).normal(size=self._dimension)
        return self._curvature(curvature_of), self.offset * offset

    def _curvature(self, client: int) -> Floats:
        if self.matrix is not None:
            return self._given()
        generator, d = Streams(self.instance).generator("curvature", client), self._dimension
        ridge = self.ridge * np.eye(d)
        if self.diagonal:
            return np.diag(generator.normal(size=d) ** 2) + ridge
        drawn = generator.normal(size=(d, d))
        return drawn.T @ drawn / d + ridge

    @property
    def _dimension(self) -> int:
        return self.dimension if self.matrix is None else len(self.matrix)

    def _given(self) -> Floats:
        """The matrix of the scenario.

        Raises:
            InputError: it is not symmetric.
        """
        assert self.matrix is not None
        if {len(row) for row in self.matrix} != {len(self.matrix)}:
            raise InputError(Problem("must have as many columns as rows", "dataset.matrix"))
        given = np.array(self.matrix)
        if (given != given.T).any():
            raise InputError(Problem("must be symmetric", "dataset.matrix"))
        return given

    def _noise(self) -> Floats:
        """Deviations of b [clients, samples, d], whose mean over the samples of a client is 0."""
        shape = (self.clients, self.samples, self._dimension)
        drawn = self.noise * Streams(self.instance).generator("noise").normal(size=shape)
        return np.asarray(drawn - drawn.mean(1, keepdims=True))


def _factors(curvatures: Floats) -> Floats:
    """R_i with R_i'R_i = L_i.

    Raises:
        InputError: there is none.
    """
    try:
        return np.asarray(np.linalg.cholesky(curvatures, upper=True), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        message = "makes no positive definite matrix; raise ridge, or give another matrix"
        raise InputError(Problem(message, "dataset")) from error


def _one_more(shape: tuple[int, ...]) -> tuple[int, int]:
    rows, columns = shape
    return rows + 1, columns
