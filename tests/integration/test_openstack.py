# SPDX-License-Identifier: Apache-2.0
"""docs/integrations/openstack.md with a real neutron-server: its API, its database, no agents."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

import debian
from fabric import DUAL, FABRICCTL
from netns import NamespaceHTTP, end_process, wait_for
from recipes import block

PAGE = "openstack.md"
PORT = 9696
ADDRESS = "192.0.2.91"
# Migrations want a larger database than SQLite: the tables are made as the models have them.
SCHEMA = """
import sys, sqlalchemy
from neutron.db.migration.models import head
from neutron_lib.db import model_base
model_base.BASEV2.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))
"""
CONFIGURATION = """
[DEFAULT]
auth_strategy = noauth
transport_url = fake://
core_plugin = ml2
service_plugins = router
bind_host = 0.0.0.0
bind_port = {port}
state_path = {directory}
api_paste_config = {root}/usr/share/neutron-common/api-paste.ini
api_workers = 0
rpc_workers = 0
[database]
connection = {database}
[ml2]
mechanism_drivers =
type_drivers = local,flat,vxlan
tenant_network_types = local
extension_drivers = port_security
[oslo_concurrency]
lock_path = {directory}
"""


def packages():
    """neutron-server and what it needs that is not installed here."""
    asked = subprocess.run(["apt-get", "install", "-s", "--no-install-recommends", "neutron-server"], capture_output=True, text=True, check=False)
    names = re.findall(r"^Inst (\S+)", asked.stdout, re.M)
    if "neutron-server" not in names:
        pytest.skip(f"neutron-server cannot be had: {(asked.stderr or 'it is installed').strip().splitlines()[-1]}")
    return ["neutron-server", *(name for name in names if name != "neutron-server")]


class Neutron:
    def __init__(self, lab, directory):
        root = debian.unpacked(debian.OWN, *packages())
        self.namespace = lab.plug("neutron", ADDRESS)
        database = f"sqlite:///{directory}/neutron.db"
        (directory / "neutron.conf").write_text(CONFIGURATION.format(port=PORT, directory=directory, root=root, database=database))
        environment = os.environ | {"PYTHONPATH": str(root / "usr/lib/python3/dist-packages")}
        self.namespace.run("/usr/bin/python3", "-c", SCHEMA, database, env=environment)
        argv = ["/usr/bin/python3", root / "usr/bin/neutron-server", "--config-file", directory / "neutron.conf"]
        with (directory / "neutron.log").open("wb") as log:
            # It starts others, and ends them when it is told to end.
            process = self.namespace.popen(*argv, stdout=log, stderr=log, env=environment)
        lab.closers.callback(end_process, process, 15)
        wait_for(lambda: self.ask("GET", "ports")["ports"] == [], 60, "neutron answers")

    def ask(self, method, path, body=None):
        connection = NamespaceHTTP(self.namespace, "127.0.0.1", PORT)
        try:
            connection.request(method, f"/v2.0/{path}", body and json.dumps(body), {"Content-Type": "application/json", "X-Auth-Token": "t"})
            response = connection.getresponse()
            text = response.read()
            assert response.status in (200, 201), text
            return json.loads(text)
        finally:
            connection.close()

    def make(self, kind, **fields):
        return self.ask("POST", f"{kind}s", {kind: fields})[kind]

    def pairs(self, port):
        return [pair["ip_address"] for pair in self.ask("GET", f"ports/{port['id']}")["port"]["allowed_address_pairs"]]


@pytest.mark.long
def test_the_page(lab, tmp_path):
    """The port of this host alone is allowed its subnets, once; pairs of others stay; an address that no port has is an error."""
    for program in ("curl", "jq"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    neutron = Neutron(lab, tmp_path)
    lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2, daemons=True)
    network = neutron.make("network", name="underlay", tenant_id="p")
    subnet = neutron.make("subnet", network_id=network["id"], ip_version=4, cidr="192.0.2.0/24", tenant_id="p", enable_dhcp=False)
    ports = [
        neutron.make("port", network_id=network["id"], tenant_id="p", fixed_ips=[{"subnet_id": subnet["id"], "ip_address": h1.address}], allowed_address_pairs=[{"ip_address": "192.0.2.200"}]),
        neutron.make("port", network_id=network["id"], tenant_id="p", fixed_ips=[{"subnet_id": subnet["id"], "ip_address": "192.0.2.77"}]),
    ]  # fmt: skip

    def run(host, **more):
        path = tmp_path / "fabric-neutron"
        script = block(PAGE, "`/usr/local/sbin/fabric-neutron`, executable, with `curl` and `jq`:")
        path.write_text(script.replace("fabricctl lease", f"{FABRICCTL} lease").replace("-o json", f"-o json --socket={host.daemon.socket_path}"))
        environment = os.environ | {"NEUTRON": f"http://{ADDRESS}:{PORT}", "OS_TOKEN": "secret"} | more
        return host.namespace.run("sh", path, env=environment, check=False)

    for _ in range(2):
        done = run(h1)
        assert done.returncode == 0 and done.stdout.splitlines() == [f"{one}: port {ports[0]['id']}" for one in (h1.daemon.subnet(), h1.daemon.subnet6())], done
        assert sorted(neutron.pairs(ports[0])) == sorted(["192.0.2.200", h1.daemon.subnet(), h1.daemon.subnet6()]) and neutron.pairs(ports[1]) == []
    none = run(h2)
    assert none.returncode != 0 and "not one port has this address" in none.stderr
    assert run(h1, NEUTRON=f"http://{ADDRESS}:1").returncode != 0 and run(h1, OS_TOKEN="").returncode != 0
