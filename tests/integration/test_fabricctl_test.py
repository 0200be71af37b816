# SPDX-License-Identifier: Apache-2.0
"""fabricctl test: a throw-away container sends to the other hosts; whatever happens, nothing of it is left."""

import contextlib
import json
import pathlib
import signal
import time

import pytest
from cni_support import Host as Plugin

from fabric import APART, CNI_PLUGIN, FABRICCTL, IPV6
from fabricctl_support import FAILED, FOUND, NOT_FOUND, OK, USAGE, Watch, fabricctl
from netns import wait_for


GAP_MS = 20  # between two questions to one address, of which there are several


class World:
    def __init__(self, lab, stack, config=APART | IPV6):
        lab.start_etcd()
        lab.configure(config)
        self.hosts = self.h1, self.h2, self.h3 = lab.hosts(3, daemons=True, probe_interval=0)
        self.plugins = {}
        for host in self.hosts:
            host.daemon.wait_ready().wait_peers(2)
            plugin = stack.enter_context(Plugin(existing=host.name, subnet_file=host.daemon.subnet_file))
            plugin.data_dir = pathlib.Path(host.daemon.flags["cni_data_dir"])
            (plugin.directory / "net.conf").write_text(json.dumps(plugin.flannel(delegate={"isDefaultGateway": True})))
            self.plugins[host.name] = plugin

    def args(self, host, *args):
        return (
            "test", "--config-file=/dev/null", f"--socket={host.daemon.socket_path}", f"--cni-plugin={CNI_PLUGIN}",
            f"--cni-data-dir={host.daemon.flags['cni_data_dir']}", f"--cni-config={self.plugins[host.name].directory / 'net.conf'}",
            f"--subnet-file={host.daemon.subnet_file}", *args,
        )  # fmt: skip

    def test(self, *args, status=None):
        done = fabricctl(*self.args(self.h1, *args), where=self.h1)
        assert status is None or done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def items(self, *args, status=OK):
        document = json.loads(self.test("-o", "json", *args, status=status).stdout)
        assert document["kind"] == "Test" and document["failed"] == sum(i["state"] == "failed" for i in document["items"])
        return {(i["host"], i["address"], i["test"]): i for i in document["items"]}

    def start(self, host, *args):
        return Watch(*host.namespace.argv(FABRICCTL), *self.args(host, *args))

    def left(self, host):
        """Links of containers, and records: of addresses and of attachments."""
        plugin = self.plugins[host.name]
        links = [link["ifname"] for link in host.namespace.ip("link", "show") if link["ifname"].startswith("veth")]
        files = [p.name for d in (plugin.data_dir, plugin.pool_dir) for p in d.rglob("*") if p.is_file() and ("fabricctl" in p.name or p.name.startswith(("10.", "fd")))]
        return links + files


@pytest.fixture
def world(lab):
    with contextlib.ExitStack() as stack:
        yield World(lab, stack)


def base(subnet):
    return subnet.split("/")[0]


def test_all_hosts(world):
    """Each address of each other host by all kinds; by name those of one."""
    items = world.items()
    hosts = {"h2": world.h2, "h3": world.h3}
    addresses = {(n, a) for n, h in hosts.items() for a in (base(h.daemon.subnet()), base(h.daemon.subnet6()))}
    assert {(h, a) for h, a, _ in items} == addresses, items
    assert all(i["state"] == "ok" for i in items.values()), items
    for name, address in addresses:
        kinds = [kind for h, a, kind in items if a == address]
        assert kinds[0] == "icmp" and kinds[1].startswith("icmp 14") and kinds[2:] == ["udp", "tcp"], kinds
    assert not world.left(world.h1)
    text = world.test("h3", status=OK).stdout.splitlines()
    # The times are the network's, not those that the test itself waits between its questions.
    times = sorted(float(i["text"].split(" ms")[0]) for i in items.values() if " ms" in i["text"])
    assert len(times) == len(items) and 0 < times[0] < GAP_MS / 4 and times[len(times) // 2] < GAP_MS, times
    assert len(text) == 9 and text[-1] == "0 of 8 failed" and all(line.startswith("ok ") and " h3 " in line for line in text[:-1]), text
    assert world.test("nobody", status=NOT_FOUND).stderr.startswith('fabricctl: no host of the fabric is called "nobody"')


def test_a_listener(world):
    """A container on another host that takes all; it is gone when its command ends."""
    with world.start(world.h2, "--listen") as listener:
        listener.wait("on another host: fabricctl test ")
        addresses = listener.lines[0].split()[5:]
        assert addresses[0].startswith(base(world.h2.daemon.subnet()).rsplit(".", 1)[0]) and ":" in addresses[1]
        items = world.items(*addresses)
        assert len(items) == 8 and all(i["state"] == "ok" for i in items.values()), items
        assert world.left(world.h2)
        listener.process.send_signal(signal.SIGINT)
        assert listener.process.wait(20) == OK
    assert not world.left(world.h2)


def test_what_fails(world):
    """A host behind which the tunnel is closed, large packets that are lost, ports where nobody has to answer."""
    h2, address = world.h2, base(world.h2.daemon.subnet())
    h2.namespace.nft("table inet mine { chain in { type filter hook input priority 0; udp dport 8472 drop; }; }")
    items = world.items("h2", "h3", status=FOUND)
    assert items["h2", address, "icmp"]["state"] == "failed" and items["h2", address, "icmp"]["text"] == "0 of 3 answered"
    assert ("h2", address, "tcp") not in items  # nothing else is tried there
    assert items["h3", base(world.h3.daemon.subnet()), "tcp"]["state"] == "ok"
    h2.namespace.run("nft", "flush", "ruleset")
    h2.namespace.nft("table inet mine { chain in { type filter hook input priority 0; udp dport 8472 udp length > 1400 drop; iifname \"flannel.1\" meta l4proto { tcp, udp } drop; }; }")
    items = world.items(address, status=FOUND)
    large = next(i for (_, _, kind), i in items.items() if kind.startswith("icmp 1"))
    assert large["state"] == "failed"
    assert items[address, address, "udp"]["state"] == items[address, address, "tcp"]["state"] == "skipped"
    assert not world.left(world.h1)


def arrived(host):
    """Packets out of the tunnel so far."""
    return int(host.namespace.run("ip", "-s", "-j", "link", "show", "dev", "flannel.1").partition('"rx":{')[2].partition('"packets":')[2].partition(",")[0])


def test_disruption(world):
    """Nothing is lost while the daemon is started again, and what is, is told."""
    with world.start(world.h1, "--disrupt=4s", "-o", "json", "h2") as flow:
        wait_for(lambda: world.left(world.h1), 10, "it runs")
        world.h1.daemon.stop()
        world.h1.daemon.start().wait_ready()
        assert flow.process.wait(20) == OK
        flow.thread.join(5)
    document = json.loads("\n".join(flow.lines))
    assert len(document["items"]) == 2
    for item in document["items"]:
        assert item["lost"] == 0 and 200 < item["sent"] <= 401 and item["longestGapSeconds"] < 1 and item["state"] == "ok", item
    with world.start(world.h1, "--disrupt=1h", "h2") as flow:
        wait_for(lambda: world.left(world.h1), 10, "it runs")
        before = arrived(world.h2)
        wait_for(lambda: arrived(world.h2) > before + 50, 10, "packets arrive")
        world.h2.namespace.nft("table inet mine { chain in { type filter hook input priority 0; udp dport 8472 drop; }; }")
        gap = time.monotonic() + 0.4
        wait_for(lambda: time.monotonic() > gap, 5, "some are lost")
        world.h2.namespace.run("nft", "delete", "table", "inet", "mine")
        flow.process.send_signal(signal.SIGINT)
        assert flow.process.wait(20) == FOUND
        flow.thread.join(5)
    assert flow.lines[-1] == "2 of 2 failed" and all(" lost, longest gap " in line for line in flow.lines[:-1]), flow.lines
    assert not world.left(world.h1)


def test_one_that_was_killed(world):
    """Its link goes with it; its address and its record with the next one."""
    with world.start(world.h1, "--disrupt=1h") as flow:
        wait_for(lambda: len(world.left(world.h1)) > 2, 10, "it runs")
        flow.process.kill()
        flow.process.wait()
    assert world.left(world.h1)
    world.items("h2")
    assert not world.left(world.h1)


def test_what_cannot_be_done(world, tmp_path):
    for args, words in (
        (["--listen", "h2"], "--listen goes with no host"),
        (["--disrupt=0s"], '--disrupt is "0s", must be a time from 1s to 1d'),
        (["--disrupt=2d"], "--disrupt is"),
    ):
        assert words in world.test(*args, status=USAGE).stderr
    other = tmp_path / "other.conf"
    other.write_text('{"name": "x", "type": "bridge"}')
    error = world.test(f"--cni-config={other}", status=FAILED).stderr
    assert "no container could be attached" in error and "has nothing of type flannel" in error
    assert "none" in world.test(f"--cni-config={tmp_path}/none", status=FAILED).stderr
    world.h1.daemon.subnet_file.unlink()
    world.h1.daemon.stop()
    assert world.test().returncode == 4
