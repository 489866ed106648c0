"""Seconds and joules of a visit: the analytic cost model.

    download_s = latency_s + 8 bytes_down / (downlink_bps x jitter)
    compute_s  = (steps x step_overhead_s + train_flops / rate_flops) x jitter x slowdown
    upload_s   = latency_s + 8 bytes_up / (uplink_bps x jitter)

Jitter factors are lognormal with median 1. Every factor is drawn by device and visit, so it does not depend
on what else is charged, or when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from edgesim.devices.energy import compute_j, download_j, upload_j
from edgesim.devices.fleet import Fleet
from edgesim.learner import Workload
from edgesim.rng import Streams

Floats = NDArray[np.float64]
Devices = NDArray[np.int64]

_NONE: Floats = np.ones(1)


@dataclass(frozen=True, slots=True, eq=False)
class Phases:
    """What visits cost, phase by phase, as arrays [n].

    Attributes:
        download_s: seconds from the order leaving the server until the model is there.
        compute_s: seconds of local training; what they would be where the sub-model does not fit.
        upload_s: seconds until the update is at the server.
        fits: whether the workload's peak memory is within the device's.
        energy_download_j: joules of the download, the radio's share included; nan where unknown.
        energy_compute_j: joules of the training; nan where unknown.
        energy_upload_j: joules of the upload, the radio's share included; nan where unknown.
    """

    download_s: Floats
    compute_s: Floats
    upload_s: Floats
    fits: NDArray[np.bool_]
    energy_download_j: Floats
    energy_compute_j: Floats
    energy_upload_j: Floats


@dataclass(frozen=True, slots=True)
class CostModel:
    """(Workload, device, visit) to seconds and joules per phase."""

    fleet: Fleet
    streams: Streams

    def phases(self, workloads: Sequence[Workload], devices: Devices, visits: Devices) -> Phases:
        """Charge a batch of visits; bit-equal to charging them one by one.

        Args:
            workloads: n workloads.
            devices: the n devices that do them.
            visits: the how-manieth visit of its device each one is.
        """
        fleet = self.fleet
        down = self._jitter("network-down-jitter", fleet.network_jitter[devices], devices, visits)
        up = self._jitter("network-up-jitter", fleet.network_jitter[devices], devices, visits)
        compute = self._jitter("compute-jitter", fleet.compute_jitter[devices], devices, visits)
        return self._charge(workloads, devices, down, compute * self._slowdown(devices, visits), up)

    def expected(self, workload: Workload, devices: Devices) -> Phases:
        """What one workload costs each of n devices without jitter and slowdown."""
        return self._charge([workload], devices, _NONE, _NONE, _NONE)

    def basis(self, device: int) -> str:
        """Basis of a device's compute seconds: measured, datasheet, estimated or override."""
        return self.fleet.bases[int(self.fleet.group[device])]

    def _jitter(self, purpose: str, sigma: Floats, devices: Devices, visits: Devices) -> Floats:
        if not sigma.any():
            return _NONE
        return np.exp(sigma * ndtri(self.streams.uniform(purpose, devices, visits)))

    def _slowdown(self, devices: Devices, visits: Devices) -> Floats:
        factor = np.ones(len(devices))
        groups = self.fleet.group[devices]
        for number, straggler in enumerate(self.fleet.stragglers):
            if straggler is None:
                continue
            there = np.flatnonzero(groups == number)
            slowed = self.streams.uniform("straggler", devices[there], visits[there]) <= straggler.probability
            hit = there[slowed]
            if hit.size:
                u = self.streams.uniform("slowdown", devices[hit], visits[hit])
                factor[hit] = straggler.slowdown.quantile(u)
        return factor

    def _charge(
        self, workloads: Sequence[Workload], devices: Devices, down: Floats, compute: Floats, up: Floats
    ) -> Phases:
        fleet = self.fleet
        latency_s = fleet.latency_s[devices]
        bits_down = 8 * _column([w.bytes_down for w in workloads])
        bits_up = 8 * _column([w.bytes_up for w in workloads])
        download_s = latency_s + bits_down / (fleet.downlink_bps[devices] * down)
        upload_s = latency_s + bits_up / (fleet.uplink_bps[devices] * up)
        overhead_s = _column([w.steps for w in workloads]) * fleet.step_overhead_s[devices]
        compute_s = (
            overhead_s + _column([w.train_flops for w in workloads]) / fleet.rate_flops[devices]
        ) * compute
        return Phases(
            download_s=download_s,
            compute_s=compute_s,
            upload_s=upload_s,
            fits=_column([w.memory_bytes for w in workloads]) <= fleet.memory_bytes[devices],
            energy_download_j=download_j(fleet, devices, download_s, bits_down),
            energy_compute_j=compute_j(fleet, devices, compute_s),
            energy_upload_j=upload_j(fleet, devices, upload_s, bits_up),
        )


def _column(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
