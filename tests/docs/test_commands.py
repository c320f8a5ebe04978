"""Every command that a page tells people to type exists, with its options."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from catalog.cli.app import app
from indexer.commands import app as indexer_app
from tests.docs.repository import ROOT, documents, text_of

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = {"sh", "bash", "shell", "console"}
CODE = re.compile(r"`(?P<code>[^`\n]+)`")
TARGET = re.compile(r"^(?P<name>[a-z][a-z-]*):", re.MULTILINE)
ASSIGNMENT = re.compile(r"[A-Z_]+=")

PROGRAMS = {"catalog": get_command(app), "catalog-indexer": get_command(indexer_app)}
TARGETS = {found["name"] for found in TARGET.finditer((ROOT / "Makefile").read_text(encoding="utf-8"))}
PAGES = [page for page in documents() if page.name != "requirements.md"]


def commands_in(page: Path) -> Iterator[list[str]]:
    """The words of each command on a page: lines of shell blocks, and code in the text that starts like one."""
    text = text_of(page) or ""
    lines = [
        line for block in FENCE.finditer(text) if block["language"] in SHELL for line in logical_lines(block["code"])
    ]
    lines += [found["code"] for found in CODE.finditer(FENCE.sub("", text))]
    for line in lines:
        for part in re.split(r"&&|\|\||[|;]", line.removeprefix("$ ")):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue
            while words and ASSIGNMENT.match(words[0]):
                words.pop(0)
            if words and (name := words[0].rpartition("/")[2]) in {"make", *PROGRAMS}:
                yield [name, *words[1:]]


def logical_lines(code: str) -> list[str]:
    return code.replace("\\\n", " ").splitlines()


def fault_of(words: list[str]) -> str | None:
    """What is wrong with a command; None when it could be typed."""
    name, *rest = words
    if name == "make":
        targets = [word for word in rest if not word.startswith("-") and not ASSIGNMENT.match(word)]
        unknown = [target for target in targets if target not in TARGETS]
        return f"make has no target {unknown[0]}" if unknown else None
    command = PROGRAMS[name]
    options: set[str] = set()
    while True:
        options |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        given = [word for word in rest if not word.startswith("-")]
        if not isinstance(command, typer.core.TyperGroup) or not given:
            break
        if given[0] not in command.commands:
            return f"{name} has no command {given[0]}"
        command = command.commands[given[0]]
        rest.remove(given[0])
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in {*options, "--help"}]
    return f"{' '.join(words[:2])} has no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_what_a_page_says_to_type_can_be_typed(page: Path) -> None:
    assert [fault for words in commands_in(page) if (fault := fault_of(words))] == []


def test_the_check_finds_what_cannot_be_typed() -> None:
    wrong = [["make", "cake"], ["catalog", "bake"], ["catalog", "search", "--cake"], ["catalog", "token", "bake"]]
    assert [bool(fault_of(words)) for words in wrong] == [True] * 4
    right = [["make", "demo", "ONESHOT=1"], ["catalog", "search", "x", "--kind", "model"], ["catalog-indexer", "run"]]
    assert [fault_of(words) for words in right] == [None] * 3


def test_make_help_lists_every_target_that_people_type() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    steps = {target for target in TARGETS if target.startswith("check-")}
    assert listed == TARGETS - steps


def test_continuous_integration_runs_what_the_readme_says() -> None:
    steps = re.findall(r'^step "[^"]+" (.+)$', (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)
    assert steps == ["make check", "make test", "make demo ONESHOT=1", "env STORE=minio make demo ONESHOT=1"]
