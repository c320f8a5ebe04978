"""The page about running a catalog tells of everything that can be met there."""

import json
import re

import yaml
from prometheus_client import generate_latest

from catalog.database import now
from catalog.measuring import REGISTRY
from catalog.operations.figures import Figures, Topic, _Read, families
from catalog.storage.backends import Health
from catalog.storage.capacity import CapacityView, Held, Rule
from catalog.sync.rounds import Tally
from indexer.loop import lanes
from tests.docs.repository import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_page_says_of_every_topic_of_the_queue_what_discarding_means() -> None:
    section = PAGE.partition("## Parked work")[2].partition("\n## ")[0]
    topics = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE)
    assert sorted(topics) == sorted({"subscription", *(lane.topic for lane in lanes())})


def test_the_page_tells_of_every_metric_that_a_process_counts() -> None:
    counted = {
        line.split(" ")[2]
        for line in generate_latest(REGISTRY).decode().splitlines()
        if line.startswith("# TYPE catalog_")
    }
    told = set(re.findall(r"^\| `(catalog_\w+)` \|", PAGE, re.MULTILINE))
    assert {name for name in counted if not name.endswith("_created")} <= told


FOLDER = ROOT / "docs" / "operations"
# What PromQL itself has, and what Prometheus adds.
METRIC = re.compile(r"\b(catalog_\w+|process_\w+|up)\b(?!\s*\()")
FUNCTION = re.compile(r"\b([a-z_]+)\s*\(")
FUNCTIONS = {"sum", "max", "min", "by", "rate", "increase", "delta", "histogram_quantile", "topk", "time"}


def shown() -> set[str]:
    """Return the names of all series that a process can show: those it counts, and those it reads."""
    tally = Tally(began_at=now(), ended_at=now())
    topics = {"index": Topic(1, 0, 0, 0, 0.0, 0.0)}
    full = {"default": CapacityView(Rule(10**12, 85, 0), Held(1, 1), None)}
    figures = Figures(now(), topics, 0, tally, {Health.HEALTHY: 1}, frozenset(), full)
    process = [*REGISTRY.collect(), *families(figures), *_Read(None).collect()]
    counted = {f"{family.name}{suffix}" for family in process if family.type == "histogram" for suffix in HISTOGRAM}
    counted |= {f"{family.name}_total" for family in process if family.type == "counter"}
    return counted | {family.name for family in process if family.type == "gauge"} | {"up"}


HISTOGRAM = ("_bucket", "_count", "_sum")


def queries() -> list[str]:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))
    dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    asked = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return asked + [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_alerts_and_the_dashboard_ask_for_metrics_that_there_are() -> None:
    named = {name for query in queries() for name in METRIC.findall(query)}
    assert named - shown() == set()
    # What the page tells of and nobody looks at would be told for nothing.
    told = {name.removesuffix("_total") for name in re.findall(r"^\| `(catalog_\w+)` \|", PAGE, re.MULTILINE)}
    looked_at = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in named}
    assert told - looked_at == {"catalog_queue_oldest_parked_seconds", "catalog_index_compared_objects"}


def test_queries_are_closed_and_use_functions_that_there_are() -> None:
    for query in queries():
        assert [query.count(one) for one in "({["] == [query.count(one) for one in ")}]"], query
        assert set(FUNCTION.findall(query)) - FUNCTIONS == set(), query


def test_every_alert_is_whole_and_told_of_with_what_to_do() -> None:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    section = PAGE.partition("## Dashboard and alerts")[2].partition("\n## ")[0]
    assert [one["alert"] for one in rules] == re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE)
    for one in rules:
        assert set(one) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert one["labels"]["severity"] in {"warning", "critical"}
        assert one["annotations"]["summary"]
