"""The page of one object shows all of it."""

from typing import Any

from catalog.errors import Fault
from catalog.web import objects, problems
from catalog.web.state import State
from tests.web import samples
from tests.web.reading import Page


def page(entry: dict[str, Any], **more: Any) -> Page:
    """Return the parsed page of an object."""
    return Page(objects.render_object(entry, samples.work(entry), **more))


def test_every_field_is_shown() -> None:
    shown = page(samples.entry())
    assert shown.texts("h1") == ["Silero voice activity detector"]
    assert shown.texts("ul", class_="creators") == [
        "Carberry, Josiah ORCID 0000-0002-1825-0097, Brown University Silero Team"
    ]
    assert shown.texts("p", class_="traits") == ["Project demo/audio MIT 2024 5 files"]
    assert shown.texts("p", class_="prose")[0] == "Tells speech from silence in 16 kHz audio, 30 ms at a time."
    assert shown.facts() == {
        "Task": "voice activity detection",
        "Framework": "ONNX Runtime",
        "Format": "onnx",
        "Parameters": "462,594",
        "Runtime": "Name Version Accelerator onnxruntime >=1.16 cpu numpy – –",
        "Inputs": "Name Shape Data type input any × 512 float32 state 2 × any × 128 float32",
        "Place": "Argonne, Illinois",
        "Point": "41.7183° N, 87.9794° W",
        "Region": "41.5° N to 42° N 88.1° W to 87.5° W",
        "From": "1 March 2021, 00:00 UTC",
        "Until": "still going on",
        "Issued": "17 May 2024",
        "Collected": "March 2021 – November 2023",
        "Valid": "17 May 2024, 06:00 UTC",
        "threshold": "0.5",
        "gpu_tested": "no",
        "noise.floor": "-62.5 dB",
        "languages": "English German Hindi",
        "Project": "demo/audio",
        "Licence": "MIT",
        "Visibility": "Public",
        "Contact": "Josiah Carberry",
        "Keywords": "speech voice activity audio",
        "Identifier": samples.MODEL_ID,
        "State": "Published, version 2",
        "Revision": "12",
        "Owner": "demo-ingest",
        "Registered": "19 November 2026, 08:01 UTC",
        "Updated": "20 November 2026, 09:12 UTC",
    }


def test_those_who_may_change_it_are_told_when_it_will_be_removed_and_by_which_rule() -> None:
    removal = objects.Removal("2027-01-02T03:04:05+00:00", "keep for 30 days from registration", "lab/soil")
    assert page(samples.entry(), removal=removal).texts("p", class_="notice") == [
        (
            "A rule of retention removes this object, on 2 January 2027, 03:04 UTC at the earliest: "
            f"keep for 30 days from registration (lab/soil). catalog retention keep {samples.MODEL_ID} keeps it."
        )
    ]
    assert page(samples.entry()).texts("p", class_="notice") == []


def test_files_say_what_they_are_and_where_they_stand() -> None:
    shown = page(samples.entry())
    rows = [" ".join(row.text.split()) for row in shown.all("tr") if samples.DIGEST in row.text]
    digest = f"SHA-256 {samples.DIGEST[:12]}… {samples.DIGEST}"
    assert rows == [
        (
            f"silero_vad.onnx application/octet-stream {digest} 2.3 MB "
            "Available Download silero_vad.onnx, application/octet-stream, 2.3 MB"
        ),
        (
            f"thresholds for wind & rain #1.csv text/csv {digest} 16.0 kB "
            "Available Download thresholds for wind & rain #1.csv, text/csv, 16.0 kB "
            "Preview thresholds for wind & rain #1.csv"
        ),
        f"recording.flac audio/flac {digest} 48.0 GB Awaiting upload",
        (
            f"broken.json application/json {digest} In the store: 1,180 bytes, SHA-256 {'0' * 64} "
            "1.2 kB Differs from its declaration"
        ),
        f"lost.txt text/plain {digest} 7 B Missing from the store",
    ]
    assert [a.attributes["href"] for a in shown.all("a", class_="download")] == [
        f"/objects/{samples.MODEL_ID}/files/silero_vad.onnx",
        f"/objects/{samples.MODEL_ID}/files/notes/thresholds%20for%20wind%20%26%20rain%20%231.csv",
    ]
    assert shown.texts("tr", class_="branch") == ["notes/ 4 files, 48.0 GB"]
    assert [a.attributes["href"] for a in shown.all("a", class_="look")] == [
        f"/objects/{samples.MODEL_ID}/preview/notes/thresholds%20for%20wind%20%26%20rain%20%231.csv"
    ]
    assert shown.all("summary", title=samples.DIGEST)
    assert shown.texts("small") == ["5 files, 48.0 GB"]


def test_similar_objects_are_shown_with_what_they_share_and_none_without_a_heading() -> None:
    alike = {
        "id": samples.MODEL_ID,
        "kind": "model",
        "project": "edge/audio",
        "title": "Voice & silence",
        "href": f"/api/objects/{samples.MODEL_ID}",
        "shared": ["speech", "audio", "voice", "silence", "a fifth"],
    }
    shown = page(samples.entry(), similar=[alike])
    (item,) = [" ".join(one.text.split()) for one in shown.all("ul", class_="similar")]
    assert item == "Voice & silence Model Both: speech, audio, voice, silence"
    assert shown.links()["Voice & silence"] == f"/objects/{samples.MODEL_ID}"
    assert "Similar objects" not in page(samples.entry()).texts("h2")


def test_members_lead_to_what_they_name() -> None:
    shown = page(samples.bundle())
    items = [" ".join(item.text.split()) for item in shown.all("li") if "Handbook" in item.text or "code" in item.text]
    assert shown.texts("p", class_="name") == [
        "Sky segmentation",
        "https://git.example.org/edge/cloud-cover",
        f"registry.example.org/edge/cloud-cover@sha256:{samples.DIGEST}",
        "Handbook",
    ]
    assert items[0].startswith("Git commit code")
    links = shown.links()
    assert links["Sky segmentation"] == f"/objects/{samples.MODEL_ID}"
    assert links["Handbook"] == "https://docs.example.org/cloud-cover"
    assert shown.facts()["Commit"] == "4f" * 20
    assert shown.facts()["Licence"] == "Not stated: ask the contact before reuse"


def test_a_member_of_a_type_unknown_today_is_still_shown() -> None:
    members = [{"type": "dataset_doi", "name": "Ice", "doi": "10.1/x"}]
    shown = page(samples.entry(metadata={"members": members}))
    assert shown.texts("ol", class_="members") == ["Dataset DOI Ice DOI10.1/x"]


def test_the_citation_names_the_public_address() -> None:
    shown = page(samples.entry())
    address = f"https://catalog.example.org/objects/{samples.MODEL_ID}"
    assert shown.texts("p", class_="citation")[0].endswith(f"[Model]. Science Catalog. {address}")
    assert shown.one("pre").text.startswith("@misc{carberry2024silero,\n")
    assert shown.one("link", rel="canonical").attributes["href"] == address
    assert shown.links()["This record as JSON"] == f"/api/objects/{samples.MODEL_ID}"


def test_a_bare_object_has_no_empty_sections() -> None:
    bare = samples.entry(
        description="",
        keywords=[],
        licence=None,
        dates=[],
        coverage=None,
        custom={},
        metadata={},
        files=[],
        files_total=0,
    )
    assert page(bare).texts("h2") == ["Files", "How to cite", "At a glance", "This record"]


def test_a_region_across_the_antimeridian_keeps_its_sides() -> None:
    box = {"west": 170.5, "south": -45, "east": -170, "north": -40}
    shown = page(samples.entry(coverage={"spatial": {"box": box}}))
    assert shown.facts()["Region"] == "45° S to 40° S 170.5° E to 170° W"


def test_a_problem_says_what_happened_and_leads_back() -> None:
    faults = [Fault("/limit", "must be a number", "20")]
    shown = Page(problems.render_problem(410, "It was withdrawn on 2026-11-20.", faults, request_id="r-1"))
    assert shown.texts("h1") == ["This object has been withdrawn"]
    assert shown.texts("p", class_="lead") == ["It was withdrawn on 2026-11-20."]
    assert shown.texts("ul", class_="faults") == ["/limit must be a number – try 20"]
    assert shown.texts("p", class_="aside-note") == ["Request r-1"]
    assert shown.links()["Search the catalog"] == "/"


def test_a_status_without_words_of_its_own_has_a_heading() -> None:
    assert Page(problems.render_problem(418, "No.")).texts("h1") == ["This did not work"]


def test_concepts_are_shown_by_their_labels_and_lead_to_what_else_has_them() -> None:
    tasks, fields = "urn:x-catalog:ml-tasks:", "urn:x-catalog:scientific-fields:"
    shown = page(
        samples.entry(
            subjects=[f"{fields}speech-science", f"{fields}unheard-of"],
            metadata={"task": f"{tasks}voice-activity-detection", "framework": "torch"},
            terms={f"{tasks}voice-activity-detection": "Voice <activity>", f"{fields}speech-science": "Speech science"},
        )
    )
    facts = shown.facts()
    assert (facts["Task"], facts["Framework"]) == ("Voice <activity>", "torch")
    assert facts["Fields"] == f"Speech science {fields}unheard-of"
    assert shown.links()["Speech science"] == State(chosen={"subject": (f"{fields}speech-science",)}).address()
