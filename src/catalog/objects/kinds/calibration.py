"""What turns the raw numbers of one sensor into quantities, and from when to when that holds."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.metadata import Line, Strict
from catalog.objects.references import ObjectId, Outside, Reference, Unit, Url
from catalog.objects.sensing import Sensor


class Parameter(Strict):
    """A number, or several, with their unit."""

    name: Line
    value: float | Annotated[list[float], Field(min_length=1, max_length=10_000)]
    unit: Unit
    uncertainty: Annotated[float, Field(ge=0, description="Standard uncertainty (GUM), in the same unit.")] | None = (
        None
    )


class Validity(Strict):
    """From when to when it holds; without an end until the next calibration."""

    start: AwareDatetime
    end: AwareDatetime | None = None

    @model_validator(mode="after")
    def start_before_end(self) -> Self:
        """Refuse a range that runs backwards."""
        if self.end is not None and self.end < self.start:
            raise ValueError("end lies before start; exchange them")
        return self


class Calibration(Metadata):
    """What only a calibration says: the sensor, the parameters with units, and when they hold."""

    sensor: Sensor
    parameters: Annotated[list[Parameter], Field(min_length=1, max_length=1_000)]
    valid: Validity
    method: Line | None = None
    certificate: Url | None = None
    measurements: Annotated[ObjectId, Field(description="The measurements it was made from.")] | None = None

    def references(self) -> Iterator[Reference]:
        """Name the measurements."""
        if self.measurements is not None:
            yield Reference("/metadata/measurements", self.measurements, ("sensor-data", "sensor-blob"))

    def outside(self) -> Iterator[Outside]:
        """Name the certificate."""
        if self.certificate is not None:
            yield Outside("/metadata/certificate", self.certificate)

    def instruments(self) -> Iterator[str]:
        """Name the sensor."""
        yield self.sensor.id

    def validity(self) -> tuple[datetime, datetime | None]:
        """Tell when it holds."""
        return self.valid.start, self.valid.end

    def searchable(self) -> Iterator[str | None]:
        """Tell the instrument and the parameters' names."""
        yield from (self.sensor.id, self.sensor.model, self.sensor.manufacturer, self.method)
        yield from (parameter.name for parameter in self.parameters)


KIND = Kind(
    name="calibration",
    title="Calibration",
    description="What turns the raw numbers of one sensor into quantities, and from when to when that holds.",
    metadata=Calibration,
    example={
        "kind": "calibration",
        "project": "demo/seismology",
        "title": "Calibration of the seismometer at RJOB, 2009",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "licence": "CC-BY-4.0",
        "visibility": "public",
        "metadata": {
            "sensor": {"id": "BW.RJOB..EHZ", "model": "STS-2"},
            "parameters": [
                {"name": "sensitivity", "value": 1500.0, "unit": "V/(m/s)", "uncertainty": 3.0},
                {"name": "damping", "value": 0.707, "unit": "1"},
            ],
            "valid": {"start": "2009-01-01T00:00:00Z", "end": "2010-01-01T00:00:00Z"},
            "method": "step calibration",
        },
    },
)
