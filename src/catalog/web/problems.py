"""A refusal or a failure as a page: what happened, what to do, and the way back.

Pure: the status is given, the wording of the heading is chosen here.
"""

from collections.abc import Mapping, Sequence

from catalog.errors import Fault, SnapshotGone, VersionGone
from catalog.web import rendering
from catalog.web.state import State

# For people; the title of a problem document is for programs.
HEADINGS = {
    400: "This address cannot be read",
    401: "Log in to see this",
    403: "This is not yours to see",
    404: "Nothing here",
    405: "This page cannot do that",
    410: "This object has been withdrawn",
    429: "Too many requests",
    500: "Something failed on our side",
    503: "A part of the catalog does not answer",
}
FOR_PEOPLE = "This page is for people who are logged in."
NO_LOGIN = (
    "This page is for people who are logged in, and this catalog has no login: whoever runs it names an OpenID "
    "provider (CATALOG_OIDC_ISSUER, CATALOG_OIDC_AUDIENCE, CATALOG_OIDC_CLIENT_ID). Until then a token does the same "
    "through the API and the command line."
)
NO_LOGIN_HEADING = "Nobody can log in here"
ADVICE = {
    404: "The address may be mistyped, or the object may not be public.",
    410: "Its record is closed and its files are no longer offered. Whoever gave you the address may know more.",
    500: "It has been recorded. If it happens again, tell whoever runs this catalog the request number below.",
    503: "This usually passes within seconds: reload the page.",
}


# What was withdrawn where that is not an object, and what is left.
GONE: Mapping[type[Exception] | None, tuple[str, str | None]] = {
    VersionGone: (
        "This version has been withdrawn",
        "Its files are no longer offered. The object is there, and says which other versions it has.",
    ),
    SnapshotGone: (
        "This snapshot has been withdrawn",
        "What it found is no longer listed. The objects may be there: ask the search again.",
    ),
}


def render_problem(
    status: int,
    detail: str,
    faults: Sequence[Fault] = (),
    *,
    request_id: str | None = None,
    gone: type[Exception] | None = None,
    left_address: str | None = None,
    titled: str | None = None,
) -> str:
    """Return the page for an error of that status; `detail` is the catalog's own sentence about it.

    `gone` tells what was withdrawn; `left_address` leads to the object of which only a version was; `titled` is the
    heading where the one of the status does not fit.
    """
    heading, advice = GONE.get(gone, (HEADINGS.get(status, "This did not work"), ADVICE.get(status)))
    return rendering.render(
        "problem.html",
        state=State(),
        status=status,
        heading=titled or heading,
        detail=detail,
        advice=advice,
        left_address=left_address,
        faults=faults,
        request_id=request_id,
    )
