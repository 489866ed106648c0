"""Quadratics that differ from client to client: the problems of theory, whose answers are known.

Client i minimises

    f_i(x) = 1/2 x'A_i x - b_i'x

and all together the mean of the f_i, whose minimum is at x* = Abar^-1 bbar. Unless a file gives them, A_i and
b_i are made up (Shulgin and Richtarik 2023, arXiv 2306.16484; sizes as in algorithms 3.5):

    A_i = (1 - h) A + h A_i'     b_i = (1 - h) b + h b_i'     h = `heterogeneity`
    A, A_i' = B'B / d + ridge I  with Gaussian B, or with eigenvalues from 1/condition to 1, in equal ratios

A sample is one function, as the model `vector` reads it; a client has one, or several whose b scatters around
b_i: the noise of stochastic gradients, whose mean over the client is 0. All of them are for testing, too. The
problem is drawn from `instance`, so that runs with other seeds work on the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgesim.datasets._dataset import Data, Dataset
from edgesim.datasets._npz import read_arrays
from edgesim.datasets._partition import Natural, Partition
from edgesim.errors import InputError, Problem
from edgesim.papers import IST_THEORY
from edgesim.registry import component
from edgesim.rng import Streams
from edgesim.yaml_source import AtLeastOne, BesideScenario, Count, NonNegative, Probability

Floats = NDArray[np.float64]

CLIENTS, DIMENSION, RIDGE = 10, 50, 0.1
ROUNDING = 1e-12  # of the largest eigenvalue: what lies below 0 by less is 0


@dataclass(frozen=True)
class _Functions:
    """A_i [n, d, d], b_i [n, d] and, where given, the start x_0 [d]."""

    curvatures: Floats
    offsets: Floats
    start: Floats | None = None


@component
class Quadratic(Dataset):
    """One quadratic per client, or several: problems of theory, whose answers are known.

    Attributes:
        partition: which device has which function.
        file: an `.npz` with `A` [n, d, d], `b` [n, d] and, if wanted, `x0` [d].
        clients: n; 10 where absent.
        dimension: d; 50 where absent.
        instance: number of the made-up problem.
        heterogeneity: 0 gives all clients the same function, 1 has them share nothing.
        condition: the largest eigenvalue of A and of A_i' over the smallest.
        ridge: what is added to the diagonal where `condition` is absent: 0.1, or more where they are to be
            dominated by it.
        offset: standard deviation of the coordinates of b and b_i'; 0 puts every minimum at 0.
        same_curvature: whether A_i is that of all clients, and only b_i their own.
        diagonal: whether A and A_i' are diagonal, of squared Gaussians and the ridge.
        matrix: A_i itself, of all clients.
        preconditioned: whether D_i^-1/2 A_i D_i^-1/2 and D_i^-1/2 b_i take the place of A_i and b_i, D_i
            being the diagonal of A_i, so that the diagonal is 1.
        start: x_0, where it is neither to be drawn by the model nor in the file.
        noise: standard deviation of each coordinate of b among the samples of a client.
        samples: of each client.
    """

    papers = (IST_THEORY,)

    functions: ClassVar[bool] = True

    partition: Partition = Natural()
    file: BesideScenario | None = None
    clients: Count | None = None
    dimension: Count | None = None
    instance: Annotated[int, Field(ge=0)] = 0
    heterogeneity: Probability = 1.0
    condition: AtLeastOne | None = None
    ridge: NonNegative | None = None
    offset: NonNegative = 1.0
    same_curvature: bool = False
    diagonal: bool = False
    matrix: tuple[tuple[float, ...], ...] | None = None
    preconditioned: bool = False
    start: tuple[float, ...] | None = None
    noise: NonNegative = 0.0
    samples: Count = 1

    def __post_init__(self) -> None:
        if self.noise and self.samples == 1:
            raise ValueError("noise is what the samples of a client differ by; give more than 1 of them")
        sources = {
            "file": self.file is not None,
            "matrix": self.matrix is not None,
            "diagonal": self.diagonal,
            "condition": self.condition is not None,
        }
        given = [name for name, is_given in sources.items() if is_given]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} each say what A_i is; give one of them")
        if self.ridge is not None and given and given != ["diagonal"]:
            raise ValueError(f"{given[0]} says what A_i is; leave ridge out")
        if self.file is not None and (self.clients is not None or self.dimension is not None):
            raise ValueError("the file says how many clients and dimensions there are; leave them out")
        if self.matrix is not None and self.dimension is not None:
            raise ValueError("the matrix says how many dimensions there are; leave dimension out")

    def load(self, root: Path | None, download: bool) -> Data:  # noqa: ARG002
        """Make the problem up, or read it; both arguments are without effect, see `Dataset.load`.

        Raises:
            InputError: the file is not as described, a matrix is not symmetric and positive semi-definite,
                or the mean of all is singular.
        """
        problem = self._made_up() if self.file is None else _read(self.file)
        if self.preconditioned:
            problem = _preconditioned(problem)
        factors = np.stack([self._factor(matrix) for matrix in problem.curvatures])
        clients, rows, size = factors.shape
        offsets = problem.offsets[:, None] + self._noise(clients, size)
        repeated = np.broadcast_to(factors[:, None], (clients, self.samples, rows, size))
        stacked = np.concatenate([repeated, offsets[:, :, None]], axis=2).reshape(-1, rows + 1, size)
        x = np.ascontiguousarray(stacked)
        y = np.zeros(len(x), dtype=np.int64)
        owners = np.repeat(np.arange(clients), self.samples)
        optimum = self._optimum(problem)
        return Data(
            x, y, x, y, 1, owners, optimum, problem.start if self.start is None else self._start(size)
        )

    def _start(self, size: int) -> Floats:
        if len(self.start or ()) != size:
            raise _refused("start", f"must have {size} coordinates, as x has, got {len(self.start or ())}")
        return np.array(self.start, dtype=np.float64)

    def _made_up(self) -> _Functions:
        streams, own = Streams(self.instance), self.heterogeneity
        size = self._size
        mine = [self._curvature(streams, 1 + client) for client in range(self.clients or CLIENTS)]
        if self.same_curvature:
            mine = [self._curvature(streams, 0)] * len(mine)
        drawn = self.offset * np.stack(
            [streams.generator("offset", key).normal(size=size) for key in range(len(mine) + 1)]
        )
        curvatures = (1 - own) * self._curvature(streams, 0) + own * np.stack(mine)
        return _Functions(curvatures, (1 - own) * drawn[0] + own * drawn[1:])

    @property
    def _size(self) -> int:
        return (self.dimension or DIMENSION) if self.matrix is None else len(self.matrix)

    def _curvature(self, streams: Streams, key: int) -> Floats:
        if self.matrix is not None:
            return self._given(self.matrix)
        generator, size = streams.generator("curvature", key), self._size
        ridge = (RIDGE if self.ridge is None else self.ridge) * np.eye(size)
        if self.diagonal:
            return np.asarray(np.diag(generator.normal(size=size) ** 2) + ridge)
        drawn = generator.normal(size=(size, size))
        if self.condition is None:
            return np.asarray(drawn.T @ drawn / size + ridge)
        _, directions = np.linalg.eigh(drawn.T @ drawn)
        return np.asarray(directions * np.geomspace(1 / self.condition, 1, size) @ directions.T)

    def _given(self, matrix: tuple[tuple[float, ...], ...]) -> Floats:
        if {len(row) for row in matrix} != {len(matrix)}:
            raise _refused("matrix", "must have as many columns as rows")
        return np.array(matrix)

    def _factor(self, matrix: Floats) -> Floats:
        """R with R'R = A.

        Raises:
            InputError: there is none.
        """
        place = "file" if self.file is not None else "matrix"
        if not np.allclose(matrix, matrix.T, rtol=1e-9, atol=0):
            raise _refused(place, "must be symmetric")
        values, directions = np.linalg.eigh(matrix)
        if values[0] < -ROUNDING * abs(values[-1]):
            raise _refused(place, f"must be positive semi-definite, and has the eigenvalue {values[0]:.4g}")
        return np.asarray(np.sqrt(np.maximum(values, 0))[:, None] * directions.T)

    def _optimum(self, problem: _Functions) -> Floats:
        mean = problem.curvatures.mean(0)
        if np.linalg.matrix_rank(mean) < len(mean):
            raise _refused(
                "file" if self.file else "ridge", "leaves the mean of all A_i singular: no optimum"
            )
        return np.asarray(np.linalg.solve(mean, problem.offsets.mean(0)))

    def _noise(self, clients: int, size: int) -> Floats:
        """Deviations of b [clients, samples, d], whose mean over the samples of a client is 0."""
        shape = (clients, self.samples, size)
        drawn = self.noise * Streams(self.instance).generator("noise").normal(size=shape)
        return np.asarray(drawn - drawn.mean(1, keepdims=True))


def _preconditioned(problem: _Functions) -> _Functions:
    scale = 1 / np.sqrt(np.einsum("ijj->ij", problem.curvatures))
    curvatures = scale[:, :, None] * problem.curvatures * scale[:, None, :]
    return _Functions(curvatures, scale * problem.offsets, problem.start)


def _read(path: Path) -> _Functions:
    """The problem of a file.

    Raises:
        InputError: it is no such file, or its arrays do not have the shapes of a problem.
    """
    if not path.is_file():
        raise _refused("file", f"there is no file {path}")
    arrays = read_arrays(path, ("A", "b"), ("x0",))
    for name, array in arrays.items():
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise _refused("file", f"{name} must hold finite numbers")
    curvatures, offsets = (arrays[name].astype(np.float64) for name in ("A", "b"))
    start = arrays["x0"].astype(np.float64) if "x0" in arrays else None
    if curvatures.ndim != 3 or curvatures.shape[1] != curvatures.shape[2]:
        raise _refused("file", f"A must be of shape [n, d, d], got {curvatures.shape}")
    if offsets.shape != curvatures.shape[:2]:
        raise _refused("file", f"b must be of shape {curvatures.shape[:2]} as A is, got {offsets.shape}")
    if start is not None and start.shape != offsets.shape[1:]:
        raise _refused("file", f"x0 must be of shape {offsets.shape[1:]} as A is, got {start.shape}")
    return _Functions(curvatures, offsets, start)


def _refused(key: str, message: str) -> InputError:
    return InputError(Problem(message, f"dataset.{key}"))
