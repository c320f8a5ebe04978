"""Reading a page the way a browser does, as far as the tests ask."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

VOID = {"meta", "link", "input", "img", "br", "hr"}


@dataclass
class Element:
    """One element with its attributes and all text inside."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """A parsed page: elements in the order they open, and what was left open."""

    html: str
    elements: list[Element] = field(default_factory=list)
    unclosed: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        assert len(element.attributes) == len(attrs), f"an attribute stands twice in <{tag}>"
        self.elements.append(element)
        if tag not in VOID:
            self.unclosed.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        opened = self.unclosed.pop()
        assert opened.tag == tag, f"</{tag}> closes <{opened.tag}>"

    def handle_data(self, data: str) -> None:
        for element in self.unclosed:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements of a tag that have these attributes; `class_` stands for `class`."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            element
            for element in self.elements
            if element.tag == tag and all(element.attributes.get(name) == value for name, value in wanted.items())
        ]

    def one(self, tag: str, **attributes: str) -> Element:
        """Return the only such element."""
        (found,) = self.all(tag, **attributes)
        return found

    def texts(self, tag: str, **attributes: str) -> list[str]:
        """Return the texts of such elements, white space collapsed."""
        return [" ".join(element.text.split()) for element in self.all(tag, **attributes)]

    def links(self) -> dict[str, str]:
        """Return the address of every link by its text."""
        return {" ".join(a.text.split()): a.attributes["href"] for a in self.all("a")}

    def facts(self) -> dict[str, str]:
        """Return every description by its term."""
        return dict(zip(self.texts("dt"), self.texts("dd"), strict=True))

    def structure(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return tags and names of attributes: what text of strangers must not change."""
        return [(element.tag, tuple(sorted(element.attributes))) for element in self.elements]

    def submission(self, form: str) -> list[tuple[str, str]]:
        """Return what the form sends as it stands."""
        sent = []
        inside = False
        for element in self.elements:
            if element.tag == "form":
                inside = element.attributes.get("id") == form
            attributes: dict[str, Any] = element.attributes
            if element.tag != "input" or not (inside or attributes.get("form") == form):
                continue
            if attributes.get("type") != "checkbox" or "checked" in attributes:
                sent.append((attributes["name"], attributes["value"]))
        return sent

    def submission_of(self, action: str) -> list[tuple[str, str]]:
        """Return what the form that is sent to this address sends as it stands, whatever its fields are."""
        sent = []
        inside, select = False, ""
        for element in self.elements:
            told = element.attributes
            if element.tag == "form":
                inside = told.get("action") == action
            if not inside:
                continue
            if element.tag == "select":
                select = told["name"]
                sent.append((select, ""))
            elif element.tag == "option" and "selected" in told:
                sent[-1] = (select, told["value"])
            elif element.tag == "textarea":
                sent.append((told["name"], element.text.removeprefix("\n")))
            elif element.tag == "input" and (told.get("type") != "checkbox" or "checked" in told):
                sent.append((told["name"], told.get("value", "")))
        return sent


def asked(address: str) -> tuple[str, list[tuple[str, str]]]:
    """Return path and query pairs of an address."""
    parts = urlsplit(address)
    return parts.path, parse_qsl(parts.query, keep_blank_values=True)
