"""How the contract test writes bodies that are not JSON: as the text they are."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson", "text/turtle", "application/vnd.datacite.datacite+xml")
def text(_: Any, value: Any) -> bytes:
    """Return the generated text."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
