# SPDX-License-Identifier: Apache-2.0
"""The real netavark, driven as podman drives it, in a host of the test's own, with our plugin where it looks for one.

    with netavark.Host(suite) as host:
        status = host.setup("c1", ns)       # {"net1": {"interfaces": {"eth0": ...}, ...}}
        host.teardown("c1", ns)
"""

import json
import os
import shutil
import subprocess

import cni_support
import debian
import pytest
from cni_support import PLUGIN, TIMEOUT_S

SUITES = {"trixie": "1.14", "sid": "1.17"}  # with at least this version there
PROGRAM = "usr/lib/podman/netavark"


class Failed(Exception):
    pass


def program(release):
    """argv of the netavark of that suite."""
    argv = debian.loaded(debian.unpacked(release, "netavark", dependencies=True), PROGRAM)
    if subprocess.run([*argv, "--version"], capture_output=True).returncode:
        pytest.skip(f"the netavark of Debian's {release} does not run on this machine")
    return argv


class Host(cni_support.Host):
    def __init__(self, argv, **fabric):
        super().__init__(**fabric)
        self.argv = argv
        self.plugins = self.directory / "netavark-plugins"
        self.plugins.mkdir()
        shutil.copy(PLUGIN, self.plugins / "flannel")
        (self.directory / "tmp").mkdir()

    def options(self, **more):
        places = {"subnetFile": str(self.subnet_file), "dataDir": str(self.data_dir), "ipamDataDir": str(self.pool_dir)}
        return places | more

    def network(self, name="net1", driver="flannel", options=None, **more):
        """As podman keeps it."""
        return {
            "name": name, "id": "53ce4390f2adb1681eb1a90ec8b48c49c015e0a8d336c197637e7f65e365fa9e", "driver": driver,
            "created": "2026-11-30T09:00:00Z", "ipv6_enabled": False, "internal": False, "dns_enabled": False,
            "ipam_options": {"driver": "host-local"}, "options": self.options(**(options or {})),
        } | more  # fmt: skip

    def request(self, id, networks, ports=None, **options):
        per_network = {
            n["name"]: {"interface_name": f"eth{i}", "static_ips": None, "static_mac": None} | options
            for i, n in enumerate(networks)
        }
        return {
            "container_id": id, "container_name": f"name-of-{id}", "port_mappings": ports,
            "networks": per_network, "network_info": {n["name"]: n for n in networks},
        }  # fmt: skip

    def call(self, verb, ns, request):
        with self.ns.entered():
            done = subprocess.run(
                [*self.argv, "--config", str(self.directory / "tmp"), "--plugin-directory", str(self.plugins), verb, ns.path],
                input=json.dumps(request), env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NETAVARK_FW": "nftables"},
                capture_output=True, text=True, timeout=TIMEOUT_S,
            )  # fmt: skip
        if done.returncode:
            raise Failed(done.stdout + done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def setup(self, id, ns, networks=None, **more):
        return self.call("setup", ns, self.request(id, networks or [self.network()], **more))

    def teardown(self, id, ns, networks=None, **more):
        return self.call("teardown", ns, self.request(id, networks or [self.network()], **more))

    def plugin(self, *argv, request=None, check=True):
        """The plugin executed as netavark would; what it says, parsed."""
        env = {k: v for k, v in os.environ.items() if k in ("ASAN_OPTIONS", "UBSAN_OPTIONS")}
        text = request if isinstance(request, (bytes, type(None))) else json.dumps(request).encode()
        with self.ns.entered():
            done = subprocess.run(
                [str(self.plugins / "flannel"), *argv], input=text or b"", env=env, capture_output=True, timeout=TIMEOUT_S
            )
        said = json.loads(done.stdout) if done.stdout.strip() else None
        if done.returncode:
            assert done.returncode == 1 and set(said) == {"error"} and said["error"], done
            if check:
                raise Failed(said["error"])
        else:
            assert not said or "error" not in said
        return said

    def direct(self, id, network=None, ifname="eth0", ports=None, **options):
        """What netavark gives the plugin on stdin."""
        network = network or self.network()
        return {
            "container_id": id, "container_name": f"name-of-{id}", "port_mappings": ports, "network": network,
            "network_options": {"interface_name": ifname, "static_ips": None, "static_mac": None, "aliases": None} | options,
        }  # fmt: skip
