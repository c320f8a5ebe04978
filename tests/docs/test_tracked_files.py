"""What no file of the repository may hold, and what some must."""

import re
from pathlib import Path

import catalog
from tests.docs.repository import text_of, tracked

ADDRESS = re.compile(r"\bhttps?://(?P<host>\[[0-9a-fA-F:]+\]|[\w.-]+)")
MACHINE_PATH = re.compile(r"(?<![\w.~$}-])/(?:root|work|Users|home/(?!user/))\b")

LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
# RFC 2606 and RFC 6761: nobody's.
EXAMPLES = re.compile(r"(^|\.)(example\.(com|org|net)|example|test|invalid)$")
# The hosts of docker-compose.yml, words that stand for a host, and an address of a private network.
INSIDE = {"catalog", "opensearch", "store", "postgres", "host", "user", "10.0.0.7"}
NAMES = {
    "www.w3.org": "names of XML namespaces",
    "s3.amazonaws.com": "the name of S3's XML namespace",
    "sts.amazonaws.com": "the name of the token service's XML namespace",
    "json-schema.org": "the name of the JSON Schema dialect",
    "orcid.org": "the written form of an ORCID iD",
    "ror.org": "the written form of a ROR id",
    "doi.org": "the written form of a DOI",
    "arxiv.org": "the written form of an arXiv id",
    "hdl.handle.net": "the written form of a Handle",
    "n2t.net": "the written form of an ARK",
    "pubmed.ncbi.nlm.nih.gov": "the written form of a PubMed id",
    "ui.adsabs.harvard.edu": "the written form of a bibcode",
    "schema.org": "the names of schema.org's terms",
    "jsonfeed.org": "the name of the version of JSON Feed",
    "datacite.org": "the name of DataCite's XML namespace",
    "spdx.org": "the written form of an SPDX licence",
    "purl.org": "the names of RDF vocabularies",
    "www.openml.org": "the written form of an OpenML data set's identifier",
    "creativecommons.org": "the names of licences",
}
# AWS's topics in each region: where the certificates of their messages are, which nobody else may serve.
SERVICES = re.compile(r"^sns\.[a-z0-9-]+\.amazonaws\.com$")
# Texts of others, kept word for word, and what is compared with them.
QUOTING = {
    Path("LICENSE"): "the licence's own text",
    Path("tests/storage/test_signing.py"): "the bucket of the published SigV4 example",
    Path("tests/docs/test_tracked_files.py"): "this list",
}


def outside_addresses(text: str) -> list[str]:
    # Patterns of addresses escape their dots.
    hosts = (found["host"].lower() for found in ADDRESS.finditer(text.replace("\\.", ".")))
    hosts = (host for host in hosts if not EXAMPLES.search(host) and not SERVICES.search(host))
    return [host for host in hosts if host not in LOOPBACK | INSIDE | NAMES.keys()]


def test_no_file_names_an_outside_address() -> None:
    named = {
        str(path): hosts
        for path in tracked()
        if path not in QUOTING and "vendor" not in path.parts and (text := text_of(path))
        if (hosts := outside_addresses(text))
    }
    assert named == {}


def test_no_file_names_a_folder_of_one_machine() -> None:
    named = {str(path): found for path in tracked() if (text := text_of(path)) if (found := MACHINE_PATH.findall(text))}
    assert named == {}


def test_the_changelog_tells_of_this_version() -> None:
    changes = text_of(Path("CHANGELOG.md")) or ""
    assert f"## [{catalog.__version__}]" in changes


def test_the_licence_is_the_one_that_the_project_states() -> None:
    licence = text_of(Path("LICENSE")) or ""
    assert ("Apache License\n" in licence, "Version 2.0, January 2004\n" in licence) == (True, True)
    assert 'license = "Apache-2.0"' in (text_of(Path("pyproject.toml")) or "")


def test_what_can_be_run_has_its_bit() -> None:
    assert Path(".ci/run").stat().st_mode & 0o111
