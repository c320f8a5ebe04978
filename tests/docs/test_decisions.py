"""Decisions that a founding document asks for are made, and what they promise holds."""

import json
import subprocess
import sys
from pathlib import Path

import openapi_spec_validator
import pytest

from tests.docs.repository import text_of


@pytest.mark.req("SAGE-STORAGE-35")
def test_language_and_framework_are_chosen_and_the_api_they_describe_is_valid() -> None:
    decision = text_of(Path("docs/adr/0003-python-with-litestar.md")) or ""
    assert decision.startswith("# 0003: Python with Litestar\n\nAccepted, ")
    # The options that were weighed, each with its reason.
    assert [
        option for option in ("Go", "FastAPI", "Litestar") if option not in decision.partition("**Decision.**")[2]
    ] == []
    described = subprocess.run([sys.executable, "-m", "catalog", "openapi"], check=True, capture_output=True).stdout
    openapi_spec_validator.validate(json.loads(described))
