# SPDX-License-Identifier: Apache-2.0
"""A host and its containers in network namespaces, and the CNI plugin executed in that host as a runtime would.

Everything has a name of its own per process and lies in a temporary directory, so that any number of copies run side by
side. `Host` is a context manager and leaves nothing behind.
"""

import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import netns

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("FLANNEL_BUILD", ROOT / "build"))
PLUGIN = BUILD / "flannel"
REFERENCE = pathlib.Path("/usr/lib/cni")
VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
LATEST = VERSIONS[-1]
TIMEOUT_S = 60

_counter = itertools.count()


def command(*argv, check=True, **kwargs):
    result = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, **kwargs)
    if check and result.returncode:
        raise AssertionError(f"{' '.join(map(str, argv))}: {result.stderr}")
    return result.stdout


class Outcome:
    """What one execution of the plugin gave back."""

    def __init__(self, status, out, err):
        self.status, self.text, self.stderr = status, out, err
        try:
            self.json = json.loads(out) if out.strip() else None
        except ValueError:
            self.json = None

    @property
    def ok(self):
        return self.status == 0

    @property
    def code(self):
        return self.json["code"] if self.json and "code" in self.json else None

    @property
    def message(self):
        return self.json.get("msg", "") if self.json else ""

    def __repr__(self):
        return f"<{self.status} {self.text.strip()} {self.stderr.strip()}>"


class Namespace:
    def __init__(self, name, create=True):
        self.name = name
        self.path = str(netns.add_name(name) if create else netns.NAMES / name)

    def delete(self):
        netns.remove_name(self.name)

    def entered(self):
        return netns.entered(self.path)

    def run(self, *argv, check=True, **kwargs):
        with self.entered():
            return command(*argv, check=check, **kwargs)

    def ip(self, *argv):
        text = self.run("ip", "-j", "-d", *argv)
        return json.loads(text) if text.strip() else []

    def links(self):
        return {link["ifname"]: link for link in self.ip("link")}

    def link(self, name):
        return self.links()[name]

    def addresses(self, name, family=None):
        """["10.1.2.3/24", ...] of global scope."""
        for link in self.ip("addr"):
            if link.get("ifname") == name:
                return [
                    f"{a['local']}/{a['prefixlen']}"
                    for a in link["addr_info"]
                    if a["scope"] == "global" and family in (None, a["family"])
                ]
        return []

    def routes(self, family=4):
        return json.loads(self.run("ip", "-j", f"-{family}", "route", "show", "table", "all") or "[]")

    def ping(self, address, check=True):
        out = self.run("ping", "-c", "1", "-W", "2", address, check=False)
        received = " 1 received" in out
        assert received or not check, f"no answer from {address}: {out}"
        return received

    def nft(self):
        """The rule set with what never goes away left out: elements only, and foreign tables."""
        return self.run("nft", "list", "ruleset")


def elements(ruleset):
    """Comments of all elements in our sets."""
    return [line for line in ruleset.splitlines() if ', net: ' in line]


class Host:
    """A host of its own; or one that there is, with its daemon's subnet.env, if `existing` names its namespace."""

    def __init__(self, existing=None, subnet_file=None, **fabric):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cni-test-"))
        self.name = f"{netns.unique_prefix()}-"
        self.namespaces = []
        if existing:
            self.ns = Namespace(existing, create=False)
        else:
            self.ns = self.namespace("h")
            self.ns.run("ip", "link", "set", "lo", "up")
        self.subnet_file = subnet_file or self.directory / "subnet.env"
        self.data_dir = self.directory / "data"
        self.pool_dir = self.directory / "networks"
        self.path = REFERENCE
        if not subnet_file:
            self.write_fabric(**fabric)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for ns in self.namespaces:
            ns.delete()
        shutil.rmtree(self.directory, ignore_errors=True)

    def namespace(self, suffix=None):
        ns = Namespace(f"{self.name}{suffix or 'c%d' % next(_counter)}")
        self.namespaces.append(ns)
        return ns

    def write_fabric(self, network="10.5.0.0/16", subnet="10.5.17.1/24", v6_network=None, v6_subnet=None, mtu=1450,
                     ipmasq=True):  # fmt: skip
        lines = []
        if network:
            lines.append(f"FLANNEL_NETWORK={network}")
        if subnet:
            lines.append(f"FLANNEL_SUBNET={subnet}")
        if v6_network:
            lines.append(f"FLANNEL_IPV6_NETWORK={v6_network}")
        if v6_subnet:
            lines.append(f"FLANNEL_IPV6_SUBNET={v6_subnet}")
        lines += [f"FLANNEL_MTU={mtu}", f"FLANNEL_IPMASQ={'true' if ipmasq else 'false'}"]
        self.subnet_file.write_text("\n".join(lines) + "\n")

    def flannel(self, version=LATEST, name="net1", delegate=None, ipam=None, **more):
        """A configuration in flannel's form."""
        conf = {
            "cniVersion": version,
            "name": name,
            "type": "flannel",
            "subnetFile": str(self.subnet_file),
            "dataDir": str(self.data_dir),
            "ipam": {"dataDir": str(self.pool_dir)} | (ipam or {}),
        }
        if delegate is not None:
            conf["delegate"] = delegate
        return conf | more

    def direct(self, version=LATEST, name="net1", ranges=None, ipam=None, **more):
        """A configuration with the bridge's keys in our own object. ranges: ["10.1.2.0/24", ...], a set each."""
        conf = {
            "cniVersion": version,
            "name": name,
            "type": "flannel",
            "bridge": "br0",
            "subnetFile": str(self.subnet_file),
            "dataDir": str(self.data_dir),
        }
        if ranges is not None:
            conf["ipam"] = {
                "type": "host-local",
                "dataDir": str(self.pool_dir),
                "ranges": [[{"subnet": r}] if isinstance(r, str) else r for r in ranges],
            }
        if ipam is not None:
            conf["ipam"] = conf.get("ipam", {}) | ipam
        return conf | more

    def environment(self, verb, netns, id="c1", ifname="eth0", args=None, path=None, **more):
        env = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": id,
            "CNI_IFNAME": ifname,
            "CNI_PATH": str(path or self.path),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "CNI_NETNS": netns.path if isinstance(netns, Namespace) else netns,
            "CNI_ARGS": args,
        } | more
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                env.setdefault(name, os.environ[name])
        return {k: v for k, v in env.items() if v is not None}

    def start(self, verb, conf, netns="", plugin=PLUGIN, **env):
        with self.ns.entered():
            process = subprocess.Popen(
                [str(plugin)],
                env=self.environment(verb, netns, **env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        process.request = conf if isinstance(conf, bytes) else json.dumps(conf).encode()
        return process

    def finish(self, process):
        try:
            out, err = process.communicate(process.request, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            raise
        return Outcome(process.returncode, out.decode(), err.decode())

    def run(self, verb, conf, netns="", **env):
        return self.finish(self.start(verb, conf, netns, **env))

    def add(self, conf, netns, **env):
        outcome = self.run("ADD", conf, netns, **env)
        assert outcome.ok, outcome
        return outcome.json

    def delete(self, conf, netns="", prev=None, **env):
        outcome = self.run("DEL", conf | ({"prevResult": prev} if prev else {}), netns, **env)
        assert outcome.ok and outcome.text == "", outcome
        return outcome

    def check(self, conf, netns, prev, **env):
        return self.run("CHECK", conf | {"prevResult": prev}, netns, **env)

    def reservations(self, network="net1"):
        """{address: (container id, interface)}"""
        found = {}
        directory = self.pool_dir / network
        for file in directory.iterdir() if directory.exists() else []:
            if file.name[0].isdigit() or ":" in file.name:
                found[file.name] = tuple(file.read_bytes().decode().split("\r\n"))
        return found

    def records(self, network="net1"):
        directory = self.data_dir / f"@{network}"
        return sorted(f.name for f in directory.iterdir() if f.name != "lock") if directory.exists() else []

    def veths(self):
        return [name for name, link in self.ns.links().items() if name.startswith("veth")]

    def leftovers(self, network="net1"):
        """What DEL or GC should have removed, by kind; empty if nothing is left."""
        found = {
            "reservations": self.reservations(network),
            "records": self.records(network),
            "veths": self.veths(),
            "elements": elements(self.ns.nft()),
        }
        return {kind: items for kind, items in found.items() if items}
