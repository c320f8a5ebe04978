"""What pages show to people who are logged in, and to nobody else."""

from typing import Any

import httpx2

from tests.browser import content
from tests.browser.conftest import Shown, set_aside
from tests.browser.content import PROJECT
from tests.conftest import eventually
from tests.web.reading import Page


async def seen(shown: Shown, address: str, who: str | None, status: int = 200) -> Page:
    """Return a page as this person sees it."""
    async with httpx2.AsyncClient(timeout=30, trust_env=False, cookies=shown.cookies(who)) as client:
        answer = await client.get(shown.url + address)
    assert answer.status_code == status, answer.text
    assert ("private" in answer.headers["cache-control"]) is (who is not None)
    return Page(answer.text)


async def test_a_project_counts_what_whoever_looks_may_see(shown: Shown) -> None:
    public = await seen(shown, f"/projects/{PROJECT}", None)
    await seen(shown, "/projects/field-lab/secret", None, 404)
    await seen(shown, "/projects/field-lab/secret", "reader", 404)
    secret = await seen(shown, "/projects/field-lab/secret", "curator")

    assert public.texts("h1") == ["Penguins of the Palmer Archipelago"]
    assert "3 objects" in public.links()
    assert "1 object" in secret.links()
    assert secret.links()["Colonies not yet told"] == shown.content.hidden


async def test_an_organization_lists_the_projects_that_have_something_to_see(shown: Shown) -> None:
    names = {
        who: {
            href
            for href in (await seen(shown, "/organizations/field-lab", who)).links().values()
            if href.startswith("/projects/")
        }
        for who in (None, "reader", "curator")
    }
    penguins = f"/projects/{PROJECT}"
    assert names == {None: {penguins}, "reader": {penguins}, "curator": {penguins, "/projects/field-lab/secret"}}


async def test_members_are_told_to_those_who_look_after_them_alone(shown: Shown) -> None:
    told = {
        who: [
            text
            for text in (await seen(shown, f"/projects/{PROJECT}", who)).texts("th", scope="row")
            if text.startswith("user:")
        ]
        for who in (None, "reader", "ingest", "curator", "admin")
    }
    both = ["user:reader", "user:ingest"]
    assert told == {None: [], "reader": [], "ingest": [], "curator": both, "admin": both}


async def test_previews_show_bytes_to_those_who_may_download_them(shown: Shown) -> None:
    table = await seen(shown, f"{shown.content.dataset}/preview/data/penguins.csv", None)
    page = await seen(shown, f"{shown.content.dataset}/preview/hostile.html", None)
    sound = await seen(shown, f"{shown.content.dataset}/preview/sounds/colony%20call.wav", None)

    assert table.texts("th", scope="col") == ["species", "island", "mass_g"]
    assert table.texts("td")[:3] == ["Adelie", "Torgersen", "3750"]
    assert [one.attributes.get("src", "").partition("?")[0] for one in page.all("script")] == ["/static/suggestions.js"]
    assert "<script>document.title='owned'</script>" in page.one("code").text
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
        bytes_ = await client.get(sound.one("audio").attributes["src"])
    assert bytes_.content == content.FILES["sounds/colony call.wav"][0]
    assert (bytes_.headers["content-disposition"], bytes_.headers["content-type"]) == ("inline", "audio/wav")
    await seen(shown, f"{shown.content.dataset}/preview/no-such-file", None, 404)
    await seen(shown, f"{shown.content.hidden}/preview/data.csv", None, 404)


async def test_a_preview_is_noted_as_a_download_is(shown: Shown) -> None:
    path = "data/raw/readings.json"
    await seen(shown, f"{shown.content.dataset}/preview/{path}", "reader")

    async def noted() -> list[Any]:
        asked = {"object": shown.content.ids["dataset"]}
        answer = await shown.clients.admin.get("/api/access-log", params=asked)
        assert answer.status_code == 200, answer.text
        # That it was brought is noted too.
        return [one for one in answer.json()["items"] if path in one["paths"] and one["what"] != "upload"]

    assert {one["what"] for one in await eventually(noted)} == {"download"}


async def test_a_change_by_form_is_looked_at_made_and_taken_back(shown: Shown) -> None:
    async with httpx2.AsyncClient(
        timeout=30, trust_env=False, cookies=shown.cookies("curator"), base_url=shown.url
    ) as browser:
        form = Page((await browser.get(f"{shown.content.cleaned}/edit")).text)
        sent = dict(form.submission_of(f"{shown.content.cleaned}/edit"))
        before = await shown.clients.curator.get(f"/api{shown.content.cleaned}")
        nothing = await browser.post(f"{shown.content.cleaned}/edit", data=sent)
        sent |= {"keywords": "colonies\r\ncalls", "language": "en"}
        looked_at = Page((await browser.post(f"{shown.content.cleaned}/edit", data=sent)).text)
        still = await shown.clients.curator.get(f"/api{shown.content.cleaned}")
        made = await browser.post("/desk/edits", data=dict(looked_at.submission_of("/desk/edits")))
        after = await shown.clients.curator.get(f"/api{shown.content.cleaned}")
        place = made.headers["location"]
        told = Page((await browser.get(place)).text)
        undone = await browser.post(f"{place}/undo", data=dict(told.submission_of(f"{place}/undo")))
        at_last = await shown.clients.curator.get(f"/api{shown.content.cleaned}")

    assert nothing.status_code == 400
    assert looked_at.texts("h3") == ["Keywords", "Language"]
    assert still.json() == before.json()
    assert (made.status_code, undone.status_code) == (303, 200)
    assert (after.json()["keywords"], after.json()["language"]) == (["colonies", "calls"], "en")
    assert (at_last.json().get("keywords"), at_last.json().get("language")) == (
        before.json().get("keywords"),
        before.json().get("language"),
    )


async def test_a_form_of_another_site_or_session_changes_nothing(shown: Shown) -> None:
    address = f"{shown.content.cleaned}/edit"
    async with httpx2.AsyncClient(
        timeout=30, trust_env=False, cookies=shown.cookies("curator"), base_url=shown.url
    ) as browser:
        sent = dict(Page((await browser.get(address)).text).submission_of(address)) | {"language": "de"}
        key = sent["key"]
        refused = [
            await browser.post(address, data=sent | {"key": "0" * 64}),
            await browser.post(address, data={name: value for name, value in sent.items() if name != "key"}),
            await browser.post(address, data=sent, headers={"Origin": "https://evil.test"}),
            await browser.post(address, data=sent, headers={"Origin": "null"}),
        ]
        allowed = await browser.post(address, data=sent, headers={"Origin": shown.url})
    async with httpx2.AsyncClient(
        timeout=30, trust_env=False, cookies=shown.cookies("admin"), base_url=shown.url
    ) as other:
        refused.append(await other.post(address, data=sent | {"key": key}))
    async with httpx2.AsyncClient(timeout=30, trust_env=False, base_url=shown.url) as nobody:
        refused.append(await nobody.post(address, data=sent))

    assert [answer.status_code for answer in refused] == [403] * 6
    assert allowed.status_code == 200


async def test_one_field_is_set_for_many_and_a_refusal_is_told_at_its_object(shown: Shown) -> None:
    async with httpx2.AsyncClient(
        timeout=30, trust_env=False, cookies=shown.cookies("curator"), base_url=shown.url
    ) as browser:
        key = Page((await browser.get("/desk")).text).one("input", name="key").attributes["value"]
        both = [shown.content.ids["cleaned"], shown.content.ids["hidden"]]
        told = {"key": key, "object": both, "field": "licence"}
        wanted = Page((await browser.post("/desk/preview", data=told | {"value": "CC0-1.0"})).text)
        refused = Page((await browser.post("/desk/preview", data=told | {"value": "No such licence!"})).text)

    assert wanted.texts("h3") == ["Licence", "Licence"]
    assert wanted.texts("button", type="submit")[-1] == "Change 2 objects"
    assert len(refused.all("ul", class_="faults")) == 2
    assert [form.attributes["action"] for form in refused.all("form")] == ["/", "/logout"]


async def test_a_proposed_term_is_accepted_or_declined_at_the_desk(shown: Shown) -> None:
    async with httpx2.AsyncClient(
        timeout=30, trust_env=False, cookies=shown.cookies("curator"), base_url=shown.url
    ) as browser:
        waiting = Page((await browser.get("/desk/proposals")).text)
        places = [one.attributes["action"] for one in waiting.all("form") if "proposals" in one.attributes["action"]]
        key = waiting.one("form", action="/logout")
        assert key is not None
        secret = waiting.all("input", name="key")[0].attributes["value"]
        # Each has a form to accept, to merge and to decline.
        first, second = places[0], places[3]
        sent = {"key": secret, "decision": "decline", "reason": "Another word says it."}
        declined = await browser.post(first, data=sent)
        accepted = await browser.post(second, data={"key": secret, "decision": "accept"})
        neither = await browser.post(second, data={"key": secret, "decision": "perhaps"})
        left = Page((await browser.get("/desk/proposals")).text)

    assert sorted(waiting.texts("h3")) == ["Bat detection", "Colony counting"]
    assert [declined.status_code, accepted.status_code, neither.status_code] == [303, 303, 400]
    assert left.texts("h3") == []
    told = (await shown.clients.curator.get("/api/vocabularies/ml-tasks/proposals")).json()["items"]
    assert sorted(one["state"] for one in told) == ["accepted", "declined"]


async def test_what_was_set_aside_is_tried_again_or_discarded_at_the_desk(shown: Shown) -> None:
    async def look(browser: httpx2.AsyncClient) -> Page | None:
        page = Page((await browser.get("/desk/parked?topic=index")).text)
        return page if page.texts("h3") else None

    async with httpx2.AsyncClient(
        timeout=30, trust_env=False, cookies=shown.cookies("curator"), base_url=shown.url
    ) as browser:
        waiting = await eventually(lambda: look(browser))
        sent = {one.attributes["name"]: one.attributes["value"] for one in waiting.all("input", type="hidden")}
        retried = await browser.post("/desk/parked", data=sent | {"decision": "retry"})
        again = await eventually(lambda: look(browser))
        every = await browser.post("/desk/parked", data=sent | {"decision": "retry all", "topic": "index"})
        at_last = await eventually(lambda: look(browser))
        discarded = await browser.post("/desk/parked", data=sent | {"decision": "discard"})
        refused = [
            await browser.post("/desk/parked", data=sent | {"decision": "discard"}),
            await browser.post("/desk/parked", data=sent | {"decision": "perhaps"}),
            await browser.post("/desk/parked", data=sent | {"decision": "discard", "key": "0" * 64}),
        ]
        left = Page((await browser.get("/desk/parked")).text)
        # Others look at this page as well.
        await set_aside(shown.live.world)

    assert any(f"entry {sent['id']} · " in text for text in waiting.texts("p"))
    assert [page.texts("h3") for page in (waiting, again, at_last, left)] == [["no object's id"]] * 3 + [[]]
    assert [retried.status_code, every.status_code, discarded.status_code] == [303] * 3
    assert [answer.status_code for answer in refused] == [404, 400, 403]
    assert "No JSON: <script>" in left.texts("td")


async def test_the_desk_is_for_those_who_may_register(shown: Shown) -> None:
    addresses = ("/desk", "/desk/queues/without-licence", "/desk/edits", "/desk/proposals", "/desk/parked")
    told = {}
    for who in (None, "reader", "ingest", "curator"):
        async with httpx2.AsyncClient(
            timeout=30, trust_env=False, cookies=shown.cookies(who), base_url=shown.url
        ) as browser:
            told[who] = [(await browser.get(address)).status_code for address in addresses]
    assert told == {
        None: [401] * 5,
        "reader": [403] * 5,
        "ingest": [200, 200, 200, 403, 403],
        "curator": [200] * 5,
    }


async def test_a_token_of_ones_own_is_made_shown_once_renewed_and_ended(shown: Shown) -> None:
    async with httpx2.AsyncClient(
        timeout=30, trust_env=False, cookies=shown.cookies("reader"), base_url=shown.url
    ) as browser:
        sent = dict(Page((await browser.get("/tokens")).text).submission_of("/tokens")) | {"label": "night shift"}
        answer = await browser.post("/tokens", data=sent)
        made = Page(answer.text)
        again = Page((await browser.get("/tokens")).text)
        (rotate,) = [place for place in _actions(again) if place.endswith("/rotate") and place in _actions(made)][:1]
        renewed = Page((await browser.post(rotate, data={"key": sent["key"]})).text)
        values = [page.all("code", class_="whole")[0].text for page in (made, renewed)]
        works = [await _status(shown, value) for value in values]
        foreign = await browser.post(rotate.replace("/rotate", "/revoke"), data={"key": "0" * 64})
        ended = await browser.post(rotate.replace("/rotate", "/revoke"), data={"key": sent["key"]})
        after = [await _status(shown, value) for value in values]
        none = await browser.post("/tokens", data={"key": sent["key"], "lifetime": "90"})
        strange = await browser.post("/tokens", data=sent | {"lifetime": "forever"})

    assert answer.headers["cache-control"] == "private, no-store"
    assert again.all("code", class_="whole") == []
    assert values[0] != values[1]
    assert (works, after) == ([200, 200], [401, 401])
    assert [one.status_code for one in (foreign, ended, none, strange)] == [403, 303, 400, 400]


def _actions(page: Page) -> list[str]:
    return [form.attributes["action"] for form in page.all("form")]


async def _status(shown: Shown, token: str) -> int:
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {token}"}
        return (await client.get(f"{shown.url}/api/objects?limit=1", headers=headers)).status_code


async def test_a_search_is_saved_from_its_page_told_of_at_an_address_and_removed(shown: Shown) -> None:
    async with httpx2.AsyncClient(
        timeout=30, trust_env=False, cookies=shown.cookies("reader"), base_url=shown.url
    ) as browser:
        asked = (await browser.get("/?q=penguins&kind=model&sort=title")).text
        link = "/saved-searches?q=penguins&amp;kind=model&amp;sort=title"
        sent = dict(Page((await browser.get(link.replace("&amp;", "&"))).text).submission_of("/saved-searches"))
        saved = await browser.post("/saved-searches", data=sent | {"name": "Models of penguins"})
        twice = await browser.post("/saved-searches", data=sent | {"name": "Models of penguins"})
        there = Page((await browser.get("/saved-searches")).text)
        (opens,) = [place for place in _actions(there) if place.endswith("/feed-key")]
        opened = Page((await browser.post(opens, data={"key": sent["key"]})).text)
        atom, json_feed = (one.text for one in opened.all("code", class_="whole"))
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as nobody:
            feeds = [(await nobody.get(one)).status_code for one in (atom, json_feed)]
        foreign = await browser.post(opens.replace("/feed-key", "/remove"), data={"key": "0" * 64})
        removed = await browser.post(opens.replace("/feed-key", "/remove"), data={"key": sent["key"]})
        after = Page((await browser.get("/saved-searches")).text)

    assert link in asked
    assert [one.status_code for one in (saved, twice, foreign, removed)] == [303, 409, 403, 303]
    assert feeds == [200, 200]
    assert [place for place in _actions(after) if place.endswith("/remove")] == []
