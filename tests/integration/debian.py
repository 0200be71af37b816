# SPDX-License-Identifier: Apache-2.0
"""Programs of any Debian suite that are not installed here: fetched once by an apt of their own, and unpacked, not installed.

    root = unpacked("trixie", "lxc", "libc6", ...)     # a folder with usr/bin/lxc-start and so on
    run(*loaded(root, "usr/bin/lxc-start"), ...)       # with its own libraries; what it starts has the machine's
    path = program("consul", "bullseye", "consul")     # the machine's own, or of that suite

They stay in the build directory. A machine that cannot have them within a minute skips the test.
"""

import fcntl
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time

import pytest

from fabric import FLANNELD

OWN = platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
GUEST = pathlib.Path(__file__).resolve().parents[1] / "guest"
FETCH_S = 60
TRY_AGAIN_S = 3600


def _fetch(folder, suite, packages, dependencies):
    sys.path.insert(0, str(GUEST))
    import guest

    apt = guest.Apt(folder.parent, suite)
    debs = folder / "debs"
    for left in (debs, folder / "part"):
        shutil.rmtree(left, ignore_errors=True)
    (debs / "partial").mkdir(parents=True)
    deadline = time.monotonic() + FETCH_S

    def run(*argv):
        apt.run("apt-get", "-qq", *argv, cwd=debs, stderr=subprocess.PIPE, timeout=max(deadline - time.monotonic(), 1))

    def download():
        if not dependencies:
            run("download", *packages)
            return
        run("-y", "--no-install-recommends", "--download-only", "-o", f"Dir::Cache::archives={debs}", "install", *packages)

    if not any(apt.folder.glob("lists/*Packages*")):
        run("update")
    try:
        download()
    except subprocess.CalledProcessError:  # what the lists of an earlier day name may be there no more
        run("update")
        download()
    for package in debs.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder / "part"], check=True)
    shutil.rmtree(debs)
    for name in ("bin", "sbin", "lib", "lib64"):  # older suites have them beside usr
        if (folder / "part" / name).is_dir():
            shutil.copytree(folder / "part" / name, folder / "part" / "usr" / name, symlinks=True, dirs_exist_ok=True)
    (folder / "part").rename(folder / "root")


def unpacked(suite, *packages, dependencies=False):
    """The folder in which these packages of that suite are, with all that they depend on if asked for; skips the test where they
    cannot be had."""
    above = FLANNELD.parent / "debian"
    folder = above / f"{suite}-{packages[0]}"
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    with (above / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Where a suite has no lists there is nothing of it, and the next test does not wait for that again.
        failed = folder / "failed" if any(above.glob(f"apt-{suite}/lists/*Packages*")) else above / f"{suite}.failed"
        tried = failed.exists() and time.time() - failed.stat().st_mtime < TRY_AGAIN_S
        if not root.exists() and not tried:
            try:
                _fetch(folder, suite, packages, dependencies)
            except (OSError, ValueError, subprocess.SubprocessError) as e:
                said = getattr(e, "stderr", None) or str(e)
                failed.write_text((said.decode() if isinstance(said, bytes) else said).strip().splitlines()[-1])
    if not root.exists():
        pytest.skip(f"{packages[0]} cannot be had from Debian's {suite}: {failed.read_text()[:200]}")
    return root


def loaded(root, path):
    """The command that runs a program of such a folder with the libraries that are there, and else the machine's."""
    libraries = sorted({str(library.parent) for library in root.glob("**/lib*.so.*")})
    loader = next((one for folder in (root, pathlib.Path("/lib64"), pathlib.Path("/lib")) for one in sorted(folder.glob("**/ld-linux*.so.*"))), None)
    return [str(loader), "--library-path", ":".join(libraries), str(root / path)]


def program(name, suite, *packages, variable=None):
    """Path of a program: what `variable` of the environment says, or the machine's, or that suite's."""
    if found := os.environ.get(variable or "") or shutil.which(name):
        return found
    root = unpacked(suite, *packages)
    return next(str(path) for directory in ("usr/bin", "usr/sbin", "bin", "sbin") if (path := root / directory / name).exists())
