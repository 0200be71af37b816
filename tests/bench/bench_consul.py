#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the store in Consul beside that in etcd, one after the other: a start, and the time from a put to the route.

Of Consul every change is answered with all leases, so the puts are made once into an empty network and once into a
full one. Figures are only printed: machines differ, so nothing here fails for being slow.
"""
import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import time

from bench import Daemon, Etcd, RouteWatch, begin_anew, bench_burst, bench_latency, bench_start, peer, wait_for, world

import consul


class Consul(Etcd):
    """One server of Consul's, asked as etcd is; keys begin without a slash."""
    port = 8500

    def __init__(self, ns, directory):
        self.ns = ns
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", ns.name, consul.program(), "agent", "-server", "-bootstrap-expect=1",
             "-data-dir", directory + "/consul", "-bind", "192.0.2.1", "-client", "0.0.0.0", "-node", "bench"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.environ.update(FLANNELD_STORE="consul", FLANNELD_CONSUL_ENDPOINTS="http://192.0.2.1:8500")
        wait_for(self.serves, 30, "Consul serves")

    def serves(self):
        self.conn = self.ns.connect("127.0.0.1", 8500)
        return self.ask("PUT", "/v1/kv/x", "x").startswith("true")

    def ask(self, method, path, body=None):
        self.conn.request(method, path, body)
        return self.conn.getresponse().read().decode()

    def put(self, key, value, lease=None):
        assert self.ask("PUT", "/v1/kv" + key, value).startswith("true")

    def delete(self, key):
        self.ask("DELETE", "/v1/kv" + key)

    def delete_prefix(self, prefix):
        self.ask("DELETE", f"/v1/kv{prefix}?recurse")

    def batch(self, operations):
        """As etcd's."""
        def translated(operation):
            (kind, what), = operation.items()
            key = base64.b64decode(what["key"]).decode().strip("/")
            if kind == "requestPut":
                return {"KV": {"Verb": "set", "Key": key, "Value": what["value"]}}
            return {"KV": {"Verb": "delete", "Key": key}}

        for i in range(0, len(operations), 64):
            reply = self.ask("PUT", "/v1/txn", json.dumps([translated(o) for o in operations[i:i + 64]]))
            assert not json.loads(reply)["Errors"], reply


def bench_among_many(store, ns, directory, n, puts):
    """One change of a lease at a time, among so many."""
    begin_anew(store, ns, directory, map(peer, range(n)))
    d = Daemon(ns, directory)
    d.wait_ready()
    watch = RouteWatch(ns)
    times = []
    for i in range(n, n + puts):
        key, value, *_ = peer(i)
        start = time.monotonic()
        store.put(key, value)
        times.append((watch.wait_for(1) - start) * 1000)
    times.sort()
    print(f"  put to route among {n} leases, {puts} puts one at a time: p50 {statistics.median(times):.2f} ms, "
          f"p99 {times[int(len(times) * 0.99)]:.2f} ms (the put itself included), CPU {d.cpu():.2f} s", flush=True)
    watch.close()
    d.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leases", type=int, default=1000)
    parser.add_argument("--puts", type=int, default=300)
    o = parser.parse_args()
    for store in (Etcd, Consul):
        with world(store) as (server, host, directory):
            print(f"{store.__name__}:")
            bench_start(server, host, directory, o.leases)
            bench_latency(server, host, directory, o.puts)
            bench_among_many(server, host, directory, o.leases, o.puts)
            bench_burst(server, host, directory)


if __name__ == "__main__":
    sys.exit(main())
