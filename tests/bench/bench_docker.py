#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures our driver for docker beside docker's own bridge driver, in one run of a real dockerd, in namespaces.

    bench_docker.py [-n ROUNDS] [--version 20|26|28]

Containers of the two take turns, each without and with a published port. The figures are from dockerd's debug log:

    endpoint   an address is chosen and the endpoint is made: what driver and address manager have to do for each container
    publish    ports of the host are made to lead to it
    driver     the two together: what choosing this driver or that one makes of it
    attach     both and what lies between: from the first call to the network's being ready for the container

What lies between is dockerd's own: for both the resolver's rules in the container, ten times iptables; for ours the move of the interface
into the container, for which the kernel waits, where the bridge driver of 28 makes it there. Figures are only printed, nothing fails for being slow.
"""

import argparse
import contextlib
import datetime
import pathlib
import re
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import netns  # noqa: E402
from docker import IMAGE, SUITES, Docker  # noqa: E402
from fabric import APART, Lab  # noqa: E402

# Between which lines of the log.
PARTS = {
    "endpoint": (r"Assigning addresses for endpoint", r"addSvcRecords\("),
    "publish": (r"Programming external connectivity", r"EnableService \w+ START"),
    "attach": (r"Assigning addresses for endpoint", r"EnableService \w+ START"),
}


def moments(log):
    """[(seconds, line)] of those that have a time."""
    for line in log.splitlines():
        if found := re.match(r'time="([^."]+)(\.\d+)?Z?"', line):
            whole = datetime.datetime.fromisoformat(found[1]).replace(tzinfo=datetime.timezone.utc).timestamp()
            yield whole + float(found[2] or 0), line


def measure(docker, network, port):
    docker.log_start = docker.log_file.stat().st_size
    publish = ["--publish", "8080:80"] if port else []
    docker("run", "--rm", "--network", network, *publish, IMAGE, "true")
    lines = list(moments(docker.log()))
    figures = {}
    for part, (first, last) in PARTS.items():
        begin = next(at for at, line in lines if re.search(first, line))
        figures[part] = (next(at for at, line in lines if at >= begin and re.search(last, line)) - begin) * 1000
    return figures | {"driver": figures["endpoint"] + figures["publish"]}


def run(lab, rounds, version):
    lab.start_etcd()
    lab.configure(APART)
    (host,) = lab.hosts(1)
    docker = Docker(host, version)
    host.start_daemon(docker_socket=docker.drivers / "flannel.sock", cni_ipam_dir=docker.directory / "networks")
    docker.start()
    ours = ("--driver", "flannel", "--ipam-driver", "flannel", "--subnet", host.daemon.subnet())
    docker("network", "create", *ours, "ours")
    docker("network", "create", "theirs")
    figures = {}
    for number in range(rounds + 1):
        for port in (False, True):
            for network in ("ours", "theirs"):
                found = measure(docker, network, port)
                for part, value in found.items() if number else ():  # the first makes the bridge
                    figures.setdefault((port, part), {}).setdefault(network, []).append(value)
    print(f"docker {docker('version', '--format', '{{.Server.Version}}').strip()}, {rounds} containers each, medians in ms")
    print(f"{'':34}{'ours':>8}{'bridge':>8}{'ratio':>8}")
    for (port, part), found in figures.items():
        ours, theirs = (statistics.median(found[name]) for name in ("ours", "theirs"))
        print(f"{part + (', a published port' if port else ''):34}{ours:8.2f}{theirs:8.2f}{ours / theirs:8.2f}")


def main():
    parser = argparse.ArgumentParser(description="docker's networks: our driver beside docker's bridge driver")
    parser.add_argument("-n", "--rounds", type=int, default=30)
    parser.add_argument("--version", choices=SUITES, default=max(SUITES))
    options = parser.parse_args()
    netns.keep_clean()
    lab = Lab()
    with contextlib.closing(lab):
        run(lab, options.rounds, options.version)


if __name__ == "__main__":
    main()
