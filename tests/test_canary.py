"""The look through everything that a run has written finds what is there, and says so without repeating it."""

from pathlib import Path
from urllib.parse import quote

import pytest

from catalog.access.principals import TOKEN_BYTES, TOKEN_MARK
from tests import canary
from tests.canary import Looked, Sighting

KEY = 'a key/with "marks" and 16 or more'
TOKEN = TOKEN_MARK + "A" * (TOKEN_BYTES * 4 // 3 + 1)
LINK = "http://127.0.0.1/x?X-Amz-Date=1&X-Amz-Signature=" + "0f" * 32
SESSION = ".".join(["eyJhbGciOiJIUzUxMiJ9abc", "e" * 40, "_-" * 20])


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("nothing of the kind", []),
        (f"token {TOKEN[:8]} of ingest", []),
        (f"GET / Authorization: Bearer {TOKEN}", ["a token"]),
        (f'{{"url": "{LINK}"}}', ["a signature"]),
        (f"token={SESSION}", ["a session token"]),
        (f"store opened with {KEY}", ["the key"]),
        (f"GET /?key={quote(KEY, safe='')}", ["the key"]),
        (r'{"key": "a key/with \"marks\" and 16 or more"}', ["the key"]),
        (f"{TOKEN} {LINK} {KEY}", ["a token", "a signature", "the key"]),
    ],
)
def test_a_secret_is_seen_in_every_spelling(tmp_path: Path, line: str, seen: list[str]) -> None:
    world = tmp_path / "world"
    (world / "deeper").mkdir(parents=True)
    (world / "api.log").write_text(f"first\n{line}\n")
    # What is there to hold secrets, and what no process has printed.
    (world / "secrets.json").write_text(KEY + TOKEN)
    canary.remember(tmp_path, world, {"the key": KEY})

    assert canary.look(tmp_path) == Looked(
        1, len(f"first\n{line}\n"), [Sighting(str(world / "api.log"), 2, what) for what in seen]
    )


def test_the_logs_of_the_run_and_of_its_engines_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "stack" / "logs").mkdir(parents=True)
    for place in (tmp_path / "cli-7.log", tmp_path / "stack" / "logs" / "postgres.log"):
        place.write_text(f"{TOKEN}\n")

    looked = canary.look(tmp_path)

    assert (looked.files, [(Path(one.where).name, one.what) for one in looked.seen]) == (
        2,
        [("cli-7.log", "a token"), ("postgres.log", "a token")],
    )
    assert TOKEN not in repr(looked)


def test_a_run_in_which_a_secret_was_written_fails_although_its_tests_pass(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from pathlib import Path
        import pytest
        from tests import canary
        from tests.conftest import FOLDER, LOOKED, PROCESS, pytest_sessionfinish, pytest_terminal_summary

        def pytest_configure(config):
            config.stash[FOLDER] = str(Path("run").absolute())
            config.stash[PROCESS] = "engines"
        """
    )
    run = pytester.mkdir("run")
    pytester.makepyfile(f"def test_prints():\n    open({str(run / 'cli-1.log')!r}, 'w').write({TOKEN!r})")

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1)
    assert "what='a token'" in result.stdout.str()
    assert TOKEN not in result.stdout.str()
