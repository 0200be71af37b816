#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the CNI plugin beside the reference plugins of this machine, in one run, in namespaces of its own.

    bench_cni.py [-n ROUNDS] [--quick]

For each case the two take turns, each time with a fresh container namespace: time from the start of the process to its
end, and CPU time of the plugin and of everything that it started. Then ADD with many reservations present, with many
containers on the bridge, fifty at once, and what the kernel alone needs to remove a veth pair. STATUS takes turns with
programs that do nothing: one linked as the plugin is, which has the C library's start, and one without a C library. The
first asks the processor by CPUID what it is, 68 times with glibc 2.36, 29 times with 2.41, and a hypervisor answers each time.
Figures are only printed, nothing fails for being slow.
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PLUGIN = pathlib.Path(os.environ.get("FLANNEL_BUILD", ROOT / "build")) / "flannel"
REFERENCE = pathlib.Path("/usr/lib/cni")
NAME = f"bench{os.getpid()}"
POOLS = (0, 4000, 60000)
CONTAINERS = (0, 200, 1000)  # a bridge has 1024 ports at most
STATUS_ROUNDS = 20  # for each of the others
# Name, source, how it is linked.
IDLE = (
    ("nothing, static", "int main(void) { return 0; }", ["-static-pie"]),
    ("nothing, no C library", "void _start(void) { __asm__ volatile(\"syscall\" : : \"a\"(231), \"D\"(0)); }", ["-static", "-nostdlib"]),
)


def ip(*argv):
    subprocess.run(["ip", *argv], check=True, capture_output=True)


class Case:
    """One configuration in our words and in the reference's."""

    def __init__(self, name, v6=False, masquerade=False, routed=False):
        self.name, self.v6, self.masquerade, self.routed = name, v6, masquerade, routed

    def ranges(self, second):
        return [f"10.{second}.0.0/16"] + ([f"fd00:{second}::/64"] if self.v6 else [])

    def ours(self, d):
        conf = {"cniVersion": "1.0.0", "name": "ours", "type": "flannel", "dataDir": f"{d}/data", "mtu": 1450,
                "ipMasq": self.masquerade, "ipam": self.ipam(d, 5)}  # fmt: skip
        return conf | ({"mode": "ptp"} if self.routed else {"bridge": "ours0", "isGateway": True})

    def reference(self, d):
        conf = {"cniVersion": "1.0.0", "name": "theirs", "type": "ptp" if self.routed else "bridge", "mtu": 1450,
                "ipMasq": self.masquerade, "ipam": {"type": "host-local"} | self.ipam(d, 6)}  # fmt: skip
        return conf | ({} if self.routed else {"bridge": "theirs0", "isGateway": True})

    def ipam(self, d, second):
        return {
            "dataDir": f"{d}/networks",
            "ranges": [[{"subnet": s}] for s in self.ranges(second)],
            "routes": [{"dst": "0.0.0.0/0"}] + ([{"dst": "::/0"}] if self.v6 else []),
        }


CASES = [
    Case("IPv4"),
    Case("IPv4, ipMasq", masquerade=True),
    Case("dual stack", v6=True),
    Case("dual stack, routed", v6=True, routed=True),
]


class Bench:
    def __init__(self, rounds):
        self.rounds = rounds
        self.directory = tempfile.mkdtemp(prefix="bench-cni-")
        self.count = 0

    def environment(self, verb, ns, id, ifname="eth0"):
        return {
            "CNI_COMMAND": verb, "CNI_CONTAINERID": id, "CNI_NETNS": f"/run/netns/{ns}", "CNI_IFNAME": ifname,
            "CNI_PATH": str(REFERENCE), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }  # fmt: skip

    def start(self, program, verb, conf, ns, id, ifname="eth0"):
        """posix_spawn, so that starting the process costs what it costs a runtime in C or Go."""
        data = json.dumps(conf).encode()
        stdin, feed = os.pipe()
        os.write(feed, data)
        os.close(feed)
        out = os.open(f"{self.directory}/out.{id}.{verb}", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        begin = time.perf_counter()
        pid = os.posix_spawn(
            program, [program], self.environment(verb, ns, id, ifname),
            file_actions=[(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, out, 1)],
        )  # fmt: skip
        os.close(stdin)
        return pid, begin, out

    def finish(self, started):
        pid, begin, out = started
        _, status, usage = os.wait4(pid, 0)
        elapsed = time.perf_counter() - begin
        text = os.pread(out, 65536, 0)
        os.close(out)
        if status:
            sys.exit(f"a plugin failed: {text.decode()}")
        return elapsed * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3, text

    def once(self, *argv):
        return self.finish(self.start(*argv))

    def namespace(self):
        self.count += 1
        name = f"{NAME}c{self.count}"
        ip("netns", "add", name)
        return name

    def forget(self, ns):
        ip("netns", "del", ns)

    def one(self, case):
        """{(who, verb): [(ms, cpu ms)]}"""
        seen = {}
        sides = [("ours", str(PLUGIN), case.ours(self.directory))]
        theirs = REFERENCE / ("ptp" if case.routed else "bridge")
        if theirs.exists():
            sides.append(("reference", str(theirs), case.reference(self.directory)))
        for round_ in range(self.rounds):
            for who, program, conf in sides:
                ns, id = self.namespace(), f"c{self.count}"
                seen.setdefault((who, "VERSION"), []).append(self.once(program, "VERSION", conf, ns, id)[:2])
                ms, cpu, text = self.once(program, "ADD", conf, ns, id)
                seen.setdefault((who, "ADD"), []).append((ms, cpu))
                conf = conf | {"prevResult": json.loads(text)}
                for verb in ("CHECK", "DEL"):
                    seen.setdefault((who, verb), []).append(self.once(program, verb, conf, ns, id)[:2])
                self.forget(ns)
        return seen

    def status(self):
        """[(name, [(ms, cpu ms)])]"""
        conf = Case("IPv4").ours(self.directory) | {"cniVersion": "1.1.0"}
        programs = [("plugin", str(PLUGIN))]
        for number, (name, source, how) in enumerate(IDLE):
            program = f"{self.directory}/idle{number}"
            built = subprocess.run(["cc", "-O2", *how, "-x", "c", "-o", program, "-"], input=source.encode(), capture_output=True)
            programs += [(name, program)] if built.returncode == 0 else []
        seen = {name: [] for name, _ in programs}
        for _ in range(self.rounds * STATUS_ROUNDS):
            for name, program in programs:
                seen[name].append(self.once(program, "STATUS", conf, "", "s")[:2])
        return seen

    def floor(self):
        """Removing a veth pair by one request, and nothing else."""
        nl = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        nl.bind((0, 0))
        seen = []
        for _ in range(self.rounds):
            ns = self.namespace()
            ip("link", "add", "floor0", "type", "veth", "peer", "name", "eth0", "netns", ns)
            ip("link", "set", "floor0", "up")
            ip("-n", ns, "link", "set", "eth0", "up")
            index = socket.if_nametoindex("floor0")
            request = struct.pack("=IHHIIBxHiII", 32, 17, 5, 1, 0, 0, 0, index, 0, 0)
            begin = time.perf_counter()
            nl.send(request)
            nl.recv(65536)
            seen.append((time.perf_counter() - begin) * 1e3)
            self.forget(ns)
        return seen

    def pools(self):
        """ADD while so many addresses are reserved, by others, in a row."""
        rows = []
        case = Case("")
        for size in POOLS:
            for who, second in (("ours", 5), ("theirs", 6)):
                directory = pathlib.Path(self.directory) / "networks" / who
                directory.mkdir(parents=True, exist_ok=True)
                for i in range(2, size + 2):
                    (directory / f"10.{second}.{i >> 8}.{i & 255}").write_text("other\r\neth0")
                (directory / "last_reserved_ip.0").write_text(f"10.{second}.{(size + 1) >> 8}.{(size + 1) & 255}")
            seen = self.one(case)
            rows.append((size, seen))
            for who in ("ours", "theirs"):
                shutil.rmtree(pathlib.Path(self.directory) / "networks" / who)
        return rows

    def containers(self):
        """ADD beside so many containers on the bridge; all of them in one namespace, an interface each."""
        rows = []
        conf = Case("").ours(self.directory)
        crowd = self.namespace()
        filled = 0
        for size in CONTAINERS:
            for i in range(filled, size):
                self.once(str(PLUGIN), "ADD", conf, crowd, f"crowd{i}", f"e{i}")
            filled = size
            seen = []
            for _ in range(self.rounds):
                ns, id = self.namespace(), f"c{self.count}"
                ms, cpu, text = self.once(str(PLUGIN), "ADD", conf, ns, id)
                seen.append((ms, cpu))
                self.once(str(PLUGIN), "DEL", conf | {"prevResult": json.loads(text)}, ns, id)
                self.forget(ns)
            rows.append((size, seen))
        self.forget(crowd)
        return rows

    def at_once(self, count=50):
        case = Case("", masquerade=False)
        result = {}
        sides = [("ours", str(PLUGIN), case.ours(self.directory))]
        if (REFERENCE / "bridge").exists():
            sides.append(("reference", str(REFERENCE / "bridge"), case.reference(self.directory)))
        for who, program, conf in sides:
            spaces = [self.namespace() for _ in range(count)]
            for verb in ("ADD", "DEL"):
                begin = time.perf_counter()
                started = [self.start(program, verb, conf, ns, f"p{i}") for i, ns in enumerate(spaces)]
                for s in started:
                    self.finish(s)
                result[who, verb] = (time.perf_counter() - begin) * 1e3
            for ns in spaces:
                self.forget(ns)
        return result


def median(rows, column=0):
    return statistics.median(r[column] for r in rows)


def print_case(name, seen):
    print(f"\n{name:<22}{'ours: ms':>10} {'min':>7} {'cpu':>6}   {'reference':>9} {'min':>7} {'cpu':>6}   ratio")
    for verb in ("VERSION", "ADD", "CHECK", "DEL"):
        a, b = seen["ours", verb], seen.get(("reference", verb))
        line = f"  {verb:<20}{median(a):>10.2f} {min(a)[0]:>7.2f} {median(a, 1):>6.2f}"
        if b:
            line += f"   {median(b):>9.2f} {min(b)[0]:>7.2f} {median(b, 1):>6.2f}   {median(a) / median(b):.2f}"
        print(line, flush=True)


def measure(rounds, quick):
    bench = Bench(rounds)
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, Linux {os.uname().release}, load {load:.2f}, {rounds} rounds, medians")
    try:
        for case in CASES:
            print_case(case.name, bench.one(case))
        print("\nSTATUS: ms (min) of processor time")
        for name, seen in bench.status().items():
            print(f"  {name:<24}{median(seen, 1):.3f} ({min(cpu for _, cpu in seen):.3f})")
        floor = bench.floor()
        print(f"\nthe kernel alone, one veth pair removed: {statistics.median(floor):.2f} ms (min {min(floor):.2f})")
        if quick:
            return
        print("\nADD with reservations present: ms (cpu)")
        for size, seen in bench.pools():
            line = f"  {size:>6}   ours {median(seen['ours', 'ADD']):.2f} ({median(seen['ours', 'ADD'], 1):.2f})"
            if ("reference", "ADD") in seen:
                rows = seen["reference", "ADD"]
                line += f"   reference {median(rows):.2f} ({median(rows, 1):.2f})"
            print(line, flush=True)
        print("\nADD with containers on the bridge: ms (min; cpu)")
        for size, seen in bench.containers():
            print(f"  {size:>6}   ours {median(seen):.2f} ({min(seen)[0]:.2f}; {median(seen, 1):.2f})", flush=True)
        print("\n50 at once: ms until the last is done")
        for (who, verb), ms in bench.at_once().items():
            print(f"  {verb} {who:<12}{ms:.0f}")
    finally:
        shutil.rmtree(bench.directory, ignore_errors=True)
        for i in range(1, bench.count + 1):
            if os.path.exists(f"/run/netns/{NAME}c{i}"):
                ip("netns", "del", f"{NAME}c{i}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--rounds", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="without many reservations and parallel runs")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        measure(arguments.rounds, arguments.quick)
        return
    host = f"{NAME}h"
    ip("netns", "add", host)
    try:
        ip("-n", host, "link", "set", "lo", "up")
        command = ["nsenter", f"--net=/run/netns/{host}", sys.executable, __file__, "--inside", host, "-n",
                   str(arguments.rounds), *(["--quick"] if arguments.quick else [])]  # fmt: skip
        sys.exit(subprocess.run(command).returncode)
    finally:
        ip("netns", "del", host)


if __name__ == "__main__":
    main()
