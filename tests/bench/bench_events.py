#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A million lease events, as fast as etcd takes them: does anything in the daemon grow with their number?

One host, a real etcd, the same as in the integration tests. Peers come, change their MAC or their public address, and
go, in transactions of up to 128 of them, as drawn by a seed. Half are hosts with flannel, half with this daemon,
whose departure is believed only after a while; some are useless (an unreadable key, an unknown backend), which
the daemon has something to say about. etcd is compacted now and then behind the daemon's back. Tells speed, the
daemon's CPU, memory, descriptors, threads and log lines at every step, and compares in the end what stands in the store
with what was written, and the kernel with the store, object by object.

Nothing fails for being slow. The exit status is 1 if an object is wrong or if something has grown.
"""

import argparse
import ipaddress
import json
import os
import pathlib
import random
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import fabric  # noqa: E402
import witness  # noqa: E402
from etcd import PREFIX, TXN_MAX, b64  # noqa: E402
from netns import wait_for  # noqa: E402

NETWORK = "10.64.0.0/10"
CONFIG = {"Network": NETWORK, "SubnetLen": 24, "SubnetMin": "10.120.0.0", "Backend": {"Type": "vxlan"}}
PEERS_MAX = 8192
# Revisions of history that etcd keeps: a few seconds, longer than a daemon that is awake is behind.
HISTORY = 1000
COMPACT_EVERY = 500
ETCD = ["--quota-backend-bytes", str(8 << 30)]
TICK = os.sysconf("SC_CLK_TCK")
GROWTH_MAX_KIB = 1024  # what a heap may swing by
PEAK_MAX_KIB = 16384  # what may be on its way from etcd for a moment
# What the daemon promises of its log: of each kind of line so many at once, then one in so many seconds.
LINES_AT_ONCE, LINE_EVERY_S = 20, 5
# One of so many peers has a key that cannot be read, and one a backend that nobody knows.
ODD_ONE_OUT_OF = 50


class Peers:
    """The peers as they should be, and the next transaction that changes some of them."""

    def __init__(self, count, seed):
        self.random = random.Random(seed)
        base = ipaddress.ip_network(NETWORK).network_address
        self.keys = [
            f"{PREFIX}/subnets/" + (f"peer-{n}" if self.unreadable(n) else f"{base + 256 * (n + 1)}-24")
            for n in range(count)
        ]
        self.encoded = [b64(key) for key in self.keys]
        self.mac = [0] * count
        self.address = [0] * count
        self.present = [False] * count
        self.done = {"new": 0, "MAC": 0, "address": 0, "gone": 0}

    @staticmethod
    def unreadable(n):
        return n % ODD_ONE_OUT_OF == 1

    @staticmethod
    def unknown(n):
        return n % ODD_ONE_OUT_OF == 2

    def useful(self):
        return sum(p and not self.unreadable(n) and not self.unknown(n) for n, p in enumerate(self.present))

    def value(self, n):
        """No two peers have a MAC or an address in common, whatever became of them."""
        version = self.mac[n] & 0xFFFF
        mac = f"0e:{version >> 8:02x}:{version & 255:02x}:00:{n >> 8:02x}:{n & 255:02x}"
        # 16 addresses for each of 8192 peers: all of 198.18.0.0/15.
        address = ipaddress.IPv4Address(0xC6120000 + n * 16 + self.address[n] % 16)
        value = witness.lease_value(str(address), mac)
        if n % 2:
            value = value[:-1] + f',"Node":{{"ID":"node-{n}","Name":"n{n}"}}}}'
        return value.replace("vxlan", "pigeon") if self.unknown(n) else value

    def step(self, n):
        if not self.present[n]:
            kind = "new"
        else:
            kind = self.random.choice(("MAC", "address", "gone"))
        self.done[kind] += 1
        self.present[n] = kind != "gone"
        self.mac[n] += kind == "MAC"
        self.address[n] += kind == "address"
        if kind == "gone":
            return {"requestDeleteRange": {"key": self.encoded[n]}}
        return {"requestPut": {"key": self.encoded[n], "value": b64(self.value(n))}}

    def transaction(self, size):
        return [self.step(n) for n in self.random.sample(range(len(self.keys)), size)]

    def expected(self):
        return {key: self.value(n) for n, key in enumerate(self.keys) if self.present[n]}


class Seen:
    """The daemon at one moment."""

    def __init__(self, daemon):
        process = pathlib.Path("/proc", str(daemon.pid))
        status = (process / "status").read_text(encoding="ascii")
        fields = (process / "stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        memory = {k: int(v) for k, v in re.findall(r"^(VmRSS|RssAnon|Threads):\s+(\d+)", status, re.M)}
        self.at = time.monotonic()
        self.cpu_s = (int(fields[11]) + int(fields[12])) / TICK
        self.rss, self.anon, self.threads = memory["VmRSS"], memory["RssAnon"], memory["Threads"]
        self.descriptors = len(list((process / "fd").iterdir()))
        self.lines = daemon.log_file.read_bytes().count(b"\n")
        self.metrics = daemon.metrics()

    def metric(self, name):
        return int(self.metrics[f"flannel_{name}"])


HEADS = ("events", "events/s", "CPU us/event", "RSS kB", "RssAnon kB", "descr.", "lines", "behind", "etcd MB")


def wait_settled(etcd, daemon):
    """Until the daemon has heard of everything that is written by now, and has nothing left to do."""
    revision = etcd.revision()

    def settled():
        metrics = daemon.metrics()
        return metrics["flannel_store_revision"] >= revision and metrics["flannel_kernel_objects_unsettled"] == 0

    wait_for(settled, 120, "the daemon has heard of all")


def wait_forgotten(daemon):
    """Until those that have gone are believed to be gone."""
    wait_for(lambda: "peers-kept" not in daemon.problems(), 10, "nothing is kept for who has gone")


def write(etcd, peers, events, on_step, step):
    """All of the events; on_step(events so far, revision) after every so many."""
    written = revision = compacted = 0
    while written < events:
        size = min(TXN_MAX, len(peers.keys), events - written, step - written % step)
        answer = etcd.api("/v3/kv/txn", {"success": peers.transaction(size)})
        assert answer.get("succeeded"), answer
        revision = int(answer["header"]["revision"])
        written += size
        if revision - compacted > HISTORY + COMPACT_EVERY:
            compacted = revision - HISTORY
            etcd.compact(compacted)
        if written % step == 0:
            on_step(written, revision)


def bench(events, peers, step, seed):
    lab = fabric.Lab()
    try:
        return bench_in(lab, events, Peers(peers, seed), step)
    finally:
        lab.close()


def bench_in(lab, events, peers, step):
    etcd = lab.start_etcd(arguments=ETCD)
    lab.configure(CONFIG)
    host = lab.host()
    daemon = host.start_daemon()
    # Three quarters of the peers are there at a time in the long run; the daemon has had all of them once.
    etcd.put_many((key, peers.value(n)) for n, key in enumerate(peers.keys))
    wait_settled(etcd, daemon)
    etcd.delete_many(peers.keys)
    wait_settled(etcd, daemon)
    wait_forgotten(daemon)
    rows = [Seen(daemon)]
    first = rows[0]
    database = etcd.members[0].directory / "member" / "snap" / "db"

    def on_step(written, revision):
        now, before = Seen(daemon), rows[-1]
        rows.append(now)
        print(
            f"{written:>10} {step / (now.at - before.at):>10.0f} {(now.cpu_s - before.cpu_s) * 1e6 / step:>13.1f}"
            f" {now.rss:>8} {now.anon:>11} {now.descriptors:>7} {now.lines - first.lines:>6}"
            f" {revision - now.metric('store_revision'):>7} {database.stat().st_size >> 20:>8}",
            flush=True,
        )

    print(f"{events} events on up to {len(peers.keys)} peers; before them: RSS {first.rss} kB, RssAnon {first.anon} kB")
    print("{:>10} {:>10} {:>13} {:>8} {:>11} {:>7} {:>6} {:>7} {:>8}".format(*HEADS))
    write(etcd, peers, events, on_step, step)
    written_at = time.monotonic()
    wait_settled(etcd, daemon)
    settled_s = time.monotonic() - written_at
    wait_forgotten(daemon)
    return tell(lab, host, peers, rows, events, written_at, settled_s)


def wrong_objects(lab, host, peers):
    """Sentences about what is not as written: in the store, then in the kernel."""
    stored = {r.key: r.value for r in lab.etcd.leases() if r.key != host.daemon.key()}
    if stored != peers.expected():
        yield "the store has something else than was written to it"
    wanted, found = witness.wanted(lab.etcd.leases(), host.daemon.subnet()), host.objects()
    if problem := witness.difference(wanted, found):
        yield f"the kernel is not what the store says: {problem}"
    used = int(host.daemon.metric('flannel_peers{state="used"}'))
    if used != peers.useful():
        yield f"the daemon uses {used} peers, {peers.useful()} are of use"
    print(
        f"in the end: {len(stored)} keys, {used} peers of use, "
        f"{len(found)} objects in the kernel against {len(wanted)} wanted"
    )


def tell(lab, host, peers, rows, events, written_at, settled_s):
    first, last = rows[0], Seen(host.daemon)
    seconds = written_at - first.at
    counts = {
        name: last.metric(name) - first.metric(name)
        for name in ("store_events_total", "store_lists_total", "watch_restarts_total", "netlink_writes_total",
                     "netlink_errors_total", "netlink_overruns_total", "observations_total")
    }  # fmt: skip
    print(f"{events} events in {seconds:.1f} s, {events / seconds:.0f} a second; heard {settled_s:.3f} s later")
    print("of them: " + ", ".join(f"{count} {kind}" for kind, count in peers.done.items()))
    cpu_s = last.cpu_s - first.cpu_s
    share = 100 * cpu_s / seconds
    print(f"daemon: {cpu_s:.1f} s of CPU, {cpu_s * 1e6 / events:.1f} us an event, {share:.0f} % of a core")
    print("daemon: " + ", ".join(f"{name.removesuffix('_total')} {count}" for name, count in counts.items()))
    problems = list(wrong_objects(lab, host, peers))
    # A daemon that was kept waiting has much to read at once, and gives it back: the lowest figures are what it keeps.
    anon = [row.anon for row in rows[1:]] + [last.anon]
    early, late = min(anon[: len(anon) // 2]), min(anon[len(anon) // 2 :])
    print(f"RssAnon: {first.anon} before, lowest {early} early, {late} late, at most {max(anon)} kB")
    if late - early > GROWTH_MAX_KIB:
        problems.append(f"memory has grown by {late - early} kB")
    if max(anon) - first.anon > PEAK_MAX_KIB:
        problems.append(f"memory was {max(anon)} kB for a moment")
    if last.descriptors > first.descriptors + 2 or last.threads != first.threads:
        problems.append(f"{last.descriptors} descriptors, were {first.descriptors}; {last.threads} threads")
    lines = host.daemon.log_file.read_text(errors="replace").splitlines()[first.lines :]
    kinds = [match[1] for line in lines if (match := re.match(r"\S+ \w+ +([a-z][a-z-]*):", line))]
    if len(kinds) != len(lines):
        problems.append(f"{len(lines) - len(kinds)} log lines that are none")
    print("log: " + (", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))) or "nothing"))
    allowed = LINES_AT_ONCE + (time.monotonic() - first.at) / LINE_EVERY_S + 1
    problems += [f"{kinds.count(kind)} log lines {kind}" for kind in set(kinds) if kinds.count(kind) > allowed]
    print("\n".join(f"WRONG: {problem}" for problem in problems) or "nothing is wrong, nothing has grown")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1000000)
    parser.add_argument("--peers", type=int, default=1000, help=f"at most {PEERS_MAX}")
    parser.add_argument("--step", type=int, default=100000, help="events between two lines of figures")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not 1 <= options.peers <= PEERS_MAX or options.events < 1 or options.step < 1:
        parser.error("out of range")
    print(json.dumps(vars(options)))
    return bench(options.events, options.peers, options.step, options.seed)


if __name__ == "__main__":
    sys.exit(main())
