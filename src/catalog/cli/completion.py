"""Completion for shells: commands, options, and the values of those that have a choice.

A shell asks `catalog complete-words`, which is hidden, with the words so far; the answer has one candidate a line, with
a tab and what it is for. What has no candidates is left to the shell, which knows files.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

import typer

from catalog.cli import output
from catalog.cli.manual import Commands, first_sentence

ASKED = "complete-words"


class Shell(StrEnum):
    """The shells that are known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


SCRIPTS = MappingProxyType(
    {
        Shell.BASH: f"""\
# Completion of catalog for bash. Put into ~/.bashrc: source <(catalog completion bash)
_catalog_completion() {{
    local line typed=${{COMP_WORDS[COMP_CWORD]}}
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${{line%%$'\\t'*}}")
    done < <("${{COMP_WORDS[0]}}" {ASKED} -- "${{COMP_WORDS[@]:1:COMP_CWORD-1}}" "$typed" 2>/dev/null)
}}
complete -o default -F _catalog_completion catalog
""",
        Shell.ZSH: f"""\
#compdef catalog
# Completion of catalog for zsh. Put into ~/.zshrc, after compinit: source <(catalog completion zsh)
_catalog_completion() {{
    local line
    local -a values told
    while IFS= read -r line; do
        values+=("${{line%%$'\\t'*}}")
        told+=("${{line/$'\\t'/ -- }}")
    done < <("${{words[1]}}" {ASKED} -- "${{(@)words[2,CURRENT-1]}}" "${{words[CURRENT]}}" 2>/dev/null)
    if (( ${{#values}} )); then
        compadd -l -d told -a values
    else
        _files
    fi
}}
compdef _catalog_completion catalog
""",
        Shell.FISH: f"""\
# Completion of catalog for fish: catalog completion fish > ~/.config/fish/completions/catalog.fish
function __catalog_completion
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    command $words[1] {ASKED} -- $words[2..-1] "$typed" 2>/dev/null
end
complete --command catalog --keep-order --arguments '(__catalog_completion)'
""",
    }
)


def register(app: Commands, program: Callable[[], Any]) -> None:
    """Add these commands; `program` returns all of them as they were put together."""

    def complete_words(words: Annotated[list[str] | None, typer.Argument()] = None) -> None:
        """Write what the last of these words may become."""
        for value, told in candidates(program(), words or [""]):
            output.data(f"{value}\t{told}" if told else value)

    app.command(rich_help_panel="Help")(completion)
    app.command(ASKED, hidden=True)(complete_words)


def completion(shell: Annotated[Shell, typer.Argument(help="The shell that is to complete.")]) -> None:
    """Write the script by which a shell completes commands, options and values. What it needs stands in its first line.

    Ids and names of objects are not completed: that would ask the catalog at every press of a key.
    """
    sys.stdout.write(SCRIPTS[shell])


def candidates(program: Any, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what the last word may become, with what it is for; nothing where the shell knows better."""
    *before, typed = words
    command, given, awaiting = _walked(program, before)
    if awaiting is not None:
        yield from _values(awaiting, typed)
        return
    if typed.startswith("-"):
        for option in _options(command):
            yield from ((name, option.help or "") for name in _names(option) if name.startswith(typed))
        return
    if hasattr(command, "commands"):
        for name, one in command.commands.items():
            if not one.hidden and name.startswith(typed):
                yield name, first_sentence(one.help or "")
        return
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    for argument in arguments[given : given + 1] or [one for one in arguments[-1:] if one.nargs == -1]:
        yield from _values(argument, typed)


def _walked(program: Any, words: Sequence[str]) -> tuple[Any, int, Any]:
    """Return the command that words lead to, how many arguments it has, and the option that waits for its value."""
    command, given, awaiting = program, 0, None
    plain = False
    for word in words:
        if awaiting is not None:
            awaiting = None
        elif word == "--":
            plain = True
        elif word.startswith("-") and not plain:
            option = next((one for one in _options(command) if word in _names(one)), None)
            awaiting = None if option is None or option.is_flag else option
        elif word in getattr(command, "commands", {}):
            command, given = command.commands[word], 0
        else:
            given += 1
    return command, given, awaiting


def _options(command: Any) -> list[Any]:
    context = typer.Context(command)
    return [one for one in command.get_params(context) if one.param_type_name == "option" and not one.hidden]


def _names(option: Any) -> list[str]:
    # Short ones are shorter than what completes them.
    return [name for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]


def _values(parameter: Any, typed: str) -> Iterator[tuple[str, str]]:
    context = typer.Context(typer.core.TyperCommand(None))
    for item in parameter.shell_complete(context, typed):
        if item.type == "plain" and str(item.value).startswith(typed):
            yield str(item.value), item.help or ""
