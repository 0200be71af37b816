# SPDX-License-Identifier: Apache-2.0
"""fabricctl hosts and mesh: how all hosts are and who reaches whom, from what daemons keep in the store beside their leases."""

import json
import re
import xml.etree.ElementTree

import pytest

from etcd import PREFIX
from fabric import APART
from fabricctl_support import FOUND, HOSTILE, NO_STORE, OK, USAGE, Underlay, fabricctl, lease_text, put_lease
from netns import stays, wait_for

TOLD_S = 10  # a record is written a second after what it tells, and not twice in ten


@pytest.fixture
def tellers(lab):
    lab.start_etcd()
    lab.configure(APART)
    hosts = lab.hosts(3)
    for host in hosts:
        host.namespace.sysctl("net.ipv4.ping_group_range", "0 0")
        host.make_daemon(probe_interval=1).start()
    for host in hosts:
        host.daemon.wait_ready()
        host.daemon.wait_peers(2)
    return hosts


def records(lab):
    return {record.key.rpartition("/")[2]: record for record in lab.etcd.list(f"{PREFIX}/health/")}


def tell(lab, *args, status=None, where=None):
    """Asks from a host, whose daemon then says how it finds the others, or from the underlay."""
    socket = where.daemon.socket_path if where else "/nonexistent"
    state = where.daemon.flags["state_dir"] if where else "/nonexistent"
    done = fabricctl(*args, "--etcd-endpoints", lab.etcd.endpoints, "--socket", socket, "--state-dir", state,
                     "--config-file", "/dev/null", where=where or Underlay(lab))  # fmt: skip
    assert status is None or done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def all_hosts(lab, **options):
    return {item["node"]: item for item in json.loads(tell(lab, "hosts", "-o", "json", **options))["items"]}


def all_well(lab):
    hosts = all_hosts(lab)
    return len(hosts) == 3 and all(h["state"] == "ok" and h["peers"]["ok"] == 2 for h in hosts.values())


def test_hosts_and_mesh_in_peace(lab, tellers):
    h1 = tellers[0]
    wait_for(lambda: all_well(lab), 3 * TOLD_S, "all hosts tell that all is well")
    hosts = all_hosts(lab, status=OK, where=h1)
    assert {name: host["own"] for name, host in hosts.items()} == {"h1": True, "h2": False, "h3": False}
    assert hosts["h2"]["reach"] == "ok" and 0 < hosts["h2"]["rttSeconds"] < 1 and hosts["h1"]["reach"] is None
    assert hosts["h2"]["subnet"] == tellers[1].daemon.subnet() and hosts["h2"]["publicIP"] == tellers[1].address
    assert hosts["h2"]["podMTU"] == 1450 and hosts["h2"]["version"] == h1.daemon.status()["version"]
    table = tell(lab, "hosts", status=OK).splitlines()
    assert table[0].split() == "NODE SUBNET STATE PEERS PROBLEM SINCE TEXT".split()
    assert {tuple(line.split()[i] for i in (0, 2, 3)) for line in table[1:]} == {(f"h{n}", "ok", "2/2") for n in (1, 2, 3)}
    assert "REACH" in tell(lab, "hosts", "-o", "wide") and len(tell(lab, "hosts", "-o", "raw").splitlines()) == 3

    mesh = json.loads(tell(lab, "mesh", "-o", "json", status=OK))
    assert mesh["counts"]["ok"] == 6 and {(w["from"], w["to"]) for w in mesh["items"]} == {
        (a, b) for a in hosts for b in hosts if a != b
    }
    assert all(w["reach"] == "ok" and 0 < w["rttSeconds"] < 1 for w in mesh["items"])
    text = tell(lab, "mesh", status=OK)
    assert text.startswith("3 hosts, 6 ways: 6 ok\n") and text.count(" ms") == 6


def test_quiet_hosts_write_nothing(lab, tellers):
    wait_for(lambda: all_well(lab), 3 * TOLD_S, "all hosts tell that all is well")
    revision = lab.etcd.revision()
    stays(lambda: lab.etcd.revision() == revision, 5, "what is told already is not written again")
    assert set(records(lab)) == {h.daemon.status()["nodeID"] for h in tellers}
    # What each has told first is how it is: nobody has to look at a host that starts.
    first = [lab.etcd.get(record.key, record.create_revision).json for record in records(lab).values()]
    assert [record["verdict"] for record in first].count("starting") == 0, first


def test_what_is_wrong_is_told(lab, tellers):
    h1, h2, h3 = tellers
    wait_for(lambda: all_well(lab), 3 * TOLD_S, "all hosts tell that all is well")
    h2.namespace.nft("table ip fault { chain in { type filter hook input priority -300; udp dport 8472 drop; }; }")

    def told():
        return {name: (host["state"], {p["name"] for p in host["problems"]}) for name, host in all_hosts(lab).items()}

    wait_for(lambda: all(state == "degraded" for state, _ in told().values()), 2 * TOLD_S, "every host tells")
    assert all("peer-unreachable" in names for _, names in told().values()) and "input-blocked" in told()["h2"][1]
    table = tell(lab, "hosts", status=FOUND)
    assert "degraded" in table and "input-blocked" in table and "0/2" in table
    mesh = tell(lab, "mesh", status=FOUND)
    assert "silent through the tunnel" in mesh.splitlines()[0] and "tunnel-silent" in mesh
    ways = {(w["from"], w["to"]): w["reach"] for w in json.loads(tell(lab, "mesh", "-o", "json"))["items"]}
    assert ways["h1", "h2"] == ways["h2", "h1"] == ways["h3", "h2"] == "tunnel-silent" and ways["h1", "h3"] == "ok"
    h2.namespace.nft("delete table ip fault")
    wait_for(lambda: all_well(lab), 3 * TOLD_S, "and that it is over")


def test_others_that_have_leases(lab, tellers):
    """Hosts with flannel tell nothing, a host whose daemon is dead no more, a reservation is no host, a name is text."""
    h3 = tellers[2]
    put_lease(lab, "10.5.250.0-24", "192.0.2.250", name=HOSTILE)
    put_lease(lab, "10.5.251.0-24", "192.0.2.251")
    wait_for(lambda: len(records(lab)) == 3, 3 * TOLD_S, "all hosts have told")
    lab.etcd.put(f"{PREFIX}/health/made-up", '{"verdict": "junk"}')
    lab.etcd.put(f"{PREFIX}/health/{h3.daemon.status()['nodeID']}", '{"verdict": "ok", "node": "somebody else"}')
    hosts = {item["subnet"]: item for item in json.loads(tell(lab, "hosts", "-o", "json", status=FOUND))["items"]}
    assert hosts["10.5.250.0/24"]["state"] == "no-record" and hosts["10.5.250.0/24"]["node"] == HOSTILE
    assert "10.5.251.0/24" not in hosts or hosts["10.5.251.0/24"]["state"] == "flannel"
    # Who tells of another subnet does not tell of this one.
    assert hosts[h3.daemon.subnet()]["node"] == "h3" and hosts[h3.daemon.subnet()]["state"] == "no-record"
    assert "another subnet" in tell(lab, "hosts")
    shown = tell(lab, "hosts") + tell(lab, "mesh")
    assert "\x1b" not in shown and "\\033[31m" in shown
    for form in "svg", "html":
        picture = tell(lab, "mesh", "-o", form)
        assert "\x1b" not in picture and "\u202e" not in picture


def test_svg_is_one(lab, tellers):
    wait_for(lambda: all_well(lab), 3 * TOLD_S, "all hosts tell that all is well")
    picture = xml.etree.ElementTree.fromstring(tell(lab, "mesh", "-o", "svg", status=OK).encode())
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("h1") == texts.count("h3") == 2 and "ok 6" in texts


def test_the_page_needs_nothing_else(lab, tellers):
    wait_for(lambda: all_well(lab), 3 * TOLD_S, "all hosts tell that all is well")
    page = tell(lab, "mesh", "-o", "html", status=OK)
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert not re.search(r"@[A-Z]+@|(src|href)=|@import|url\(|fetch\(|XMLHttp", page)
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert [host["node"] for host in data["hosts"]] == sorted(("h1", "h2", "h3"), key=lambda n: [h["subnet"] for h in data["hosts"] if h["node"] == n])
    assert all(len(row) == 2 and all(way[1] == "ok" for way in row) for row in data["rows"])


def test_switched_off(lab):
    lab.start_etcd()
    lab.configure(APART)
    (h1,) = lab.hosts(1)
    h1.make_daemon(health_record="false").start()
    h1.daemon.wait_ok()
    stays(lambda: not records(lab), 3, "nothing is written")
    assert all_hosts(lab, status=FOUND)["h1"]["state"] == "no-record"


def test_a_record_whose_lease_ended_comes_back(lab, tellers):
    h1 = tellers[0]
    wait_for(lambda: len(records(lab)) == 3, 3 * TOLD_S, "all hosts have told")
    record = records(lab)[h1.daemon.status()["nodeID"]]
    assert 60 < lab.etcd.time_to_live(record.lease) <= 180
    lab.etcd.revoke(record.lease)
    assert len(records(lab)) == 2
    h1.namespace.nft("table inet fault { chain in { type filter hook input priority -400; udp dport 8472 drop; }; }")
    wait_for(lambda: len(records(lab)) == 3, 3 * TOLD_S, "it is written with what is told next")


def test_the_store_is_away(lab, tellers):
    """No packet depends on it, and once it is back all is told again."""
    wait_for(lambda: all_well(lab), 3 * TOLD_S, "all hosts tell that all is well")
    lab.etcd.members[0].kill()
    done = fabricctl("hosts", "--etcd-endpoints", lab.etcd.endpoints, "--config-file", "/dev/null", where=Underlay(lab))
    assert done.returncode == NO_STORE, done.stdout
    lab.etcd.wipe()
    lab.configure(APART)
    wait_for(lambda: all_well(lab), 90, "all tell again")


def test_a_store_without_a_place_for_it(tmp_path):
    config = tmp_path / "net-conf.json"
    config.write_text("{}")
    for command in "hosts", "mesh":
        done = fabricctl(command, "--kube-subnet-mgr", "true", "--kube-api-url", "http://127.0.0.1:1", "--net-config-path", config,
                         "--config-file", "/dev/null")  # fmt: skip
        assert done.returncode == USAGE and "no place" in done.stderr, done.stderr


def test_a_directory(lab, tmp_path):
    """The store that is a directory has a file for each."""
    store = tmp_path / "store"
    store.mkdir()
    (store / "config").write_text(json.dumps(APART))
    hosts = lab.hosts(2)
    for host in hosts:
        host.namespace.sysctl("net.ipv4.ping_group_range", "0 0")
        host.make_daemon(store=f"file:{store}", probe_interval=1).start()
    for host in hosts:
        host.daemon.wait_ready()

    def listed():
        done = fabricctl("hosts", "-o", "json", "--config-file", "/dev/null", env={"FLANNELD_STORE": f"file:{store}"})
        return [item["state"] for item in json.loads(done.stdout)["items"]]

    wait_for(lambda: listed() == ["ok", "ok"], 3 * TOLD_S, "both tell")
    assert len(list((store / "health").glob("*.json"))) == 2
