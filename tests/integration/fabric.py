# SPDX-License-Identifier: Apache-2.0
"""A laboratory: an underlay with etcd, hosts on it, daemons on the hosts, containers behind them. All in namespaces.

    def test_something(lab):
        lab.start_etcd()                       # one member; members=3 for three
        lab.configure()                        # Network 10.5.0.0/16, vxlan
        h1, h2, h3 = lab.hosts(3, daemons=True)    # three hosts, a daemon on each, all ready
        c1, c2 = h1.container(), h2.container()
        with lab.pinger(c1, c2) as pinger:
            h1.daemon.restart()
        assert pinger.lost == 0, pinger.report()
        lab.wait_equal()                       # the kernel of every host is what the store says

The underlay is 192.0.2.0/24 and 2001:db8:1::/64 on a bridge br0; host n is .n and ::n on eth0, etcd's members are .201
to .203, the default gateway .254. `lab` ends all processes and deletes all namespaces, whatever happened.
"""

import collections
import contextlib
import ipaddress
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

import netns
import schema
import witness
from etcd import PREFIX, Certificates, Etcd
from netns import Namespace, NamespaceHTTP, UnixHTTP, end_process, wait_for
from ping import Pinger
from proxy import Proxy

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("FLANNEL_BUILD", ROOT / "build")).resolve()
SANITIZED = bool(os.environ.get("FLANNEL_SANITIZE"))
SHIFT_CLOCK = BUILD / "tests" / "shift_clock.so"
FLANNELD = BUILD / "flanneld"
FABRICCTL = BUILD / "fabricctl"
CNI_PLUGIN = BUILD / "flannel"
READY_S = 10
DEPARTED_S = 4  # what leads to a host whose lease is gone stays for 3 s, in case it is claimed again
CONFIG = {"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}
# Hosts lease 10.5.150.0 to 10.5.239.0, so that leases which a test makes up do not meet them by chance.
APART = CONFIG | {"SubnetMin": "10.5.150.0", "SubnetMax": "10.5.239.0"}
IPV6 = {"EnableIPv6": True, "IPv6Network": "fd10:5::/48"}
DUAL = APART | IPV6
# A bridge with a MAC address of its own keeps it. Otherwise it takes the lowest of its ports, changes it when a port
# comes, and a host that knows the former one reaches nobody until it asks again, half a minute later.
BRIDGE_MAC = "02:00:00:00:00:fe"
Segment = collections.namedtuple("Segment", "bridge v4 v6")
SEGMENTS = {1: Segment("br0", "192.0.2.", "2001:db8:1::"), 2: Segment("br1", "198.51.100.", "2001:db8:2::")}


def preloaded(library):
    """LD_PRELOAD for it: the sanitizer's own library wants to be the first."""
    first = [netns.run("gcc", "-print-file-name=libasan.so").strip()] if SANITIZED else []
    return ":".join([*first, str(library)])


class Daemon:
    """One flanneld on one host. Its flags are keywords: etcd_prefix="/other", ip_masq=True, iface=["eth0", "eth1"]."""

    def __init__(self, host, name="", **flags):
        self.host = host
        self.name = f"{host.name}{'-' + name if name else ''}"
        self.directory = host.lab.directory / self.name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_file = self.directory / "log"
        self.log_file.touch()
        self.log_start = 0
        self.process = None
        self.environment = {}
        self.wrapper = []  # a command that runs the daemon; what it mounts is seen by the daemon alone
        self.flags = {
            "etcd_endpoints": host.lab.etcd.endpoints if host.lab.etcd else "http://192.0.2.201:2379",
            "state_dir": self.directory / "state",
            "subnet_file": self.directory / "subnet.env",
            "socket": self.directory / "flanneld.sock",
            "fast_path_dir": host.lab.bpf_directory / self.name,
            "cni_plugin": CNI_PLUGIN,
            "cni_data_dir": self.directory / "cni",
            "node_name": self.name.removeprefix(host.lab.prefix).lstrip("-"),
        } | flags

    @property
    def socket_path(self):
        return pathlib.Path(self.flags["socket"])

    @property
    def subnet_file(self):
        return pathlib.Path(self.flags["subnet_file"])

    def argv(self):
        argv = [str(FLANNELD)]
        for name, value in self.flags.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                text = {True: "true", False: "false"}.get(one, one) if isinstance(one, bool) else one
                argv.append(f"--{name.replace('_', '-')}={text}")
        return argv

    # ---- life

    def wrapped(self):
        return ["unshare", "-m", *self.wrapper] if self.wrapper else []

    def start(self):
        assert not self.running, f"{self.name} runs already"
        self.log_start = self.log_file.stat().st_size
        with self.log_file.open("ab") as log:
            self.process = self.host.namespace.popen(
                *self.wrapped(), *self.argv(), stdout=log, stderr=log, env=os.environ | self.environment
            )
        return self

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        """SIGTERM; returns the exit status."""
        return end_process(self.process, signal.SIGTERM) if self.process else None

    def kill(self):
        if self.process:
            end_process(self.process)

    def restart(self):
        """An orderly stop and a start, waits until ready again."""
        assert self.stop() == 0
        self.start()
        return self.wait_ready()

    def release(self):
        """Gives the lease back while the daemon is stopped, so that the host may be given another."""
        flags = [f"--{name.replace('_', '-')}={self.flags[name]}" for name in ("etcd_endpoints", "state_dir", "socket")]
        self.host.namespace.run(FLANNELD.parent / "fabricctl", "lease", "release", "--yes", "--config-file=/dev/null", *flags)

    def kill_after(self, seconds):
        """SIGKILL at this moment of its life; the daemon must not have ended by itself before."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self.process.wait(seconds)
            pytest.fail(f"{self.name} ended with status {status}:\n{self.log()[-4000:]}")
        self.kill()

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, deadline_s=10):
        wait_for(lambda: not self.running, deadline_s, f"{self.name} ends")
        return self.process.returncode

    # ---- what it says

    def request(self, path, method="GET", timeout_s=10, headers=None):
        """(status, text) from the unix socket."""
        connection = UnixHTTP(self.socket_path, timeout_s)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def request_tcp(self, address, port, path):
        """(status, text) over TCP from inside the host."""
        connection = NamespaceHTTP(self.host.namespace, address, port)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def json(self, path):
        status, text = self.request(path)
        assert status == 200, f"{path}: HTTP {status}: {text}"
        if "fields=" not in path:  # of these items a part is wanted
            schema.check(text)
        return json.loads(text)

    def status(self):
        return self.json("/v1/status")

    def subnets(self):
        return self.json("/v1/subnets")["items"]

    def metrics(self):
        """{'flannel_peers{state="used"}': 2.0, ...}"""
        status, text = self.request("/metrics")
        assert status == 200
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    def metric(self, name):
        return self.metrics()[name]

    def problems(self):
        """Names of what status says is wrong."""
        return {p["name"] for p in self.status()["problems"]}

    def log(self):
        """All lines since the last start."""
        with self.log_file.open("rb") as file:
            file.seek(self.log_start)
            return file.read().decode(errors="replace")

    def logged(self, pattern):
        return re.search(pattern, self.log())

    # ---- waiting

    def _alive(self):
        if not self.running:
            pytest.fail(f"{self.name} ended with status {self.process.returncode}:\n{self.log()[-4000:]}")

    def wait_listening(self, deadline_s=READY_S):
        def listening():
            self._alive()
            return self.request("/healthz")[0] == 200

        wait_for(listening, deadline_s, f"{self.name} answers on its socket")
        return self

    def wait_ready(self, deadline_s=READY_S):
        def ready():
            self._alive()
            status, text = self.request("/readyz")
            assert status == 200, text
            return True

        wait_for(ready, deadline_s, f"{self.name} is ready")
        return self

    def wait_status(self, predicate, deadline_s=READY_S, what="status as expected"):
        """Waits until predicate(status document) is true and returns the document."""

        def right():
            self._alive()
            status = self.status()
            brief = {k: status.get(k) for k in ("verdict", "problems", "lease", "store", "peers", "kernel")}
            assert predicate(status), json.dumps(brief)
            return status

        return wait_for(right, deadline_s, f"{self.name}: {what}")

    def wait_ok(self, deadline_s=READY_S):
        return self.wait_status(lambda s: s["verdict"] == "ok", deadline_s, "verdict ok")

    def wait_peers(self, count, deadline_s=READY_S):
        """So many peers, all of them programmed."""
        return self.wait_status(
            lambda s: s["peers"] == count and s["kernel"]["unsettled"] == 0, deadline_s, f"{count} peers programmed"
        )

    def wait_log(self, pattern, deadline_s=READY_S):
        return wait_for(lambda: self.logged(pattern), deadline_s, f"{self.name} logs {pattern!r}")

    # ---- what it holds

    def environment_file(self):
        """subnet.env as a dictionary."""
        lines = self.subnet_file.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line)

    def _network(self, line):
        environment = self.environment_file()
        return str(ipaddress.ip_interface(environment[line]).network) if line in environment else None

    def subnet(self):
        """The own subnet, 10.5.4.0/24, as subnet.env tells it; the IPv6 one where there is no other."""
        return self._network("FLANNEL_SUBNET") or self.subnet6()

    def subnet6(self):
        return self._network("FLANNEL_IPV6_SUBNET")

    def key(self):
        v4, v6 = self._network("FLANNEL_SUBNET") or "0.0.0.0-0", self.subnet6()
        last = witness.key_of(v4) + (f"&{witness.key_of(v6)}" if v6 else "")
        return f"{self.flags.get('etcd_prefix', PREFIX)}/subnets/{last}"


class Container:
    """A namespace on the host's bridge, as the CNI plugin makes it: address, gateway, MTU."""

    def __init__(self, host, number, environment):
        self.host = host
        self.name = f"{host.name}-c{number}"
        self.namespace = Namespace(self.name)
        host.lab.namespaces.append(self.namespace)
        mtu = environment["FLANNEL_MTU"]
        bridge = host.bridge_for(environment)
        port = f"c{number}"
        host.namespace.ip_batch(
            [
                f"link add {port} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {self.name}",
                f"link set {port} master {bridge} up",
            ]
        )
        lines = ["link set eth0 up"]
        self.address = self.address6 = None
        if "FLANNEL_SUBNET" in environment:
            gateway = ipaddress.ip_interface(environment["FLANNEL_SUBNET"])
            self.address = str(gateway.ip + number)
            lines += [
                f"addr add {self.address}/{gateway.network.prefixlen} dev eth0",
                f"route add default via {gateway.ip}",
            ]
        if "FLANNEL_IPV6_SUBNET" in environment:
            gateway6 = ipaddress.ip_interface(environment["FLANNEL_IPV6_SUBNET"])
            self.address6 = str(gateway6.ip + number)
            lines += [
                f"addr add {self.address6}/{gateway6.network.prefixlen} dev eth0 nodad",
                f"route add default via {gateway6.ip}",
            ]
        self.namespace.ip_batch(lines)
        host.namespace.wait_forwarding(port)

    @property
    def addresses(self):
        return [a for a in (self.address, self.address6) if a]


class Host:
    """A machine: a namespace with eth0 in the underlay, in one of its two segments."""

    def __init__(self, lab, number, segment=1):
        self.lab = lab
        self.number = number
        self.name = f"{lab.prefix}-h{number}"
        self.segment = SEGMENTS[segment]
        self.address = f"{self.segment.v4}{number}"
        self.address6 = f"{self.segment.v6}{number:x}"
        self.namespace = lab.plug(
            f"h{number}",
            self.address,
            f"addr add {self.address6}/64 dev eth0 nodad",
            "link set eth0 up",
            *self.default_routes("add"),
            bridge=self.segment.bridge,
        )
        self.daemons = {}
        self.containers = []
        self.bridges = set()
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.namespace.sysctl(key, 1)

    def default_routes(self, verb):
        return [f"route {verb} default via {self.segment.v4}254", f"route {verb} default via {self.segment.v6}fe"]

    def make_daemon(self, name="", **flags):
        """A daemon that is not started yet; `name` tells several on one host apart."""
        assert name not in self.daemons
        self.daemons[name] = Daemon(self, name, **flags)
        return self.daemons[name]

    def start_daemon(self, name="", ready=True, **flags):
        daemon = self.make_daemon(name, **flags).start()
        return daemon.wait_ready() if ready else daemon

    @property
    def daemon(self):
        return self.daemons[""]

    def fill_eth0(self):
        """What eth0 loses when it is set down or made anew: IPv6 address and default routes."""
        self.namespace.ip_batch(
            [
                f"addr replace {self.address}/24 dev eth0",
                f"addr replace {self.address6}/64 dev eth0 nodad",
                "link set eth0 up",
                *self.default_routes("replace"),
            ]
        )
        self.lab.underlay.wait_forwarding(f"h{self.number}")

    def subnet_of_file(self):
        return self.daemon.subnet()

    def bridge_for(self, environment, name="cni0"):
        """The bridge that containers hang on, with the gateway's address."""
        if name not in self.bridges:
            self.bridges.add(name)
            lines = [
                f"link add {name} address {BRIDGE_MAC} mtu {environment['FLANNEL_MTU']} type bridge",
                f"link set {name} up",
            ]
            if "FLANNEL_SUBNET" in environment:
                lines.append(f"addr add {environment['FLANNEL_SUBNET']} dev {name}")
            if "FLANNEL_IPV6_SUBNET" in environment:
                lines.append(f"addr add {environment['FLANNEL_IPV6_SUBNET']} dev {name} nodad")
            self.namespace.ip_batch(lines)
        return name

    def container(self, daemon=None):
        """Does what the CNI plugin does, from the daemon's subnet.env."""
        environment = (daemon or self.daemon).environment_file()
        container = Container(self, len(self.containers) + 2, environment)
        self.containers.append(container)
        return container

    # ---- witnesses

    def link(self, device="flannel.1"):
        """The device as `ip -j -d link` shows it, or None."""
        for link in self.namespace.ip("link", "show"):
            if link["ifname"] == device:
                return link
        return None

    def objects(self, vni=1):
        return witness.found(self.namespace, vni)

    def monitor(self):
        monitor = witness.KernelMonitor(self.namespace)
        self.lab.closers.callback(monitor.close)
        return monitor

    def vtep_mac(self, device="flannel.1"):
        return self.link(device)["address"]


class NotifySocket:
    """Stands in for systemd: collects what arrives on $NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.received = []

    def messages(self):
        """Every line so far, in order."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.received += self.socket.recv(4096).decode().splitlines()
        return self.received

    def close(self):
        self.socket.close()


class Lab:
    def __init__(self):
        self.prefix = netns.unique_prefix()
        self.directory = netns.temporary_directory()
        self.closers = contextlib.ExitStack()
        self.closers.callback(shutil.rmtree, self.directory, True)
        self.bpf_directory = self.directory / "bpf"
        # All tests with the fast path: FLANNELD_FAST_PATH=on in the environment.
        if os.environ.get("FLANNELD_FAST_PATH") == "on":
            self.mount_bpf()
        self.namespaces = []
        self.all_hosts = []
        self.etcd = None
        self.underlay = Namespace(f"{self.prefix}-net")
        self.namespaces.append(self.underlay)
        self.underlay.ip_batch(
            [
                f"link add br0 address {BRIDGE_MAC} type bridge",
                "addr add 192.0.2.254/24 dev br0",
                "addr add 2001:db8:1::fe/64 dev br0 nodad",
                "link set br0 up",
            ]
        )

    def mount_bpf(self):
        """A BPF file system, in which each daemon has its directory. Why not, "" if it is there."""
        if not self.bpf_directory.exists():
            self.bpf_directory.mkdir()
            done = netns.run("mount", "-t", "bpf", "bpf", self.bpf_directory, check=False)
            if done.returncode:
                return done.stderr.strip()
            self.closers.callback(netns.run, "umount", "-l", self.bpf_directory)
        return ""

    def plug(self, name, address, *more, bridge="br0"):
        """A namespace with eth0 in the underlay and this address; further lines for `ip -batch` before it is up."""
        namespace = Namespace(f"{self.prefix}-{name}")
        self.namespaces.append(namespace)
        self.cable(namespace, name, "eth0", f"addr add {address}/24 dev eth0", *more, bridge=bridge)
        return namespace

    def cable(self, namespace, port, interface, *more, bridge="br0"):
        """A new interface on the underlay, up; further lines for `ip -batch` before it is."""
        self.underlay.ip_batch(
            [f"link add {port} type veth peer name {interface} netns {namespace.name}", f"link set {port} master {bridge} up"]
        )
        namespace.ip_batch([*more, f"link set {interface} up"])
        self.underlay.wait_forwarding(port)

    def start_etcd(self, members=1, arguments=(), tls=None, wait=True):
        self.etcd = Etcd(self.underlay, self.plug, self.directory / "etcd", members, arguments, tls)
        self.closers.callback(self.etcd.close)
        return self.etcd.start(wait)

    def proxy(self, number=1, member=0):
        """A proxy on 192.0.2.21x in front of one member, see proxy.py."""
        proxy = Proxy(self.underlay, f"192.0.2.21{number}", self.etcd.members[member].address)
        self.closers.callback(proxy.close)
        return proxy

    def certificates(self):
        return Certificates(self.directory / "tls")

    def configure(self, config=None, prefix=PREFIX):
        self.etcd.set_config(config or CONFIG, prefix)

    def narrow_port(self, port, mtu):
        """The underlay's switch has this MTU at a port: it drops what is larger, and tells nobody."""
        # Where br_netfilter is loaded the bridge would look into packets, and tell those that sent them.
        for key in ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"):
            with contextlib.suppress(FileNotFoundError):
                self.underlay.sysctl(key, 0)
        self.underlay.ip_do(f"link set {port} mtu {mtu}")

    def second_segment(self):
        """198.51.100.0/24 and 2001:db8:2::/64 on br1, joined with the first by a router, .254 and ::fe in both."""
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.underlay.sysctl(key, 1)
        # A router that tells hosts of shorter ways would change what is tested.
        for key in ("net.ipv4.conf.all.send_redirects", "net.ipv4.conf.br0.send_redirects"):
            self.underlay.sysctl(key, 0)
        self.underlay.ip_batch(
            [
                f"link add br1 address {BRIDGE_MAC} type bridge",
                "addr add 198.51.100.254/24 dev br1",
                "addr add 2001:db8:2::fe/64 dev br1 nodad",
                "link set br1 up",
            ]
        )
        for member in self.etcd.members:
            member.namespace.ip_do("route add 198.51.100.0/24 via 192.0.2.254")

    def host(self, segment=1):
        host = Host(self, len(self.all_hosts) + 1, segment)
        self.all_hosts.append(host)
        return host

    def hosts(self, count, daemons=False, **flags):
        """With daemons=True: one on each, ready, all peers of each programmed."""
        hosts = [self.host() for _ in range(count)]
        if daemons:
            for host in hosts:
                host.start_daemon(ready=False, **flags)
            for host in hosts:
                host.daemon.wait_ready()
            for host in hosts:
                host.daemon.wait_peers(len(self.all_hosts) - 1)
        return hosts

    def pinger(self, *containers, rate=100):
        """Every one of these pings every other, both ways, in all families that they have."""
        return Pinger(
            [(a.namespace, address) for a in containers for b in containers if a is not b for address in b.addresses],
            rate,
        )

    def daemons(self):
        return [d for h in self.all_hosts for d in h.daemons.values()]

    def wait_equal(self, deadline_s=5, hosts=None):
        """The kernel of every host that has a daemon is what the store says: nothing missing, nothing stale."""
        for host in hosts or [h for h in self.all_hosts if "" in h.daemons]:
            witness.wait_equal(host, self.etcd.leases, deadline_s)

    def notify_socket(self):
        notify = NotifySocket(self.directory / "notify")
        self.closers.callback(notify.close)
        return notify

    def report(self):
        """(title, text) pairs for a failed test."""
        for daemon in self.daemons():
            if daemon.process:
                yield f"log of {daemon.name}", daemon.log_file.read_text(errors="replace")[-6000:]
                rules = daemon.host.namespace.run("nft", "list", "ruleset", check=False).stdout
                yield f"traffic rules of {daemon.host.name}", rules[:6000]
        if self.etcd:
            yield "end of etcd's log", self.etcd.log_tail(8)

    def close(self):
        """Processes first, then namespaces, then files. Goes on after a failure and tells the first."""
        with contextlib.ExitStack() as stack:
            stack.push(self.closers)
            for namespace in self.namespaces:
                stack.callback(namespace.delete)
            for daemon in self.daemons():
                stack.callback(daemon.kill)
