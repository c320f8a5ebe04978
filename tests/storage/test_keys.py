"""Keys: one upload, one key; what a store would lose or change is refused with a text that helps."""

from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.storage.keys import (
    KEY_BYTES_MAX,
    PART_BYTES_MAX,
    UploadKey,
    WrongPath,
    check_path,
    path_fault,
    room_bytes,
    upload_key,
    upload_of,
)

OBJECT = UUID("0199b0f2-7c1e-7d61-8000-3f1d2c4b5a69")
UPLOAD = UUID("0199b0f2-7c20-7e02-9000-aabbccddeeff")

PREFIXES = st.sampled_from(["", "catalog", "lab/archive"])
PROJECTS = st.from_regex(r"[a-z0-9][a-z0-9-]{1,62}/[a-z0-9][a-z0-9-]{1,62}", fullmatch=True)
ANY_PATHS = st.text(st.sampled_from("/.\\ \t\x00é") | st.characters(), max_size=60)
PATHS = ANY_PATHS.filter(lambda path: path_fault(path, room_bytes=600) is None)


def key_of(path: str, prefix: str = "") -> str:
    return upload_key(prefix, UploadKey("ifremer/soil-study", OBJECT, UPLOAD, path))


def test_a_key_names_project_object_upload_and_path() -> None:
    assert [key_of("tables/my file+ü%20#?.csv"), key_of("weights.onnx", prefix="lab/archive")] == [
        (
            "ifremer/soil-study/uploads/0199b0f2-7c1e-7d61-8000-3f1d2c4b5a69/0199b0f2-7c20-7e02-9000-aabbccddeeff"
            "/tables/my file+ü%20#?.csv"
        ),
        (
            "lab/archive/ifremer/soil-study/uploads/0199b0f2-7c1e-7d61-8000-3f1d2c4b5a69"
            "/0199b0f2-7c20-7e02-9000-aabbccddeeff/weights.onnx"
        ),
    ]


@given(PREFIXES, PROJECTS, st.uuids(), st.uuids(), PATHS)
def test_a_key_taken_apart_gives_what_it_was_made_of(
    prefix: str, project: str, object_id: UUID, upload_id: UUID, path: str
) -> None:
    upload = UploadKey(project, object_id, upload_id, path)

    assert upload_of(prefix, upload_key(prefix, upload)) == upload


@pytest.mark.parametrize(
    "key",
    [
        "",
        "readme.txt",
        "catalogue/ifremer/soil-study/uploads/{object}/{upload}/a.csv",
        "other/catalog/ifremer/soil-study/uploads/{object}/{upload}/a.csv",
        "catalog/ifremer/soil-study/source/{object}/{upload}/a.csv",
        "catalog/ifremer/soil-study/uploads/{object}/{upload}",
        "catalog/ifremer/soil-study/uploads/{object}/{upload}/",
        "catalog/ifremer/soil-study/uploads/{object}/{upload}/../a.csv",
        "catalog/ifremer/soil-study/uploads/{object}/latest/a.csv",
        "catalog/ifremer/soil-study/uploads/{{{object}}}/{upload}/a.csv",
        "catalog/Ifremer/soil-study/uploads/{object}/{upload}/a.csv",
        "catalog/ifremer/soil-study/uploads/{object}/{upload}/a.csv\x00",
    ],
)
def test_a_key_that_no_ticket_was_made_for_is_not_taken_for_an_upload(key: str) -> None:
    assert upload_of("catalog", key.format(object=OBJECT, upload=UPLOAD)) is None


def test_a_prefix_means_prefix_plus_slash() -> None:
    key = upload_key("proj10", UploadKey("ifremer/soil-study", OBJECT, UPLOAD, "a.csv"))

    assert [upload_of(prefix, key) is None for prefix in ("proj1", "proj10", "proj10/ifremer")] == [True, False, True]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("", "name a file, such as data/weights.onnx"),
        ("/data/a.csv", "leave out the slash at the start: paths begin at the object's own root"),
        ("data/", "leave out the slash at the end: a path names a file, not a folder"),
        ("data//a.csv", "give every folder a name: there are two slashes in a row"),
        ("data/../a.csv", "write the path from the object's own root, without . and .. parts"),
        ("./a.csv", "write the path from the object's own root, without . and .. parts"),
        ("..", "write the path from the object's own root, without . and .. parts"),
        ("data\\a.csv", "join folders with /, not with the backslash at place 5"),
        ("a\tb", "remove the character U+0009 at place 2: no file name may have it"),
        ("nul\x00", "remove the character U+0000 at place 4: no file name may have it"),
        ("c1\x85", "remove the character U+0085 at place 3: no file name may have it"),
        ("\x7f", "remove the character U+007F at place 1: no file name may have it"),
        ("a\ufffe", "remove the character U+FFFE at place 2: no file name may have it"),
        ("a\U0010ffff", "remove the character U+10FFFF at place 2: no file name may have it"),
        ("half \ud83d", "send the whole character at place 6: it is half of a surrogate pair"),
        (".uploads/a", "rename .uploads: some stores keep names like .uploads and *.versions for themselves"),
        ("a.versions/b", "rename a.versions: some stores keep names like .uploads and *.versions for themselves"),
        (
            "data/" + "é" * 124,
            f"shorten the name {'é' * 20}…: it has 248 bytes in UTF-8 and may have 246",
        ),
        (
            "a/" * 150 + "b",
            (
                "shorten the path: it has 301 bytes in UTF-8 and may have 300 here, because the whole key, with "
                "project and ids, is limited to 1024"
            ),
        ),
    ],
)
def test_a_path_that_a_store_would_lose_or_change_is_refused_with_the_way_out(path: str, fault: str) -> None:
    assert path_fault(path, room_bytes=300) == fault


@pytest.mark.parametrize(
    "path",
    [
        "weights.onnx",
        "a b/c+d/%2e%2e/e=f&g?h#i~j",
        "…/ünï/çødé/数据/😀",
        "cafe\u0301",
        "café",
        ".hidden",
        "...",
        " leading and trailing ",
        "uploads/.uploads.txt/versions",
        "'\"`<>|*:;",
        "x" * PART_BYTES_MAX,
    ],
)
def test_a_difficult_path_is_kept_as_it_is(path: str) -> None:
    assert check_path(path) == path


def test_a_key_may_have_exactly_as_many_bytes_as_stores_take() -> None:
    room = room_bytes("lab/archive", "ifremer/soil-study")
    fits = "é/" * (room // 3 - 1) + "x" * (room - 3 * (room // 3 - 1))

    key = key_of(fits, prefix="lab/archive")

    assert (room, len(key.encode())) == (911, KEY_BYTES_MAX)
    with pytest.raises(WrongPath, match=r"it has 912 bytes in UTF-8 and may have 911 here"):
        key_of(fits + "x", prefix="lab/archive")


@pytest.mark.parametrize("project", ["", "soil-study", "a/b/c", "Ifremer/soil", "ifremer/..", "ifremer/soil/", "i/s"])
def test_no_key_is_made_for_what_is_no_project(project: str) -> None:
    with pytest.raises(ValueError, match="is no <org>/<project>"):
        upload_key("", UploadKey(project, OBJECT, UPLOAD, "a.csv"))


@given(ANY_PATHS)
def test_a_path_without_a_fault_stays_inside_its_folder_wherever_it_is_saved(path: str) -> None:
    if path_fault(path, room_bytes=900) is None:
        saved = PurePosixPath("/home/user/download") / path
        assert (saved.is_relative_to("/home/user/download"), "/".join(saved.parts[4:])) == (True, path)
    else:
        with pytest.raises(WrongPath):
            check_path(path, room_bytes=900)
