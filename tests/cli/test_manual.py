"""The command line as a manual: every page, every example, what is misspelt, and what shells complete."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from catalog.cli import manual, output
from catalog.cli.app import app
from catalog.cli.completion import SCRIPTS, Shell, candidates
from catalog.cli.curating import LISTS
from catalog.cli.examples import EXAMPLES, SEE_ALSO
from catalog.cli.manual import HEADINGS, VARIABLES
from catalog.client import exports
from tests.cli.conftest import Catalog
from tests.cli.terminal import environment, on_terminal

# What prints no data, or whose data have a form of their own; any other command has --json.
WITHOUT_JSON = {
    "completion": "a script for a shell",
    "complete-words": "what shells read",
    "help": "a page for people",
    "export": "--as says its form, which is JSON unless another is asked for",
    "serve": "runs until it is stopped",
    "up": "runs until it is stopped",
    "demo": "tells a story",
    "keys create": "prints one id",
}
DOES = "does something and says so, on standard error"
DOING = {
    *("migrate", "down", "withdraw", "relation remove", "agent remove", "snapshot withdraw", "organization create"),
    *("project create", "member give", "member take", "group create", "group add", "group remove", "grant revoke"),
    *("service create", "service end", "token revoke", "principal end", "principal restore", "backend remove"),
    *("keys rotate", "saved feed", "saved secret", "saved remove", "backend hash", "queue discard"),
    *("subscription secret", "subscription remove"),
    *(f"retention {verb}" for verb in ("set", "unset", "keep", "hold", "lift", "resume", "purge")),
}


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command and group by what is typed."""
    yield " ".join(path), command
    for name, one in getattr(command, "commands", {}).items():
        yield from walk(one, (*path, name))


PROGRAM = get_command(app)
EVERY = dict(walk(PROGRAM))
SHOWN = {path: one for path, one in EVERY.items() if not one.hidden}
LEAVES = {path: one for path, one in EVERY.items() if not hasattr(one, "commands")}


def test_every_command_that_prints_data_prints_it_as_json_too() -> None:
    having = {path for path, one in LEAVES.items() if any("--json" in parameter.opts for parameter in one.params)}
    assert set(LEAVES) - having == WITHOUT_JSON.keys() | DOING


@pytest.mark.parametrize("width", [50, 80, 200])
def test_every_page_has_the_same_sections_in_the_same_order_and_fits(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for path, command in SHOWN.items():
        page = manual.page_of(command, context_of(path))
        arguments = any(one.param_type_name == "argument" for one in command.params)
        left_out = {None if arguments else "Arguments", None if hasattr(command, "commands") else "Commands"}
        headings = [line for line in page.splitlines() if line in HEADINGS]
        assert headings == [heading for heading in HEADINGS if heading not in left_out], path
        # What one types is not torn apart.
        long = [line for line in page.splitlines() if len(line) > min(width, 100)]
        assert [line for line in long if not re.search("catalog|https?://|[0-9a-f]{12}", line)] == [], path
        # Nor does a page speak of the language that it is written in.
        assert re.findall(r"<(str|int|list|path|file|dir|bool)\b", page) == [], path


def test_what_knows_a_catalog_from_inside_names_the_settings_that_say_which() -> None:
    for path, command in LEAVES.items():
        if command.hidden or not any("--home" in one.opts for one in command.params):
            continue
        page = manual.page_of(command, context_of(path))
        named = {name for name in manual.VARIABLES if re.search(rf"^  {name} ", page, re.MULTILINE)}
        assert "CATALOG_HOME" in named, path
        # Who asks no catalog over HTTP needs no token.
        asks = path.split()[0] == "token"
        assert ("CATALOG_TOKEN" in named) == asks, path


def context_of(path: str) -> typer.Context:
    """The context in which a command is reached."""
    found, at = PROGRAM, typer.Context(PROGRAM, info_name="catalog")  # type: ignore[arg-type]  # Its own class.
    for name in path.split():
        found = found.commands[name]  # type: ignore[attr-defined]  # A group has them.
        at = typer.Context(found, info_name=name, parent=at)
    return at


def test_help_with_a_command_is_the_page_of_that_command(run: Catalog) -> None:
    assert run("help", "token", "create").out == run("token", "create", "--help").out
    assert run("help").out == run("--help").out
    wrong = run("help", "token", "craete")
    assert (wrong.code, wrong.out) == (2, "")
    assert "Did you mean 'create'?" in wrong.err


def test_every_command_has_examples_that_could_be_typed_and_names_others_that_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(EXAMPLES) == set(SHOWN)
    for path, lines in EXAMPLES.items():
        for line in lines:
            at, rest = PROGRAM, typed(line)
            assert rest[: len(path.split()[:1])] == path.split()[:1], line
            while rest and rest[0] in getattr(at, "commands", {}):
                at = at.commands[rest.pop(0)]
            for word in rest:
                if re.fullmatch(r"[\w.-]+\.\w+|secret", word):
                    (tmp_path / word).touch()
            # Parsed as it would be when typed; a fault raises.
            at.make_context("catalog", rest)
    also = {one for several in SEE_ALSO.values() for one in several}
    assert (SEE_ALSO.keys() | also) - SHOWN.keys() == set()


def typed(line: str) -> list[str]:
    """The words of a line after `catalog`, without what a shell does with its output."""
    inner = re.fullmatch(r'source <\((.*)\)|eval "\$\((.*)\)"', line)
    words = shlex.split((inner[1] or inner[2]) if inner else line)
    assert words[0] == "catalog", line
    return words[1 : next((place for place, word in enumerate(words) if word in {"|", ">"}), len(words))]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serach"], "Did you mean 'search'"),
        (["token", "rotat"], "Did you mean 'rotate'"),
        (["search", "--licnce", "x"], "No such option: --licnce. Did you mean '--licence'?"),
        (["search", "--facet", "licnce"], "did you mean licence?"),
        (["provenance", "x", "--direction", "upp"], "did you mean up?"),
    ],
)
def test_what_is_misspelt_is_answered_with_the_nearest(run: Catalog, words: list[str], said: str) -> None:
    outcome = run(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err


def test_what_completes_is_what_the_rooms_know() -> None:
    from catalog.access.audience import Role  # ruff: ignore[PLC0415] - beside what is compared.
    from catalog.access.grants import Permission  # ruff: ignore[PLC0415]
    from catalog.curation.queues import QUEUES  # ruff: ignore[PLC0415]
    from catalog.objects import kinds  # ruff: ignore[PLC0415]

    assert set(output.KINDS) == set(kinds.known())
    assert set(output.ROLES) == set(Role)
    assert set(output.PERMISSIONS) == set(Permission)
    assert set(output.QUEUES) == set(QUEUES)
    assert set(output.FORMS) == set(exports.FORMS)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["sea"], ["search"]),
        (["token", ""], ["create", "list", "rotate", "revoke"]),
        (["search", "--fa"], ["--facet"]),
        (["search", "--kind", "model", "--facet", "lic"], ["licence"]),
        (["--url", "http://127.0.0.1:1", "provenance", "x", "--direction", ""], ["up", "down", "both"]),
        (["member", "give", "lab/soil", "user:ana", "c"], ["curator"]),
        (["curate", "wrong"], ["wrong-terms", "wrong-files"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["up", "--store", "m"], ["minio"]),
        (["help", "to"], ["token"]),
        # Files are the shell's to complete, and texts nobody's.
        (["register", "a"], []),
        (["search", "--title", "a"], []),
        (["complete"], []),
    ],
)
def test_commands_options_and_values_are_completed(words: list[str], found: list[str]) -> None:
    assert [value for value, _ in candidates(PROGRAM, words)] == found


def completed(shell: str, lines: list[str], folder: Path) -> list[list[str]]:
    """What a shell offers for each line that is typed so far, after it has sourced the script that we print."""
    script = folder / "script"
    told = subprocess.run([sys.executable, "-m", "catalog", "completion", shell], capture_output=True, check=True)
    script.write_bytes(told.stdout)
    begin, each = {
        "bash": (
            f"source {script}",
            'COMP_WORDS=({words}); COMP_CWORD={last}; _catalog_completion; printf "%s\\n" "${{COMPREPLY[@]}}" =',
        ),
        "zsh": (
            f"compdef() {{ :; }}; compadd() {{ print -l -- $values; }}; source {script}",
            "words=({words}); CURRENT={last}+1; _catalog_completion; print =",
        ),
        "fish": (f"source {script}", "complete --do-complete {line}; echo ="),
    }[shell]
    program = [begin]
    for line in lines:
        words = line.split(" ")
        quoted = " ".join(map(shlex.quote, words))
        program.append(each.format(words=quoted, last=len(words) - 1, line=shlex.quote(line)))
    flags = ["--norc", "-c"] if shell == "bash" else ["-c"]
    where = environment(PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin")
    answer = subprocess.run([shell, *flags, "\n".join(program)], capture_output=True, text=True, env=where, check=True)
    assert answer.stderr == ""
    return [
        [one.partition("\t")[0] for one in offered.split("\n") if one] for offered in answer.stdout.split("=\n")[:-1]
    ]


@pytest.mark.parametrize("shell", list(Shell))
def test_a_shell_that_sourced_the_script_completes_commands_options_and_values(shell: Shell, tmp_path: Path) -> None:
    assert "complete" in SCRIPTS[shell]
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    typed = ["catalog simil", "catalog search --facet ke", "catalog token create --ro"]
    assert completed(shell, typed, tmp_path) == [["similar"], ["keyword"], ["--role"]]


def test_headings_are_bold_on_a_terminal_and_nowhere_else(run: Catalog) -> None:
    bold = on_terminal("fields", "--help", columns=60)
    assert bold.startswith("\x1b[1mUsage\x1b[0m\n  catalog fields [OPTIONS]\n")
    assert max(len(re.sub(r"\x1b\[\d*m", "", line)) for line in bold.split("\n")) <= 60
    plain = re.sub(r"\x1b\[\d*m", "", bold)
    assert on_terminal("fields", "--help", columns=60, NO_COLOR="1") == plain
    assert on_terminal("fields", "--help", columns=60, TERM="dumb") == plain
    assert "\x1b" not in run("fields", "--help").out


def test_the_environment_that_a_page_tells_of_is_read() -> None:
    from catalog.settings import ClientSettings, Settings, Workstation  # ruff: ignore[PLC0415] - beside its use.

    known = {f"CATALOG_{name}".upper() for kind in (ClientSettings, Settings) for name in kind.model_fields}
    known |= {name.upper() for name in Workstation.model_fields}
    assert VARIABLES.keys() - known == {"NO_COLOR", "COLUMNS"}
    assert LISTS.keys() & set(output.QUEUES) == set()
    assert isinstance(PROGRAM, typer.core.TyperGroup)
