# SPDX-License-Identifier: Apache-2.0
"""What a real API server was heard to say, word for word: tests/fixtures/kube/NAME.http.

Each file is a request's first line, an empty line, and the answer: status line, headers, an empty line, the body without its
chunks. `make check-kubernetes` hears it again, and compares; RECORD=1 writes it down.
"""

import collections
import json
import pathlib

DIRECTORY = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "kube"
HEADERS = ("content-type", "retry-after")

Said = collections.namedtuple("Said", "request status headers body")


def load(name):
    text = (DIRECTORY / f"{name}.http").read_text()
    request, _, answer = text.partition("\n\n")
    head, _, body = answer.partition("\n\n")
    first, *lines = head.splitlines()
    return Said(request, int(first.split()[1]), [tuple(line.split(": ", 1)) for line in lines], body)


def save(name, said):
    kept = [f"{key}: {value}" for key, value in said.headers if key.lower() in HEADERS]
    text = "\n".join([said.request, "", f"HTTP/1.1 {said.status}", *kept, "", said.body])
    (DIRECTORY / f"{name}.http").write_text(text)


def names():
    return sorted(path.stem for path in DIRECTORY.glob("*.http"))


def objects(said):
    """The JSON objects of a body, a line each; [] if it is none."""
    try:
        return [json.loads(line) for line in said.body.splitlines()]
    except ValueError:
        return []


def gist(said):
    """What must be the same the next time: no names, numbers and times; nor how many bookmarks there were in a row."""
    def of(thing):
        thing = thing.get("object", thing) | {"type": thing.get("type")}
        details = thing.get("details") or {}
        causes = [cause.get("reason") for cause in details.get("causes") or []]
        return [thing.get(key) for key in ("type", "kind", "status" if thing.get("kind") == "Status" else "kind", "reason", "code")] + [
            causes, details.get("retryAfterSeconds")
        ]  # fmt: skip

    headers = sorted(key.lower() for key, _ in said.headers if key.lower() in HEADERS)
    things = [of(thing) for thing in objects(said)]
    things = [thing for before, thing in zip([None, *things], things) if thing != before or thing[0] != "BOOKMARK"]
    return said.status, headers, things or said.body
