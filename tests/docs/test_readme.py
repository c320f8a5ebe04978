"""The README's examples, tried: what it sends is accepted, and what it says comes back does."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from catalog.errors import Invalid
from catalog.objects import validation
from tests.docs.repository import text_of

README = text_of(Path("README.md")) or ""
SENT = re.search(r"<<'END'\n(.*?)\nEND\n", README, re.DOTALL)
FAULT = re.search(r"```json\n(.*?)\n```", README, re.DOTALL)
assert SENT is not None
assert FAULT is not None


def test_the_registration_it_shows_is_accepted() -> None:
    draft = validation.draft_from(SENT[1].encode(), prefix="")
    assert [(file.path, file.size) for file in draft.files] == [("plot-7.csv", 12)]


def test_the_fault_it_shows_is_what_a_wrong_orcid_gets() -> None:
    told = json.loads(FAULT[1])
    wrong = SENT[1].replace("0000-0002-1825-0097", told["message"].split(" ")[0])
    with pytest.raises(Invalid) as refused:
        validation.draft_from(wrong.encode(), prefix="")
    assert [{name: text for name, text in asdict(fault).items() if text} for fault in refused.value.faults] == [told]
