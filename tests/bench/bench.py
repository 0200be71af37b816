#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures flanneld against a real etcd in network namespaces of its own.

For 100, 1000, 5000 and 10000 leases: the time from the start of the daemon until all of them are in the kernel, what
that cost in CPU, memory, netlink messages and system calls, and what a second start costs. Then the time from a put
into etcd until the route is in the kernel, a storm of 1000 deletions and 1000 additions with the final state checked
object by object, and what idling costs. bench_many.py measures what very many leases and hosts cost.

Figures are only printed: machines differ, so nothing here fails for being slow.
"""
import argparse
import base64
import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

from netns import end_inhabitants, wait_for  # noqa: E402

BUILD = os.environ.get("FLANNEL_BUILD", "build")
PREFIX = "/coreos.com/network"
NAME = f"bench{os.getpid()}"


def run(*argv, **kwargs):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **kwargs).stdout


class NetNS:
    """One namespace with an address on a dummy-like veth; enters it for sockets."""

    def __init__(self, name):
        self.name = name
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def fd(self):
        return os.open(f"/run/netns/{self.name}", os.O_RDONLY)

    def connect(self, host, port):
        """An HTTP connection made inside the namespace."""
        conn = http.client.HTTPConnection(host, port, timeout=60)
        here = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = self.fd()
        try:
            setns(there)
            conn.connect()
        finally:
            setns(here)
            os.close(here)
            os.close(there)
        return conn

    def delete(self):
        end_inhabitants(self.name)  # a measurement that failed has not stopped its daemons
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


LIBC = ctypes.CDLL(None, use_errno=True)


def setns(fd):
    if LIBC.setns(fd, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Etcd:
    port = 2379

    def __init__(self, ns, directory):
        self.ns = ns
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", ns.name, "etcd", "--data-dir", directory + "/etcd",
             "--listen-client-urls", "http://0.0.0.0:2379",
             "--advertise-client-urls", "http://192.0.2.1:2379",
             "--listen-peer-urls", "http://127.0.0.1:2380"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.serves, 20, "etcd serves")

    def serves(self):
        self.conn = self.ns.connect("127.0.0.1", 2379)
        return self.call("kv/range", {"key": b64("x")})

    def call(self, path, body):
        self.conn.request("POST", "/v3/" + path, json.dumps(body),
                          {"Content-Type": "application/json"})
        reply = self.conn.getresponse()
        return json.loads(reply.read())

    def put(self, key, value, lease=None):
        body = {"key": b64(key), "value": b64(value)}
        if lease:
            body["lease"] = lease
        return self.call("kv/put", body)

    def delete_prefix(self, prefix):
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        self.call("kv/deleterange", {"key": b64(prefix), "range_end": b64(end)})

    def delete(self, key):
        self.call("kv/deleterange", {"key": b64(key)})

    def batch(self, operations):
        for i in range(0, len(operations), 120):
            reply = self.call("kv/txn", {"success": operations[i:i + 120]})
            assert reply.get("succeeded"), reply

    def list_seconds(self, prefix, page=1000):
        """What the server alone needs to hand out all keys below a prefix, in pages one after the other."""
        key, end = b64(prefix), b64(prefix[:-1] + chr(ord(prefix[-1]) + 1))
        seconds = 0
        while key:
            body = json.dumps({"key": key, "range_end": end, "limit": page})
            start = time.monotonic()
            self.conn.request("POST", "/v3/kv/range", body, {"Content-Type": "application/json"})
            reply = self.conn.getresponse().read()
            seconds += time.monotonic() - start
            reply = json.loads(reply)
            key = reply.get("more") and b64(base64.b64decode(reply["kvs"][-1]["key"]).decode() + "\x01")
        return seconds

    def cpu(self):
        return cpu_of(self.process.pid)

    def rss(self):
        return memory_of(self.process.pid)["VmRSS"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def cpu_of(pid):
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid):
    """What a process has of memory, in MB."""
    values = {}
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            key, _, value = line.partition(":")
            if key in ("VmRSS", "VmHWM", "RssAnon"):
                values[key] = int(value.split()[0]) / 1024
    return values


def packets_of(ns):
    """Sent and received on eth0."""
    stats = json.loads(run("ip", "-n", ns.name, "-s", "-j", "link", "show", "dev", "eth0"))[0]["stats64"]
    return stats["rx"]["packets"] + stats["tx"]["packets"]


def peer(i):
    """Lease number i in flannel's own format: key, value, MAC, subnet, public address."""
    subnet = f"10.{64 + i // 256}.{i % 256}.0"
    mac = f"02:ff:{i >> 24 & 255:02x}:{i >> 16 & 255:02x}:{i >> 8 & 255:02x}:{i & 255:02x}"
    public = f"198.18.{i // 250 % 256}.{i % 250 + 1}" if i < 62500 else "198.19.0.1"
    key = f"{PREFIX}/subnets/{subnet}-24"
    value = ('{"PublicIP":"%s","PublicIPv6":null,"BackendType":"vxlan",'
             '"BackendData":{"VNI":1,"VtepMAC":"%s"}}' % (public, mac))
    return key, value, mac, subnet, public


class Daemon:
    def __init__(self, ns, directory, *extra, wrapper=()):
        self.socket = directory + "/sock"
        self.log = open(directory + "/log", "a")
        # READY=1 to systemd is the witness of readiness: to ask for it would cost the daemon more than its work.
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify = f"{directory}/notify-{time.monotonic_ns()}"
        self.notify.bind(notify)
        self.started = time.monotonic()
        there = ns.fd()
        # Not by `ip netns exec`, which takes as long as some of what is measured.
        self.process = subprocess.Popen(
            [*wrapper, BUILD + "/flanneld",
             "--etcd-endpoints", "http://192.0.2.1:2379", "--state-dir", directory,
             "--subnet-file", directory + "/subnet.env", "--socket", self.socket, *extra],
            stderr=self.log, env=os.environ | {"NOTIFY_SOCKET": notify}, preexec_fn=lambda: setns(there))
        os.close(there)

    def wait_ready(self, timeout=60):
        """Seconds from its start until it said that it is ready."""
        self.notify.settimeout(timeout)
        while b"READY=1" not in self.notify.recv(4096):
            pass
        took = time.monotonic() - self.started
        self.notify.close()
        return took

    def get(self, path):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.socket)
        s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        data = b""
        while chunk := s.recv(1 << 20):
            data += chunk
        s.close()
        return data.split(b"\r\n\r\n", 1)[1].decode()

    def metrics(self):
        values = {}
        for line in self.get("/metrics").splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def memory(self):
        return memory_of(self.process.pid)

    def cpu(self):
        return cpu_of(self.process.pid)

    def subnets_seconds(self, *arguments):
        """What an operator waits for the list of all leases."""
        start = time.monotonic()
        run(BUILD + "/fabricctl", "subnets", "--socket", self.socket, *arguments)
        return time.monotonic() - start

    def runs_for(self, seconds):
        """The time goes by, unless the daemon ends: then this fails."""
        fd = os.pidfd_open(self.process.pid)
        try:
            assert not select.select([fd], [], [], seconds)[0], "the daemon has ended"
        finally:
            os.close(fd)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0


def store_watch(ns, directory, **streams):
    """fabricctl store watch, from before it has listed."""
    there = ns.fd()
    process = subprocess.Popen(
        [BUILD + "/fabricctl", "store", "watch", "--config-file", "/dev/null", "--state-dir", directory,
         "--etcd-endpoints", "http://192.0.2.1:2379"],
        text=True, preexec_fn=lambda: setns(there), **{"stderr": subprocess.DEVNULL} | streams)
    os.close(there)
    return process


def list_alone_seconds(ns, directory):
    """From the start of a program that lists until it has all leases."""
    start = time.monotonic()
    with store_watch(ns, directory, stdout=subprocess.PIPE) as process:
        assert " list " in process.stdout.readline()
        took = time.monotonic() - start
        process.kill()
    return took


def seconds_of(argv):
    start = time.monotonic()
    run(*argv)
    return time.monotonic() - start


class RouteWatch:
    """Counts routes on a namespace's netlink, in the kernel's own notifications: the witness of when one is there."""

    def __init__(self, ns):
        here = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = ns.fd()
        setns(there)
        try:
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, 33, 256 << 20)  # SO_RCVBUFFORCE
            self.socket.bind((0, 0x40))  # RTMGRP_IPV4_ROUTE
        finally:
            setns(here)
            os.close(here)
            os.close(there)

    def wait_for(self, count, timeout=120):
        """Blocks until this many routes of the fabric were added; returns the time of the last."""
        self.socket.settimeout(timeout)
        seen = 0
        while seen < count:
            data = self.socket.recv(1 << 16)
            length, kind = struct.unpack_from("=IH", data)
            if kind == 24 and 102 <= data[16 + 5] < 166:
                seen += 1
        return time.monotonic()

    def close(self):
        self.socket.close()


def dump(ns):
    routes = {r["dst"]: r["gateway"] for r in json.loads(run("ip", "-n", ns.name, "-j", "route"))
              if r.get("dev") == "flannel.1"}
    neighbours = {n["dst"]: n["lladdr"] for n in
                  json.loads(run("ip", "-n", ns.name, "-j", "neigh", "show", "dev", "flannel.1",
                                 "nud", "permanent"))}
    fdb = {f["mac"]: f["dst"] for f in
           json.loads(run("bridge", "-n", ns.name, "-j", "fdb", "show", "dev", "flannel.1"))
           if "dst" in f}
    return routes, neighbours, fdb


def expected(numbers):
    routes, neighbours, fdb = {}, {}, {}
    for i in numbers:
        _, _, mac, subnet, public = peer(i)
        routes[subnet + "/24"] = subnet
        neighbours[subnet] = mac
        fdb[mac] = public
    return routes, neighbours, fdb


def moment_of(predicate, timeout=60):
    """When it became true, to be measured: asked again and again, with no pause in between."""
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise TimeoutError
    return time.monotonic()


def reset_host(ns):
    for device in ("flannel.1", "flannel-v6.1"):
        subprocess.run(["ip", "-n", ns.name, "link", "del", device], capture_output=True)


def begin_anew(etcd, ns, directory, leases):
    """These leases and no others, (key, value, ...) each, and a host that has never seen any."""
    etcd.delete_prefix(PREFIX + "/subnets/")
    etcd.batch([{"requestPut": {"key": b64(key), "value": b64(value)}} for key, value, *_ in leases])
    reset_host(ns)
    for name in ("subnet.env", "last-known.json"):
        pathlib.Path(directory, name).unlink(missing_ok=True)


def bench_start(etcd, ns, directory, n):
    begin_anew(etcd, ns, directory, map(peer, range(n)))
    watch = RouteWatch(ns)
    server = etcd.cpu()
    d = Daemon(ns, directory)
    took = watch.wait_for(n) - d.started
    server = etcd.cpu() - server
    watch.close()
    wait_for(lambda: d.metrics()["flannel_ready"] == 1, 60, "the daemon is ready")
    m = d.metrics()
    exact = dump(ns) == expected(range(n))
    calls = m["flannel_netlink_system_calls_total"]
    d.get("/v1/status")
    memory = d.memory()
    print(f"  {n:6d} leases: in the kernel after {took:6.3f} s, CPU {m['process_cpu_seconds_total']:.3f} s, "
          f"of etcd {server:.2f} s, peak RSS {memory['VmHWM']:.1f} MB, RSS {memory['VmRSS']:.1f} MB (anon {memory['RssAnon']:.1f}), "
          f"{m['flannel_netlink_writes_total']:.0f} netlink writes in {calls:.0f} system calls, "
          f"{'exact' if exact else 'WRONG STATE'}", flush=True)
    store = ["ip", "netns", "exec", ns.name, BUILD + "/fabricctl", "subnets", "--store", "-o", "name", "--config-file",
             "/dev/null", "--state-dir", directory, "--etcd-endpoints", "http://192.0.2.1:2379"]
    print(f"                 fabricctl subnets: {statistics.median(d.subnets_seconds() for _ in range(5)):.3f} s, "
          f"of the store: {statistics.median(seconds_of(store) for _ in range(5)):.3f} s; "
          f"listed alone: {statistics.median(list_alone_seconds(ns, directory) for _ in range(5)):.3f} s", flush=True)
    d.stop()
    d = Daemon(ns, directory)
    ready = d.wait_ready()
    m = d.metrics()
    print(f"                 second start: ready after {ready:.3f} s, CPU {m['process_cpu_seconds_total']:.3f} s, "
          f"{m['flannel_netlink_writes_total']:.0f} netlink writes", flush=True)
    d.stop()


def dual_peer(i):
    """The same with an IPv6 half: key, value."""
    _, _, mac, subnet, public = peer(i)
    key = f"{PREFIX}/subnets/{subnet}-24&fd10:0:{i:x}::-64"
    value = ('{"PublicIP":"%s","PublicIPv6":"2001:db8:2::%x","BackendType":"vxlan",'
             '"BackendData":{"VNI":1,"VtepMAC":"%s"},"BackendV6Data":{"VNI":1,"VtepMAC":"0a%s"}}'
             % (public, i + 1, mac, mac[2:]))
    return key, value


def bench_dual(etcd, ns, directory, n):
    """Peers with both families, from nothing and on a second start. CPU is the daemon's, kernel included."""
    config = etcd.call("kv/range", {"key": b64(PREFIX + "/config")})["kvs"][0]["value"]
    etcd.put(PREFIX + "/config", '{"Network":"10.64.0.0/10","SubnetLen":24,"EnableIPv6":true,'
             '"IPv6Network":"fd10::/32","IPv6SubnetMin":"fd10:0:ffff::","Backend":{"Type":"vxlan"}}')
    begin_anew(etcd, ns, directory, map(dual_peer, range(n)))
    for start in ("from nothing", "second start", "once more", "once more"):
        d = Daemon(ns, directory)
        took = d.wait_ready()
        m = d.metrics()
        programmed = m['flannel_kernel_objects{object="route"}'] == 2 * n and m["flannel_kernel_objects_unsettled"] == 0
        print(f"  {n:6d} dual-stack leases, {start}: ready after {took:.3f} s, "
              f"CPU {m['process_cpu_seconds_total']:.3f} s, RSS {d.memory()['VmRSS']:.1f} MB, "
              f"{m['flannel_netlink_writes_total']:.0f} netlink writes, "
              f"{'all programmed' if programmed else 'WRONG STATE'}", flush=True)
        d.stop()
    alone = statistics.median(etcd.list_seconds(PREFIX + "/subnets/") for _ in range(5))
    print(f"  {n:6d} dual-stack leases: etcd alone takes {alone:.3f} s to list them", flush=True)
    reset_host(ns)
    os.unlink(f"{directory}/subnet.env")
    etcd.call("kv/put", {"key": b64(PREFIX + "/config"), "value": config})


def bench_latency(etcd, ns, directory, puts):
    etcd.delete_prefix(PREFIX + "/subnets/")
    d = Daemon(ns, directory)
    d.wait_ready()
    put_to_route(etcd, ns, d, range(puts))
    d.stop()


def put_to_route(etcd, ns, d, peers):
    """One after the other; the daemon runs. Its own subnet, which chance gives it, is nobody else's."""
    own = json.loads(d.get("/v1/lease"))["lease"]["subnet"].replace("/", "-")
    watch = RouteWatch(ns)
    times = []
    for i in peers:
        key, value, *_ = peer(i)
        if key.endswith("/" + own):
            continue
        start = time.monotonic()
        etcd.put(key, value)
        times.append((watch.wait_for(1) - start) * 1000)
    times.sort()
    print(f"  put to route in the kernel, {len(times)} puts one at a time: p50 {statistics.median(times):.2f} ms, "
          f"p99 {times[int(len(times) * 0.99)]:.2f} ms (the put itself included)", flush=True)
    watch.close()


def bench_burst(etcd, ns, directory):
    """200 puts at full speed, then 1000 deleted and 1000 others added."""
    etcd.delete_prefix(PREFIX + "/subnets/")
    d = Daemon(ns, directory)
    d.wait_ready()
    for i in range(200):
        etcd.put(*peer(i)[:2])
    last = time.monotonic()
    done = moment_of(lambda: len(dump(ns)[0]) == 200)
    print(f"  200 puts at full speed: 0 lost, right {done - last:.3f} s after the last "
          f"(a dump with ip takes part of that)", flush=True)
    etcd.batch([{"requestPut": {"key": b64(peer(i)[0]), "value": b64(peer(i)[1])}} for i in range(1000)])
    wait_for(lambda: len(dump(ns)[0]) == 1000, 60, "1000 routes")
    second = etcd.ns.connect("127.0.0.1", etcd.port)
    pid = os.fork()
    if pid == 0:
        etcd.conn = second
        for i in range(1000):
            etcd.delete(peer(i)[0])
        os._exit(0)
    for i in range(1000, 2000):
        etcd.put(*peer(i)[:2])
    os.waitpid(pid, 0)
    last = time.monotonic()
    want = expected(range(1000, 2000))
    m = {}

    def right():
        m.update(d.metrics())
        return m["flannel_kernel_objects{object=\"route\"}"] == 1000 and \
            m["flannel_kernel_objects_unsettled"] == 0
    done = moment_of(right)
    exact = dump(ns) == want
    print(f"  1000 deleted while 1000 added at full speed: right {done - last:.3f} s after the last write, "
          f"object by object {'exact' if exact else 'WRONG'}, "
          f"{m['flannel_netlink_writes_total']:.0f} writes in all", flush=True)
    d.stop()


def bench_idle(etcd, ns, directory, seconds):
    for n in (0, 1000, 10000):
        if os.path.exists(directory + "/last-known.json"):
            os.unlink(directory + "/last-known.json")
        etcd.delete_prefix(PREFIX + "/subnets/")
        etcd.batch([{"requestPut": {"key": b64(peer(i)[0]), "value": b64(peer(i)[1])}} for i in range(n)])
        masq = " and --ip-masq" if n == 0 else ""
        d = Daemon(ns, directory, *(["--ip-masq"] if masq else []))
        d.wait_ready()
        # Until the last known state is written: what follows is idling.
        wait_for(lambda: os.path.exists(directory + "/last-known.json"), 60, "the last known state is written")
        before, switches, packets = d.metrics()["process_cpu_seconds_total"], context_switches(d), packets_of(ns)
        d.runs_for(seconds)
        packets = packets_of(ns) - packets
        used = d.metrics()["process_cpu_seconds_total"] - before
        memory = d.memory()
        print(f"  idle for {seconds} s with {n} peers{masq}: {100 * used / seconds:.4f} % of a core, "
              f"{(context_switches(d) - switches) / seconds:.2f} wake-ups a second, "
              f"{60 * packets / seconds:.0f} packets a minute, RSS {memory['VmRSS']:.1f} MB (anon {memory['RssAnon']:.1f})", flush=True)
        d.stop()


def context_switches(d):
    with open(f"/proc/{d.process.pid}/status") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt"))


@contextlib.contextmanager
def world(store=Etcd):
    """The store with a configuration in a namespace of its own, the host's namespace, a directory."""
    directory = tempfile.mkdtemp(prefix=NAME)
    hub, host = NetNS(NAME + "-etcd"), NetNS(NAME + "-host")
    etcd = None
    try:
        run("ip", "-n", hub.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0",
            "netns", host.name)
        for ns, address in ((hub, "192.0.2.1"), (host, "192.0.2.2")):
            run("ip", "-n", ns.name, "addr", "add", address + "/24", "dev", "eth0")
            run("ip", "-n", ns.name, "addr", "add", f"2001:db8:1::{address[-1]}/64", "dev", "eth0", "nodad")
            run("ip", "-n", ns.name, "link", "set", "eth0", "up")
        # The neighbour table's limits are those of the first namespace and count permanent entries too.
        run("ip", "-n", host.name, "route", "add", "default", "via", "192.0.2.1")
        run("ip", "-n", host.name, "route", "add", "default", "via", "2001:db8:1::1")
        etcd = store(hub, directory)
        etcd.put(PREFIX + "/config", '{"Network":"10.64.0.0/10","SubnetLen":24,"Backend":{"Type":"vxlan"}}')
        yield etcd, host, directory
    finally:
        if etcd:
            etcd.stop()
        hub.delete()
        host.delete()
        shutil.rmtree(directory, ignore_errors=True)


def measure(o, only, etcd, host, directory):
    if "start" in only:
        print("from start to kernel:")
        for n in o.sizes.split(","):
            bench_start(etcd, host, directory, int(n))
    if "dual" in only:
        print("both families:")
        bench_dual(etcd, host, directory, o.dual)
    print("changes:")
    reset_host(host)
    if "latency" in only:
        bench_latency(etcd, host, directory, o.puts)
    if "burst" in only:
        bench_burst(etcd, host, directory)
    if "idle" in only:
        bench_idle(etcd, host, directory, o.idle)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="100,1000,5000,10000")
    parser.add_argument("--dual", type=int, default=5000)
    parser.add_argument("--puts", type=int, default=500)
    parser.add_argument("--idle", type=int, default=30)
    parser.add_argument("--transports", default="grpc,json", help="how to speak with etcd, one after the other")
    parser.add_argument("--only", default="start,dual,latency,burst,idle")
    o = parser.parse_args()
    only = o.only.split(",")
    with world() as (etcd, host, directory):
        for transport in o.transports.split(","):
            os.environ["FLANNELD_ETCD_TRANSPORT"] = transport
            print(f"by {transport}:")
            reset_host(host)
            measure(o, only, etcd, host, directory)


if __name__ == "__main__":
    sys.exit(main())
