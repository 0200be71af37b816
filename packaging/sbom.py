#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The bill of materials of what was built, as SPDX 2.3 JSON: our programs, and the libraries that each needs.

    sbom.py VERSION PROGRAM... >flannel.spdx.json

What a program needs is read from the program itself, what it is linked with and what it loads when it needs it, and of
which package a library is, from dpkg. The time is SOURCE_DATE_EPOCH's if it is set, so that two builds of one commit tell
the same.
"""

import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

LICENSE = "Apache-2.0"
HEADERS = ["/usr/include/uthash.h"]  # libraries that are headers only: their code is in the programs
HOME = "https://spdx.org/spdxdocs/flannel"


def run(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout


def needed(program):
    """Names of shared objects: those it is linked with, and those it opens by name. A static program has none."""
    linked = re.findall(r"^ +NEEDED +(\S+)$", run("objdump", "-p", str(program)), re.M)
    if not linked:
        return []
    opened = re.findall(rb"lib[a-z0-9-]+\.so\.\d+", program.read_bytes())
    return sorted({*linked, *(name.decode() for name in opened)})


@functools.cache
def archives():
    """What a static program has in it."""
    return [str(pathlib.Path(run("gcc", f"-print-file-name={name}").strip()).resolve()) for name in ("libjansson.a", "libc.a")]


def linked_with(program):
    """[(kind of relation, path of a library or of its header), ...]"""
    shared = [("DYNAMIC_LINK", path_of(library)) for library in needed(program)]
    return (shared or [("STATIC_LINK", path) for path in archives()]) + [("STATIC_LINK", header) for header in HEADERS]


@functools.cache
def libraries():
    """{"libjansson.so.4": "/lib/x86_64-linux-gnu/libjansson.so.4", ...}"""
    lines = run("/sbin/ldconfig", "-p").splitlines()[1:]
    return {line.split()[0]: line.split(" => ")[1] for line in reversed(lines) if " => " in line}


def path_of(library):
    if library not in libraries():
        sys.exit(f"sbom: {library} is not installed")
    return libraries()[library]


def candidates(path):
    """A file's names: before and after /lib and /usr/lib became one, and what a link leads to."""
    return list(dict.fromkeys([path, path.removeprefix("/usr"), str(pathlib.Path(path).resolve())]))


def packages_of(paths):
    """{path: (name, version, source, homepage) of the Debian package that the file is of}. All at once: dpkg is slow."""
    asked = [name for path in paths for name in candidates(path)]
    done = subprocess.run(["dpkg", "-S", *asked], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    owners = {name: owner.split(",")[0] for owner, name in (line.split(": ", 1) for line in done.stdout.splitlines())}
    found = {path: next((owners[name] for name in candidates(path) if name in owners), None) for path in paths}
    if None in found.values():
        sys.exit(f"sbom: no package has {next(path for path in paths if found[path] is None)}")
    form = "${binary:Package}\t${Version}\t${source:Package}\t${Homepage}\n"
    fields = {}
    for line in run("dpkg-query", "-W", "-f", form, *sorted(set(found.values()))).splitlines():
        name, *rest = line.split("\t")
        fields[name] = fields[name.split(":")[0]] = (name, *rest)
    return {path: fields[name] for path, name in found.items()}


def spdx_id(text):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", text)


def our_file(program):
    content = program.read_bytes()
    return {
        "SPDXID": spdx_id(f"File-{program.name}"),
        "fileName": f"./{program.name}",
        "fileTypes": ["BINARY"],
        "checksums": [
            {"algorithm": kind.upper(), "checksumValue": hashlib.new(kind, content).hexdigest()}
            for kind in ("sha1", "sha256")
        ],
        "licenseConcluded": LICENSE,
        "copyrightText": "NOASSERTION",
    }


def our_package(version):
    return {
        "SPDXID": spdx_id("flannel"),
        "name": "flannel",
        "versionInfo": version,
        "supplier": "NOASSERTION",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": LICENSE,
        "licenseDeclared": LICENSE,
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "APPLICATION",
    }


def debian_package(binary, version, source, homepage):
    name = binary.split(":")[0]
    purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}"
    return {
        "SPDXID": spdx_id(f"Package-{name}"),
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION",
        **({"homepage": homepage} if homepage else {}),
        "sourceInfo": f"built from the source package {source}",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl},
        ],
    }


def document(version, programs, now):
    ours, files, others = our_package(version), [our_file(p) for p in programs], {}
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", ours["SPDXID"])]
    relations += [(ours["SPDXID"], "CONTAINS", file["SPDXID"]) for file in files]
    parts = [linked_with(program) for program in programs]
    known = packages_of(sorted({path for of_one in parts for _, path in of_one}))
    for file, of_one in zip(files, parts):
        for kind, path in of_one:
            package = debian_package(*known[path])
            others[package["SPDXID"]] = package
            relations.append((file["SPDXID"], kind, package["SPDXID"]))
    digest = hashlib.sha256("".join(f["checksums"][1]["checksumValue"] for f in files).encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"flannel-{version}",
        "documentNamespace": f"{HOME}-{version}-{digest[:32]}",
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "creators": [f"Tool: flannel-sbom-{version}"],
        },
        "packages": [ours, *(others[key] for key in sorted(others))],
        "files": files,
        "relationships": [
            {"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b}
            for a, kind, b in dict.fromkeys(relations)
        ],
    }


def main():
    now = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    json.dump(document(sys.argv[1], [pathlib.Path(p) for p in sys.argv[2:]], now), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
