# SPDX-License-Identifier: Apache-2.0
"""The plugin on hosts whose subnet.env comes from flanneld: containers of different hosts, over the overlay."""

import contextlib

import pytest
from cni_support import Host
from fabric import DUAL

DELEGATES = {
    "bridge": {"isDefaultGateway": True, "hairpinMode": True, "macspoofchk": True},
    "routed": {"type": "ptp", "isDefaultGateway": True},
    "masqueraded": {"isDefaultGateway": True, "ipMasq": True},
}


@contextlib.contextmanager
def plugin_on(machine):
    with Host(existing=machine.name, subnet_file=machine.daemon.subnet_file) as host:
        yield host


@pytest.mark.parametrize("delegate", DELEGATES)
def test_containers_of_two_hosts_reach_each_other(lab, delegate):
    lab.start_etcd()
    lab.configure(DUAL)
    machines = lab.hosts(2, daemons=True)
    with plugin_on(machines[0]) as a, plugin_on(machines[1]) as b:
        attached = []
        for host in (a, b):
            ns = host.namespace()
            conf = host.flannel(delegate=DELEGATES[delegate])
            result = host.add(conf, ns)
            attached.append((host, ns, conf, result))
        for (_, ns, _, _), (_, _, _, other) in (attached, reversed(attached)):
            for ip in other["ips"]:
                ns.ping(ip["address"].split("/")[0])
        # A packet as large as the fabric takes gets through in one piece.
        ns, peer = attached[0][1], attached[1][3]["ips"][0]["address"].split("/")[0]
        mtu = ns.link("eth0")["mtu"]
        ns.run("ping", "-c", "1", "-W", "5", "-M", "do", "-s", str(mtu - 28), peer)
        for host, ns, conf, result in attached:
            assert host.check(conf, ns, result).ok
        # Stopping the daemon breaks nothing, and DEL needs nothing of it.
        machines[0].daemon.stop()
        attached[0][1].ping(peer)
        for host, ns, conf, result in attached:
            host.delete(conf, ns, prev=result)
            assert host.leftovers() == {}
