# SPDX-License-Identifier: Apache-2.0
"""DEL, GC and CHECK: nothing is left behind, in whatever order things happen and at whatever instant a process dies."""

import json
import os
import random
import shutil
import signal
import subprocess

import pytest
from cni_support import PLUGIN, REFERENCE, VERSIONS, Host, command
from netns import wait_for


@pytest.fixture
def host():
    with Host(ipmasq=False) as h:
        yield h


def full(host, **more):
    """Everything that can be left behind: reservations of both families, interface, rules of both tables."""
    host.write_fabric(v6_network="fd05::/48", v6_subnet="fd05:0:0:17::1/64", ipmasq=False)
    return host.flannel(delegate={"isDefaultGateway": True, "macspoofchk": True}, **more)


def valid(*pairs):
    return {"cni.dev/valid-attachments": [{"containerID": id, "ifname": ifname} for id, ifname in pairs]}


def kinds(host):
    return set(host.leftovers())


EVERYTHING = {"reservations", "records", "veths", "elements"}


@pytest.mark.parametrize("version", VERSIONS)
def test_del_of_what_never_was(host, version):
    conf = host.flannel(version)
    for netns in ("", "/run/netns/none", host.namespace(), "/proc/self/ns/net", "/dev/null"):
        host.delete(conf, netns)
        host.delete(conf, netns, args="novalue")
    assert not host.data_dir.exists() and not host.pool_dir.exists(), "asking made nothing"


@pytest.mark.parametrize(
    "how", ["plain", "twice", "empty netns", "unset netns", "netns gone", "netns is a file", "no prevResult", "empty prevResult",
            "broken prevResult", "no subnet.env", "no CNI_ARGS", "other delegate", "other bridge keys", "no CNI_PATH"],
)  # fmt: skip
def test_del_however_it_comes(host, how):
    conf = full(host)
    ns = host.namespace()
    result = host.add(conf, ns, args="IgnoreUnknown=1;K8S_POD_NAME=x")
    assert kinds(host) == EVERYTHING
    netns, more, env = ns, {"prevResult": result}, {}
    if how == "empty netns":
        netns = ""
    elif how == "unset netns":
        netns = None
    elif how == "netns gone":
        ns.delete()
    elif how == "netns is a file":
        netns = str(host.subnet_file)
    elif how == "no prevResult":
        more = {}
    elif how == "empty prevResult":
        more = {"prevResult": {}}
    elif how == "broken prevResult":
        more = {"prevResult": {"cniVersion": "0.1.0", "ips": 7}}
    elif how == "no subnet.env":
        host.subnet_file.unlink()
    elif how == "other delegate":
        conf = conf | {"delegate": {"type": "macvlan"}}
    elif how == "other bridge keys":
        conf = conf | {"delegate": {"bridge": "another0", "mtu": "nonsense"}, "ipam": {"dataDir": "/nonexistent"}}
    elif how == "no CNI_PATH":
        env["CNI_PATH"] = None
    for _ in range(2 if how == "twice" else 1):
        outcome = host.run("DEL", conf | more, netns, **env)
        assert outcome.ok and outcome.text == "", outcome
    assert host.leftovers() == {}
    assert how == "netns gone" or "eth0" not in ns.links()


def test_del_without_a_record_finds_it_all(host):
    """The records' directory was lost, and the namespace with it, but the kernel and the reservations were not."""
    conf = full(host)
    ns = host.namespace()
    for netns in (ns, ""):
        result = host.add(conf, ns)
        command("rm", "-r", host.data_dir)
        host.delete(conf, netns, prev=result)
        assert host.leftovers() == {}


def test_del_after_an_add_that_was_refused(host):
    """The name was taken, by another network's interface or by somebody else's: the DEL that follows must not touch it."""
    one, two = host.flannel(), host.direct(ranges=["10.1.2.0/24"], name="net2", bridge="br1")
    ns, strange = host.namespace(), host.namespace()
    result = host.add(one, ns)
    strange.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other")
    for where in (ns, strange):
        assert host.run("ADD", two, where).code == 103
        host.delete(two, where)
        assert "eth0" in where.links()
    assert host.check(one, ns, result).ok


def test_del_with_a_damaged_record(host):
    conf = full(host)
    for damage in ("", "{", "[]", '{"version":1}', '{"version":99}', '{"version":1,"containerID":"../..","ifname":"a","network":"n"}'):
        ns = host.namespace()
        result = host.add(conf, ns)
        (host.data_dir / "@net1" / "c1@eth0").write_text(damage)
        host.delete(conf, ns, prev=result)
        assert host.leftovers() == {}, damage


def test_a_late_del_does_not_take_from_the_next_owner(host):
    """DEL, then the address and its rules go to another container, then DEL again."""
    conf = full(host)
    conf["args"] = {"cni": {"ips": ["10.5.17.77"]}}
    first, second = host.namespace(), host.namespace()
    result = host.add(conf, first, id="first")
    host.delete(conf, first, prev=result, id="first")
    other = host.add(conf, second, id="second")
    for _ in range(2):
        host.delete(conf, first, prev=result, id="first")
    assert host.check(conf, second, other, id="second").ok
    second.ping("10.5.17.1")


def test_record_stays_until_everything_is_undone(host):
    """An address plugin that fails keeps the record; the next DEL does the rest."""
    fail = host.directory / "fail"
    script = host.directory / "bin" / "flaky"
    script.parent.mkdir()
    script.write_text(f"""#!/bin/sh
case $CNI_COMMAND in
ADD) echo '{{"ips":[{{"address":"10.77.0.5/24","gateway":"10.77.0.1"}}]}}' ;;
DEL) test ! -e {fail} || {{ echo '{{"code":11,"msg":"not now"}}'; exit 1; }} ;;
esac
""")
    script.chmod(0o755)
    host.path = script.parent
    conf = host.direct(ipam={"type": "flaky"}, ipMasq=True)
    ns = host.namespace()
    host.add(conf, ns)
    fail.touch()
    outcome = host.run("DEL", conf, ns)
    assert outcome.code == 11 and "not now" in outcome.message
    assert kinds(host) == {"records"}, "the rest is undone already"
    fail.unlink()
    host.delete(conf)
    assert host.leftovers() == {}


def test_add_again_after_the_container_died(host):
    """The host was rebooted: the record is there, nothing else is, and the runtime uses the same id again."""
    conf = full(host)
    ns = host.namespace()
    host.add(conf, ns)
    ns.delete()
    wait_for(lambda: not host.veths(), 10, "the kernel removes the interface")
    result = host.add(conf, host.namespace())
    assert len(host.reservations()) == 2
    assert result["ips"][0]["address"] == "10.5.17.3/24"


def test_gc_frees_everything_that_is_not_listed(host):
    conf = full(host)
    spaces = [host.namespace() for _ in range(4)]
    results = [host.add(conf, ns, id=f"c{i}") for i, ns in enumerate(spaces)]
    (host.pool_dir / "net1" / "10.5.17.200").write_bytes(b"stranger\r\neth0")
    (host.pool_dir / "net1" / "10.5.17.201").touch()
    spaces[0].delete()
    outcome = host.run("GC", conf | valid(("c2", "eth0"), ("c3", "other")), "")
    assert outcome.ok and outcome.text == "", outcome
    assert set(host.reservations().values()) == {("c2", "eth0")}
    assert host.records() == ["c2@eth0"] and len(host.veths()) == 1 and len(host.leftovers()["elements"]) == 4
    assert host.check(conf, spaces[2], results[2], id="c2").ok
    spaces[2].ping("10.5.17.1")
    assert host.run("GC", conf | valid()).ok and host.leftovers() == {}
    assert host.run("GC", conf | valid()).ok


def test_gc_leaves_other_networks_alone(host):
    one = host.direct(ranges=["10.1.0.0/24"], ipMasq=True)
    two = host.direct(ranges=["10.2.0.0/24"], ipMasq=True, name="net2", bridge="br1")
    ns = host.namespace()
    host.add(one, ns)
    result = host.add(two, ns, ifname="eth1")
    assert host.run("GC", one | valid()).ok
    assert host.check(two, ns, result, ifname="eth1").ok and "eth0" not in ns.links()


def test_gc_knows_the_older_key(host):
    conf = full(host)
    host.add(conf, host.namespace(), id="a")
    host.add(conf, host.namespace(), id="b")
    assert host.run("GC", conf | {"cni.dev/attachments": [{"containerID": "a", "ifname": "eth0"}]}).ok
    assert host.records() == ["a@eth0"]


def test_gc_without_a_list_buries_only_the_dead(host):
    conf = full(host)
    alive, dead = host.namespace(), host.namespace()
    result = host.add(conf, alive, id="alive")
    host.add(conf, dead, id="dead")
    dead.delete()
    wait_for(lambda: len(host.veths()) == 1, 10, "the kernel removes the interface")
    assert host.run("GC", conf).ok
    assert host.records() == ["alive@eth0"] and set(host.reservations().values()) == {("alive", "eth0")}
    assert host.check(conf, alive, result, id="alive").ok


@pytest.mark.parametrize("list", ["x", [1], [{}], [{"containerID": "a"}], {"containerID": "a"}])
def test_gc_with_half_a_list_does_nothing(host, list):
    conf = full(host)
    host.add(conf, host.namespace())
    assert host.run("GC", conf | {"cni.dev/valid-attachments": list}).code == 7
    assert kinds(host) == EVERYTHING


def damage_cases():
    def on_host(*argv):
        return lambda host, ns, veth: host.ns.run(*[a.replace("VETH", veth) for a in argv])

    def inside(*argv):
        return lambda host, ns, veth: ns.run(*argv)

    def files(pattern):
        return lambda host, ns, veth: [f.unlink() for f in host.directory.rglob(pattern)]

    return {
        "interface gone": (inside("ip", "link", "del", "eth0"), "does not exist"),
        "interface down": (inside("ip", "link", "set", "eth0", "down"), "down"),
        "other MAC": (inside("ip", "link", "set", "eth0", "address", "02:00:00:00:00:01"), "another MAC"),
        "larger MTU inside": (inside("ip", "link", "set", "eth0", "mtu", "1500"), "MTU"),
        "other MTU outside": (on_host("ip", "link", "set", "VETH", "mtu", "1300"), "MTU"),
        "no IPv4 address": (inside("ip", "addr", "del", "10.5.17.2/24", "dev", "eth0"), "lacks address 10.5.17.2/24"),
        "no IPv6 address": (inside("ip", "addr", "del", "fd05:0:0:17::2/64", "dev", "eth0"), "lacks address fd05"),
        "no default route": (inside("ip", "route", "del", "default"), "route to 0.0.0.0/0"),
        "no overlay route": (inside("ip", "-6", "route", "del", "fd05::/48"), "route to fd05::/48"),
        "no prefix route": (inside("ip", "route", "flush", "table", "main"), "route"),
        "host end down": (on_host("ip", "link", "set", "VETH", "down"), "down"),
        "not on the bridge": (on_host("ip", "link", "set", "VETH", "nomaster"), "not a port"),
        "other port flags": (on_host("ip", "link", "set", "VETH", "type", "bridge_slave", "hairpin", "on"), "flags"),
        "bridge down": (on_host("ip", "link", "set", "cni0", "down"), "down"),
        "bridge has another MAC": (on_host("ip", "link", "set", "cni0", "address", "02:00:00:00:00:02"), "another MAC"),
        "no gateway address": (on_host("ip", "addr", "del", "10.5.17.1/24", "dev", "cni0"), "gateway address 10.5.17.1/24"),
        "no IPv6 gateway": (on_host("ip", "addr", "del", "fd05:0:0:17::1/64", "dev", "cni0"), "gateway address fd05"),
        "rules flushed": (on_host("nft", "flush", "ruleset"), "traffic rule"),
        "masquerading gone": (on_host("nft", "flush", "map", "inet", "flannel-cni", "masq4"), "traffic rule"),
        "guard gone": (on_host("nft", "flush", "set", "bridge", "flannel-cni", "macs"), "traffic rule"),
        "chain flushed": (on_host("nft", "flush", "chain", "inet", "flannel-cni", "postrouting"), "rules of all containers"),
        "table flushed": (on_host("nft", "flush", "table", "inet", "flannel-cni"), "rules of all containers"),
        "guards flushed": (on_host("nft", "flush", "table", "bridge", "flannel-cni"), "rules of all containers"),
        "reservation gone": (files("10.5.17.2"), "10.5.17.2 is not reserved"),
        "reservation of somebody else": (
            lambda host, ns, veth: (host.pool_dir / "net1" / "10.5.17.2").write_bytes(b"x\r\neth0"),
            "10.5.17.2 is not reserved",
        ),
        "record gone": (files("c1@eth0"), "has no interface eth0"),
    }


@pytest.mark.parametrize("how", ["flush ruleset", "flush table inet flannel-cni", "delete table bridge flannel-cni"])
def test_the_next_add_mends_the_rules(host, how):
    conf = full(host)
    host.add(conf, host.namespace(), id="first")
    host.ns.run("nft", *how.split())
    ns = host.namespace()
    result = host.add(conf, ns)
    assert host.check(conf, ns, result).ok
    rules = host.ns.nft()
    assert "ip saddr vmap @masq4" in rules and "nd-router-advert drop" in rules
    assert rules.count("ip saddr vmap @masq4") == 1 and rules.count("nd-router-advert drop") == 1


def test_check_sees_promiscuity(host):
    conf = host.direct(ranges=["10.1.2.0/24"], promiscMode=True)
    ns = host.namespace()
    result = host.add(conf, ns)
    assert host.check(conf, ns, result).ok
    host.ns.run("ip", "link", "set", "br0", "promisc", "off")
    assert "not promiscuous" in host.check(conf, ns, result).message


@pytest.mark.parametrize("case", damage_cases())
def test_check_sees(host, case):
    conf = full(host)
    ns = host.namespace()
    result = host.add(conf, ns)
    assert host.check(conf, ns, result).ok
    damage, text = damage_cases()[case]
    damage(host, ns, result["interfaces"][1]["name"])
    outcome = host.check(conf, ns, result)
    assert outcome.code == 105 and text in outcome.message, outcome
    host.delete(conf, ns, prev=result)
    assert {k: v for k, v in host.leftovers().items() if "somebody" not in case} == {}


def test_check_needs_a_previous_result(host):
    conf = full(host)
    ns = host.namespace()
    host.add(conf, ns)
    outcome = host.run("CHECK", conf, ns)
    assert outcome.code == 7 and "prevResult" in outcome.message
    assert host.check(conf, ns, {"cniVersion": "0.2.0", "ip4": {"ip": "10.5.17.2/24"}}).code == 6


def test_check_lives_with_what_later_plugins_did(host):
    conf = full(host)
    ns = host.namespace()
    result = host.add(conf, ns)
    ns.run("ip", "link", "set", "eth0", "mtu", "1400")
    ns.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:07")
    ns.run("ip", "addr", "add", "192.0.2.77/32", "dev", "eth0")
    ns.run("ip", "route", "add", "198.51.100.0/24", "dev", "eth0")
    result["interfaces"][2]["mac"] = "02:00:00:00:00:07"
    result["interfaces"].append({"name": "bwp1234567890ab", "mac": "02:00:00:00:00:08"})
    host.subnet_file.unlink()
    assert host.check(conf, ns, result).ok, host.check(conf, ns, result)


def test_migration_from_flannels_plugin(host):
    """Attached by flannel's plugin and the reference bridge, detached by ours, one interface after the other."""
    for name in ("bridge", "host-local"):
        if not (REFERENCE / name).exists():
            pytest.skip(f"{REFERENCE / name} is not installed")
    generated = {
        "cniVersion": "1.0.0", "name": "net1", "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "mtu": 1450,
        "ipam": {"type": "host-local", "dataDir": str(host.pool_dir), "ranges": [[{"subnet": "10.5.17.0/24"}]],
                 "routes": [{"dst": "10.5.0.0/16"}]},
    }  # fmt: skip
    conf = host.flannel("1.0.0")
    for keep_reference in (True, False):
        host.path = REFERENCE if keep_reference else host.directory
        ns = host.namespace()
        results = []
        for ifname in ("eth0", "eth1"):
            outcome = host.run("ADD", generated, ns, ifname=ifname, path=REFERENCE, plugin=REFERENCE / "bridge")
            assert outcome.ok, outcome
            results.append(outcome.json)
        legacy = host.data_dir / "c1"
        legacy.parent.mkdir(exist_ok=True)
        legacy.write_text(json.dumps(generated))
        assert host.check(conf, ns, results[0]).ok
        assert host.run("ADD", conf, ns).code == 103, "it is attached already"
        newer = host.namespace()
        newer_result = host.add(conf, newer, id="newer")
        assert newer_result["ips"][0]["address"] not in [r["ips"][0]["address"] for r in results]
        newer.ping(results[0]["ips"][0]["address"].split("/")[0])
        host.delete(conf, ns, prev=results[0], ifname="eth0")
        assert set(ns.links()) == {"lo", "eth1"} and legacy.exists()
        host.delete(conf, ns, prev=results[1], ifname="eth1")
        assert set(ns.links()) == {"lo"} and not legacy.exists()
        host.delete(conf, newer, id="newer")
        assert host.leftovers() == {}


def attach_by_flannels(host, conf, ns):
    for name in ("bridge", "host-local"):
        if not (REFERENCE / name).exists():
            pytest.skip(f"{REFERENCE / name} is not installed")
    generated = {
        "cniVersion": "1.0.0", "name": "net1", "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "mtu": 1450,
        "ipam": {"type": "host-local", "dataDir": str(host.pool_dir), "ranges": [[{"subnet": "10.5.17.0/24"}]]},
    }  # fmt: skip
    outcome = host.run("ADD", generated, ns, plugin=REFERENCE / "bridge")
    assert outcome.ok, outcome
    host.data_dir.mkdir(exist_ok=True)
    (host.data_dir / "c1").write_text(json.dumps(generated))
    return outcome.json


def attach_and_lose_the_record(host, conf, ns):
    result = host.add(conf, ns)
    shutil.rmtree(host.data_dir)
    return result


@pytest.mark.parametrize("delegate", ["bridge", "ptp"])
@pytest.mark.parametrize("attach", [attach_by_flannels, attach_and_lose_the_record])
def test_gc_gives_no_address_away_that_is_in_use(host, attach, delegate):
    """Of what there is no record of, the interface may still be there."""
    conf = host.flannel(delegate={"type": delegate, "isDefaultGateway": True}, ipam={"dataDir": str(host.pool_dir)})
    if attach is attach_by_flannels and delegate == "ptp":
        pytest.skip("the reference bridge makes no routed link")
    host.write_fabric(subnet="10.5.17.1/29")
    ns = host.namespace()
    address = attach(host, conf, ns)["ips"][0]["address"].split("/")[0]
    outcome = host.run("GC", conf | valid())
    assert outcome.ok and address in outcome.stderr and address in host.reservations(), outcome
    assert (host.data_dir / "c1").exists() == (attach is attach_by_flannels)
    others = [host.add(conf, host.namespace(), id=f"n{i}")["ips"][0]["address"].split("/")[0] for i in range(4)]
    assert address not in others and host.run("ADD", conf, host.namespace(), id="last").code == 101
    veths = len(host.veths())
    ns.delete()
    wait_for(lambda: len(host.veths()) < veths, 10, "the kernel removes the interface")
    assert host.run("GC", conf | valid(*[(f"n{i}", "eth0") for i in range(4)])).ok
    assert address not in host.reservations() and not (host.data_dir / "c1").exists()
    assert host.add(conf, host.namespace(), id="last")["ips"][0]["address"].split("/")[0] == address


def test_gc_removes_the_files_of_flannels_plugin(host):
    conf = full(host)
    host.data_dir.mkdir()
    for id, network in (("gone", "net1"), ("kept", "net1"), ("other", "net2")):
        (host.data_dir / id).write_text(json.dumps({"name": network, "type": "bridge"}))
    (host.data_dir / "notes").write_text("no JSON")
    assert host.run("GC", conf | valid(("kept", "eth0"))).ok
    assert sorted(f.name for f in host.data_dir.iterdir() if f.is_file()) == ["kept", "notes", "other"]


def test_long_and_odd_names(host):
    conf = full(host)
    id = "a" * 400
    ns = host.namespace()
    for ifname in ("eth0@x", "fifteen.bytes.x"):
        result = host.add(conf, ns, id=id, ifname=ifname)
        assert host.check(conf, ns, result, id=id, ifname=ifname).ok
        assert host.run("ADD", conf, ns, id=id, ifname=ifname).code == 103
    assert host.run("GC", conf | valid((id, "eth0@x"))).ok
    assert len(host.records()) == 1 and set(host.reservations().values()) == {(id, "eth0@x")}
    host.delete(conf, ns, id=id, ifname="eth0@x")
    assert host.leftovers() == {}


def test_two_adds_of_one_interface_at_once(host):
    conf = full(host)
    ns = host.namespace()
    started = [host.start("ADD", conf, ns) for _ in range(6)]
    outcomes = [host.finish(p) for p in started]
    assert sorted(o.status for o in outcomes) == [0, 1, 1, 1, 1, 1]
    assert {o.code for o in outcomes} == {None, 103}
    winner = next(o for o in outcomes if o.ok)
    assert host.check(conf, ns, winner.json).ok and len(host.reservations()) == 2


# The leak sanitizer cannot look into a process that is traced.
UNDER_STRACE = "detect_leaks=0"
CHANGING = ["openat", "mkdirat", "renameat", "linkat", "unlinkat", "sendto", "pwrite64", "write", "setns", "flock", "fcntl"]


def killed_at(host, verb, conf, ns, call, number):
    """Runs the plugin and kills it when it enters the numbered call of that name. False: it never got there."""
    process = subprocess.run(
        ["/usr/bin/nsenter", f"--net={host.ns.path}", "/usr/bin/strace", "-qq", "-o", "/dev/null", "-e",
         f"inject={call}:signal=KILL:when={number}", "-e", f"trace={call}", str(PLUGIN)],
        env=host.environment(verb, ns, ASAN_OPTIONS=UNDER_STRACE), input=json.dumps(conf).encode(), capture_output=True, check=False,
    )  # fmt: skip
    return process.returncode != 0 and not process.stdout.startswith(b'{"cniVersion":"1.1.0","code"')


def tracing_works():
    try:
        return subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.long(after=len(CHANGING))
@pytest.mark.parametrize("call", CHANGING)
@pytest.mark.parametrize("then", ["DEL", "GC", "ADD"])
def test_killed_at_every_step(host, call, then):
    """ADD killed at each of its calls, one after the other; DEL, or GC, or another ADD sets it right. Then DEL likewise."""
    if not tracing_works():
        pytest.skip("strace cannot trace here")
    conf = full(host)
    host.add(conf, host.namespace(), id="resident")
    resident = host.leftovers()
    for number in range(1, 100):
        ns = host.namespace()
        killed = killed_at(host, "ADD", conf, ns, call, number)
        if then == "ADD":
            outcome = host.run("ADD", conf, ns)
            assert outcome.ok or (not killed and outcome.code == 103), (number, outcome)
        if then == "GC":
            assert host.run("GC", conf | valid(("resident", "eth0"))).ok
        else:
            host.delete(conf, ns)
        assert host.leftovers() == resident, f"after {call} number {number}"
        assert set(ns.links()) == {"lo"}
        ns.delete()
        if not killed:
            break
    else:
        pytest.fail("it never came to its end")
    for number in range(1, 100):
        ns = host.namespace()
        host.add(conf, ns)
        killed = killed_at(host, "DEL", conf, ns, call, number)
        if then == "GC":
            assert host.run("GC", conf | valid(("resident", "eth0"))).ok
        host.delete(conf, ns)
        assert host.leftovers() == resident, f"after {call} number {number} of DEL"
        ns.delete()
        if not killed:
            return


@pytest.mark.long
def test_storm(host):
    """200 ADDs and DELs in parallel, half of them killed at a random moment; then DEL for one half, GC for the rest."""
    host.write_fabric(subnet="10.5.16.1/22", ipmasq=False)
    conf = host.flannel(delegate={"isDefaultGateway": True, "macspoofchk": True})
    dice = random.Random(7)
    spaces = [host.namespace() for _ in range(25)]
    waiting = [(f"c{i}", spaces[i % 25], f"e{i}") for i in range(200)]
    running = []
    while waiting or running:
        while waiting and len(running) < 200:
            id, ns, ifname = waiting.pop()
            process = host.start("ADD", conf, ns, id=id, ifname=ifname)
            process.stdin.write(process.request)
            process.stdin.close()
            running.append((process, id, ns, ifname, "ADD", dice.random() < 0.5))
        process, id, ns, ifname, verb, kill = running.pop(dice.randrange(len(running)))
        if kill:
            try:
                process.wait(dice.random() * 0.02)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        process.wait(60)
        process.stdout.close()
        process.stderr.close()
        if verb == "ADD" and dice.random() < 0.7:
            process = host.start("DEL", conf, ns, id=id, ifname=ifname)
            process.stdin.write(process.request)
            process.stdin.close()
            running.append((process, id, ns, ifname, "DEL", dice.random() < 0.5))
    for i in range(0, 200, 2):
        host.delete(conf, dice.choice(["", spaces[i % 25]]), id=f"c{i}", ifname=f"e{i}")
    outcome = host.run("GC", conf | valid())
    assert outcome.ok, outcome
    assert host.leftovers() == {}
    assert all(set(ns.links()) == {"lo"} for ns in spaces)
    assert set(host.ns.links()) == {"lo", "cni0"}
    assert os.listdir(host.data_dir / "@net1") == ["lock"]
