#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures leases that are nodes of Kubernetes, beside leases in etcd: a start, a change of a node until its route, heartbeats.

The API server is a script that hands out bytes which were made before, nodes of 15 kB with images, conditions and managed
fields: what is measured is the daemon's part. Figures are only printed: machines differ, so nothing here fails for being slow.
"""
import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import threading
import time

from bench import NAME, Daemon, Etcd, RouteWatch, begin_anew, dump, expected, peer, reset_host, setns, wait_for, world

PREFIX = "flannel.alpha.coreos.com/"
PAGE = 500
SIZE = 15000


def dumps(thing):
    """As API servers write it, without spaces."""
    return json.dumps(thing, separators=(",", ":"))


def node(i, revision, name=None, heartbeat=""):
    """Number i as bytes, of peer(i); about SIZE of them, as a busy kubelet's are."""
    _, _, mac, subnet, public = peer(i)
    thing = {
        "metadata": {
            "name": name or f"node-{i}", "uid": f"00000000-0000-4000-8000-{i:012d}", "resourceVersion": str(revision),
            "annotations": {
                PREFIX + "kube-subnet-manager": "true", PREFIX + "backend-type": "vxlan", PREFIX + "public-ip": public,
                PREFIX + "backend-data": json.dumps({"VNI": 1, "VtepMAC": mac}),
            },
            "managedFields": [{"manager": m, "fieldsV1": {f"f:{m}-{n}": {} for n in range(60)}} for m in ("kubelet", "kube-controller-manager")],
        },
        "spec": {"podCIDR": f"{subnet}/24", "podCIDRs": [f"{subnet}/24"]},
        "status": {
            "conditions": [{"type": t, "status": "False", "lastHeartbeatTime": heartbeat, "message": f"kubelet says so of {t}" * 3}
                           for t in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")],
            "addresses": [{"type": "InternalIP", "address": public}],
            "images": [],
        },
    }  # fmt: skip
    bare = len(dumps(thing))
    image = {"names": [f"registry.example.org/team/{'x' * 30}@sha256:{'0' * 64}", f"registry.example.org/team/{'x' * 30}:v1"], "sizeBytes": 12345678}
    thing["status"]["images"] = [image] * max(0, (SIZE - bare) // (len(dumps(image)) + 1))
    return dumps(thing).encode()


class ApiServer:
    """Lists, one node by name, patches of it, one watch at a time."""

    def __init__(self, ns, count):
        self.revision = 1000
        self.count = count
        self.own = json.loads(node(count, 1000, "me"))
        self.own["metadata"]["annotations"] = {}
        self.items = [node(i, 1000) for i in range(count)]
        self.watcher = None
        self.patches = 0
        self.sent = 0
        here, there = os.open("/proc/self/ns/net", os.O_RDONLY), ns.fd()
        setns(there)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("192.0.2.1", 8080))
        self.listener.listen(16)
        setns(here)
        os.close(here)
        os.close(there)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        stream = client.makefile("rb")
        while line := stream.readline():
            method, path, _ = line.decode().split()
            size = 0
            while (header := stream.readline().strip()):
                if header.lower().startswith(b"content-length:"):
                    size = int(header.split(b":")[1])
            body = stream.read(size)
            if "watch=true" in path:
                self.watcher = client
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
                continue
            answer = self._answer(method, path, body)
            self.sent += len(answer)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer))
            client.sendall(answer)

    def _answer(self, method, path, body):
        if method == "PATCH":
            patch = json.loads(body)
            self.patches += 1
            self.revision += 1
            self.own["metadata"]["annotations"] |= patch["metadata"]["annotations"]
            self.own["status"]["conditions"] += patch.get("status", {}).get("conditions", [])
            self.own["metadata"]["resourceVersion"] = str(self.revision)
        if path.startswith("/api/v1/nodes/me"):
            return dumps(self.own).encode()
        if "limit=1" == path.partition("?")[2]:
            return b'{"kind":"NodeList","metadata":{"resourceVersion":"%d"},"items":[%s]}' % (self.revision, self.items[0])
        start = int((re.search(r"continue=(\d+)", path) or [0, 0])[1])
        more = b',"continue":"%d"' % (start + PAGE) if start + PAGE < len(self.items) else b""
        items = b",".join(self.items[start : start + PAGE] + ([] if more else [dumps(self.own).encode()]))
        return b'{"kind":"NodeList","metadata":{"resourceVersion":"%d"%s},"items":[%s]}' % (self.revision, more, items)

    def event(self, kind, thing):
        return b'{"type":"%s","object":%s}\n' % (kind.encode(), thing)

    def tell(self, line):
        self.watcher.sendall(b"%x\r\n%s\r\n" % (len(line), line))

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def start(ns, directory):
    config = pathlib.Path(directory, "net-conf.json")
    config.write_text('{"Network":"10.64.0.0/10","SubnetLen":24,"Backend":{"Type":"vxlan"}}')
    os.environ["NODE_NAME"] = "me"
    return Daemon(ns, directory, "--kube-subnet-mgr", "--kube-api-url=http://192.0.2.1:8080", f"--net-config-path={config}")


def says(what, took, d, exact, more=""):
    memory = d.memory()
    print(f"  {what}: in the kernel after {took:.3f} s, CPU {d.cpu():.2f} s, peak RSS {memory['VmHWM']:.1f} MB, "
          f"RSS {memory['VmRSS']:.1f} MB, {'exact' if exact else 'WRONG STATE'}{more}", flush=True)


def first(ns, directory, n, begin):
    """A start on a host that has never seen any lease."""
    watch = RouteWatch(ns)
    d = begin()
    took = watch.wait_for(n) - d.started
    watch.close()
    d.wait_ready()
    return d, took, dump(ns) == expected(range(n))


def clear(ns, directory):
    reset_host(ns)
    for name in ("subnet.env", "last-known.json"):
        pathlib.Path(directory, name).unlink(missing_ok=True)


def bench_start(api, etcd, ns, directory, n):
    begin_anew(etcd, ns, directory, map(peer, range(n)))
    d, took, exact = first(ns, directory, n, lambda: Daemon(ns, directory))
    says(f"etcd, {n} leases", took, d, exact)
    d.stop()
    clear(ns, directory)
    api.sent = 0
    d, took, exact = first(ns, directory, n, lambda: start(ns, directory))
    says(f"nodes, {n} of {SIZE / 1000:.0f} kB", took, d, exact, f", {api.sent / 1e6:.1f} MB on the wire")
    cpu = d.cpu()
    # The same bytes by jq.
    path = pathlib.Path(directory, "list.json")
    path.write_bytes(b'{"items":[' + b",".join(api.items) + b"]}")
    with path.open("rb") as file:
        jq = subprocess.Popen(["jq", "-c", ".items[].metadata.name"], stdin=file, stdout=subprocess.DEVNULL)
        _, _, usage = os.wait4(jq.pid, 0)
    jq_cpu = usage.ru_utime + usage.ru_stime
    print(f"  jq -c .items[].metadata.name of these {path.stat().st_size / 1e6:.1f} MB: CPU {jq_cpu:.2f} s, {usage.ru_maxrss / 1024:.0f} MB; ratio {cpu / jq_cpu:.2f}", flush=True)
    path.unlink()
    return d


def bench_heartbeats(api, d, n, rate, seconds):
    """So many changes of nodes a second, all different and none of them ours."""
    lines = [api.event("MODIFIED", node(i % n, 2000 + i, heartbeat=str(i))) for i in range(rate)]
    writes, cpu, memory = d.metrics()["flannel_netlink_writes_total"], d.cpu(), d.memory()["RssAnon"]
    began = time.monotonic()
    sent = 0
    for second in range(seconds):
        for line in lines:
            # Each has a resourceVersion that is higher than the one before.
            sent += 1
            api.tell(re.sub(rb'"resourceVersion":"\d+"', b'"resourceVersion":"%d"' % (10000 + sent), line, count=1))
            wait = began + sent / rate - time.monotonic()
            if wait > 0.002:
                time.sleep(wait)
    took = time.monotonic() - began
    api.revision = 10000 + sent
    used = d.cpu() - cpu
    print(f"  {sent / took:.0f} changes of nodes a second for {took:.0f} s: CPU {100 * used / took:.1f} % of a core, "
          f"{d.metrics()['flannel_netlink_writes_total'] - writes:.0f} netlink writes, memory {d.memory()['RssAnon'] - memory:+.1f} MB", flush=True)


def bench_latency(api, ns, n, changes):
    watch = RouteWatch(ns)
    times = []
    for i in range(n, n + changes):
        api.revision += 1
        thing = node(i + 1, api.revision)
        api.items.append(thing)
        line = api.event("ADDED", thing)
        began = time.monotonic()
        api.tell(line)
        times.append((watch.wait_for(1) - began) * 1000)
    watch.close()
    times.sort()
    print(f"  a node that has its annotations until its route: p50 {statistics.median(times):.2f} ms, p99 {times[int(len(times) * 0.99)]:.2f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--changes", type=int, default=300)
    o = parser.parse_args()
    with world(Etcd) as (etcd, ns, directory):
        hub = type("Hub", (), {"fd": lambda self: os.open(f"/run/netns/{NAME}-etcd", os.O_RDONLY)})()
        api = ApiServer(hub, o.nodes)
        print(f"load {os.getloadavg()[0]:.1f}")
        d = bench_start(api, etcd, ns, directory, o.nodes)
        bench_heartbeats(api, d, o.nodes, o.rate, o.seconds)
        bench_latency(api, ns, o.nodes, o.changes)
        d.stop()
        patches = api.patches
        d = start(ns, directory)
        d.wait_ready()
        wait_for(lambda: d.metrics()["flannel_ready"] == 1, 60, "ready")
        print(f"  second start: {d.metrics()['flannel_netlink_writes_total']:.0f} netlink writes, {api.patches - patches} writes to the API server")
        d.stop()
        api.stop()


if __name__ == "__main__":
    sys.exit(main())
