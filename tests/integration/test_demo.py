# SPDX-License-Identifier: Apache-2.0
"""The demo, with each store: it does what it shows, what it says is true, and nothing of it is left."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

import netns
from fabric import BUILD, FABRICCTL, FLANNELD, ROOT
from netns import NAMES, run, wait_for

SCRIPT = ROOT / "tests" / "demo" / "demo.sh"
SHOWN = {"etcd": "etcd at 192.0.2.254:2379", "file": "leases in the directory {directory}/store"}


class Demo:
    """One demo under a name and in a directory of its own."""

    def __init__(self, **environment):
        self.name = f"{netns.unique_prefix()}-demo"
        self.home = netns.temporary_directory()
        self.directory = self.home / "demo"
        self.programs = self.home / "bin"
        self.programs.mkdir()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))} | {
            "DEMO_NAME": self.name,
            "DEMO_DIR": str(self.directory),
            "DEMO_IPERF_SECONDS": "1",
            "PATH": f"{self.programs}:{os.environ['PATH']}",
        }
        self.environment |= environment

    def script(self, verb):
        return subprocess.Popen(
            ["bash", SCRIPT, verb, BUILD], env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def forbid(self, *names):
        """Who calls one of these programs is told no, and it is noted."""
        for name in names:
            program = self.programs / name
            program.write_text(f"#!/bin/sh\necho {name} >>{self.home}/called\nexit 1\n")
            program.chmod(0o755)

    @property
    def called(self):
        return (self.home / "called").exists()

    def namespaces(self):
        return [name for name in os.listdir(NAMES) if name.startswith(f"{self.name}-")]

    def processes(self):
        """Those whose command line names the demo's directory or one of its namespaces."""
        found = []
        for directory in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (directory / "cmdline").read_text(errors="replace")
            except OSError:
                continue
            if str(self.directory) in words or f"{self.name}-" in words:
                found.append(words.replace("\0", " "))
        return found

    def assert_nothing_left(self):
        assert self.namespaces() == []
        assert not self.directory.exists()
        assert self.processes() == []

    def close(self):
        if self.directory.exists():
            self.script("stop").communicate(timeout=60)
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture
def demo():
    """Makes demos, and ends what is left of them."""
    made = []

    def make(**environment):
        made.append(Demo(**environment))
        return made[-1]

    if not (FLANNELD.exists() and FABRICCTL.exists()):
        pytest.fail(f"{BUILD} has no programs")
    for program in ("jq", "iperf3", "etcdctl"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    yield make
    for one in made:
        one.close()


def end_of(process, status=0):
    output, _ = process.communicate(timeout=90)
    assert process.returncode == status, output
    return output


def check_picture(output, store, one):
    assert len(re.findall(r"<──> h\d .* 0 of 40 pings$", output, re.M)) == 3, output
    assert re.search(r"throughput .* [0-9.]+ [GM]bit/s", output), output
    assert len(re.findall(r"10\.5\.\d+\.0/24 +h[123] .* ok$", output, re.M)) == 3, output
    assert SHOWN[store].format(directory=one.directory) in output
    assert ("etcd at" in output) == (store == "etcd"), output


@pytest.mark.long
def test_both_stores_at_the_same_time(demo):
    """Two demos beside each other, which have nothing in common but the machine. Of etcd one needs nothing."""
    demos = {store: demo(STORE=store) for store in SHOWN}
    demos["file"].forbid("etcd", "etcdctl")
    running = {store: one.script("run") for store, one in demos.items()}
    for store, one in demos.items():
        check_picture(end_of(running[store]), store, one)
        one.assert_nothing_left()
    assert not demos["file"].called


def look_around(output):
    """{"the leases": "ip netns exec ...", ...} as the text says it; the way to break something is "break"."""
    text = output.split("It is left running")[1]
    lines = dict(re.findall(r"^  (\S.*?) {2,}(\S.*)$", text, re.M))
    return lines | {"break": re.search(r"^ {10,}(ip .*)$", text, re.M)[1]}


@pytest.mark.slow
@pytest.mark.parametrize("store", SHOWN)
def test_left_running_it_can_be_looked_at(demo, store):
    one = demo(STORE=store, KEEP="1")
    output = end_of(one.script("run"))
    check_picture(output, store, one)
    lines = look_around(output)

    def told(what):
        return run("bash", "-c", lines[what], env=one.environment)

    subnets = set(re.findall(r"^\s*(10\.5\.\d+\.0/24) +h[123] ", output, re.M))
    for what in ("the leases", "read without a daemon"):
        assert set(re.findall(r"^(10\.5\.\d+\.0/24) +h[123] ", told(what), re.M)) == subnets
    well = told("is all well")
    assert re.search(r"flanneld .* ok ", well)
    where = rf"store +file {one.directory}/" if store == "file" else r"store +etcd http://192\.0\.2\.254:2379"
    assert re.search(where, well), well
    stored = told("the store")
    assert '"Network": "10.5.0.0/16"' in stored
    assert {f"10.5.{n}.0/24" for n in re.findall(r"subnets/10\.5\.(\d+)\.0-24", stored)} == subnets
    assert told("the kernel").count("dst 192.0.2.") == 2
    lines["a container"] += " -c 3 -i 0.2"
    assert "3 received" in told("a container")
    lines["what a daemon says"] = lines["what a daemon says"].replace("tail -f", "tail")
    assert "ready" in told("what a daemon says")
    told("break")
    wait_for(lambda: told("the kernel").count("dst 192.0.2.") == 2, 5, "the device is back with its peers")
    wait_for(lambda: "3 received" in told("a container"), 5, "and takes packets")

    assert "is there: a demo is still running" in end_of(one.script("run"), 1)
    assert len(one.namespaces()) == 7, "and that did no harm"
    assert lines["end it"] == f"make demo-stop DEMO_NAME={one.name} DEMO_DIR={one.directory}"
    run("bash", "-c", f"cd '{ROOT}' && {lines['end it']} BUILD='{BUILD}'", env=one.environment)
    one.assert_nothing_left()
    assert "no demo is running" in end_of(one.script("stop"), 1)


@pytest.mark.parametrize("value", ["zookeeper", "", "file:/tmp/x"])
def test_a_store_that_is_none(demo, value):
    """Said before anything is made."""
    one = demo()
    done = run("make", "-C", ROOT, "demo", f"STORE={value}", f"BUILD={BUILD}", env=one.environment, check=False)
    assert done.returncode != 0
    assert f'STORE is "{value}", must be etcd or file' in done.stderr
    assert done.stdout.count("\n") <= 2, "make itself speaks of directories, nobody else does"
    one.assert_nothing_left()


def test_a_backend_that_is_none(demo):
    one = demo()
    done = run("make", "-C", ROOT, "demo", "BACKEND=alloc", f"BUILD={BUILD}", env=one.environment, check=False)
    assert done.returncode != 0
    assert 'BACKEND is "alloc", must be vxlan, host-gw, wireguard, ipip, udp or ipsec' in done.stderr
    one.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("backend", ["host-gw", "wireguard", "ipip", "udp", "ipsec"])
def test_with_another_backend(demo, backend):
    """Where the kernel can; otherwise it says what for it would run in a guest."""
    one = demo(STORE="file", BACKEND=backend)
    output, _ = (kernel := one.script("kernel")).communicate(timeout=20)
    if kernel.returncode:
        assert f"lacks what {backend} takes" in output
        pytest.skip(output.strip())
    output = end_of(one.script("run"))
    check_picture(output, "file", one)
    assert len(re.findall(rf"192\.0\.2\.\d +{'-' if backend == 'udp' else backend} ", output)) == 3, output
    one.assert_nothing_left()


def test_a_directory_of_somebody_else_is_left_alone(demo):
    one = demo()
    one.directory.mkdir()
    (one.directory / "diary").write_text("dear")
    assert "not of a demo" in end_of(one.script("run"), 1)
    assert "no demo is running" in end_of(one.script("stop"), 1)
    assert (one.directory / "diary").exists()
    shutil.rmtree(one.directory)
