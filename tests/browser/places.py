"""Every page that there is, and who looks at it. A route of the pages that is in none of these fails the build."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.browser.content import PROJECT, Content


@dataclass(frozen=True)
class Place:
    """A page in one of its states; `route` is the one that answers it."""

    name: str
    route: str
    address: Callable[[Content], str]
    who: str | None = None
    status: int = 200
    # Whether it shows bytes that lie in the store.
    shows_bytes: bool = False


def _at(address: str) -> Callable[[Content], str]:
    return lambda _: address


def _of(name: str, rest: str = "") -> Callable[[Content], str]:
    return lambda content: getattr(content, name) + rest


ECOLOGY, BIOLOGY = (f"urn:x-catalog:scientific-fields:{name}" for name in ("ecology", "biology"))
OBJECT = "/objects/{object_id:str}"
PREVIEW = f"{OBJECT}/preview/{{path:path}}"
ORGANIZATION = "/organizations/{organization:str}"
PROJECT_PAGE = "/projects/{organization:str}/{project:str}"
PLACES = (
    Place("first visit", "/", _at("/")),
    Place("hits", "/", _at(f"/?q=penguins&project={PROJECT}")),
    Place("no hits", "/", _at("/?q=zzyzx&kind=model")),
    Place("refused question", "/", _at("/?q=%22unclosed"), status=400),
    Place("a tree and a map", "/", _at(f"/?subject={ECOLOGY}&subject_below={BIOLOGY}&bbox=-80,-70,-50,-60&time=2008")),
    Place("refused region", "/", _at("/?bbox=5,,,&time=..2008-13"), status=400),
    Place("hits of a curator", "/", _at("/?q=colonies"), "curator"),
    Place("data set", OBJECT, _of("dataset")),
    Place("model", OBJECT, _of("model")),
    Place("hidden object", OBJECT, _of("hidden"), "curator"),
    Place("withdrawn object", OBJECT, _of("gone"), status=410),
    Place("object not there", OBJECT, _at("/objects/0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"), status=404),
    Place("version", f"{OBJECT}/versions/{{version:str}}", _of("dataset", "/versions/1")),
    Place("snapshot", "/snapshots/{snapshot_id:str}", lambda content: f"/snapshots/{content.ids['snapshot']}"),
    Place("where a DOI leads", "/doi/{prefix:str}/{suffix:str}", lambda content: content.doi("doi")),
    Place("tombstone", "/doi/{prefix:str}/{suffix:str}", lambda content: content.doi("tombstone")),
    Place("differences", f"{OBJECT}/versions/{{version:str}}/diff/{{other:str}}", _of("dataset", "/versions/1/diff/2")),
    Place(
        "no differences", f"{OBJECT}/versions/{{version:str}}/diff/{{other:str}}", _of("dataset", "/versions/2/diff/2")
    ),
    Place("preview of a picture", PREVIEW, _of("dataset", "/preview/images/transect.png"), shows_bytes=True),
    Place("preview of a sound", PREVIEW, _of("dataset", "/preview/sounds/colony%20call.wav"), shows_bytes=True),
    Place("preview of a table", PREVIEW, _of("dataset", "/preview/data/penguins.csv")),
    Place("preview of a text", PREVIEW, _of("dataset", "/preview/README.md")),
    Place("preview of a page", PREVIEW, _of("dataset", "/preview/hostile.html")),
    Place("lineage", f"{OBJECT}/provenance", _of("dataset", "/provenance")),
    Place("lineage of one alone", f"{OBJECT}/provenance", _of("hidden", "/provenance"), "curator"),
    Place("vocabularies", "/vocabularies", _at("/vocabularies")),
    Place("vocabulary", "/vocabularies/{scheme:str}", _at("/vocabularies/ml-tasks")),
    Place("all its terms", "/vocabularies/{scheme:str}", _at("/vocabularies/scientific-fields?all=yes")),
    Place("terms with a text", "/vocabularies/{scheme:str}", _at("/vocabularies/ml-tasks?q=classif")),
    Place("no terms", "/vocabularies/{scheme:str}", _at("/vocabularies/ml-tasks?q=zzyzx")),
    Place("term", "/concepts", _at("/concepts?uri=urn:x-catalog:ml-tasks:audio-processing")),
    Place("organizations", "/organizations", _at("/organizations")),
    Place("organization", ORGANIZATION, _at("/organizations/field-lab")),
    Place("organization of a curator", ORGANIZATION, _at("/organizations/field-lab"), "curator"),
    Place("project", PROJECT_PAGE, _at(f"/projects/{PROJECT}")),
    Place("project of a curator", PROJECT_PAGE, _at(f"/projects/{PROJECT}"), "curator"),
    Place("hidden project", PROJECT_PAGE, _at("/projects/field-lab/secret"), status=404),
    Place("desk", "/desk", _at("/desk"), "curator"),
    Place("desk of a service", "/desk", _at("/desk"), "ingest"),
    Place("desk of nobody", "/desk", _at("/desk"), status=401),
    Place("desk of a reader", "/desk", _at("/desk"), "reader", status=403),
    Place("queue", "/desk/queues/{queue:str}", _at("/desk/queues/without-licence"), "curator"),
    Place("discovered files", "/desk/discovered", _at("/desk/discovered"), "curator"),
    Place("unfound searches", "/desk/unfound", _at("/desk/unfound"), "curator"),
    Place("proposed terms", "/desk/proposals", _at("/desk/proposals"), "curator"),
    Place("form of an object", f"{OBJECT}/edit", _of("dataset", "/edit"), "curator"),
    Place("parked work", "/desk/parked", _at("/desk/parked"), "curator"),
    Place("parked work of a topic", "/desk/parked", _at("/desk/parked?topic=index"), "curator"),
    Place("changes made", "/desk/edits", _at("/desk/edits"), "curator"),
    Place("a change", "/desk/edits/{edit_id:str}", lambda content: f"/desk/edits/{content.ids['edit']}", "curator"),
    Place("tokens", "/tokens", _at("/tokens"), "curator"),
    Place("tokens of nobody", "/tokens", _at("/tokens"), status=401),
    Place("saved searches", "/saved-searches", _at("/saved-searches"), "curator"),
    Place("saving a search", "/saved-searches", _at("/saved-searches?q=penguins&kind=model"), "curator"),
    Place("saved searches of nobody", "/saved-searches", _at("/saved-searches"), status=401),
    Place("end of messages", "/saved-searches/{saved_id:str}/unsubscribe", lambda content: content.ids["unsubscribe"]),
    Place("question for an address", "/mail-addresses/{address_id:str}", lambda content: content.ids["address"]),
    Place("nothing", "/{address:path}", _at("/nowhere"), status=404),
)
