#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' own programs, built once from the source package of Debian 12 and kept outside the tree.

    build.py        prints the folder in which they are; builds them first if they are not there, which takes half an hour

Debian builds kubectl alone from that package, but all of Kubernetes is in it, with what it needs. The compiler is
Debian 12's as well and is unpacked, not installed. With it the package's own copy of one library (modern-go/reflect2)
makes programs that crash; Debian's package of that library takes its place.

An apt of its own fetches them, with the source, proxies and keys of this machine's, and nothing else of it.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "guest"))

import guest

SUITE = "bookworm"
VERSION = "1.20.2"
COMMIT = "faecb196815e248d3ecfb03c680a4507229c2a56"  # what the programs say of themselves; upstream's of that version
PROGRAMS = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"]
COMPILER = ["golang-1.19-go", "golang-1.19-src"]
LIBRARY = "golang-github-modern-go-reflect2-dev"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "flannel-kubernetes"


def missing():
    """What this machine lacks to build them, as a line, or None."""
    for program in ("apt-get", "dpkg-source", "dpkg-deb", "make", "rsync", "gcc"):
        if not shutil.which(program):
            return f"{program} is not installed"
    return None


def run(*argv, **options):
    subprocess.run([str(a) for a in argv], check=True, **options)


def fetch(folder):
    """The source in folder/source, the compiler and the library in folder/debian."""
    with tempfile.TemporaryDirectory(dir=folder) as directory:
        apt = guest.Apt(pathlib.Path(directory), SUITE)
        sources = apt.folder / "sources.list"
        text = sources.read_text(encoding="ascii")
        sources.write_text(text + text.replace("deb ", "deb-src ", 1), encoding="ascii")
        apt.run("apt-get", "update", "-qq")
        apt.run("apt-get", "source", "-qq", "--download-only", "kubernetes", cwd=directory)
        apt.run("apt-get", "download", "-qq", *COMPILER, LIBRARY, cwd=directory)
        for package in pathlib.Path(directory).glob("*.deb"):
            run("dpkg-deb", "-x", package, folder / "debian")
        (description,) = pathlib.Path(directory).glob("*.dsc")
        # apt has checked it.
        run("dpkg-source", "--no-check", "-x", description, folder / "source.part", stdout=subprocess.DEVNULL)
    vendored = folder / "source.part" / "vendor/github.com/modern-go/reflect2"
    shutil.rmtree(vendored)
    shutil.copytree(folder / "debian/usr/share/gocode/src/github.com/modern-go/reflect2", vendored)
    (folder / "source.part").rename(folder / "source")


def compile_all(folder):
    source, go = folder / "source", folder / "debian/usr/lib/go-1.19"
    version = folder / "version"
    major, minor, _ = VERSION.split(".")
    lines = {"COMMIT": COMMIT, "TREE_STATE": "archive", "VERSION": f"v{VERSION}", "MAJOR": major, "MINOR": minor}
    version.write_text("".join(f"KUBE_GIT_{name}='{value}'\n" for name, value in lines.items()))
    # The layout that its makefile wants.
    link = source / ".go/src/k8s.io/kubernetes"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to("../../..")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "GO", "CC"))}
    environment |= {
        "PATH": f"{go}/bin:{os.environ['PATH']}", "GOROOT": str(go), "GOPATH": str(source / ".go"), "HOME": str(folder),
        # Without a tag here its makefile takes all of these flags for one. This one leaves out what no test needs and compiles longest.
        "GOFLAGS": "-mod=vendor -p=2 -tags=providerless",
        "GOPROXY": "off", "GOMAXPROCS": "2", "CGO_ENABLED": "0", "KUBE_GIT_VERSION_FILE": str(version),
    }  # fmt: skip
    with open(folder.parent / "build.log", "wb") as log:
        what = "WHAT=" + " ".join(f"cmd/{program}" for program in PROGRAMS)
        # It yields to everybody else on the machine.
        run("nice", "-n", "19", "make", what, cwd=source, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def build():
    """Returns the folder."""
    programs = CACHE / VERSION
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if programs.exists():
            return programs
        if reason := missing():
            raise SystemExit(f"kubernetes: {reason}")
        folder = CACHE / "work"
        folder.mkdir(exist_ok=True)
        print(f"kubernetes: {', '.join(PROGRAMS)} are built once, see {CACHE}/build.log", file=sys.stderr, flush=True)
        if not (folder / "source").exists():
            shutil.rmtree(folder)
            folder.mkdir()
            fetch(folder)
        try:
            compile_all(folder)
        except subprocess.CalledProcessError:
            lines = (CACHE / "build.log").read_text(errors="replace").splitlines()
            raise SystemExit("\n".join(["kubernetes: they do not build", *lines[-20:]])) from None
        part = CACHE / f"{VERSION}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for program in PROGRAMS:
            shutil.copy(folder / "source/_output/bin" / program, part)
        part.rename(programs)
        shutil.rmtree(folder)
        return programs


if __name__ == "__main__":
    print(build())
