"""Metrics as a scraper reads them."""

from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(text: str) -> Series:
    """Return every sample by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Series, name: str, **labels: str) -> float | None:
    """Return one sample; None where there is none."""
    return found.get((name, frozenset(labels.items())))


def names(text: str) -> set[str]:
    """Return the names of all samples, and of the families that have none yet."""
    families = list(text_string_to_metric_families(text))
    return {sample.name for family in families for sample in family.samples} | set(told(text))


def told(text: str) -> Iterable[str]:
    """Return the names of which the text tells a type."""
    return (line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE "))
