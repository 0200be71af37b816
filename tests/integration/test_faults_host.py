# SPDX-License-Identifier: Apache-2.0
"""The host fails the daemon: stopped, disk full, directories read-only, clock moved, underlay gone and back."""

import os
import pathlib
import shutil
import signal
import socket

import pytest

from fabric import APART, DEPARTED_S
from faults import Talking
from netns import run, wait_for


def test_stopped_for_a_while(lab):
    """SIGSTOP while the world goes on, longer than etcd keeps patience with buffers."""
    with Talking(lab, hosts=3) as t:
        away = t.daemons[0]
        t.new_lease()
        t.lab.wait_equal()
        away.signal(signal.SIGSTOP)
        for _ in range(40):
            t.etcd.delete(t.new_lease())
            t.new_lease()
        # Somebody removes a route while nobody looks, to a peer that no container talks to.
        route = next(o for o in t.hosts[0].objects() if o[0] == "route" and o[2] not in t.subnets)
        t.hosts[0].namespace.ip_do(f"route del {route[2]}")
        t.wait_pings(300)
        away.signal(signal.SIGCONT)


@pytest.mark.slow
def test_stopped_for_longer_than_its_lease(lab):
    """The lease ran out while the daemon slept: the same subnet is claimed again when it wakes."""
    lab.start_etcd()
    lab.configure(APART)
    h1, h2 = lab.hosts(2, daemons=True, lease_ttl=10)
    subnet, key = h1.daemon.subnet(), h1.daemon.key()
    before = h1.objects()
    h1.daemon.signal(signal.SIGSTOP)
    wait_for(lambda: not lab.etcd.get(key), 20, "the lease has run out")
    h2.daemon.wait_peers(0, DEPARTED_S)
    assert h1.objects() == before
    h1.daemon.signal(signal.SIGCONT)
    wait_for(lambda: lab.etcd.get(key), 5, "claimed again")
    h1.daemon.wait_ok()
    lab.wait_equal()
    assert h1.daemon.subnet() == subnet


def mounted(daemon, directory, options, fill=False):
    """The daemon runs with a small file system of its own over `directory`; seen through /proc/PID/root."""
    directory.mkdir(exist_ok=True)
    script = 'mount -t tmpfs -o "$1" tmpfs "$2" || exit 99; shift 2; exec "$@"'
    if fill:
        script = script.replace("shift 2", 'head -c 1M /dev/zero >"$2/fill" 2>/dev/null; shift 2')
    daemon.wrapper = ["sh", "-c", script, "sh", options, str(directory)]


def with_machine_id(daemon):
    """A minimal system has none yet: the daemon sees a copy of /etc with one."""
    etc = daemon.directory / "etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore=lambda directory, names: names if directory != "/etc" else [])
    (etc / "machine-id").unlink(missing_ok=True)
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    daemon.wrapper = ["sh", "-c", 'mount --bind "$1" /etc || exit 99; shift; exec "$@"', "sh", str(etc), *daemon.wrapper]


def inside(daemon, path):
    return pathlib.Path(f"/proc/{daemon.pid}/root{path}")


def test_disk_full(lab):
    """Neither the node id nor subnet.env can be written: it says so, connects all the same, and writes when it can."""
    lab.start_etcd()
    lab.configure(APART)
    (h2,) = lab.hosts(1, daemons=True)
    h1 = lab.host()
    daemon = h1.make_daemon()
    full = daemon.directory / "full"
    daemon.flags |= {"subnet_file": full / "subnet.env", "state_dir": full / "state"}
    mounted(daemon, full, "size=64k", fill=True)
    with_machine_id(daemon)
    daemon.start()
    wait_for(lambda: "subnet.env" in daemon.request("/readyz")[1], 10, "/readyz names the file")
    status = daemon.wait_status(lambda s: "subnet-file" in {p["name"] for p in s["problems"]}, 5, "subnet-file")
    assert not status["ready"] and status["verdict"] != "ok"
    assert status["kernel"]["unsettled"] == 0 and len(h1.objects()) == 4
    h2.daemon.wait_peers(1)
    inside(daemon, full / "fill").unlink()
    daemon.wait_ready(8)
    assert inside(daemon, full / "subnet.env").read_text().startswith("FLANNEL_NETWORK=10.5.0.0/16\n")


def test_disk_full_while_it_runs(lab):
    """What is written anew fails; what was written before stays whole."""
    with Talking(lab) as t:
        daemon = t.daemons[0]
        kept = daemon.subnet_file.read_bytes()
        full = daemon.directory / "full"
        daemon.stop()
        daemon.flags["state_dir"] = full / "state"
        mounted(daemon, full, "size=64k", fill=True)
        daemon.flags["node_id"] = t.etcd.get(daemon.key()).json["Node"]["ID"]
        daemon.start().wait_ready()
        assert daemon.subnet_file.read_bytes() == kept
        t.new_lease()
        t.lab.wait_equal()
        inside(daemon, full / "fill").unlink()


def test_files_may_not_grow(lab):
    """RLIMIT_FSIZE: the kernel's signal does not end it, the file that could not be written is named."""
    lab.start_etcd()
    lab.configure(APART)
    daemon = lab.host().make_daemon()
    daemon.flags["node_id"] = "limited"  # a machine without /etc/machine-id could not keep one of its own
    daemon.wrapper = ["prlimit", "--fsize=10:"]
    daemon.start()
    wait_for(lambda: "File too large" in daemon.request("/readyz")[1], 10, "/readyz says why")
    daemon.wait_status(lambda s: "subnet-file" in {p["name"] for p in s["problems"]}, 5, "subnet-file")
    run("prlimit", "--pid", daemon.pid, "--fsize=unlimited:")
    daemon.wait_ready(8)


def test_run_is_read_only(lab):
    """The directory of subnet.env and of the socket cannot be written: without its socket a daemon does not start."""
    lab.start_etcd()
    lab.configure(APART)
    h1 = lab.host()
    daemon = h1.make_daemon()
    frozen = daemon.directory / "frozen"
    daemon.flags["subnet_file"] = frozen / "subnet.env"
    mounted(daemon, frozen, "ro,size=64k")
    daemon.start()
    wait_for(lambda: "Read-only" in daemon.request("/readyz")[1], 10, "/readyz says why")
    assert daemon.request("/readyz")[0] == 503
    daemon.wait_status(lambda s: "subnet-file" in {p["name"] for p in s["problems"]}, 5, "subnet-file")
    run("nsenter", "--mount", "--target", daemon.pid, "mount", "-o", "remount,rw", frozen)
    daemon.wait_ready(8)
    daemon.stop()
    daemon.flags["socket"] = frozen / "flanneld.sock"
    daemon.start()
    assert daemon.wait_exit() == 1
    assert daemon.logged("frozen/flanneld.sock.*Read-only")


def test_subnet_file_read_only_at_restart_loses_nothing(lab):
    """The file is there and right, so that nothing needs to be written."""
    with Talking(lab) as t:
        daemon = t.daemons[0]
        daemon.stop()
        daemon.wrapper = [
            "sh", "-c", 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"', "sh",
            str(daemon.directory / "run"),
        ]  # fmt: skip
        (daemon.directory / "run").mkdir()
        old = daemon.subnet_file
        daemon.flags["subnet_file"] = daemon.directory / "run" / "subnet.env"
        daemon.subnet_file.write_bytes(old.read_bytes())
        daemon.start().wait_ready()


def test_underlay_goes_down_and_comes_back(lab):
    lab.start_etcd()
    lab.configure(APART)
    h1, h2 = lab.hosts(2, daemons=True)
    c1, c2 = h1.container(), h2.container()
    before = h1.objects()
    h1.namespace.ip_do("link set eth0 down")
    h1.daemon.wait_status(lambda s: s["verdict"] != "ok", 30, "not ok")
    assert h1.objects() == before
    h1.namespace.ip_do("link set eth0 up")
    h1.namespace.ip_do("route add default via 192.0.2.254")
    lab.etcd.put("/coreos.com/network/subnets/10.5.250.0-24", '{"PublicIP":"192.0.2.9","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0e:00:00:00:00:09"}}')
    h1.daemon.wait_ok(20)
    lab.wait_equal()
    with lab.pinger(c1, c2) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "pings")
    assert pinger.lost == 0, pinger.report()


def test_underlay_interface_replaced(lab):
    """eth0 is deleted, with it goes the tunnel device; another eth0 comes with the same address."""
    lab.start_etcd()
    lab.configure(APART)
    h1, h2 = lab.hosts(2, daemons=True)
    h1.container()
    h2.container()
    h1.namespace.ip_do("link del eth0")
    h1.daemon.wait_status(lambda s: s["verdict"] == "degraded", 10, "degraded")
    lab.cable(h1.namespace, "h1", "eth0", "addr add 192.0.2.1/24 dev eth0")
    h1.namespace.ip_do("route add default via 192.0.2.254")
    h1.daemon.wait_ok(40)
    lab.wait_equal()
    with lab.pinger(h1.containers[0], h2.containers[0]) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "pings")
    assert pinger.lost == 0, pinger.report()


def test_name_of_the_device_taken_by_another(lab):
    """A bridge called flannel.1 is not ours: it stays, status says so, and the daemon goes on when it is gone."""
    lab.start_etcd()
    lab.configure(APART)
    h1 = lab.host()
    h1.namespace.ip_do("link add flannel.1 type bridge")
    daemon = h1.start_daemon(ready=False)
    daemon.wait_status(lambda s: "device-failed" in {p["name"] for p in s["problems"]}, 10, "device-failed")
    assert daemon.request("/readyz")[0] == 503
    assert h1.link()["linkinfo"]["info_kind"] == "bridge"
    h1.namespace.ip_do("link del flannel.1")
    daemon.wait_ready(5)
    lab.wait_equal()


def test_same_vni_on_another_device(lab):
    """The kernel allows one tunnel of a number: whoever else has it is named, and not touched."""
    lab.start_etcd()
    lab.configure(APART)
    h1 = lab.host()
    h1.namespace.ip_do("link add other0 type vxlan id 1 dev eth0 local 192.0.2.1 dstport 8472 nolearning")
    daemon = h1.start_daemon(ready=False)
    daemon.wait_status(lambda s: "device-failed" in {p["name"] for p in s["problems"]}, 10, "device-failed")
    assert h1.link("other0")
    h1.namespace.ip_do("link del other0")
    daemon.wait_ready(40)


CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long shift(void)
{
	FILE *f = fopen(getenv("CLOCK_SHIFT"), "re");
	long s = 0;

	if (f) {
		if (fscanf(f, "%ld", &s) != 1)
			s = 0;
		fclose(f);
	}
	return s;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*real)(clockid_t, struct timespec *);
	int rc;

	if (!real)
		real = dlsym(RTLD_NEXT, "clock_gettime");
	rc = real(id, ts);
	if (rc == 0 && id == CLOCK_REALTIME)
		ts->tv_sec += shift();
	return rc;
}

int gettimeofday(struct timeval *tv, void *tz)
{
	struct timespec ts;

	(void)tz;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (t)
		*t = ts.tv_sec;
	return ts.tv_sec;
}
"""


@pytest.mark.slow
def test_wall_clock_moved(lab):
    """An hour back and forth, ten years back and forth: leases are kept by the time that passes, not by the date."""
    source, library, shift = (lab.directory / n for n in ("clock.c", "clock.so", "shift"))
    source.write_text(CLOCK)
    compiled = run("gcc", "-shared", "-fPIC", "-o", library, source, check=False)
    if compiled.returncode:
        pytest.skip("no compiler for a clock that can be moved")
    lab.start_etcd()
    lab.configure(APART)
    shift.write_text("0")
    hosts = lab.hosts(2)
    for host in hosts:
        daemon = host.make_daemon(lease_ttl=10)
        daemon.environment |= {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(shift)}
        daemon.start()
    for host in hosts:
        host.daemon.wait_ready()
        host.daemon.wait_peers(1)
    records = [lab.etcd.get(h.daemon.key()) for h in hosts]
    with lab.pinger(hosts[0].container(), hosts[1].container()) as pinger:
        for seconds in (3600, -3600, 315360000, -315360000, 0):
            shift.write_text(str(seconds))
            at = pinger.sent
            wait_for(lambda at=at: pinger.sent > at + 500, 10, "pings")
            for host, record in zip(hosts, records, strict=True):
                assert lab.etcd.time_to_live(record.lease) > 2
                assert {p["name"] for p in host.daemon.status()["problems"]} <= {"clock-skew"}
    assert pinger.lost == 0, pinger.report()
    year = hosts[0].daemon.log().splitlines()[0][:4]
    assert year == hosts[1].daemon.log().splitlines()[0][:4]
    assert all(h.daemon.metric("flannel_lease_lost_total") == 0 for h in hosts)


def test_out_of_descriptors_for_clients(lab):
    """A limit of 32 descriptors: clients of the socket use them up, and the daemon goes on with its work."""
    with Talking(lab) as t:
        daemon = t.daemons[0]
        daemon.stop()
        daemon.wrapper = ["sh", "-c", 'ulimit -n 32; exec "$@"', "sh"]
        daemon.start().wait_ready()
        clients = []
        for _ in range(60):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            try:
                client.connect(str(daemon.socket_path))
            except OSError:
                client.close()
                break
            clients.append(client)
        t.new_lease()
        t.lab.wait_equal()
        for client in clients:
            client.close()
        assert daemon.running and len(os.listdir(f"/proc/{daemon.pid}/fd")) <= 32
