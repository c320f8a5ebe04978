"""What counts as a proof of a requirement row, tried on small test suites of their own."""

import json

import pytest

LIST = """
| row | tier | what must be true |
|---|---|---|
| SEED-1 | C | The first thing holds. |
| SEED-2 | X | The second thing holds. |
"""
INI = """
[pytest]
markers =
    req(*ids): rows of the requirements list that this test proves
"""
# The inner runs need none of these, and each costs time.
WITHOUT = ("-p", "no:randomly", "-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:asyncio")


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """Lay out a project with two requirement rows and no test."""
    pytester.makefile(".ini", pytest=INI)
    pytester.mkdir("docs").joinpath("requirements.md").write_text(LIST, encoding="utf-8")
    return pytester


def run(suite: pytest.Pytester, *options: str) -> pytest.RunResult:
    return suite.runpytest_inprocess("-p", "tests.trace.plugin", "--proofs=build/trace.json", *WITHOUT, *options)


def proofs(suite: pytest.Pytester) -> object:
    return json.loads((suite.path / "build" / "trace.json").read_text(encoding="utf-8"))


def test_a_passing_test_proves_each_row_it_names(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.req("SEED-1", "SEED-2")
        def test_both(): pass

        @pytest.mark.req("SEED-1")
        def test_first(): pass

        def test_unmarked(): pass
        """
    )
    run(suite).assert_outcomes(passed=3)
    assert proofs(suite) == {
        "SEED-1": ["test_it.py::test_both", "test_it.py::test_first"],
        "SEED-2": ["test_it.py::test_both"],
    }


def test_marks_on_the_class_and_on_the_module_count_for_each_test_in_them(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_it="""
        import pytest

        pytestmark = pytest.mark.req("SEED-1")

        @pytest.mark.req("SEED-2")
        class TestSecond:
            def test_inside(self): pass

        def test_outside(): pass
        """
    )
    run(suite).assert_outcomes(passed=2)
    assert proofs(suite) == {
        "SEED-1": ["test_it.py::TestSecond::test_inside", "test_it.py::test_outside"],
        "SEED-2": ["test_it.py::TestSecond::test_inside"],
    }


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("def test_it(): assert False", id="a failing test"),
        pytest.param("def test_it(): pytest.skip('not here')", id="a test that skips itself"),
        pytest.param("@pytest.mark.skip\ndef test_it(): pass", id="a skipped test"),
        pytest.param("@pytest.mark.xfail\ndef test_it(): assert False", id="an expected failure"),
        pytest.param("@pytest.mark.xfail\ndef test_it(): pass", id="an expected failure that passes"),
        pytest.param("def test_it(broken_before): pass", id="a test whose set-up fails"),
        pytest.param("def test_it(broken_after): pass", id="a test whose clean-up fails"),
        pytest.param("def test_it(subtests):\n    with subtests.test(): assert False", id="a failing part of a test"),
    ],
)
def test_nothing_is_proved_by(suite: pytest.Pytester, body: str) -> None:
    suite.makeconftest(
        """
        import pytest

        @pytest.fixture
        def broken_before(): raise RuntimeError

        @pytest.fixture
        def broken_after():
            yield
            raise RuntimeError
        """
    )
    suite.makepyfile(test_it=f"import pytest\n\n@pytest.mark.req('SEED-1')\n{body}\n")
    run(suite)
    assert proofs(suite) == {}


PARAMETRIZED = """
import pytest

@pytest.mark.req("SEED-1")
@pytest.mark.parametrize("number", [1, 2, {third}])
def test_small(number): assert number < 4
"""


def test_a_parametrized_test_proves_a_row_when_all_its_sets_pass(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it=PARAMETRIZED.format(third=3))
    run(suite).assert_outcomes(passed=3)
    assert proofs(suite) == {
        "SEED-1": ["test_it.py::test_small[1]", "test_it.py::test_small[2]", "test_it.py::test_small[3]"]
    }


def test_one_failing_set_takes_the_proof_from_all(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it=PARAMETRIZED.format(third=4))
    run(suite).assert_outcomes(passed=2, failed=1)
    assert proofs(suite) == {}


def test_a_set_that_was_not_run_takes_the_proof_from_all(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it=PARAMETRIZED.format(third=3))
    run(suite, "-k", "1 or 2").assert_outcomes(passed=2, deselected=1)
    assert proofs(suite) == {}


def test_a_mark_on_one_set_is_proved_by_that_set_alone(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.parametrize("number", [pytest.param(1, marks=pytest.mark.req("SEED-1")), 9])
        def test_small(number): assert number < 4
        """
    )
    run(suite).assert_outcomes(passed=1, failed=1)
    assert proofs(suite) == {"SEED-1": ["test_it.py::test_small[1]"]}


@pytest.mark.parametrize(
    ("mark", "complaint", "options"),
    [
        ("req('SEED-3')", "test_it.py::test_it: docs/requirements.md has no row SEED-3", ()),
        ("req('SEED-3')", "test_it.py::test_it: docs/requirements.md has no row SEED-3", ("-n", "2")),
        ("req('SEED-1', 'seed-2')", "test_it.py::test_it: docs/requirements.md has no row seed-2", ()),
        ("req", "test_it.py::test_it: write the mark as *", ()),
        ("req()", "test_it.py::test_it: write the mark as *", ()),
        ("req(1)", "test_it.py::test_it: write the mark as *", ()),
        ("req(['SEED-1'])", "test_it.py::test_it: write the mark as *", ()),
        ("req('SEED-1', why='it does')", "test_it.py::test_it: write the mark as *", ()),
    ],
)
def test_a_wrong_mark_is_refused(suite: pytest.Pytester, mark: str, complaint: str, options: tuple[str, ...]) -> None:
    suite.makepyfile(test_it=f"import pytest\n\n@pytest.mark.{mark}\ndef test_it(): pass\n")
    refused = run(suite, *options)
    refused.stdout.fnmatch_lines(["*ERROR collecting test_it.py*", complaint])
    refused.assert_outcomes(errors=1)
    assert refused.ret != pytest.ExitCode.OK
    assert proofs(suite) == {}


def test_marks_need_the_list(suite: pytest.Pytester) -> None:
    (suite.path / "docs" / "requirements.md").unlink()
    suite.makepyfile(test_it="import pytest\n\n@pytest.mark.req('SEED-1')\ndef test_it(): pass\n")
    refused = run(suite)
    refused.assert_outcomes(errors=1)
    refused.stdout.fnmatch_lines(["test_it.py::test_it: docs/requirements.md is missing"])


def test_a_run_that_did_not_ask_writes_nothing(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it="import pytest\n\n@pytest.mark.req('SEED-1')\ndef test_it(): pass\n")
    suite.runpytest_inprocess("-p", "tests.trace.plugin", *WITHOUT).assert_outcomes(passed=1)
    assert not (suite.path / "build").exists()


def test_workers_of_a_parallel_run_prove_the_same(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_good=PARAMETRIZED.format(third=3),
        test_bad=PARAMETRIZED.format(third=4).replace("SEED-1", "SEED-2"),
    )
    run(suite, "-n", "2").assert_outcomes(passed=5, failed=1)
    assert proofs(suite) == {
        "SEED-1": ["test_good.py::test_small[1]", "test_good.py::test_small[2]", "test_good.py::test_small[3]"]
    }
