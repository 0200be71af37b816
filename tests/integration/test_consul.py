# SPDX-License-Identifier: Apache-2.0
"""The store in Consul, on a real one: hosts that find each other, and every fault that it knows."""

import json
import os
import pathlib
import re
import subprocess

import pytest

import consul
from etcd import PREFIX
from fabric import APART, CONFIG
from fabricctl_support import DENIED, FAILED, FOUND, NO_STORE, fabricctl
from faults import SILENCE_S, Talking
from netns import wait_for
from test_store_conformance import PROGRAM
from witness import lease_value, made_up_lease

RULES = """
key_prefix "coreos.com/network/" { policy = "%s" }
session_prefix "" { policy = "%s" }
"""


class TalkingByConsul(Talking):
    def __init__(self, lab, members=1, hosts=2, **flags):
        store = lab.etcd or consul.start(lab, members, config=APART)
        super().__init__(lab, hosts=hosts, **store.flags(**flags))

    def all_on(self, member):
        order = [member, *(m for m in self.etcd.members if m is not member)]
        for daemon in self.daemons:
            daemon.flags["consul_endpoints"] = ",".join(m.endpoint for m in order)
            daemon.restart()
            daemon.wait_ok()


def ask(lab, *args, where=None, status=0, **flags):
    """fabricctl without a daemon, from a file as a host has it."""
    path = lab.directory / "fabricctl.conf"
    flags = lab.etcd.flags() | {"state_dir": "/nonexistent"} | flags
    path.write_text("".join(f"{k.replace('_', '-')} = {v}\n" for k, v in flags.items()))
    done = fabricctl(*args, "--config-file", path, where=where or lab.all_hosts[0])
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout if status in (0, FOUND) else done.stderr


@pytest.mark.slow
def test_consul_does_what_a_store_must(lab):
    store = consul.start(lab, config=None)
    environment = os.environ | {"STORE_CONFORMANCE_CONSUL": store.endpoints, "CMOCKA_MESSAGE_OUTPUT": "TAP"}
    argv = store.namespace.argv(PROGRAM)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=180, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert len(re.findall(r"^ok \d+", output, re.M)) >= 16, output


def test_three_hosts_and_what_stands_in_the_store(lab):
    """Keys and values are etcd's; a lease ends with its session, which lives half as long as the lease shall."""
    store = consul.start(lab)
    h1, h2, h3 = lab.hosts(3, daemons=True, **store.flags())
    containers = [h.container() for h in (h1, h2, h3)]
    with lab.pinger(*containers) as pinger:
        wait_for(lambda: pinger.sent >= 120, 10, "twenty pings of each flow")
    assert pinger.lost == 0
    lab.wait_equal()
    leases = {r.key: r for r in store.leases()}
    assert set(leases) == {h.daemon.key() for h in (h1, h2, h3)}
    sessions = store.sessions()
    for host in (h1, h2, h3):
        record = leases[host.daemon.key()]
        session = sessions[record.lease]
        assert record.value.startswith(f'{{"PublicIP":"{host.address}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"')
        assert (session["TTL"], session["Behavior"], session["LockDelay"]) == ("43200s", "delete", 0)
        assert not session.get("NodeChecks") and not session.get("ServiceChecks"), "an agent's health ends no lease"
        assert host.daemon.subnet() in session["Name"]
    assert len(sessions) == 3
    done = fabricctl("status", "--socket", h1.daemon.socket_path)
    assert re.search(rf"store +consul {re.escape(store.endpoints)} \(in use\), by http\n", done.stdout), done
    metrics = h1.daemon.metrics()
    assert metrics[f'flannel_store_endpoint_info{{url="{store.endpoints}",transport="http",reason=""}}'] == 1
    assert not any(name.startswith("flannel_store_endpoints") for name in metrics)
    # Another host is in every kernel within a moment.
    key, value = made_up_lease(20)
    store.put(PREFIX + key, value)
    for host in (h1, h2, h3):
        host.daemon.wait_peers(3, deadline_s=5)
    store.delete(PREFIX + key)
    for host in (h1, h2, h3):
        host.daemon.wait_peers(2, deadline_s=8)
    lab.wait_equal()


def test_a_restart_writes_nothing(lab):
    store = consul.start(lab)
    h1, h2 = lab.hosts(2, daemons=True, **store.flags())
    before = {r.key: r for r in store.leases()}
    h1.daemon.restart()
    h1.daemon.wait_ok()
    h1.daemon.wait_peers(1)
    assert h1.daemon.metric("flannel_netlink_writes_total") == 0
    assert {r.key: r for r in store.leases()} == before
    assert len(store.sessions()) == 2


def test_configuration_comes_while_a_daemon_waits(lab):
    store = consul.start(lab, config=None)
    host = lab.host()
    host.start_daemon(ready=False, **store.flags()).wait_log("coreos.com/network/config")
    store.set_config(CONFIG)
    host.daemon.wait_ready()
    assert store.get(host.daemon.key())


def test_killed_and_started_again(lab):
    with TalkingByConsul(lab) as t:
        t.etcd.kill()
        t.told("watch-lost", deadline_s=3)
        t.wait_pings(100)
        t.etcd.start()
        t.new_lease()
    assert len(t.etcd.sessions()) == 2


@pytest.mark.slow
def test_stopped_process_is_noticed(lab):
    """SIGSTOP: its kernel goes on acknowledging, and a query may be silent for minutes."""
    with TalkingByConsul(lab) as t:
        t.etcd.members[0].pause()
        t.told("watch-lost", deadline_s=SILENCE_S)
        t.etcd.members[0].resume()
        t.converge_s = 15
        t.new_lease()


def test_session_destroyed(lab):
    """The lease goes with it, and is claimed again before a packet is lost."""
    with TalkingByConsul(lab) as t:
        key = t.daemons[0].key()
        lost = t.etcd.get(key).lease
        t.etcd.destroy(lost)
        wait_for(lambda: t.etcd.get(key) and t.etcd.get(key).lease != lost, 10, "the lease is claimed again")
        t.wait_pings(50)
    assert len(t.etcd.sessions()) == 2


def test_keys_deleted(lab):
    with TalkingByConsul(lab) as t:
        t.etcd.delete_all(f"{PREFIX}/subnets/")
        wait_for(lambda: len(t.etcd.leases()) == 2, 10, "the leases are there again")


def test_own_lease_written_over(lab):
    """By a person: the session still holds the key, though not its lock. Peers follow the store until it is undone."""
    store = consul.start(lab)
    h1, h2 = lab.hosts(2, daemons=True, **store.flags())
    containers = [h.container() for h in (h1, h2)]
    h2.daemon.wait_peers(1)
    key = h1.daemon.key()
    before = store.get(key)
    store.put(key, lease_value("192.0.2.1", "0e:66:66:66:66:66"))
    wait_for(lambda: store.get(key).value == before.value, 10, "it is written again")
    h1.daemon.wait_log("lease-overwritten")
    assert store.get(key).lease == before.lease
    lab.wait_equal()
    with lab.pinger(*containers) as pinger:
        wait_for(lambda: pinger.sent >= 40, 10, "twenty pings of each flow")
    assert pinger.lost == 0, pinger.report()


@pytest.mark.slow
def test_wiped_and_made_anew(lab):
    with TalkingByConsul(lab) as t:
        t.etcd.wipe()
        t.etcd.set_config(APART)
        wait_for(lambda: len(t.etcd.leases()) == 2, 30, "the leases are there again")
        t.converge_s = 20


@pytest.mark.slow
def test_old_snapshot_restored(lab):
    """The restored store has never heard of h3, which came later, nor of other leases; its index lies in the past."""
    with TalkingByConsul(lab) as t:
        snapshot = lab.directory / "snapshot"
        t.new_lease()
        t.etcd.snapshot("save", snapshot)
        h3 = lab.host()
        h3.start_daemon(**t.etcd.flags())
        t.hosts.append(h3)
        t.subnets.append(h3.daemon.subnet())
        for _ in range(30):
            t.new_lease()
        lab.wait_equal()
        t.etcd.snapshot("restore", snapshot)
        wait_for(lambda: t.etcd.get(h3.daemon.key()), 20, "h3 has claimed its lease again")
        t.converge_s = 25
    assert len(t.etcd.leases()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_leader_changes(lab, how):
    with TalkingByConsul(lab, members=3) as t:
        leader, _ = t.etcd.leader()
        t.all_on(leader)
        leader.kill() if how == "killed" else leader.pause()
        whole, t.etcd.members = t.etcd.members, [m for m in t.etcd.members if m is not leader]
        wait_for(t.new_lease, 40, "the others take a write")
        t.well_again(SILENCE_S)
        leader.start() if how == "killed" else leader.resume()
        t.etcd.members = whole


# ---- rights


@pytest.fixture
def guarded(lab):
    """(store, file with a token that may what a host must)."""
    store = consul.start(lab, config=None, **consul.ACL)
    store.bootstrap()
    store.policy("host", RULES % ("write", "write"))
    store.set_config(APART)
    path = lab.directory / "token"
    path.write_text(store.new_token("host")["SecretID"] + "\n")
    return store, path


def test_token_of_a_file(lab, guarded):
    store, path = guarded
    with TalkingByConsul(lab, consul_token_file=path) as t:
        pass
    token = path.read_text().strip()
    for daemon in t.daemons:
        assert token not in daemon.log()
        assert token not in pathlib.Path(f"/proc/{daemon.pid}/cmdline").read_text()
        assert token not in json.dumps(daemon.status())


def test_token_rotated(lab, guarded):
    """First the file, then the old one is deleted: nobody notices."""
    store, path = guarded
    first = json.loads(store.api("GET", "/v1/acl/tokens"))
    with TalkingByConsul(lab, consul_token_file=path) as t:
        second = store.new_token("host")["SecretID"]
        path.write_text(second + "\n")
        for token in first:
            if any(p["Name"] == "host" for p in token.get("Policies") or []):
                store.api("DELETE", f"/v1/acl/token/{token['AccessorID']}")
        t.new_lease()
        for daemon in t.daemons:
            daemon.wait_peers(2, deadline_s=15)
    for daemon in t.daemons:
        assert not daemon.logged("peer-left"), daemon.log()


@pytest.mark.slow
def test_rights_taken_away(lab, guarded):
    """To who may not read, a list is empty: no peer goes for that, and status says what is wrong."""
    store, path = guarded
    with TalkingByConsul(lab, consul_token_file=path) as t:
        store.policy("host", RULES % ("deny", "write"))
        t.told("watch-lost", deadline_s=60)
        for daemon in t.daemons:
            assert "Permission denied" in json.dumps(daemon.status()["problems"])
        t.wait_pings(100)
        store.policy("host", RULES % ("write", "write"))
        t.converge_s = 45
        t.new_lease()
    for daemon in t.daemons:
        assert not daemon.logged("peer-left"), daemon.log()


def test_token_that_is_wrong_or_may_not(lab, guarded):
    store, path = guarded
    good = path.read_text()
    store.policy("reader", RULES % ("read", "read"))
    host = lab.host()
    daemon = host.make_daemon(**store.flags(consul_token_file=path))
    for token, why in [
        ("12345678-1234-1234-1234-123456789012\n", "ACL not found"),
        (store.new_token("reader")["SecretID"] + "\n", "Permission denied"),
    ]:
        path.write_text(token)
        daemon.start().wait_log(why)
        assert not store.leases()
        if why == "ACL not found":
            assert "refuses us" in ask(lab, "subnets", "--store", status=DENIED, consul_token_file=path)
        path.write_text(good)
        daemon.wait_ready(30)
        daemon.stop()
        store.delete_all(f"{PREFIX}/subnets/")


def test_without_a_token_where_one_is_needed(lab, guarded):
    """Where a list would look empty: nothing is claimed, and nobody is told that there is no lease."""
    store, _ = guarded
    host = lab.host()
    host.start_daemon(ready=False, **store.flags()).wait_log("Permission denied")
    assert "refuses us" in ask(lab, "subnets", "--store", status=DENIED)


# ---- how it is reached


def test_https_with_certificates(lab):
    tls = lab.certificates()
    store = consul.start(lab, tls=tls)
    lab.hosts(2, daemons=True, **store.flags())
    lab.wait_equal()
    assert ask(lab, "subnets", "--store", "-o", "name").count("\n") == 2
    # By another authority, or without a certificate of our own, nobody is spoken with.
    assert "certificate" in ask(lab, "subnets", "--store", status=NO_STORE, consul_cafile="/etc/ssl/certs/ca-certificates.crt")
    ask(lab, "subnets", "--store", status=NO_STORE, consul_certfile="", consul_keyfile="")


def test_agents_and_datacenters(lab):
    """The first agent is not there; the datacenter is the agents', or nothing is done."""
    store = consul.start(lab)
    flags = store.flags(consul_endpoints=f"http://192.0.2.251:8500,{store.endpoints}", consul_datacenter="dc1")
    (host,) = lab.hosts(1, daemons=True, **flags)
    first, second = host.daemon.status()["store"]["endpoints"]
    assert first["last_error"] and not first["current"] and second["current"]
    assert len(store.leases()) == 1
    assert "No path to datacenter" in ask(lab, "subnets", "--store", status=FAILED, consul_datacenter="elsewhere")


@pytest.mark.slow
def test_the_agent_of_a_host(lab):
    """A session is its agent's node's; but that the node is found dead ends no lease."""
    store = consul.start(lab, clients=1)
    server, agent = store.members
    (host,) = lab.hosts(1, daemons=True, **store.flags(consul_endpoints=f"{agent.endpoint},{server.endpoint}"))
    record = store.get(host.daemon.key())
    assert store.sessions()[record.lease]["Node"] == agent.name
    agent.kill()
    store.members = [server]
    host.daemon.wait_status(lambda s: s["store"]["endpoints"][1]["current"] and s["store"]["watchLive"], 20, "the server is asked")

    def found_dead():
        checks = json.loads(store.api("GET", f"/v1/health/node/{agent.name}"))
        return any(c["CheckID"] == "serfHealth" and c["Status"] == "critical" for c in checks)

    wait_for(found_dead, 30, "Consul finds that the agent is dead")
    assert store.get(host.daemon.key()) == record
    key, value = made_up_lease(20)
    store.put(PREFIX + key, value)
    host.daemon.wait_peers(1)


def test_a_folder_and_other_keys(lab):
    """What people make in Consul's own interface is no lease, and nothing is taken from it."""
    store = consul.start(lab)
    store.put(f"{PREFIX}/subnets/", "")
    store.put(f"{PREFIX}/notes", "ours")
    h1, h2 = lab.hosts(2, daemons=True, **store.flags())
    for host in (h1, h2):
        host.daemon.wait_ok()
        assert not host.daemon.logged("watch-resync|ignored"), host.daemon.log()


# ---- fabricctl


def test_fabricctl(lab):
    store = consul.start(lab)
    (host,) = lab.hosts(1, daemons=True, **store.flags())
    own = host.daemon.subnet()
    listed = json.loads(ask(lab, "subnets", "--store", "-o", "json"))
    assert [i["subnet"] for i in listed["items"]] == [own]
    assert listed["items"][0].get("expiresSeconds") is None, "Consul does not tell"
    free = next(s for s in ("10.5.177.0/24", "10.5.178.0/24") if s != own)
    ask(lab, "lease", "reserve", free, "--node", "h9", "--public-ip", "192.0.2.9")
    reserved = store.get(f"{PREFIX}/subnets/{free.replace('/', '-')}")
    assert reserved.json["PublicIP"] == "192.0.2.9" and not reserved.lease
    ask(lab, "lease", "unreserve", free, "--yes")
    record = store.get(f"{PREFIX}/subnets/{free.replace('/', '-')}")
    assert record is None or record.lease
    new = CONFIG | {"SubnetMax": "10.5.150.0"}
    path = lab.directory / "new.json"
    path.write_text(json.dumps(new))
    ask(lab, "config", "set", path, "--yes")
    assert json.loads(ask(lab, "config", "show", "--store", "-o", "json"))
    assert store.get(f"{PREFIX}/config").json == new
    host.daemon.wait_log("config")


def test_fabricctl_store(lab):
    store = consul.start(lab)
    (host,) = lab.hosts(1, daemons=True, **store.flags())
    alone = json.loads(ask(lab, "store", "ping", "-o", "json"))["items"]
    assert [(i["endpoint"], i["ok"], i["role"], i["memberID"]) for i in alone] == [(store.endpoints, True, "leader", "c1")]
    assert alone[0]["latencySeconds"] > 0 and int(alone[0]["revision"]) > 0 and alone[0]["version"]
    both = ask(lab, "store", "ping", status=FOUND, consul_endpoints=f"{store.endpoints},http://192.0.2.251:8500")
    assert re.search(r"192\.0\.2\.201\S+ +ok .*\n\S+192\.0\.2\.251\S+ +failed ", both), both
    dump = json.loads(ask(lab, "store", "dump", "-o", "json"))
    record = store.get(host.daemon.key())
    assert dump["prefix"] == "coreos.com/network/"
    assert [(i["key"], i["lease"]) for i in dump["items"]] == [("coreos.com/network/config", None), (record.key[1:], record.lease)]
    assert dump["items"][1]["value"] == record.json and dump["items"][1]["modRevision"] == str(record.mod_revision)
    assert len(ask(lab, "store", "dump").splitlines()) == 2
    ask(lab, "store", "dump", status=NO_STORE, consul_endpoints="http://192.0.2.251:8500")
