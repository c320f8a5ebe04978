"""What the kinds about sensors share: the instrument, what it measures, and where and when."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from catalog.objects.metadata import Line, Strict, TermText, term_of
from catalog.objects.references import Unit


class Sensor(Strict):
    """What took the measurements."""

    id: Line
    type: Annotated[TermText, term_of("sensor-types")] | None = None
    model: Line | None = None
    manufacturer: Line | None = None


class Measured(Strict):
    """A quantity that was measured, with its unit."""

    name: Line
    type: Annotated[TermText, term_of("measurement-types")] | None = None
    unit: Unit


# Measurements without place and time cannot be used by anybody else.
PLACE_AND_TIME: Mapping[str, str] = MappingProxyType(
    {"/coverage/spatial": "say where it was measured", "/coverage/temporal": "say when it was measured"}
)
