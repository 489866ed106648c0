"""What theory says of an iterate that follows a random affine recursion with a fresh draw in every round.

    x+ = x - (U x - v)          (U, v) drawn anew, independent of x

For sketched coordinates (arXiv 2306.16484; algorithms 3.5) U = gamma Bbar and v = gamma Cb. The published
results stop at the mean. The second moment follows from the same recursion: with m the stationary mean,
y = x - m and r = U m - v, whose mean is 0,

    y+ = (I - U) y - r          E[y] = 0, (U, r) independent of y
    S  = E[(I - U) S (I - U)'] + E[r r']                                   the stationary covariance

a linear equation in S. And what averages over rounds scatter by: summing the recursion over K rounds,

    E[U] (mean of x) = E[v] - (x^K - x^0) / K - mean of xi          xi = r + (U - E[U]) y

where the xi are uncorrelated from round to round, so that the average with its two ends put right,

    mean of x + E[U]^-1 (x^K - x^0) / K

has the mean m and, over stationary rounds, exactly the covariance E[U]^-1 E[xi xi'] E[U]^-1' / K.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from tests.theory.quadratics import Floats, Problem

UNLIKELY = 6e-5  # as beyond four standard errors of a normal variable, on both sides
ROUNDING = 1e-12


class Recursion(Protocol):
    """The moments of (U, v) that the formulas above ask for."""

    @property
    def mean_u(self) -> Floats:
        """E[U] [d, d]."""
        ...

    @property
    def mean(self) -> Floats:
        """m [d]."""
        ...

    @property
    def covariance(self) -> Floats:
        """S [d, d]."""
        ...

    @property
    def scatter(self) -> Floats:
        """E[xi xi'] [d, d]."""
        ...


@dataclass(frozen=True)
class Enumerated:
    """All that (U, v) can be, each as likely as the other: [cases, d, d] and [cases, d]."""

    u: Floats
    v: Floats

    @cached_property
    def mean_u(self) -> Floats:
        """E[U] [d, d]."""
        return np.asarray(self.u.mean(0))

    @cached_property
    def mean(self) -> Floats:
        """m [d]."""
        return np.asarray(np.linalg.solve(self.mean_u, self.v.mean(0)), dtype=np.float64)

    @cached_property
    def covariance(self) -> Floats:
        """S [d, d], by solving for its d^2 elements."""
        d = len(self.mean)
        kept = np.eye(d) - self.u
        twice = np.einsum("sij,skl->ikjl", kept, kept).reshape(d * d, d * d) / len(self.u)
        solved = np.linalg.solve(np.eye(d * d) - twice, self._residual.ravel())
        return np.asarray(solved.reshape(d, d), dtype=np.float64)

    @cached_property
    def _residual(self) -> Floats:
        residuals = self.u @ self.mean - self.v
        return np.asarray(residuals.T @ residuals / len(residuals))

    def spread(self, rounds: int, runs: int = 400) -> float:
        """Standard deviation of the mean of |x - m|^2 over so many rounds, by simulating the recursion."""
        generator, x, means = np.random.default_rng(0), np.tile(self.mean, (runs, 1)), np.zeros(runs)
        for number in range(2 * rounds):  # the first half is to forget the start
            case = generator.integers(len(self.u), size=runs)
            x = x - np.einsum("rij,rj->ri", self.u[case], x) + self.v[case]
            means += (number >= rounds) * ((x - self.mean) ** 2).sum(1) / rounds
        return float(means.std())

    def cases(self, x: Floats) -> NDArray[np.int64]:
        """Which case made each step of versions [rounds + 1, d].

        Raises:
            ValueError: a step that none makes.
        """
        possible = np.einsum("sij,kj->ksi", self.u, x[:-1]) - self.v
        apart = np.abs(possible - (x[:-1] - x[1:])[:, None]).max(2)
        if apart.min(1).max() > ROUNDING:
            raise ValueError(f"a step is {apart.min(1).max():.3g} away from all that can be")
        return np.asarray(apart.argmin(1))

    @cached_property
    def scatter(self) -> Floats:
        """E[xi xi'] [d, d]."""
        apart = self.u - self.mean_u
        moved = np.einsum("sij,jk,slk->il", apart, self.covariance, apart) / len(self.u)
        return np.asarray(self._residual + moved)


@dataclass(frozen=True)
class OneOwner:
    """A permutation deals one coordinate to each client, and what becomes of it depends on its owner alone.

    U and v have u_ij and v_ij [n, d] at coordinate j where client i owns it. The second moments are
    elementwise then: of two coordinates the owners are any two different clients, each pair as likely as
    another, so that

        E[a_j a_k] = (sum_i a_ij sum_i a_ik - sum_i a_ij a_ik) / (n (n - 1))          j other than k
        E[a_j^2] = mean_i a_ij^2
        S_jk = E[r_j r_k] / (1 - E[(1 - u_j) (1 - u_k)])
    """

    u: Floats
    v: Floats

    @property
    def mean_u(self) -> Floats:
        """E[U] [d, d]."""
        return np.diag(self.u.mean(0))

    @property
    def mean(self) -> Floats:
        """m [d]."""
        return np.asarray(self.v.mean(0) / self.u.mean(0))

    @property
    def covariance(self) -> Floats:
        """S [d, d]."""
        return np.asarray(self._residual / (1 - pairs(1 - self.u)))

    @property
    def _residual(self) -> Floats:
        return pairs(self.u * self.mean - self.v)

    @property
    def scatter(self) -> Floats:
        """E[xi xi'] [d, d]."""
        return np.asarray(self._residual + pairs(self.u - self.u.mean(0)) * self.covariance)


def pairs(a: Floats) -> Floats:
    """E[a_j a_k] [d, d] of a_ij [n, d], coordinates j and k being those of different clients."""
    n = len(a)
    total = a.sum(0)
    different = (np.outer(total, total) - a.T @ a) / (n * (n - 1))
    np.fill_diagonal(different, (a * a).mean(0))
    return np.asarray(different)


def arrangements(clients: int, dimension: int) -> Floats:
    """All ways to deal equally many coordinates to each client: 0 or 1 [ways, clients, d]."""
    owners = np.arange(dimension) % clients
    ways = np.array(sorted(set(itertools.permutations(owners.tolist()))))
    return np.asarray(ways[:, None] == np.arange(clients)[:, None], dtype=np.float64)


def sketches(problem: Problem, sketch: str) -> Iterator[Floats]:
    """The diagonals of C_1 .. C_n [n, d], for every way to deal the coordinates."""
    n, d = problem.offsets.shape
    scale = np.sqrt(n / problem.diagonals) if sketch == "preconditioned" else np.full((n, d), float(n))
    for held in arrangements(n, d):
        yield held * scale


def enumerated(problem: Problem, sketch: str, gamma: float, *, of: str = "model") -> Enumerated:
    """gamma Bbar and gamma Cb for every way to deal; of gradients, Bbar is the mean of C_i L_i."""
    u, v = [], []
    for c in sketches(problem, sketch):
        inner = c if of == "model" else np.ones_like(c)
        u.append(gamma * np.mean(c[:, :, None] * problem.curvatures * inner[:, None, :], 0))
        v.append(gamma * np.mean(c * problem.offsets, 0))
    return Enumerated(np.array(u), np.array(v))


def one_owner(problem: Problem, sketch: str, gamma: float) -> OneOwner:
    """One coordinate per client, n = d: C_i L_i C_i / n has one element, n D_ij, or 1 when preconditioned."""
    n = len(problem.offsets)
    if sketch == "preconditioned":
        scaled = problem.offsets / np.sqrt(problem.diagonals)
        return OneOwner(np.full_like(scaled, gamma), gamma * scaled / np.sqrt(n))
    return OneOwner(gamma * n * problem.diagonals, gamma * problem.offsets)


def local_steps(problem: Problem, learning_rate: float, steps: int, *, verbatim: bool) -> OneOwner:
    """Several local steps with a permutation, one coordinate per client.

    The owner's steps all go towards b_ij / (n D_ij), the minimum of its own function along the coordinate:

        x_j -> a^K x_j + (1 - a^K) b_ij / (n D_ij)          a = 1 - learning_rate n^2 D_ij

    The mean of all x_i keeps a share 1 - 1/n of the old x_j. In the verbatim form, which is the mean of the
    z_i with a learning rate gamma / n, x_j is what the owner made of it.
    """
    n = len(problem.offsets)
    moved = 1 - (1 - learning_rate * n**2 * problem.diagonals) ** steps
    share = moved if verbatim else moved / n
    return OneOwner(share, share * problem.offsets / (n * problem.diagonals))


def average_is_that_of(recursion: Recursion, x: Floats) -> bool:
    """Whether stationary versions [rounds + 1, d] average to m, as far as their exact covariance tells."""
    return bool(distance_of_average(recursion, x, recursion.mean) < chi2.isf(UNLIKELY, x.shape[1]))


def distance_of_average(recursion: Recursion, x: Floats, place: Floats) -> float:
    """How far the average is from a place, squared, in standard errors: chi-squared where it is m."""
    rounds = len(x) - 1
    inverse = np.linalg.inv(recursion.mean_u)
    apart = x[:-1].mean(0) + inverse @ (x[-1] - x[0]) / rounds - place
    covariance = inverse @ recursion.scatter @ inverse.T / rounds
    return float(apart @ np.linalg.solve(covariance, apart))
