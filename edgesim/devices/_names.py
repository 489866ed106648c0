"""Names of the catalogue, as fields: checked where the validation context has a catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, ValidationInfo

from edgesim.devices.origin import Text
from edgesim.errors import InputError


def _in_catalogue(lookup: Literal["load", "network", "population"]) -> Callable[[str, ValidationInfo], str]:
    """A check of names against the catalogue of the validation context, if it has one."""

    def check(name: str, info: ValidationInfo) -> str:
        catalogue = (info.context or {}).get("catalogue")
        if catalogue is not None:
            try:
                getattr(catalogue, lookup)(name)
            except InputError as error:
                raise ValueError("; ".join(str(problem) for problem in error.problems)) from error
        return name

    return check


ProfileName = Annotated[Text, AfterValidator(_in_catalogue("load"))]
NetworkName = Annotated[Text, AfterValidator(_in_catalogue("network"))]
PopulationName = Annotated[Text, AfterValidator(_in_catalogue("population"))]
