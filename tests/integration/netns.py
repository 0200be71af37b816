# SPDX-License-Identifier: Apache-2.0
"""Network namespaces as objects: make, enter, run programs in, look into, delete.

Everything that a test does to a network happens inside namespaces made here. Their names carry the process id of the
test run, so that parallel runs do not meet and leftovers of a killed run can be told from live ones.

Programs are started from within the namespace: a fork of the interpreter, and `ip netns exec` with mounts of its own,
would take several times as long as most programs run.
"""

import atexit
import contextlib
import ctypes
import fcntl
import functools
import http.client
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import pytest

NAMES = pathlib.Path("/run/netns")
# Every look costs both processors' time: what is waited for longer is looked at less often, and found 5 % later at most.
POLL_MIN_S, POLL_MAX_S, POLL_SHARE = 0.01, 0.1, 0.05
LOOKS = 40  # of `stays`, at least
# On a machine that is so many times as slow as one of today, deadlines are as much later.
SLOWNESS = float(os.environ.get("FLANNEL_SLOWNESS", "1"))
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x4000, 0x40000, 2
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
RTM_GETLINK, NLM_F_REQUEST_DUMP, NLMSG_DONE = 18, 0x301, 3
IFLA_IFNAME, IFLA_PROTINFO, IFLA_BRPORT_STATE, BR_STATE_FORWARDING = 3, 12, 1, 3
DIRECTORY_PATTERN = re.compile(r"^fabric-(\d+)-")
NAME_PATTERN = re.compile(r"^f(\d+)x[0-9a-f]{6}-")

NOT_YET = (
    AssertionError,
    OSError,
    LookupError,
    StopIteration,
    ValueError,
    http.client.HTTPException,
    subprocess.TimeoutExpired,
)

libc = ctypes.CDLL(None, use_errno=True)


def wait_for(predicate, deadline_s, what):
    """Polls until `predicate` returns something true, and returns that; fails with the last answer after deadline_s.

    An exception of the predicate counts as "not yet". `what` completes the sentence "not within 5 s: ...".
    """
    deadline_s *= SLOWNESS
    start = time.monotonic()
    end = start + deadline_s
    last = None
    while True:
        try:
            last = predicate()
            if last:
                return last
        except NOT_YET as e:
            last = e
        now = time.monotonic()
        if now > end:
            text = f"{type(last).__name__}: {last}" if isinstance(last, Exception) else repr(last)
            pytest.fail(f"not within {deadline_s} s: {what}; last seen: {text[:4000]}")
        # The one place where tests wait: most of what they wait for (a kernel, another process) sends no event.
        time.sleep(min(POLL_MAX_S, max(POLL_MIN_S, POLL_SHARE * (now - start))))


def stays(predicate, seconds, what):
    """The opposite of wait_for: `predicate` must be true for the whole time. For what must not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = predicate()
        assert answer, f"did not stay so for {seconds} s: {what}; seen: {answer!r}"
        time.sleep(min(POLL_MAX_S, max(POLL_MIN_S, seconds / LOOKS)))  # nothing is waited for: so often it is looked at


def run(*argv, check=True, **options):
    """Runs a program to its end and returns its output; a failure shows what it said."""
    options.setdefault("timeout", 60)
    argv = [str(a) for a in argv]
    if argv[0].endswith("tables-legacy"):
        argv.insert(1, "-w")  # all hosts share one lock: who finds it taken waits
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **options
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: exit status {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout if check else done


def private_mounts():
    """From now on: what this process and its children mount is seen by nobody else, and ends with them. Comes first."""
    _check(libc.unshare(CLONE_NEWNS), "unshare")
    _check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount")


@functools.cache
def keep_clean():
    """From now on: should this process be killed, what it leaves behind is removed at once."""
    keeper = subprocess.Popen(
        ["sh", "-c", 'read -r _ || exec "$@"', "sh", sys.executable, __file__, str(os.getpid())],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    atexit.register(keeper.communicate, b"\n")


def end_process(process, number=signal.SIGKILL, deadline_s=10):
    """Ends one process by its handle, also if it is stopped, and returns its exit status."""
    if process.poll() is None:
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(deadline_s)
            if number != signal.SIGKILL:
                pytest.fail(f"{process.args}: still running {deadline_s} s after signal {number}")
    return process.returncode


def end_inhabitants(name):
    """All processes in a namespace."""
    for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


class Namespace:
    """One network namespace. Threads may use it at the same time."""

    def __init__(self, name):
        self.name = name
        self.path = add_name(name)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        with self.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
        # Nobody has an address of another here, and the kernel need not look for him for a second or two.
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)
        self.inhabited = False  # by processes that outlive who started them

    def delete(self):
        if self.fd is None:
            return
        os.close(self.fd)
        self.fd = None
        if self.inhabited:
            end_inhabitants(self.name)
        remove_name(self.name)

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is inside for the time of the with statement."""
        with returning():
            _setns(self.fd)
            yield self

    def socket(self, *args):
        with self.entered():
            return socket.socket(*args)

    def connect(self, host, port, timeout_s=10):
        with self.entered():
            return socket.create_connection((host, port), timeout_s)

    def argv(self, *argv):
        """A command that runs this one in here."""
        return ["nsenter", f"--net={self.path}", *map(str, argv)]

    def popen(self, *argv, **options):
        """A program that ends with the test process at the latest."""
        options.setdefault("stdin", subprocess.DEVNULL)
        with self.entered():
            return subprocess.Popen([str(a) for a in argv], start_new_session=True, **options)

    def run(self, *argv, **options):
        """As the function of that name."""
        with self.entered():
            return run(*argv, **options)

    def ip(self, *args):
        """`ip -j -d` in here, parsed."""
        return json.loads(self.run("ip", "-j", "-d", *args) or "[]")

    def bridge(self, *args):
        return json.loads(self.run("bridge", "-j", *args) or "[]")

    def ip_batch(self, lines):
        """Many changes by one process; a failing line fails the test."""
        self.run("ip", "-batch", "-", input="".join(f"{line}\n" for line in lines))

    def ip_do(self, text):
        """One change, written as on a command line."""
        self.run("ip", *text.split())

    def bridge_do(self, text):
        self.run("bridge", *text.split())

    def wait_forwarding(self, port):
        """A port of a bridge takes up to a second after its other end is up. Until then all packets are lost."""
        with self.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
            wait_for(lambda: bridge_ports(s)[port] == BR_STATE_FORWARDING, 5, f"{port} forwards")

    def sysctl(self, key, value):
        # /proc/sys/net shows the namespace of the thread that opens the file.
        with self.entered():
            pathlib.Path("/proc/sys", key.replace(".", "/")).write_text(f"{value}\n", encoding="ascii")

    def nft(self, text):
        self.run("nft", "-f", "-", input=text)


def _check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _setns(fd):
    _check(libc.setns(fd, CLONE_NEWNET), "setns")


@contextlib.contextmanager
def returning():
    """At the end of the with statement the calling thread is in the namespace that it was in."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        _setns(before)
        os.close(before)


@contextlib.contextmanager
def entered(path):
    """The calling thread is in the namespace of that path for the time of the with statement."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with returning():
            _setns(fd)
            yield
    finally:
        os.close(fd)


@functools.cache
def prepare_names():
    """`ip netns` makes its directory what it must be with the first one."""
    name = f"{unique_prefix()}-first"
    run("ip", "netns", "add", name)
    run("ip", "netns", "del", name)


def add_name(name):
    """What `ip netns add` does. Returns the path of the namespace."""
    keep_clean()
    prepare_names()
    path = NAMES / name
    path.touch(exist_ok=False)
    try:
        with returning():
            _check(libc.unshare(CLONE_NEWNET), "unshare")
            _check(libc.mount(b"/proc/thread-self/ns/net", bytes(path), b"none", MS_BIND, None), "mount")
    except OSError:
        path.unlink()
        raise
    return path


def remove_name(name):
    """What `ip netns del` does."""
    libc.umount2(bytes(NAMES / name), MNT_DETACH)
    (NAMES / name).unlink(missing_ok=True)


def attributes(data):
    """{type: value} of netlink attributes."""
    out = {}
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        out[kind & 0x3FFF] = data[4:size]
        data = data[max((size + 3) & ~3, 4) :]
    return out


def bridge_ports(s):
    """{name: state} of all ports of bridges, asked through this socket."""
    ports = {}
    s.send(struct.pack("=IHHIIBxHiII", 32, RTM_GETLINK, NLM_F_REQUEST_DUMP, 0, 0, socket.AF_BRIDGE, 0, 0, 0, 0))
    while True:
        data = s.recv(1 << 16)
        while data:
            size, kind = struct.unpack_from("=IH", data)
            if kind == NLMSG_DONE:
                return ports
            link = attributes(data[32:size])
            if IFLA_PROTINFO in link:
                name = link[IFLA_IFNAME].rstrip(b"\0").decode()
                ports[name] = attributes(link[IFLA_PROTINFO]).get(IFLA_BRPORT_STATE, b"\0")[0]
            data = data[(size + 3) & ~3 :]


class NamespaceHTTP(http.client.HTTPConnection):
    """HTTP to an address inside a namespace; with `context` HTTPS."""

    def __init__(self, namespace, host, port, timeout_s=10, context=None):
        super().__init__(host, port, timeout=timeout_s)
        self.namespace = namespace
        self.context = context

    def connect(self):
        self.sock = self.namespace.connect(self.host, self.port, self.timeout)
        # Head and body are two writes: without this the second waits 40 ms for an acknowledgement.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            self.sock = self.context.wrap_socket(self.sock, server_hostname=self.host)


class UnixHTTP(http.client.HTTPConnection):
    """HTTP to a unix socket."""

    def __init__(self, path, timeout_s=10):
        super().__init__("localhost", timeout=timeout_s)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)  # without a limit it waits while the queue is full
        self.sock.settimeout(self.timeout)


def unique_prefix():
    return f"f{os.getpid()}x{secrets.token_hex(3)}"


def temporary_root():
    """On a tmpfs if there is one: etcd syncs every write."""
    shm = pathlib.Path("/dev/shm")
    return shm if os.access(shm, os.W_OK) else pathlib.Path(tempfile.gettempdir())


def temporary_directory():
    return pathlib.Path(tempfile.mkdtemp(prefix=f"fabric-{os.getpid()}-", dir=temporary_root()))


def sweep(dead=None):
    """Removes what a killed test run left behind. What belongs to a live one is known by its process."""

    def of_dead(name, pattern):
        match = pattern.match(name)
        return match and (match[1] == dead or not pathlib.Path("/proc", match[1]).exists())

    for name in os.listdir(NAMES) if NAMES.is_dir() else []:
        if of_dead(name, NAME_PATTERN):
            end_inhabitants(name)
            run("ip", "netns", "del", name, check=False)
    for name in os.listdir(temporary_root()):
        if of_dead(name, DIRECTORY_PATTERN):
            shutil.rmtree(temporary_root() / name, ignore_errors=True)


@functools.cache
def missing():
    """What this machine lacks for these tests, as a sentence, or None."""
    if os.geteuid() != 0:
        return "needs root: makes network namespaces"
    for program in ("ip", "bridge", "etcd", "nft"):
        if not shutil.which(program):
            return f"{program} is not installed"
    name = f"{unique_prefix()}-probe"
    try:
        probe = Namespace(name)
    except AssertionError as e:
        return f"no network namespaces here: {e}"
    try:
        for line in ("link add br0 type bridge", "link add vx0 type vxlan id 1 dstport 8472 nolearning"):
            try:
                probe.ip_do(line)
            except AssertionError as e:
                return f"the kernel lacks a device: {e}"
    finally:
        probe.delete()
    return None


if __name__ == "__main__":
    sweep(sys.argv[1])
