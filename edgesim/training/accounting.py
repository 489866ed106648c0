"""What a visit costs before anything is trained: bytes, operations and memory (algorithms 1.3 to 1.5)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgesim.learner import Operator, Part, Workload
from edgesim.models._layers import Layers
from edgesim.models._structure import FLOAT_BYTES, ModelStructure
from edgesim.submodels._submodel import Submodel
from edgesim.training.optimizer import Optimizer


@dataclass(frozen=True)
class LocalWork:
    """How much a device trains in one visit.

    Attributes:
        epochs: passes over its samples; null where `steps` is given.
        steps: optimiser steps; null where `epochs` is given.
        batch_size: samples per step.
    """

    epochs: int | None
    steps: int | None
    batch_size: int

    def batch(self, samples: int) -> int:
        """Samples of a full step of a device with so many samples."""
        return min(self.batch_size, samples)

    def steps_of(self, samples: int) -> int:
        """Optimiser steps of a visit."""
        per_epoch = math.ceil(samples / self.batch_size)
        return self.steps if self.steps is not None else per_epoch * (self.epochs or 1)

    def processed(self, samples: int) -> int:
        """Samples that a visit's steps process, all epochs together."""
        per_epoch = math.ceil(samples / self.batch_size)
        whole, rest = divmod(self.steps_of(samples), per_epoch)
        return whole * samples + rest * self.batch(samples)


@dataclass(frozen=True)
class Charging:
    """What is charged for a visit (algorithms 1.3 and 1.5).

    Attributes:
        sparse_speedup: how much of the time that an element mask saves in theory it saves in fact, 0 to 1.
        mask_bytes: whether the description of a sub-model is charged.
        by_share: whether bytes are those of the whole model times the held share, as FedGMR's simulator
            charges them, and not what is really sent.
    """

    sparse_speedup: float = 0.0
    mask_bytes: bool = True
    by_share: bool = False


@dataclass(frozen=True)
class Size:
    """Elements of what a device holds and trains.

    Attributes:
        held: parameters that are held.
        trained: parameters that are trained.
        statistics: elements of norm statistics that are held.
        trained_statistics: those of trained layers.
        active: per layer, the share of the parameters that is held.
    """

    held: int
    trained: int
    statistics: int
    trained_statistics: int
    active: tuple[float, ...]


def size_of(structure: ModelStructure, submodel: Submodel) -> Size:
    """Count a sub-model of a structure that is already cut to it."""
    kept = {} if submodel.mask is None else submodel.mask.kept
    whole = {name: p.numel() for name, p in structure.network.named_parameters()} if kept else {}
    masked = [
        layer.parameters - sum(whole[name] - kept[name] for name in layer.tensors if name in kept)
        for layer in structure.layers
    ]
    held = [layer.parameters for layer in structure.layers] if submodel.holds_all else masked
    params, statistics = _elements(structure, submodel.frozen)
    return Size(
        held=sum(held),
        trained=sum(masked[index] for index in submodel.layers) - params,
        statistics=structure.trained_statistics(structure.all_layers),
        trained_statistics=structure.trained_statistics(submodel.layers) - statistics,
        active=tuple(
            own / max(1, layer.parameters) for own, layer in zip(held, structure.layers, strict=True)
        ),
    )


def _elements(structure: ModelStructure, names: frozenset[str]) -> tuple[int, int]:
    """Elements of these parameters and of these statistics."""
    if not names:
        return 0, 0
    network = structure.network
    params = sum(p.numel() for name, p in network.named_parameters() if name in names)
    return params, sum(
        b.numel() for name, b in network.named_buffers() if name in names and b.is_floating_point()
    )


def memory_bytes(
    structure: ModelStructure, submodel: Submodel, size: Size, batch: int, optimizer: Optimizer
) -> int:
    """Peak memory of training, algorithms 1.4; an element mask leaves the activations as they are."""
    held = FLOAT_BYTES * size.held
    trained = FLOAT_BYTES * (1 + optimizer.states) * size.trained
    activations = structure.activation_bytes(submodel.layers) + structure.transient_bytes
    return held + trained + batch * activations


def operators(
    structure: ModelStructure, trained: Layers, batch: int, speed: Sequence[float]
) -> tuple[Operator, ...]:
    """Floating-point operations and bytes of one full training step by operator class.

    Bytes are those of each operator's operands and result, read or written once.

    Args:
        structure: of what the device holds.
        trained: indices of the trained layers.
        batch: samples of the step.
        speed: per layer, the share of its operations that is carried out.
    """
    found: dict[str, Operator] = {}

    def count(kind: str, macs: float, elements: int, times: int) -> None:
        if times:
            one = Operator(kind, round(times * 2 * batch * macs), times * FLOAT_BYTES * elements, times)
            found[kind] = _sum(kind, [(1, one), *([(1, found[kind])] if kind in found else [])])

    for index, layer in enumerate(structure.layers):
        elements = batch * (layer.input_elements + layer.output_elements) + layer.parameters
        macs = layer.macs * speed[index]
        count(layer.kind, macs, elements, 1)
        count(f"{layer.kind}_weight", macs, elements, index in trained)
        count(f"{layer.kind}_input", macs, elements, not trained.isdisjoint(layer.upstream))
    for product in structure.products:
        count("product", product.macs, batch * product.elements, 1 + product.backward_sides(trained))
    return tuple(found.values())


def _sum(kind: str, parts: Sequence[tuple[float, Operator]]) -> Operator:
    """So many times each of these operators of one class, together."""
    flops, moved, calls = (
        round(sum(times * getattr(part, name) for times, part in parts))
        for name in ("flops", "bytes", "calls")
    )
    return Operator(kind, flops, moved, calls)


def sample_flops(structure: ModelStructure, trained: Layers, speed: Sequence[float]) -> tuple[int, int]:
    """Floating-point operations of one sample, forward and backward."""
    forward = sum(product.macs for product in structure.products)
    backward = sum(product.macs * product.backward_sides(trained) for product in structure.products)
    masked = [
        (layer.macs * share, sum(structure.layer_backward_macs(index, trained)) * share)
        for index, (layer, share) in enumerate(zip(structure.layers, speed, strict=True))
    ]
    return (
        round(2 * (forward + sum(own for own, _ in masked))),
        round(2 * (backward + sum(own for _, own in masked))),
    )


def workload(
    structure: ModelStructure,
    submodel: Submodel,
    samples: int,
    work: LocalWork,
    optimizer: Optimizer,
    whole: ModelStructure,
    charging: Charging | None = None,
) -> Workload:
    """The workload of one visit; the statistics of norms travel with the parameters of their layer.

    Its download is one part, to be split by whoever knows what other devices get, and a part for the
    description of the sub-model.

    Args:
        structure: of what the device holds.
        submodel: what it trains of that.
        samples: of the device.
        work: epochs or steps, and batch size.
        optimizer: for its state.
        whole: structure of the whole model.
        charging: what is charged; exact bytes and dense seconds if absent.
    """
    charging = charging or Charging()
    processed, batch = work.processed(samples), work.batch(samples)
    size = size_of(structure, submodel)
    speed = [1 - charging.sparse_speedup * (1 - share) for share in size.active]
    forward, backward = sample_flops(structure, submodel.layers, speed)
    down, up = _bytes(size, submodel, whole, charging)
    parts = [Part(submodel.key, down)]
    if submodel.mask_bytes and charging.mask_bytes:
        parts.append(Part(f"mask of {submodel.name or submodel.label}", submodel.mask_bytes))
    return Workload(
        shape=_shape(structure, submodel, batch, optimizer),
        forward_flops=forward * processed,
        backward_flops=backward * processed,
        operators=operators(structure, submodel.layers, batch, speed),
        parts_down=tuple(parts),
        bytes_up=up,
        memory_bytes=memory_bytes(structure, submodel, size, batch, optimizer),
        samples=processed,
        steps=work.steps_of(samples),
        submodel=submodel.label,
        density=size.trained / whole.parameters,
        kept=size.held / whole.parameters,
    )


def mixed(held: Workload, runs: Sequence[tuple[float, Workload]]) -> Workload:
    """The workload of a sub-model of which each batch runs a part (algorithms 3.10): means of what runs.

    Args:
        held: as if each batch ran all of it; bytes, memory and steps are its own.
        runs: how often a batch runs each part on average, and the workload if it did nothing else.
    """
    by_kind: dict[str, list[tuple[float, Operator]]] = {}
    for times, part in runs:
        for operator in part.operators:
            by_kind.setdefault(operator.kind, []).append((times, operator))
    return replace(
        held,
        shape=_digest(f"{[(times, part.shape) for times, part in runs]}"),
        forward_flops=round(sum(times * part.forward_flops for times, part in runs)),
        backward_flops=round(sum(times * part.backward_flops for times, part in runs)),
        operators=tuple(_sum(kind, parts) for kind, parts in by_kind.items()),
        runs=tuple(runs),
    )


def _bytes(size: Size, submodel: Submodel, whole: ModelStructure, charging: Charging) -> tuple[int, int]:
    """Bytes of download and upload, the description of the sub-model aside."""
    if charging.by_share:
        full = FLOAT_BYTES * (whole.parameters + whole.trained_statistics(whole.all_layers))
        up = submodel.share if submodel.share is not None else size.trained / whole.parameters
        down = submodel.share if submodel.share is not None else size.held / whole.parameters
        return round(full * down), round(full * up)
    return FLOAT_BYTES * (size.held + size.statistics), FLOAT_BYTES * (size.trained + size.trained_statistics)


def _shape(structure: ModelStructure, submodel: Submodel, batch: int, optimizer: Optimizer) -> str:
    trained = submodel.layers
    # A suffix is named by its first layer, so that what was measured under that name stays valid.
    named = min(trained) if trained == structure.layers_from(min(trained, default=0)) else sorted(trained)
    identity = f"{[(layer.name, layer.parameters) for layer in structure.layers]} {named} {batch} {optimizer}"
    return _digest(f"{identity} {structure.input_shape}")


def _digest(identity: str) -> str:
    return hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
