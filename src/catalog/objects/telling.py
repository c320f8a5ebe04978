"""What is said of one fault that pydantic found: what belongs there, in words that help to mend it.

Pure. Knows the forms of our texts and the fields of our models; where a fault stands is `validation.py`'s business.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import BaseModel

from catalog.objects.attribution import ADDRESS_PATTERN, LANGUAGE_PATTERN
from catalog.objects.metadata import (
    CUSTOM_KEY_PATTERN,
    EMAIL_PATTERN,
    JOB_PATH_PATTERN,
    MEDIA_TYPE_PATTERN,
    OBJECT_NAME_PATTERN,
    PROJECT_PATTERN,
    SHA256_PATTERN,
    VERSION_LABEL_PATTERN,
)
from catalog.objects.references import COMMIT_PATTERN, PLATFORM_PATTERN, URL_PATTERN

# What was sent comes back only as far as it helps to find the place.
NAME_CHARS_SHOWN = 80
# Of 1; the library's 0.6 takes "question" for "description" and "gpu" for "tpu".
ALIKE_LEAST = 0.75

# A pattern is for programs; whoever has to mend a text is told its form.
FORMS = {
    ADDRESS_PATTERN: "write an address that begins with https:// or http://, without a user in it",
    COMMIT_PATTERN: "write the whole commit id, 40 or 64 hexadecimal digits: branches, tags and short ids move",
    CUSTOM_KEY_PATTERN: "write a name of 1 to 64 letters, digits, dots, hyphens and underscores, a letter first",
    EMAIL_PATTERN: "write a mail address, such as ana@example.org",
    JOB_PATH_PATTERN: "files of a job lie below input/ or output/: put it there, as input/scan.nii.gz",
    LANGUAGE_PATTERN: "write a language as BCP 47 has it, such as en or pt-BR",
    MEDIA_TYPE_PATTERN: "write type and subtype without parameters, such as text/csv",
    OBJECT_NAME_PATTERN: "write 1 to 128 of a to z, 0 to 9, dot, hyphen and underscore, a letter or digit first",
    PLATFORM_PATTERN: "write a platform as linux/amd64 or linux/arm/v7",
    PROJECT_PATTERN: "write it as demo/weather: twice 2 to 63 of a to z, 0 to 9 and hyphen, no hyphen first",
    SHA256_PATTERN: "write the 64 hexadecimal digits of the SHA-256",
    URL_PATTERN: "write an address that begins with https://, without a user in it",
    VERSION_LABEL_PATTERN: "write 1 to 64 letters, digits, dots, hyphens, + and underscores, a letter or digit first",
}
# By pydantic's names of what it found ("Validation Errors"): its own sentences are about Python. Bounds are its own.
WANTED = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "bytes_type": "must be a text",
    "date_from_datetime_parsing": "write a day, such as 2024-05-17",
    "datetime_from_date_parsing": "write a moment with its zone, such as 2024-05-17T08:00:00Z",
    "datetime_parsing": "write a moment with its zone, such as 2024-05-17T08:00:00Z",
    "datetime_type": "write a moment with its zone, such as 2024-05-17T08:00:00Z",
    "dict_type": "must be a JSON object",
    "finite_number": "must be a number that is not endless",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number, and not so large",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "model_type": "must be a JSON object",
    "string_type": "must be a text",
    "timezone_aware": "write a moment with its zone, such as 2024-05-17T08:00:00Z",
    "union_tag_not_found": "type is required: it says what kind of member this is",
}


def told(error: Any, names: Sequence[int | str], value: Any, model: type[BaseModel]) -> tuple[str, str | None]:
    """Return what to say of one of pydantic's errors, and the nearest of what could have been meant.

    `names` lead to the place in what was sent, `value` is what stands there, `model` is what it was held against.
    """
    match error["type"]:
        case "missing":
            return f"{names[-1]} is required" if names else "is required", None
        case "extra_forbidden":
            name = str(names[-1])
            return f"there is no field {shown(name)!r} here", _near(name, _names_at(model, error["loc"][:-1]))
        case "enum" | "literal_error":
            return _one_of("must", str(error["ctx"]["expected"]), value)
        case "union_tag_invalid":
            return _one_of("type must", str(error["ctx"]["expected_tags"]), error["ctx"]["tag"])
        case "value_error":
            return str(error["ctx"]["error"]), None
        case "string_pattern_mismatch" if error["ctx"]["pattern"] in FORMS:
            return FORMS[error["ctx"]["pattern"]], None
        case found if found in WANTED:
            return WANTED[found].format(**error.get("ctx", {})), None
        case _:
            text: str = error["msg"]
            return text[0].lower() + text[1:], None


def shown(name: str) -> str:
    """Return a name that was sent, cut where it is too long to be meant."""
    return name if len(name) <= NAME_CHARS_SHOWN else f"{name[:NAME_CHARS_SHOWN]}\N{HORIZONTAL ELLIPSIS}"


def _one_of(must: str, allowed: str, value: Any) -> tuple[str, str | None]:
    options = [option.strip(" '") for option in allowed.replace(" or ", ",").split(",")]
    return f"{must} be one of {allowed}", _near(value, options)


def _near(name: Any, known: Iterable[str]) -> str | None:
    # What is longer is no mistyped name, and comparing takes the longer the longer both are.
    if not isinstance(name, str) or len(name) > NAME_CHARS_SHOWN:
        return None
    return nearest(name, known)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return what is so like the name that it was probably meant; nothing rather than what misleads."""
    options, name = list(known), name[:NAME_CHARS_SHOWN]
    # Two letters exchanged make a short word look unlike itself.
    exchanged = [option for option in options if sorted(option) == sorted(name)]
    return next(iter(exchanged or get_close_matches(name, options, n=1, cutoff=ALIKE_LEAST)), None)


def _names_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    schema = schema_for_names(model)
    at: Any = schema
    for name in loc:
        at = _resolved(at, schema)
        if isinstance(name, int):
            at = at.get("items", {})
        elif name in at.get("properties", {}):
            at = at["properties"][name]
        elif "discriminator" in at:
            at = {"$ref": at["discriminator"]["mapping"].get(name, "")}
    return list(_resolved(at, schema).get("properties", {}))


@cache
def schema_for_names(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's schema, made once: that takes milliseconds, and models are as few as kinds and requests."""
    return model.model_json_schema()


def _resolved(at: Any, schema: Mapping[str, Any]) -> Any:
    options = [option for option in at.get("anyOf", []) if option.get("type") != "null"]
    if len(options) == 1:
        at = options[0]
    if "$ref" in at:
        return schema["$defs"].get(at["$ref"].rsplit("/", 1)[-1], {})
    return at
