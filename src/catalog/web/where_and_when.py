"""Where and when: the region and the time of a question, the results on a map, and how many there are over time.

Pure. A region is written as the API takes it (west,south,east,north in degrees, WGS 84), a time too; the form has a
field for each part, so that everything can be written without a map.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.search import conditions
from catalog.web import wording

EDGES = ("west", "south", "east", "north")
ENDS = ("from", "until")
# Of the picture: a tenth of a degree is one unit, north is up.
UNITS_PER_DEGREE = 10
# What is smaller would not be seen, and is drawn as a point; a degree and a half on each side is about five pixels.
BOX_DEGREES_MIN = 1.5
# As many bars as fit side by side on a telephone, each wide enough for a finger (WCAG 2.2, 2.5.8: 24 pixels).
BARS_MAX = 12
BAR_WIDTH, BARS_HEIGHT = 24, 64
# What is there is seen, however little it is beside the rest.
BAR_HEIGHT_MIN = 3
YEARS_A_BAR = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
MONTHS_A_BAR = (1, 3, 6, 12, 24, 60, 120, 240, 600, 1_200, 12_000)
MONTHS = 12


def region(parts: Mapping[str, str]) -> str | None:
    """Return the region that the fields of the form say; None where they are all empty. Mirror of `edges`."""
    said = [parts.get(edge, "").strip() for edge in EDGES]
    return ",".join(said) if any(said) else None


def edges(text: str | None) -> dict[str, str] | None:
    """Return what stands in the fields of the form for a region; None for a text that does not fit there."""
    said = [part.strip() for part in (text or ",,,").split(",")]
    if len(said) != len(EDGES) or any(part and _number(part) is None for part in said):
        return None
    return dict(zip(EDGES, said, strict=True))


def _number(text: str) -> float | None:
    # A field for numbers shows no other: one that is told to the search would be lost there.
    try:
        return conditions.number(text)
    except ValueError:
        return None


def period(parts: Mapping[str, str]) -> str | None:
    """Return the time that the fields of the form say; None where both are empty. Mirror of `ends`."""
    start, end = (parts.get(name, "").strip() for name in ENDS)
    if start == end:
        return start or None
    return f"{start}..{end}"


def ends(text: str | None) -> dict[str, str] | None:
    """Return what stands in the fields of the form for a time; None for a text that does not fit there."""
    start, dots, end = (text or "").partition("..")
    if start[:1] in {"<", ">", "="} or ".." in end:
        return None
    return {"from": start, "until": end if dots else start}


def region_text(text: str) -> str:
    """Return a region as people read it: 5.9° E to 10.5° E, 45.8° N to 47.8° N; anything else as it stands."""
    said = edges(text)
    if said is None or not all(said.values()):
        return text
    west, south, east, north = (float(said[edge]) for edge in EDGES)
    return f"{_degrees(west, 'EW')} to {_degrees(east, 'EW')}, {_degrees(south, 'NS')} to {_degrees(north, 'NS')}"


def _degrees(degrees: float, sides: str) -> str:
    return f"{abs(degrees):g}\N{DEGREE SIGN}" + (f" {sides[degrees < 0]}" if degrees else "")


@dataclass(frozen=True, slots=True)
class Shape:
    """A rectangle of the picture, or a point where it has no width; `about` says what lies there."""

    x: int
    y: int
    width: int
    height: int
    about: str


def shapes_of(box: Sequence[float], about: str) -> list[Shape]:
    """Return what is drawn of a box: one that crosses the antimeridian is drawn in two parts."""
    west, south, east, north = box
    if west > east:
        return [*shapes_of((west, south, 180, north), about), *shapes_of((-180, south, east, north), about)]
    if max(east - west, north - south) < BOX_DEGREES_MIN:
        middle = _units((west + east) / 2), -_units((south + north) / 2)
        return [Shape(*middle, 0, 0, about)]
    return [Shape(_units(west), -_units(north), _units(east - west), _units(north - south), about)]


def _units(degrees: float) -> int:
    return round(degrees * UNITS_PER_DEGREE)


def chosen_shapes(text: str | None) -> list[Shape]:
    """Return what is drawn of the region that is asked for; nothing of one that is none."""
    said = edges(text)
    if said is None or not all(said.values()):
        return []
    box = [float(said[edge]) for edge in EDGES]
    west, south, east, north = box
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):  # noqa: PLR2004 - degrees.
        return []
    return shapes_of(box, "The region that is asked for")


@dataclass(frozen=True, slots=True)
class Bar:
    """How many objects there are in a while, and where that while alone is asked for; nowhere if there are none."""

    x: int
    height: int
    about: str
    address: str | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """How many objects there are over time; `beside` says what is not drawn."""

    label: str
    first: str
    last: str
    bars: Sequence[Bar]
    beside: str | None

    @property
    def width(self) -> int:
        """How wide the picture is, in pixels."""
        return len(self.bars) * BAR_WIDTH


# Returns where some values of a facet alone are asked for, by the name of the facet and the values.
Addressed = Callable[[str, Sequence[str]], str]


def by_year(counted: Mapping[str, Any], chosen: Sequence[str], addressed: Addressed) -> Chart | None:
    """Return the objects over the years; None where one year at most is counted."""
    counts = {int(bucket["value"]): int(bucket["count"]) for bucket in counted.get("buckets", ())}

    def values(first: int, years: int) -> list[str]:
        return [str(year) for year in range(first, first + years) if year in counts]

    return _chart(
        "Year",
        counts,
        YEARS_A_BAR,
        label=lambda first, years: _from_to(str(first), str(first + years - 1)),
        address=lambda first, years: addressed("year", values(first, years)),
        is_chosen=lambda first, years: bool(set(values(first, years)) & set(chosen)),
        rest=int(counted.get("rest", 0)),
    )


def by_month(counted: Mapping[str, Any], chosen: Sequence[str], addressed: Addressed) -> Chart | None:
    """Return when objects were registered; None where one month at most is counted."""
    counts = {}
    for bucket in counted.get("buckets", ()):
        year, _, month = str(bucket["value"]).partition("-")
        counts[int(year) * MONTHS + int(month) - 1] = int(bucket["count"])

    def asked(first: int, months: int) -> str:
        if months % MONTHS == 0:
            start, end = str(first // MONTHS), str((first + months - 1) // MONTHS)
        else:
            start, end = _month(first), _month(first + months - 1)
        return start if start == end else f"{start}..{end}"

    def label(first: int, months: int) -> str:
        return _from_to(*map(wording.date_text, asked(first, months).partition("..")[::2]))

    return _chart(
        "Registered",
        counts,
        MONTHS_A_BAR,
        label=label,
        address=lambda first, months: addressed("created_at", [asked(first, months)]),
        is_chosen=lambda first, months: asked(first, months) in chosen,
    )


def _month(number: int) -> str:
    return f"{number // MONTHS:04}-{number % MONTHS + 1:02}"


def _from_to(start: str, end: str) -> str:
    return start if end in {"", start} else f"{start} \N{EN DASH} {end}"


def _chart(
    label_of_all: str,
    counts: Mapping[int, int],
    steps: Sequence[int],
    *,
    label: Callable[[int, int], str],
    address: Callable[[int, int], str],
    is_chosen: Callable[[int, int], bool],
    rest: int = 0,
) -> Chart | None:
    if len(counts) <= 1:
        return None
    step = next((one for one in steps if _bars(counts, one) <= BARS_MAX), steps[-1])
    begin = min(counts) // step * step
    wholes = [0] * _bars(counts, step)
    for number, count in counts.items():
        wholes[(number - begin) // step] += count
    highest = max(wholes)
    bars = []
    for place, count in enumerate(wholes):
        first = begin + place * step
        bars.append(
            Bar(
                x=place * BAR_WIDTH,
                height=max(BAR_HEIGHT_MIN, round(count / highest * BARS_HEIGHT)) if count else 0,
                about=f"{label(first, step)}: {wording.counted(count, 'object', 'objects')}",
                address=address(first, step) if count else None,
                chosen=is_chosen(first, step),
            )
        )
    return Chart(
        label=label_of_all,
        first=label(begin, 1 if step < MONTHS else step).partition(" \N{EN DASH} ")[0],
        last=label(begin + (len(bars) - 1) * step, step).rpartition(" \N{EN DASH} ")[2],
        bars=bars,
        beside=f"{wording.counted(rest, 'object is', 'objects are')} of other years, which are not drawn."
        if rest
        else None,
    )


def _bars(counts: Mapping[int, int], step: int) -> int:
    return (max(counts) - min(counts) // step * step) // step + 1
