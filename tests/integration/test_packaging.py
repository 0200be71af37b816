# SPDX-License-Identifier: Apache-2.0
"""The bill of materials: valid SPDX, and complete."""

import hashlib
import json
import os
import re
import shutil

import pytest

import fabric
from netns import run

USING_CURL = [fabric.FLANNELD, fabric.FABRICCTL]
PROGRAMS = [*USING_CURL, fabric.CNI_PLUGIN, fabric.BUILD / "mk-docker-opts"]
# What the schema of SPDX 2.3 requires of each.
DOCUMENT = {"SPDXID", "creationInfo", "dataLicense", "documentNamespace", "name", "spdxVersion"}
PACKAGE = {"SPDXID", "downloadLocation", "name"}
FILE = {"SPDXID", "checksums", "fileName"}
RELATION = {"spdxElementId", "relatedSpdxElement", "relationshipType"}
REFERENCE = {"referenceCategory", "referenceLocator", "referenceType"}
KINDS = {"DESCRIBES", "CONTAINS", "DYNAMIC_LINK", "STATIC_LINK"}


def bill(**environment):
    for tool in ("dpkg-query", "objdump"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    script = fabric.ROOT / "packaging/sbom.py"
    return run("/usr/bin/python3", script, "1.2.3", *PROGRAMS, env=os.environ | environment)


def test_bill_of_materials_is_valid():
    text = bill(SOURCE_DATE_EPOCH="1700000000")
    document = json.loads(text)
    assert DOCUMENT <= document.keys() and document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0"
    assert document["creationInfo"] == {"created": "2023-11-14T22:13:20Z", "creators": ["Tool: flannel-sbom-1.2.3"]}
    assert re.fullmatch(r"https://\S+[^#]", document["documentNamespace"])
    for things, required in (("packages", PACKAGE), ("files", FILE), ("relationships", RELATION)):
        assert document[things] and all(required <= thing.keys() for thing in document[things])
    for package in document["packages"]:
        assert all(REFERENCE <= reference.keys() for reference in package.get("externalRefs", []))
    ids = [thing["SPDXID"] for thing in [document, *document["packages"], *document["files"]]]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids)
    for relation in document["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= set(ids)
        assert relation["relationshipType"] in KINDS
    assert text == bill(SOURCE_DATE_EPOCH="1700000000")


def test_bill_of_materials_is_complete():
    """Every program with its sum, and every library that the linker resolves for it, by the linker's own account."""
    document = json.loads(bill())
    names = {package["SPDXID"]: package["name"] for package in document["packages"]}
    for program in PROGRAMS:
        file = next(f for f in document["files"] if f["fileName"] == f"./{program.name}")
        sums = {c["algorithm"]: c["checksumValue"] for c in file["checksums"]}
        assert sums["SHA256"] == hashlib.sha256(program.read_bytes()).hexdigest()
        needs = [r["relatedSpdxElement"] for r in document["relationships"] if r["spdxElementId"] == file["SPDXID"]]
        have = {names[need] for need in needs}
        static = program == fabric.CNI_PLUGIN and not fabric.SANITIZED
        assert ({"libc6-dev", "libjansson-dev", "uthash-dev"} if static else {"libc6", "uthash-dev"}) <= have
        wanted = set(re.findall(r"NEEDED +lib([a-z_-]+)", run("objdump", "-p", program))) - {"c", "asan", "ubsan"}
        for library in wanted:
            assert any(name.startswith(f"lib{library.replace('_', '-').rstrip('-')}") for name in have), (library, have)
        for library in ("libcurl", "libprotobuf-c"):
            assert (library in " ".join(have)) == (program in USING_CURL)


def test_the_plugin_needs_nothing_of_the_host(tmp_path):
    """An init container copies it to hosts that have none of its libraries, or a C library of another version, or none."""
    if fabric.SANITIZED:
        pytest.skip("sanitizers bring a library")
    shutil.copy(fabric.CNI_PLUGIN, tmp_path)
    answer = run(shutil.which("chroot"), tmp_path, "/flannel", env={"CNI_COMMAND": "VERSION"})
    assert "1.1.0" in json.loads(answer)["supportedVersions"]
