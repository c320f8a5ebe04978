"""What stores answer, as XML: read without declarations, up to a size, whether or not it names a namespace."""

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, ParseError, fromstring


def root_of(answer: bytes, *, bytes_max: int) -> Element | None:
    """Return the root of an answer; None for what is too long, declares anything, or is no XML."""
    # In UTF-16 a declaration looks otherwise, and every other byte is zero: no store writes so.
    if b"<!" in answer or b"\0" in answer or len(answer) > bytes_max:
        return None
    try:
        # No declarations of entities get this far.
        return fromstring(answer)  # ruff: ignore[S314]
    except ParseError:
        return None


def name_of(element: Any) -> str:
    """Return an element's name without its namespace: servers differ in whether they name one."""
    name: str = element.tag.rpartition("}")[2]
    return name


def children(element: Element, name: str) -> Iterator[Element]:
    """Yield the elements of this name right below another one."""
    return (one for one in element if name_of(one) == name)


def text_of(element: Element, name: str) -> str:
    """Return the text of the first element of this name right below another one; nothing where there is none."""
    return next((one.text or "" for one in children(element, name)), "")
