"""What a text may hold, told fast for nearly all of them: the short way must say what the long one says."""

import sys
import unicodedata

from catalog.objects import metadata
from catalog.storage import keys


def test_every_character_that_passes_the_short_way_would_pass_the_long_one() -> None:
    characters = (chr(code) for code in range(sys.maxunicode + 1))

    wrong = [
        hex(ord(one))
        for one in characters
        if one.isprintable()
        and (
            metadata._UNPRINTABLE.search(one)  # noqa: SLF001 - the long way itself.
            or keys.REORDERING.search(one)
            or (one != " " and unicodedata.category(one)[0] not in metadata._SEEN)  # noqa: SLF001 - as above.
        )
    ]

    assert wrong == []
