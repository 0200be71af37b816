# SPDX-License-Identifier: Apache-2.0
"""Every JSON document that a test gets is as docs/schema says, and has nothing that is not said there.

`check` is called by whoever reads a document of the daemon or of fabricctl. Without python3-jsonschema it looks at nothing.
"""

import copy
import functools
import json
import pathlib

try:
    import jsonschema
except ImportError:
    jsonschema = None

DIRECTORY = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "schema"
MAX_SIZE = 200_000  # of thousands of leases one is like the other, and this is slow


def read(name):
    return json.loads((DIRECTORY / f"{name}.json").read_text())


def kinds():
    return sorted(path.stem for path in DIRECTORY.glob("*.json") if path.stem != "common")


def extended(schema):
    """Definitions that others add members to."""
    if isinstance(schema, dict):
        yield from (part["$ref"].rpartition("/")[2] for part in schema.get("allOf", ()) if "$ref" in part)
        for value in schema.values():
            yield from extended(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from extended(value)


def close(schema):
    """Members that it does not name are errors, here; for readers they are what a newer version adds."""
    if isinstance(schema, dict):
        if "properties" in schema and "additionalProperties" not in schema:
            schema["unevaluatedProperties"] = False
        for value in list(schema.values()):
            close(value)
    elif isinstance(schema, list):
        for value in schema:
            close(value)
    return schema


@functools.cache
def common():
    everything = [read(kind) for kind in kinds()]
    plain = read("common")
    strict = close(copy.deepcopy(plain))
    for name in set(extended(everything)):
        # The one that stands alone is closed, the one that is added to is not.
        strict["$defs"][f"{name}+"] = strict["$defs"][name]
        strict["$defs"][name] = {k: v for k, v in strict["$defs"][name].items() if k != "unevaluatedProperties"}
    return strict


def point_to_closed(schema, names, inside=False):
    if isinstance(schema, dict):
        reference = schema.get("$ref", "").rpartition("/")[2]
        if reference in names and not inside:
            schema["$ref"] += "+"
        for key, value in schema.items():
            point_to_closed(value, names, key == "allOf")
    elif isinstance(schema, list):
        for value in schema:
            point_to_closed(value, names, inside)


@functools.cache
def validator(kind):
    names = {name[:-1] for name in common()["$defs"] if name.endswith("+")}
    schema = close(read(kind))
    point_to_closed(schema, names)
    store = {"common.json": common(), f"{kind}.json": schema}
    resolver = jsonschema.RefResolver(f"{kind}.json", schema, store)
    return jsonschema.Draft202012Validator(schema, resolver=resolver)


def complaints(document):
    """One line each; None where it cannot be said."""
    if jsonschema is None:
        return None
    kind = document.get("kind")
    if kind not in kinds():
        return [f"docs/schema has nothing of kind {kind}"]
    found = validator(kind).iter_errors(document)
    return [f"{kind}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in found]


def check(text):
    """What is a document of ours must be as it should be; other text is nobody's business here."""
    if jsonschema is None or not text or len(text) > MAX_SIZE or not text.startswith("{"):
        return
    try:
        document = json.loads(text)
    except ValueError:
        return
    if isinstance(document, dict) and "apiVersion" in document:
        assert not complaints(document), "\n".join(complaints(document)[:10])
