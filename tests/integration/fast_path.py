# SPDX-License-Identifier: Apache-2.0
"""What tests of the fast path need: hosts that have it on, each with a directory in a BPF file system of its own."""

import contextlib
import ctypes
import os
import platform
import socket
import struct
import threading

import pytest

import netns
import packets
from netns import wait_for

# In the order of fastpath/maps.h.
TAKEN = ("out", "in", "local")


def kernel_has_tcx():
    """Since 6.6."""
    return tuple(int(number) for number in platform.release().split(".")[:2]) >= (6, 6)


def start(lab, count=2, mode="on", **flags):
    """Hosts whose daemons have the fast path on, or a skip with what status says of why not."""
    mount(lab)
    hosts = lab.hosts(count, daemons=True, fast_path=mode, **flags)
    skip_without(hosts[0])
    return hosts


def mount(lab):
    if not kernel_has_tcx():
        pytest.skip("this kernel has no tcx")
    why_not = lab.mount_bpf()
    if why_not:
        pytest.skip(f"there is no BPF file system: {why_not}")


def skip_without(host):
    reason = status(host)["reason"]
    for cannot in ("built without", "libbpf", "no tcx", "does not take"):
        if cannot in reason:
            pytest.skip(f"no fast path: {reason}")


def status(host):
    return host.daemon.status()["fastPath"]


def directory(host):
    return host.daemon.flags["fast_path_dir"] / "flannel_1"


def outcomes(host):
    return status(host)["packets"]


def taken(host):
    return {name: outcomes(host)[name] for name in TAKEN}


def wait_on(*hosts, deadline_s=10):
    for host in hosts:
        wait_for(lambda h=host: status(h)["on"], deadline_s, f"the fast path of {host.name} is on")


def wait_off(host, reason, deadline_s=2):
    def off():
        found = status(host)
        assert not found["on"] and reason in found["reason"], found
        return True

    wait_for(off, deadline_s, f"the fast path of {host.name} is off for the sake of {reason}")


def wait_known(*containers):
    """Until their hosts know them: their addresses are in the map."""
    for c in containers:
        # The host learns of a container from its first packet.
        for family, address in ((4, c.address), (6, c.address6)):
            if address:
                gateway = c.namespace.run("ip", f"-{family}", "route", "show", "default").split()[2]
                c.namespace.run("ping", f"-{family}", "-c1", "-W5", gateway)
    for c in containers:
        wait_for(lambda host=c.host: status(host)["containers"] >= wanted(host), 10, f"{c.name} is known")


def wanted(host):
    return sum(len(c.addresses) for c in host.containers)


def bpf(command, attributes):
    """The system call; what it returns."""
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    room = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = netns.libc.syscall(number, command, room, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf {command}: {os.strerror(ctypes.get_errno())}")
    return result


def pinned(host, name):
    """A descriptor of a map."""
    path = ctypes.create_string_buffer(os.fsencode(directory(host) / name))
    return bpf(7, struct.pack("=Q", ctypes.addressof(path)))


def counted(host):
    """The maps in which something is counted at present."""
    key = ctypes.create_string_buffer(64)
    found = []
    for name in ("metered", "delivered"):
        fd = pinned(host, name)
        try:
            bpf(4, struct.pack("=IIQQ", fd, 0, 0, ctypes.addressof(key)))
            found.append(name)
        except FileNotFoundError:
            pass
        finally:
            os.close(fd)
    return found


def attach_stranger(host, device):
    """A program of somebody else at tcx, which lets all pass. Returns a descriptor: closed, and it is gone."""
    code = struct.pack("=BBhi", 0xB7, 0, 0, -1) + struct.pack("=BBhi", 0x95, 0, 0, 0)  # r0 = TCX_NEXT; exit
    code, license_text = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    index = next(link["ifindex"] for link in host.namespace.ip("link", "show") if link["ifname"] == device)
    with host.namespace.entered():
        program = bpf(5, struct.pack("=IIQQ", 3, 2, ctypes.addressof(code), ctypes.addressof(license_text)))
        try:
            return bpf(28, struct.pack("=III", program, index, 46))
        finally:
            os.close(program)


def take_out(host, address):
    """What somebody else might do to the map: the address is no more in it."""
    key = ctypes.create_string_buffer(b"\0" * 10 + b"\xff\xff" + socket.inet_aton(address), 16)
    fd = pinned(host, "containers")
    try:
        bpf(3, struct.pack("=IIQ", fd, 0, ctypes.addressof(key)))
    finally:
        os.close(fd)


class Datagrams:
    """Numbered datagrams from one container to another, 200 a second, for as long as it is open."""

    def __init__(self, sender, receiver):
        self.inbox = receiver.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.inbox.setsockopt(socket.SOL_SOCKET, packets.SO_RCVBUFFORCE, 16 << 20)
        self.inbox.bind(("", 7100))
        self.inbox.setblocking(False)
        self.outbox = sender.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.outbox.connect((receiver.address, 7100))
        self.sent = 0
        self.numbers = set()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.send, daemon=True)
        self.thread.start()

    def send(self):
        while not self.ended.wait(0.005):
            self.outbox.send(str(self.sent).encode())
            self.sent += 1

    def received(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.numbers.add(int(self.inbox.recv(64)))
        return len(self.numbers)

    def lost(self):
        return self.sent - self.received()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        with contextlib.suppress(AssertionError):
            wait_for(lambda: self.lost() == 0, 3, "the last ones arrive")
        self.outbox.close()
