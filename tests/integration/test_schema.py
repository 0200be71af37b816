# SPDX-License-Identifier: Apache-2.0
"""docs/schema: one for each kind of document, that says neither too little nor too much. Whether documents are so is asked by every test
that reads one (schema.check)."""

import copy
import re
import subprocess
import sys

import pytest

import schema
from fabric import ROOT
from fabricctl_support import OK, fabricctl

needs_jsonschema = pytest.mark.skipif(schema.jsonschema is None, reason="python3-jsonschema is not installed")


def test_there_is_one_for_each_kind():
    text = "".join(path.read_text() for name in ("fabricctl", "flanneld") for path in (ROOT / name).glob("*.c"))
    made = set(re.findall(r'(?:ctl|report)_document\("(\w+)"\)', text)) | set(re.findall(r'_API_VERSION,\s+"kind",\s+"(\w+)"', text))
    assert len(made) > 25 and made == set(schema.kinds())


@needs_jsonschema
@pytest.mark.parametrize("kind", [*schema.kinds(), "common"])
def test_each_is_a_schema(kind):
    document = schema.read(kind)
    schema.jsonschema.Draft202012Validator.check_schema(document)
    assert document["$id"] == f"{kind}.json" and document["description"]
    if kind != "common":
        assert document["properties"]["kind"] == {"const": kind}


@needs_jsonschema
def test_it_sees_what_is_wrong():
    document = {
        "apiVersion": "fabric/v1", "kind": "Diff", "generated": "2026-01-02T03:04:05.006Z",
        "items": [{"action": "create", "kind": "route", "object": "route 10.5.1.0/24"}],
    }  # fmt: skip
    assert schema.complaints(document) == []

    def altered(change):
        other = copy.deepcopy(document)
        change(other)
        return schema.complaints(other)

    assert altered(lambda d: d.update(more=1)) and altered(lambda d: d["items"][0].update(more=1))
    assert altered(lambda d: d.pop("generated")) and altered(lambda d: d["items"][0].pop("object"))
    assert altered(lambda d: d["items"][0].update(action="make")) and altered(lambda d: d.update(generated="yesterday"))
    assert altered(lambda d: d.update(items=None)) and altered(lambda d: d.update(kind="Difference"))
    with pytest.raises(AssertionError, match="more"):
        schema.check('{"apiVersion": "fabric/v1", "kind": "Sync", "generated": "2026-01-02T03:04:05.006Z", "writes": 1, "seconds": 1.0, "more": 1}')


@needs_jsonschema
def test_what_needs_nobody():
    for command in ("version", "explain", "explain watch-lost"):
        done = fabricctl(*command.split(), "-o", "json", "--socket=/nonexistent", "--config-file=/dev/null")
        assert done.returncode == OK and done.stdout.startswith("{")


@needs_jsonschema
def test_the_command_in_the_manual(tmp_path):
    document = tmp_path / "version.json"
    document.write_text(fabricctl("version", "-o", "json", "--socket=/nonexistent", "--config-file=/dev/null").stdout)
    argv = [sys.executable, "-m", "jsonschema", "-i", document, "--base-uri", f"{schema.DIRECTORY.as_uri()}/", schema.DIRECTORY / "Version.json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document.write_text(document.read_text().replace("fabric/v1", "fabric/v2"))
    assert subprocess.run(argv, capture_output=True, text=True, check=False).returncode == 1
