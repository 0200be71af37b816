# SPDX-License-Identifier: Apache-2.0
"""What the tests of fabricctl share: running it, leases made up, terminals, exit statuses."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

import schema
from etcd import PREFIX
from fabric import FABRICCTL
from netns import end_process, wait_for

OK, FAILED, USAGE, FOUND, NO_DAEMON, NO_STORE, DENIED, TIMEOUT, NOT_FOUND = range(9)
# Daemons choose at random, but none of the subnets below 10.5.100.0 and from 10.5.200.0 on: of these are the leases made up.
CONFIG = {"Network": "10.5.0.0/16", "SubnetMin": "10.5.100.0", "SubnetMax": "10.5.199.0", "Backend": {"Type": "vxlan"}}
COMMANDS = "subnets status peers mtu hosts mesh events ip pods trace top test doctor capacity gc bundle explain diff sync log-level drain resume lease config store version help completion".split()
HOSTILE = "evil\x1b[31m\u202eeman\x07\n\\"
HOSTILE_SHOWN = "evil\\033[31m\\u202eeman\\007\\n\\\\"
TRANSPORT = "FLANNELD_ETCD_TRANSPORT"
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if key == TRANSPORT or not key.startswith(("FLANNELD_", "LC_", "CLICOLOR", "NO_COLOR", "LANG"))
} | {"LC_ALL": "C.UTF-8", "TERM": "xterm"}


def fabricctl(*args, where=None, **options):
    """Runs it to its end, in a host's namespace, and by its wrapper, if one is given: has returncode, stdout, stderr."""
    options |= {"env": ENVIRONMENT | options.get("env", {}), "capture_output": "stdout" not in options}
    argv = [str(a) for a in (*getattr(where, "wrapper", []), FABRICCTL, *args)]
    with where.namespace.entered() if where else contextlib.nullcontext():
        done = subprocess.run(argv, text=True, timeout=60, check=False, **options)
    schema.check(done.stdout)
    return done


def ask(host, *args, status=OK, **options):
    """One command about the daemon of a host; the exit status must be `status`. Returns what it printed."""
    done = fabricctl(*args, "--socket", host.daemon.socket_path, **options)
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert bool(done.stderr) == (status not in (OK, FOUND)), done.stderr
    return done.stdout


def ask_store(lab, *args, status=OK, **options):
    """The same without a daemon, from the underlay's namespace, and whatever id the machine itself may have."""
    if "--state-dir" not in args:
        args += ("--state-dir", "/nonexistent")
    done = fabricctl(
        *args, "--store", "--etcd-endpoints", lab.etcd.endpoints, "--config-file", "/dev/null", where=Underlay(lab),
        **options,
    )  # fmt: skip
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


class Underlay:
    def __init__(self, lab):
        self.namespace = lab.underlay


def lease_text(address, name=None, backend="vxlan"):
    value = {"PublicIP": address, "PublicIPv6": None, "BackendType": backend}
    if backend == "vxlan":
        value["BackendData"] = {"VNI": 1, "VtepMAC": "02:00:00:00:00:%02x" % int(address.split(".")[3])}
    if name is not None:
        value["Node"] = {"ID": "made-up", "Name": name}
    return json.dumps(value)


def put_lease(lab, key, *args, lease=None, **options):
    lab.etcd.put(f"{PREFIX}/subnets/{key}", lease_text(*args, **options), lease)


def items(text):
    return json.loads(text)["items"]


def assert_three_lines(text, what, why, hint):
    lines = text.splitlines()
    assert len(lines) == 3, text
    assert lines[0].startswith("fabricctl: ") and what in lines[0]
    assert lines[1].startswith("  ") and why in lines[1]
    assert lines[2].startswith("  try: ") and hint in lines[2]


class Watch:
    """fabricctl under way; its lines are collected as they come."""

    def __init__(self, *argv, **options):
        self.lines = []
        self.process = subprocess.Popen(
            [str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **options
        )
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait(self, pattern, deadline_s=5):
        wait_for(lambda: [x for x in self.lines if re.search(pattern, x)], deadline_s, f"a line {pattern!r} in {self.lines}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end_process(self.process)
        self.thread.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


def on_a_terminal(argv, columns=200, until=None, **environment):
    """What a program writes to a terminal: all of it, or the part that ends with `until`."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [str(a) for a in argv], stdin=follower, stdout=follower, stderr=follower, env=ENVIRONMENT | environment
    )
    os.close(follower)
    text = ""
    end = time.monotonic() + 10
    try:
        while time.monotonic() < end and not (until and until in text):
            if not select.select([leader], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(leader, 65536)
            except OSError:
                break
            if not data:
                break
            text += data.decode()
        if until:
            assert until in text, text
            process.send_signal(signal.SIGINT)
        process.wait(10)
    finally:
        end_process(process)
        os.close(leader)
    return text


@pytest.fixture
def two(lab):
    """Two hosts with daemons, and a lease that another implementation might have written."""
    lab.start_etcd()
    lab.configure(CONFIG)
    hosts = lab.hosts(2, daemons=True)
    put_lease(lab, "10.5.250.0-24", "192.0.2.250", lease=lab.etcd.grant(5000))
    for host in hosts:
        host.daemon.wait_peers(2)
    return hosts
