"""Entries of fleets, as a scenario would give them."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edgesim.devices.fleet import FleetGroup


def entry(count: int = 1, folder: Path = Path(), **written: Any) -> FleetGroup:
    given = json.dumps({"profile": "raspberry-pi-4", "count": count, **written})
    return TypeAdapter(FleetGroup).validate_json(given, context={"folder": folder})
