# SPDX-License-Identifier: Apache-2.0
"""Somebody undoes in a loop what the daemon does: it is put back later and later, named, and costs others nothing."""

import re
import signal
import subprocess

import pytest

from fabricctl_support import ask
from netns import end_process, stays, wait_for

FIGHT_S = 5.0


@pytest.fixture
def victim(lab, fabric3):
    h1 = fabric3[0]
    h1.daemon.wait_ok()
    lab.wait_equal()
    return h1


class Loop:
    """A shell command in a namespace, again and again until the end of the block."""

    def __init__(self, host, command):
        self.host = host
        self.command = f"while :; do {command} 2>/dev/null; done"

    def __enter__(self):
        self.process = self.host.namespace.popen("sh", "-c", self.command)
        return self

    def __exit__(self, *_):
        end_process(self.process)


def objects_of_a_peer(host):
    found = {o[0]: o for o in sorted(host.objects(), reverse=True) if o[0] != "fdb"}
    mac = found["neighbour"][3]
    found["fdb"] = next(o for o in host.objects() if o[0] == "fdb" and o[2] == mac)
    return found


def command_against(kind, found):
    o = found[kind]
    return {
        "route": f"ip route del {o[2]}",
        "neighbour": f"ip neigh del {o[2]} dev flannel.1",
        "fdb": f"bridge fdb del {o[2]} dev flannel.1 dst {o[3]}",
    }[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["route", "neighbour", "fdb"])
def test_an_object_of_a_peer(lab, victim, kind):
    daemon = victim.daemon
    found = objects_of_a_peer(victim)
    others = [o for o in found.values() if o[0] not in (kind, "address")]
    puts = f'flannel_reconcile_puts_total{{object="{kind}"}}'
    before, looks = daemon.metric(puts), daemon.metric("flannel_observations_total")
    with Loop(victim, command_against(kind, found)):
        wait_for(lambda: "fighting" in daemon.problems(), FIGHT_S, "the fight to be named")
        stays(lambda: daemon.metric(puts) - before <= 12, FIGHT_S, "it is paced")
        assert daemon.metric(puts) - before >= 3
        assert daemon.metric("flannel_observations_total") - looks <= 40
        problem = next(p for p in daemon.status()["problems"] if p["name"] == "fighting")
        assert found[kind][2].split("/")[0] in problem["text"] and "of peer" in problem["text"]
        # Another object of that kind and all others are healed as fast as ever.
        for other in others:
            victim.namespace.run("sh", "-c", command_against(other[0], found))
            wait_for(lambda o=other: o in victim.objects(), 1.0, f"{other[0]} to be healed during the fight")
    lab.wait_equal(20, [victim])
    wait_for(lambda: "fighting" not in daemon.problems(), 30, "the fight to be over")
    daemon.wait_ok(2)
    assert daemon.logged("fight-over")
    assert len(re.findall("fighting|fight-over|drift-healed", daemon.log())) < 40


@pytest.mark.slow
@pytest.mark.long
def test_a_peer_that_is_put_out_of_the_guard(lab, victim):
    """One element of a set: named, paced, and no comparison of everything for each."""
    daemon, ns = victim.daemon, victim.namespace
    puts = 'flannel_reconcile_puts_total{object="element"}'
    before, looks = daemon.metric(puts), daemon.metric("flannel_observations_total")
    with Loop(victim, "nft delete element inet flannel.1 fabric-peers '{ 192.0.2.2 }'"):
        wait_for(lambda: "fighting" in daemon.problems(), FIGHT_S, "the fight to be named")
        stays(lambda: daemon.metric(puts) - before <= 12, FIGHT_S, "it is paced")
        assert daemon.metric(puts) - before >= 3
        assert daemon.metric("flannel_observations_total") - looks <= 40
        problem = next(p for p in daemon.status()["problems"] if p["name"] == "fighting")
        assert "element 192.0.2.2 of peer" in problem["text"] and "by nft (pid" in problem["text"]
        ns.run("nft", "delete element inet flannel.1 fabric-peers { 192.0.2.3 }")
        wait_for(
            lambda: "192.0.2.3" in ns.run("nft", "list set inet flannel.1 fabric-peers"), 1.0, "another element"
        )
    wait_for(lambda: "192.0.2.2" in ns.run("nft", "list set inet flannel.1 fabric-peers"), 20, "the element")
    daemon.wait_ok(30)


def fight_text(daemon):
    return next((p["text"] for p in daemon.status()["problems"] if p["name"] == "fighting"), "")


TABLE_AND_DEVICE = {
    "table-deleted": ("nft delete table inet flannel.1; sleep 0.1", "table flannel.1: undone", "by nft (pid"),
    "table-altered": ("nft add chain inet flannel.1 intruder; sleep 0.1", "table flannel.1: undone", "by nft (pid"),
    # Of devices the kernel's notifications do not say whose doing it is.
    "device-deleted": ("ip link del flannel.1; sleep 0.1", "device flannel.1: undone", ""),
    "device-altered": ("ip link set flannel.1 mtu 1300; sleep 0.1", "device flannel.1: undone", ""),
    "device-down": ("ip link set flannel.1 down; sleep 0.1", "device flannel.1: undone", ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", TABLE_AND_DEVICE)
def test_our_table_or_device_ten_times_a_second(lab, victim, what):
    """Paced, named with who does it, and nothing that stands or stood in it is called a fight of its own."""
    command, name, culprit = TABLE_AND_DEVICE[what]
    daemon = victim.daemon
    repairs = "flannel_rules_healed_total" if what.startswith("table") else "flannel_device_repairs_total"
    before, lines = daemon.metric(repairs), daemon.log().count("\n")
    with Loop(victim, command):
        wait_for(lambda: name in fight_text(daemon), FIGHT_S, "the fight to be named")
        stays(lambda: daemon.metric(repairs) - before <= 12, FIGHT_S, "it is paced")
        text = fight_text(daemon)
        assert name in text and culprit in text and "more" not in text, text
        assert daemon.status()["verdict"] == "degraded"
        assert daemon.metric(repairs) - before >= 3
    assert daemon.log().count("\n") - lines < 40, daemon.log()
    lab.wait_equal(25, [victim])
    tables = ("nft", "list", "ruleset")
    wait_for(lambda: "192.0.2.2" in victim.namespace.run(*tables), 25, "the guard and the peers in it")
    wait_for(lambda: not fight_text(daemon), 35, "the fight to be over")
    daemon.wait_ok(2)
    assert daemon.logged(f"fight-over: {name.split(':')[0]} has stood for a while")
    assert "intruder" not in victim.namespace.run(*tables)


STRAYS = {
    "route": "ip route add 10.5.251.0/24 dev flannel.1 proto 102",
    "element": "nft add element inet flannel.1 fabric-peers '{ 192.0.2.66 }'",
    "fdb": "bridge fdb add 0e:00:00:00:00:66 dev flannel.1 dst 192.0.2.66 self permanent",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STRAYS)
def test_what_nobody_wants_is_added_again_and_again(lab, victim, kind):
    """It carries our marks, so it is removed; later and later, and named."""
    daemon = victim.daemon
    drops = f'flannel_reconcile_drops_total{{object="{kind}"}}'
    before, looks = daemon.metric(drops), daemon.metric("flannel_observations_total")
    lines = daemon.log().count("\n")
    with Loop(victim, STRAYS[kind]):
        wait_for(lambda: "fighting" in daemon.problems(), FIGHT_S, "the fight to be named")
        stays(lambda: daemon.metric(drops) - before <= 12, FIGHT_S, "it is paced")
        text = fight_text(daemon)
        assert kind in text and "added" in text and "removed after" in text, text
        if kind == "element":
            assert "by nft (pid" in text, text
        elif kind == "route":
            assert "by a process that has ended (port id" in text or "by ip (pid" in text, text
        assert daemon.metric(drops) - before >= 3
        assert daemon.metric("flannel_observations_total") - looks <= 45
    lab.wait_equal(25, [victim])
    wait_for(lambda: "fighting" not in daemon.problems(), 35, "the fight to be over")
    daemon.wait_ok(2)
    assert daemon.logged("has not been added for a while")
    assert daemon.log().count("\n") - lines < 20
    if kind == "element":
        assert "192.0.2.66" not in victim.namespace.run("nft", "list table inet flannel.1")


def test_an_attacker_that_lives_long_enough_is_named(lab, victim, tmp_path):
    """ip with a batch is one process, whose name can be told while it runs."""
    route = objects_of_a_peer(victim)["route"]
    batch = tmp_path / "batch"
    batch.write_text(f"route del {route[2]}\n" * 500000)
    attacker = victim.namespace.popen("ip", "-force", "-batch", str(batch), stderr=subprocess.DEVNULL)
    try:
        wait_for(
            lambda: any("by ip (pid" in p["text"] for p in victim.daemon.status()["problems"]), 10, "the name of ip"
        )
    finally:
        end_process(attacker)
    lab.wait_equal(20, [victim])


@pytest.mark.slow
def test_diff_and_sync_know_the_table_and_its_elements(lab, victim):
    """While a fight keeps the daemon from putting it back at once there is time to look."""
    daemon, ns = victim.daemon, victim.namespace
    with Loop(victim, "nft delete element inet flannel.1 fabric-peers '{ 192.0.2.2 }'"):
        wait_for(lambda: "fighting" in daemon.problems(), FIGHT_S, "the fight to be named")

        def shown():
            return [(i["action"], i["kind"], i["object"]) for i in daemon.json("/v1/diff")["items"]]

        wait_for(lambda: ("create", "element", "element 192.0.2.2") in shown(), 5, "the element in the difference")
        # Nobody is told that all is well.
        wait_for(lambda: "still differ" in ask(victim, "sync"), 10, "what was deleted to be named by sync")
    daemon.signal(signal.SIGSTOP)
    ns.run("nft", "add chain inet flannel.1 intruder")
    daemon.signal(signal.SIGCONT)
    wait_for(lambda: "intruder" not in ns.run("nft", "list table inet flannel.1"), 5, "the table to be put back")
    daemon.wait_ok(30)
    assert not shown()
