"""Who is at work and which updates are held, by tag."""

from __future__ import annotations

from collections.abc import KeysView
from dataclasses import dataclass, field

from edgesim.errors import RunFailed
from edgesim.server.events import Tag

_NONE: dict[int, None] = {}


@dataclass(slots=True)
class _Group:
    """Open dispatches of one tag; dictionaries, because their order is the same in every process."""

    tag: Tag
    in_flight: dict[int, None] = field(default_factory=dict)
    held: dict[int, None] = field(default_factory=dict)


class Visits:
    """Open dispatches: those in flight, and those whose update is held until somebody decides about it."""

    def __init__(self, devices: int) -> None:
        self._fleet = range(devices)
        self.busy: dict[int, None] = {}
        self.tags: list[Tag] = []
        self._devices: list[int] = []
        self._groups: dict[Tag, _Group] = {}
        self._group_of: dict[int, _Group] = {}  # of open dispatches

    def __len__(self) -> int:
        return len(self.tags)

    def send(self, devices: list[int], tag: Tag) -> None:
        """Number the devices' visits consecutively and put them in flight; they are idle and distinct."""
        group = self._groups.get(tag)
        if group is None:
            group = self._groups[tag] = _Group(tag)
        for dispatch, device in enumerate(devices, len(self.tags)):
            self._group_of[dispatch] = group
            group.in_flight[dispatch] = None
            self.busy[device] = None
        self._devices.extend(devices)
        self.tags.extend([tag] * len(devices))

    def check_idle(self, devices: list[int]) -> None:
        """Refuse to send out whom one cannot.

        Raises:
            RunFailed: a device is at work, is not in the fleet or is named twice.
        """
        for device in devices:
            if device in self.busy or device not in self._fleet:
                raise RunFailed(f"coordination: device {device} is not idle; choose among view.select(k)")
        if len(devices) > 1 and len(set(devices)) != len(devices):
            raise RunFailed(f"coordination: a device is named twice in one dispatch: {devices}")

    def check_in_flight(self, dispatches: tuple[int, ...]) -> None:
        """Refuse to cancel what is not in flight.

        Raises:
            RunFailed: it is not.
        """
        for dispatch in dispatches:
            group = self._group_of.get(dispatch)
            if group is None or dispatch not in group.in_flight:
                raise RunFailed(f"coordination: dispatch {dispatch} is not in flight and cannot be cancelled")

    def arrive(self, dispatch: int) -> None:
        """Put a visit's update among the held ones."""
        self._land(dispatch).held[dispatch] = None

    def lose(self, dispatch: int) -> None:
        """Forget a visit that brings no update."""
        self._close(dispatch, self._land(dispatch))

    def take(self, dispatch: int) -> None:
        """Take an update out of the held ones.

        Raises:
            RunFailed: it is not held.
        """
        group = self._group_of.get(dispatch)
        if group is None or dispatch not in group.held:
            raise RunFailed(
                f"coordination: dispatch {dispatch} is not held; decide about view.held(tag) only"
            )
        del group.held[dispatch]
        self._close(dispatch, group)

    def in_flight(self, tag: Tag) -> KeysView[int]:
        """Dispatches of a tag that are at work, in dispatch order."""
        group = self._groups.get(tag)
        return group.in_flight.keys() if group else _NONE.keys()

    def held(self, tag: Tag) -> KeysView[int]:
        """Dispatches of a tag whose updates are held, in order of arrival."""
        group = self._groups.get(tag)
        return group.held.keys() if group else _NONE.keys()

    def all_held(self) -> list[int]:
        """All dispatches whose updates are held, in dispatch order."""
        return sorted(dispatch for group in self._groups.values() for dispatch in group.held)

    def all_in_flight(self) -> list[int]:
        """All dispatches at work, in dispatch order."""
        return sorted(dispatch for group in self._groups.values() for dispatch in group.in_flight)

    def open_tags(self) -> KeysView[Tag]:
        """Tags with anything in flight or held."""
        return self._groups.keys()

    def _land(self, dispatch: int) -> _Group:
        group = self._group_of.get(dispatch)
        if group is None or dispatch not in group.in_flight:
            raise RunFailed(f"driver: dispatch {dispatch} ended although it was not in flight")
        del group.in_flight[dispatch]
        del self.busy[self._devices[dispatch]]
        return group

    def _close(self, dispatch: int, group: _Group) -> None:
        """Forget a dispatch that is decided about, and its tag with the last one of it."""
        del self._group_of[dispatch]
        if not group.in_flight and not group.held:
            del self._groups[group.tag]
