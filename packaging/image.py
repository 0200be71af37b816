#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The container image, as an OCI archive: our programs, and the libraries that they need. Nothing else: no shell.

    image.py VERSION BUILD >flannel.oci.tar

Neither a registry nor a daemon is asked. The same files make the same bytes: names are sorted, times are
SOURCE_DATE_EPOCH's. `podman load` and `ctr images import` take it.
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import sys
import tarfile
import time

import sbom

NAME = "localhost/flannel"
# Where flannel's image has them; the plugin where the daemon looks for it.
PROGRAMS = {
    "flanneld": "opt/bin/flanneld", "fabricctl": "opt/bin/fabricctl", "install-conf": "opt/bin/install-conf",
    "flannel": "opt/cni/bin/flannel",
}  # fmt: skip
LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def closure(programs):
    """{name: path} of all libraries that are needed, by the programs or by these. What a library would open if it was
    there (a plugin of GSSAPI, a database of users) is left out."""
    found, todo = {}, [name for program in programs for name in sbom.needed(program)]
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = sbom.path_of(name)
            todo += linked(pathlib.Path(found[name]).resolve())
    return found


def linked(library):
    return re.findall(r"^ +NEEDED +(\S+)$", sbom.run("objdump", "-p", str(library)), re.M)


def layer(build, epoch):
    """{name in the image: (mode, bytes or the target of a link)}"""
    files = {to: (0o755, (build / name).read_bytes()) for name, to in PROGRAMS.items()}
    loader = LOADERS[platform.machine()]
    files[loader.lstrip("/")] = (0o755, pathlib.Path(loader).resolve().read_bytes())
    for name, path in closure(build / name for name in PROGRAMS).items():
        if name == pathlib.Path(loader).name:
            continue
        files[f"usr/lib/{name}"] = (0o644, pathlib.Path(path).resolve().read_bytes())
    out = io.BytesIO()
    directories = {str(parent) for name in files for parent in pathlib.PurePath(name).parents} - {"."}
    directories |= {"etc/kube-flannel", "run/flannel", "var/lib/flannel", "var/lib/cni/flannel", "tmp"}
    directories |= {str(parent) for name in directories for parent in pathlib.PurePath(name).parents} - {"."}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(directories | set(files)):
            info = tarfile.TarInfo(name)
            info.mtime = epoch
            if name in directories:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                info.mode, data = files[name]
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def dumps(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def main():
    version, build = sys.argv[1], pathlib.Path(sys.argv[2])
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    blobs = {}

    def add(data, media_type, **more):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)} | more

    plain = layer(build, epoch)
    labels = {
        "org.opencontainers.image.title": "flannel",
        "org.opencontainers.image.description": "an overlay network for containers: daemon, CNI plugin, tool",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.created": date,
        "org.opencontainers.image.licenses": sbom.LICENSE,
    }
    packed = add(gzip.compress(plain, 6, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")
    config = {
        "created": date, "architecture": ARCHITECTURES[platform.machine()], "os": "linux",
        "config": {"Entrypoint": ["/opt/bin/flanneld"], "Env": ["PATH=/opt/bin"], "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]},
        "history": [{"created": date, "created_by": "packaging/image.py"}],
    }  # fmt: skip
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [packed],
        "config": add(dumps(config), "application/vnd.oci.image.config.v1+json"), "annotations": labels,
    }  # fmt: skip
    # A tag has no plus sign.
    tag = f"{NAME}:{version.replace('+', '-')}"
    names = {"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": tag}
    index = {"schemaVersion": 2, "manifests": [add(dumps(manifest), manifest["mediaType"], annotations=names)]}
    blobs["index.json"] = dumps(index)
    blobs["oci-layout"] = dumps({"imageLayoutVersion": "1.0.0"})
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(blobs.items()):
            info = tarfile.TarInfo(name)
            info.mtime, info.mode, info.size = epoch, 0o644, len(data)
            tar.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    main()
