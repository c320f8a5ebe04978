"""What needs attention, and edits of many objects."""

from collections.abc import Mapping
from typing import Any

from catalog.client.calls import C, Call, Listing, Room, items, quoted, request, said, series
from catalog.client.shapes import (
    CurationQueue,
    DiscoveredFile,
    Edit,
    EditPlan,
    Undone,
    UnfoundSearch,
    WaitingObject,
)


class Curation(Room[C]):
    """What curators look after; for others, of their own objects."""

    @request
    def curation(self) -> Call[list[CurationQueue]]:
        """Return what needs attention: how many of your objects wait in each queue, or of all objects for curators."""
        return items("/api/curation")

    @series
    def waiting(self, queue: str, *, project: str | None = None) -> Listing[WaitingObject]:
        """Yield the objects that wait in a queue, newest first."""
        return Listing(f"/api/curation/queues/{quoted(queue)}", said(project=project))

    @series
    def discovered_files(self, *, project: str | None = None) -> Listing[DiscoveredFile]:
        """Yield the files that others put into the bucket and that no object claims, newest first; for curators."""
        return Listing("/api/curation/discovered", said(project=project))

    @request
    def unfound_searches(self) -> Call[list[UnfoundSearch]]:
        """Return texts that found nothing, those asked most often first; for curators."""
        return items("/api/curation/unfound")

    @request
    def preview_edit(self, select: Mapping[str, Any], patch: Mapping[str, Any]) -> Call[EditPlan]:
        """Return what a merge patch would do to many objects; `select` has objects, or any of project, kind, queue.

        With `limit` it takes only the first of what fits, after the id `after`; the plan's `next_after` goes on there.
        """
        body = {"select": select, "patch": patch}
        return Call("POST", "/api/curation/edits/preview", body=body, repeatable=True)

    @request
    def make_edit(self, select: Mapping[str, Any], patch: Mapping[str, Any], plan: EditPlan) -> Call[Edit]:
        """Change many objects as they were looked at; refused whole when one of them is not as it was."""
        body = {"select": select, "patch": patch, "preview": plan["digest"]}
        return Call("POST", "/api/curation/edits", body=body)

    @request
    def undo_edit(self, edit_id: str) -> Call[Undone]:
        """Take an edit back, except where somebody changed since what it changed."""
        return Call("POST", f"/api/curation/edits/{quoted(edit_id)}/undo")
