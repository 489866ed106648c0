"""What theory says of masked training on quadratics f_i(w) = 1/2 w'A_i w - b_i'w (algorithms 3.4).

With independent masks of chances p_i, one local step each, filled up and averaged, the mean step goes down

    F_p(w) = mean over i of E f_i(m w),  grad F_p(w) = mean of [p_i^2 A_i + p_i (1 - p_i) D_i] w - p_i b_i

where D_i is the diagonal of A_i, and training settles around the point w_p* where that is zero.

When the coordinates of client i are dealt to R blocks once, and each block is trained once in R rounds, small
steps of an epoch are all taken at almost the same w: training settles around the point where

    mean over i of [sum over the blocks m of m A_i m] w - b_i = 0
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tests.theory.quadratics import Floats, Problem
from tests.theory.recursions import Enumerated


def masked_objective(problem: Problem, densities: tuple[float, ...]) -> tuple[Floats, Floats]:
    """H and g with grad F_p(w) = H w - g."""
    p = np.array(densities)[:, None, None]
    diagonals = np.eye(problem.offsets.shape[1]) * problem.diagonals[:, None]
    curvatures = p**2 * problem.curvatures + p * (1 - p) * diagonals
    offsets = p[:, 0] * problem.offsets
    return np.asarray(curvatures.mean(0), np.float64), np.asarray(offsets.mean(0), np.float64)


def settling_point(problem: Problem, densities: tuple[float, ...]) -> Floats:
    """w_p* [d]."""
    return np.asarray(np.linalg.solve(*masked_objective(problem, densities)), np.float64)


@dataclass(frozen=True)
class Masks:
    """A `Recursion` (see `recursions`) in which every client draws its mask by itself: U = u_1 + .. + u_n.

    So of what goes beyond E[U] only each client's own share remains: the masks of one are listed, and not
    those of all together.
    """

    problem: Problem
    densities: tuple[float, ...]
    rate: float

    @property
    def _size(self) -> int:
        return int(self.problem.offsets.shape[1])

    @cached_property
    def _masks(self) -> Floats:
        return np.array(list(itertools.product((0.0, 1.0), repeat=self._size)))

    @cached_property
    def _chances(self) -> Floats:
        """Of each mask at each client [n, masks]."""
        p, held = np.array(self.densities)[:, None], self._masks.sum(1)
        return np.asarray(p**held * (1 - p) ** (self._size - held))

    @cached_property
    def _u(self) -> Floats:
        """What client i adds to U under each mask [n, masks, d, d]."""
        curvatures = self.problem.curvatures[:, None]
        cut = self._masks[:, :, None] * curvatures * self._masks[:, None, :]
        return np.asarray(cut * self.rate / len(self.densities))

    @property
    def _apart(self) -> Floats:
        """The same less its mean."""
        return np.asarray(self._u - np.einsum("im,imjk->ijk", self._chances, self._u)[:, None])

    @cached_property
    def mean_u(self) -> Floats:
        """E[U] [d, d]."""
        return np.asarray(np.einsum("im,imjk->jk", self._chances, self._u))

    @cached_property
    def mean(self) -> Floats:
        """Where training settles [d]."""
        return settling_point(self.problem, self.densities)

    @cached_property
    def covariance(self) -> Floats:
        """Of the versions [d, d], by solving for its d^2 elements."""
        kept = np.eye(self._size) - self.mean_u
        apart = np.einsum("im,imjk,imlo->jlko", self._chances, self._apart, self._apart)
        twice = np.kron(kept, kept) + apart.reshape(self._size**2, -1)
        assert np.abs(np.linalg.eigvals(twice)).max() < 1, "the mean square grows"
        solved = np.linalg.solve(np.eye(self._size**2) - twice, self._residual.ravel())
        return np.asarray(solved.reshape(self._size, -1))

    @cached_property
    def _residual(self) -> Floats:
        """Covariance of a step from where training settles [d, d]."""
        offsets = self._masks * self.problem.offsets[:, None] * self.rate / len(self.densities)
        steps = self._u @ self.mean - offsets
        steps = steps - np.einsum("im,imj->ij", self._chances, steps)[:, None]
        return np.asarray(np.einsum("im,imj,imk->jk", self._chances, steps, steps))

    @cached_property
    def scatter(self) -> Floats:
        """Of what averages over rounds scatter by [d, d]."""
        moved = np.einsum("imjk,kl->imjl", self._apart, self.covariance)
        return np.asarray(self._residual + np.einsum("im,imjl,imol->jo", self._chances, moved, self._apart))


def rolling_point(problem: Problem, blocks: Floats) -> Floats:
    """Where small steps with the blocks [n, R, d] of each client settle [d]."""
    held = np.einsum("irj,ijk,irk->jk", blocks, problem.curvatures, blocks) / len(blocks)
    return np.linalg.solve(held, problem.offset)


def epochs(problem: Problem, blocks: Floats, rate: float) -> Enumerated:
    """What an epoch does for each order of the blocks [n, R, d] of each client."""
    clients, rounds, size = blocks.shape
    curvatures = rate / clients * blocks[..., :, None] * problem.curvatures[:, None] * blocks[..., None, :]
    offsets = rate / clients * blocks * problem.offsets[:, None]
    orders = list(itertools.permutations(range(rounds)))
    u, v = [], []
    for chosen in itertools.product(orders, repeat=clients):
        kept, moved = np.eye(size), np.zeros(size)
        for held in zip(*chosen, strict=True):
            each = range(clients), held
            step = np.eye(size) - curvatures[each].sum(0)
            kept, moved = step @ kept, step @ moved + offsets[each].sum(0)
        u.append(np.eye(size) - kept)
        v.append(moved)
    return Enumerated(np.array(u), np.array(v))
