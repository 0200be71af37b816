#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures netavark's setup and teardown with our plugin beside those of its own bridge driver, taking turns, in one run.

    bench_netavark.py [-n ROUNDS] [--suite trixie|sid]

Time and CPU time from the start of netavark to its end, everything that it starts included: what podman waits for.
The plugin alone is shown too. Figures are only printed: machines differ, so nothing here fails for being slow.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import netavark

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NETAVARK_FW": "nftables"}


def timed(argv, request):
    """(ms, CPU ms) of a process and its children."""
    text = json.dumps(request).encode()
    stdin, feed = os.pipe()
    os.write(feed, text)
    os.close(feed)
    begin = time.perf_counter()
    process = subprocess.Popen(argv, stdin=stdin, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.close(stdin)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - begin
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        sys.exit(f"{argv[-2]} failed: {said.decode()}")
    return elapsed * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3


class Case:
    def __init__(self, host, ports):
        bridge = host.network("theirs", "bridge", network_interface="podman9", subnets=[{"subnet": "10.99.0.0/16", "gateway": "10.99.0.1"}])
        bridge["options"] = {}
        self.host, self.ports = host, ports
        self.networks = {"ours": host.network("net1"), "bridge driver": bridge}
        self.seen = {}

    def request(self, who, id, number):
        ports = [{"host_port": 20000 + number, "container_port": 80, "host_ip": "", "protocol": "tcp", "range": 1}] if self.ports else None
        request = self.host.request(id, [self.networks[who]], ports=ports)
        if who == "bridge driver":
            request["networks"]["theirs"]["static_ips"] = [f"10.99.{number >> 8}.{number & 255}"]
        return request

    def turn(self, number):
        for who in self.networks:
            ns = self.host.namespace()
            request = self.request(who, f"c{number}", number)
            for verb in ("setup", "teardown"):
                argv = [*self.host.argv, "--config", str(self.host.directory / "tmp"), "--plugin-directory", str(self.host.plugins), verb, ns.path]
                self.seen.setdefault((who, verb), []).append(timed(argv, request))
            if who == "ours":
                alone = self.host.direct(f"c{number}", ports=request["port_mappings"])
                for verb in ("setup", "teardown"):
                    argv = [str(self.host.plugins / "flannel"), verb, ns.path]
                    self.seen.setdefault(("the plugin alone", verb), []).append(timed(argv, alone))
            ns.delete()

    def show(self):
        for verb in ("setup", "teardown"):
            medians = {}
            for who in ("ours", "bridge driver", "the plugin alone"):
                rows = self.seen[who, verb]
                medians[who] = statistics.median(r[0] for r in rows)
                cpu = statistics.median(r[1] for r in rows)
                print(f"  {verb:<9} {who:<17} {medians[who]:7.2f} ms (min {min(rows)[0]:6.2f}, cpu {cpu:6.2f})", flush=True)
            print(f"  {verb:<9} ours / theirs     {medians['ours'] / medians['bridge driver']:7.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--rounds", type=int, default=30)
    parser.add_argument("--suite", choices=sorted(netavark.SUITES), default="trixie")
    arguments = parser.parse_args()
    argv = netavark.program(arguments.suite)
    version = subprocess.run([*argv, "--version"], capture_output=True, text=True).stdout.strip()
    print(f"{os.cpu_count()} cores, Linux {os.uname().release}, load {os.getloadavg()[0]:.2f}, {version}, {arguments.rounds} rounds, medians")
    for ports, name in ((False, "no port"), (True, "one port published")):
        with netavark.Host(argv, ipmasq=False) as host, host.ns.entered():
            case = Case(host, ports)
            for number in range(2, arguments.rounds + 2):
                case.turn(number)
            print(name)
            case.show()


if __name__ == "__main__":
    main()
