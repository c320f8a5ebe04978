"""A pytest plugin that notes which requirement rows a run proves.

Refuses a mark that names no row of docs/requirements.md. With `--proofs=FILE` it writes, at the end of the run,
`{row id: [ids of the passing tests that prove it]}`.

What counts as a proof is decided narrowly, because a row that looks proved is a row nobody looks at again:
a test passes only when its set-up, its call and its clean-up passed, and a parametrized test only when all
its parameter sets did, those left out by `-k` included. Skipped and expected failures prove nothing.

Needs nothing from the process that ran the test but its reports, so it works the same under pytest-xdist.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import pytest

from tests.trace import rows

# Travels inside each report from an xdist worker to the controller.
_PROPERTY = "requirement"
_PHASES = frozenset({"setup", "call", "teardown"})
_ROWS = pytest.StashKey[dict[str, rows.Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the file to write; without it nothing is written, so a partial run never spoils the last full one."""
    parser.getgroup("requirements").addoption(
        "--proofs",
        metavar="FILE",
        type=Path,
        default=None,
        help="write {requirement row: [ids of the passing tests that prove it]} to FILE",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch the run where its results arrive: in the controller, never in an xdist worker."""
    target: Path | None = config.getoption("proofs")
    if target is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Watch(config.rootpath / target), "requirement-watch")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Refuse a file whose marks are of the wrong shape or name no row, as if it could not be read at all."""
    report = yield
    items = [item for item in report.result or () if isinstance(item, pytest.Item)]
    if faults := sorted({fault for item in items for fault in _faults_of(item)}):
        report.outcome = "failed"
        report.longrepr = "\n".join(faults)
        report.result = []
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note on each item what it proves, before `-k` and its like take items away."""
    wanted = [(item, row) for item in items for row in _wanted_by(item)]
    needed = Counter((_function_of(item), row) for item, row in wanted)
    for item, row in wanted:
        function = _function_of(item)
        item.user_properties.append((_PROPERTY, [row, function, needed[function, row]]))


def _wanted_by(item: pytest.Item) -> list[str]:
    """Return the rows that the marks on a test, its class and its module name, each once."""
    return list(dict.fromkeys(row for mark in item.iter_markers("req") for row in mark.args))


def _faults_of(item: pytest.Item) -> Iterator[str]:
    """Yield what is wrong with the marks on a test."""
    for mark in item.iter_markers("req"):
        if mark.kwargs or not mark.args or not all(isinstance(row, str) for row in mark.args):
            yield f'{item.nodeid}: write the mark as @pytest.mark.req("DOCUMENT-1", "DOCUMENT-2")'
            continue
        try:
            known = _known(item.config)
        except rows.WrongList as fault:
            yield f"{item.nodeid}: {fault}"
            continue
        yield from (f"{item.nodeid}: {rows.LIST} has no row {row}" for row in mark.args if row not in known)


def _known(config: pytest.Config) -> dict[str, rows.Row]:
    """Read the list of rows once in a run, and only if a test names one."""
    if _ROWS not in config.stash:
        config.stash[_ROWS] = rows.read(config.rootpath)
    return config.stash[_ROWS]


def _function_of(item: pytest.Item) -> str:
    """Return the id that all parameter sets of one test share."""
    name = getattr(item, "originalname", None) or item.name
    return item.nodeid.removesuffix(item.name) + name


class Watch:
    """Collects the reports of one run and writes the proofs at its end."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._passed: defaultdict[str, set[str]] = defaultdict(set)
        self._spoiled: set[str] = set()
        self._claims: dict[str, set[tuple[str, str, int]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of one test."""
        claims = {(row, function, needed) for row, function, needed in _claims_of(report.user_properties)}
        if claims:
            self._claims[report.nodeid] = claims
        if report.passed and not hasattr(report, "wasxfail"):
            self._passed[report.nodeid].add(report.when)
        else:
            self._spoiled.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write what was proved; a run that failed elsewhere still proved that much."""
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._target.write_text(json.dumps(self.proofs(), indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def proofs(self) -> dict[str, list[str]]:
        """Each proved row with the ids of the tests that prove it."""
        passed: defaultdict[tuple[str, str, int], list[str]] = defaultdict(list)
        for nodeid, claims in self._claims.items():
            if self._passed[nodeid] == _PHASES and nodeid not in self._spoiled:
                for claim in claims:
                    passed[claim].append(nodeid)
        proofs: defaultdict[str, list[str]] = defaultdict(list)
        for (row, _, needed), nodeids in passed.items():
            if len(nodeids) == needed:
                proofs[row].extend(nodeids)
        return {row: sorted(nodeids) for row, nodeids in proofs.items()}


def _claims_of(properties: Iterable[tuple[str, object]]) -> Iterator[tuple[str, str, int]]:
    """Yield what the collecting process noted on the item, whichever process that was."""
    for name, value in properties:
        if name == _PROPERTY and isinstance(value, list):
            row, function, needed = value
            yield row, function, needed
