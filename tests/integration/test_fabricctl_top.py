# SPDX-License-Identifier: Apache-2.0
"""fabricctl top: rates of peers and containers, against what is really sent; counters that are there while it runs."""

import contextlib
import json
import platform
import signal
import socket
import threading

import pytest

import fast_path
from fabric import APART, CNI_PLUGIN, FABRICCTL, IPV6
from fabricctl_support import OK, Watch, fabricctl, on_a_terminal
from netns import wait_for

TABLE = "flannel-meter"
OLD = tuple(int(n) for n in platform.release().split(".")[:2]) < (5, 12)
needs_owner = pytest.mark.skipif(OLD, reason="this kernel has no tables that belong to a socket")


class World:
    def __init__(self, lab, start=None):
        lab.start_etcd()
        lab.configure(APART | IPV6)
        self.h1, self.h2, self.h3 = start(lab, 3, probe_interval=0) if start else lab.hosts(3, daemons=True, probe_interval=0)
        for host in (self.h1, self.h2, self.h3):
            host.daemon.wait_ready().wait_peers(2)
        self.c1, self.c2 = self.h1.container(), self.h2.container()

    def args(self, *args, host=None):
        daemon = (host or self.h1).daemon
        return (
            "top", "--config-file=/dev/null", f"--socket={daemon.socket_path}", f"--cni-plugin={CNI_PLUGIN}",
            f"--cni-data-dir={daemon.flags['cni_data_dir']}", *args,
        )  # fmt: skip

    def top(self, *args, host=None, **options):
        return fabricctl(*self.args(*args, host=host), where=host or self.h1, **options)

    def rates(self, host):
        """Of the second of two intervals."""
        done = self.top("-o", "json", "-n", "2", host=host)
        assert done.returncode == OK and not done.stderr, done.stderr
        return json.loads(done.stdout.splitlines()[1])

    def counts(self):
        return TABLE in self.h1.namespace.run("nft", "list", "tables")


@pytest.fixture
def world(lab):
    return World(lab)


@contextlib.contextmanager
def datagrams(world, address, size, per_second):
    """Sent from the first container until the end, to a port where somebody takes them and does not answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    ended = threading.Event()
    with contextlib.closing(world.c2.namespace.socket(family, socket.SOCK_DGRAM)) as sink:
        sink.bind((address, 9999))
        with contextlib.closing(world.c1.namespace.socket(family, socket.SOCK_DGRAM)) as source:

            def send():
                while not ended.wait(1 / per_second):
                    source.sendto(b"x" * size, (address, 9999))

            thread = threading.Thread(target=send, daemon=True)
            thread.start()
            yield
            ended.set()
            thread.join()


@needs_owner
@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
def test_rates(world, v6):
    """Of the one peer and the one container that something is sent to; bytes are those of the fabric's own packets."""
    address, subnet, headers = (world.c2.address6, world.h2.daemon.subnet6(), 48) if v6 else (world.c2.address, world.h2.daemon.subnet(), 28)
    with datagrams(world, address, 972, 50):
        done = world.top("-o", "json", "-n", "2")
    assert done.returncode == OK and not done.stderr, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["kind"] == second["kind"] == "Top" and 0.9 < second["seconds"] < 2 and second["peersUnknown"] is None
    assert len(second["peers"]) == 4  # two hosts, two families
    for one in first, second:
        peer = one["peers"][0]
        assert (peer["name"], peer["subnet"]) == ("h2", subnet)
        assert 25 < peer["sentPacketsPerSecond"] < 75 and peer["receivedPacketsPerSecond"] < 5
        assert peer["sentBytesPerSecond"] == pytest.approx(peer["sentPacketsPerSecond"] * (972 + headers), rel=0.1)
        assert all(other["sentPacketsPerSecond"] < 5 for other in one["peers"][1:])
        container = one["containers"][0]
        assert container["name"] == "c2" and 25 < container["sentPacketsPerSecond"] < 75 and container["droppedPerSecond"] == 0


@needs_owner
@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
def test_what_takes_the_fast_path_is_counted(lab, v6):
    """It passes the counters of the packet filter by, and where it comes out those of the container's link."""
    world = World(lab, fast_path.start)
    fast_path.wait_known(world.c1, world.c2)
    fast_path.wait_on(world.h1, world.h2)
    address, headers = (world.c2.address6, 48) if v6 else (world.c2.address, 28)
    before = fast_path.taken(world.h1)["out"]
    with datagrams(world, address, 972, 50):
        there, here = world.rates(world.h2), world.rates(world.h1)
        way = "IPv6" if v6 else "IPv4"
        assert fast_path.taken(world.h1)["out"] > before + 100, f"{way} takes the path"
    peer, container = here["peers"][0], here["containers"][0]
    assert peer["name"] == "h2" and 25 < peer["sentPacketsPerSecond"] < 75 and 25 < container["sentPacketsPerSecond"] < 75
    assert peer["sentBytesPerSecond"] == pytest.approx(peer["sentPacketsPerSecond"] * (972 + headers), rel=0.1)
    peer, container = there["peers"][0], there["containers"][0]
    assert peer["name"] == "h1" and 25 < peer["receivedPacketsPerSecond"] < 75 and 25 < container["receivedPacketsPerSecond"] < 75
    assert container["receivedBytesPerSecond"] == pytest.approx(container["receivedPacketsPerSecond"] * (972 + headers), rel=0.1)
    assert fast_path.counted(world.h2) == ["metered", "delivered"]
    wait_for(lambda: not fast_path.counted(world.h2), 20, "nobody has asked for ten seconds")


@needs_owner
def test_counters_are_there_while_it_runs(world):
    """The daemon takes them away, and the kernel does if the daemon is killed. Nothing of this looks wrong to anybody."""
    assert not world.counts()
    with Watch(*world.h1.namespace.argv(FABRICCTL), *world.args("-o", "json")) as watch:
        watch.wait('"kind": ?"Top"', 10)
        assert world.counts()
        assert world.h1.daemon.status()["verdict"] == "ok"
    wait_for(lambda: not world.counts(), 20, "nobody has asked for ten seconds")
    assert world.top("-n", "1").returncode == OK
    assert world.counts()
    world.h1.daemon.signal(signal.SIGKILL)
    wait_for(lambda: not world.counts(), 5, "the kernel removes what was the daemon's")


@pytest.mark.skipif(not OLD, reason="this kernel counts")
def test_an_old_kernel(world):
    """Says so; containers are counted."""
    done = world.top("-n", "1")
    assert done.returncode == OK and "peers are not counted: counters: this kernel knows no tables" in done.stdout and "\nc2 " in done.stdout
    assert not world.counts() and world.h1.daemon.status()["verdict"] == "ok"


@needs_owner
def test_how_it_is_shown(world):
    lines = [line.split() for line in world.top("-n", "1").stdout.splitlines()]
    assert lines[0] == "PEER IN PKT/S IN BIT/S OUT PKT/S OUT BIT/S DROP/S".split()
    assert {line[0] for line in lines[1:5]} == {"h2", "h3"} and ["c2"] == [line[0] for line in lines if line and line[0] == "c2"]
    screen = on_a_terminal([*world.h1.namespace.argv(FABRICCTL), *world.args("-n", "2")])
    assert screen.count("\x1b[H\x1b[J") == 2 and "CONTAINER" in screen
    # Without the daemon containers are counted all the same.
    world.h1.daemon.stop()
    done = world.top("-n", "1")
    assert done.returncode == OK and "peers are not counted: " in done.stdout and "\nc2 " in done.stdout
    assert json.loads(world.top("-n", "1", "-o", "json").stdout)["peers"] is None
    for bad in "0", "x", "-1", "1000001":
        assert "--count is" in world.top(f"--count={bad}").stderr
