# SPDX-License-Identifier: Apache-2.0
"""extension: commands of the configuration make the data path, for each peer the last thing that is wanted."""

import json

import pytest

from etcd import PREFIX
from fabric import APART, DUAL
from fabricctl_support import ask
from netns import stays, wait_for

ROUTE = {
    "SubnetAddCommand": "ip route add $SUBNET via ${PUBLIC_IP} proto 77",
    "SubnetRemoveCommand": "ip route del $SUBNET proto 77",
}
# As in flannel's documentation, in words of today and given to a shell by the array.
VXLAN = {
    "PreStartupCommand": "ip link del flannel-vxlan 2>/dev/null; ip link add flannel-vxlan type vxlan id 1 dstport 8472 && "
    "cat /sys/class/net/flannel-vxlan/address",
    "PostStartupCommand": "ip addr add ${SUBNET%/*}/32 dev flannel-vxlan && ip link set flannel-vxlan up",
    "SubnetAddCommand": "at=`echo $SUBNET | cut -d/ -f1`; read mac; ip route replace $SUBNET via $at dev flannel-vxlan onlink && "
    "ip neigh replace $at lladdr $mac dev flannel-vxlan && bridge fdb replace $mac dev flannel-vxlan self dst $PUBLIC_IP",
}


def extension(**keys):
    return {"Backend": {"Type": "extension"} | keys}


def sh(command):
    return ["sh", "-c", command]


def routes(host):
    return {r["dst"] for r in host.namespace.ip("-4", "route", "show", "proto", "77")}


def put_peer(lab, subnet, address, data=None):
    value = {"PublicIP": address, "PublicIPv6": None, "BackendType": "extension"}
    if data is not None:
        value["BackendData"] = data
    lab.etcd.put(f"{PREFIX}/subnets/{subnet.replace('/', '-')}", json.dumps(value), lab.etcd.grant(3600))


def drop_peer(lab, subnet):
    lab.etcd.delete(f"{PREFIX}/subnets/{subnet.replace('/', '-')}")


def problem(daemon):
    return next((p["text"] for p in daemon.status()["problems"] if p["name"] == "extension-failed"), None)


@pytest.fixture
def notes(lab):
    """A file that commands of tests write lines to."""
    path = lab.directory / "notes"
    path.touch()
    return path


@pytest.fixture
def gate(lab):
    """Commands of tests wait until it is there."""
    return lab.directory / "gate"


# /sys shows the devices of the namespace that it was mounted in.
WITH_ITS_SYS = ["sh", "-c", 'mount -t sysfs sysfs /sys && exec "$@"', "sh"]


@pytest.mark.parametrize("keys", [ROUTE, {name: sh(text) for name, text in VXLAN.items()}], ids=["host-gw", "vxlan"])
def test_flannels_examples_work(lab, keys):
    lab.start_etcd()
    lab.configure(APART | extension(**keys))
    hosts = lab.hosts(3)
    for host in hosts:
        host.make_daemon().wrapper = WITH_ITS_SYS
        host.daemon.start()
    for host in hosts:
        host.daemon.wait_ready()
    containers = [host.container() for host in hosts]
    for host in hosts:
        others = {o.daemon.subnet() for o in hosts if o is not host}
        show = ["-4", "route", "show", *(["proto", "77"] if keys is ROUTE else ["dev", "flannel-vxlan"])]
        wait_for(lambda h=host, show=show, want=others: {r["dst"] for r in h.namespace.ip(*show)} == want, 5, "routes")
        host.daemon.wait_ok()
    # A device with the address of our subnet and no mark of ours: a leftover of flannel's looks like this.
    ask(hosts[0], "sync")
    with lab.pinger(*containers) as pinger:
        wait_for(lambda: pinger.sent >= 120, 20, "pings")
    assert pinger.lost == 0, pinger.report()
    value = json.loads(lab.etcd.get(hosts[0].daemon.key()).value)
    assert value["BackendType"] == "extension"
    mac = hosts[0].link("flannel-vxlan")
    assert value.get("BackendData") == (mac and mac["address"])


def test_a_peer_that_leaves_is_removed_also_while_the_daemon_is_not_there(lab):
    lab.start_etcd()
    lab.configure(APART | extension(**ROUTE))
    for number in (20, 21, 22):
        put_peer(lab, f"10.5.{number}.0/24", f"192.0.2.{number}")
    host = lab.host().start_daemon().host
    wait_for(lambda: routes(host) == {"10.5.20.0/24", "10.5.21.0/24", "10.5.22.0/24"}, 5, "all routes")
    drop_peer(lab, "10.5.20.0/24")
    wait_for(lambda: routes(host) == {"10.5.21.0/24", "10.5.22.0/24"}, 5, "one has left")
    record = host.daemon.directory / "state" / "extension.json"
    wait_for(lambda: record.read_text().count('"Added":true') == 2, 5, "what was added is written down")
    host.daemon.kill()
    drop_peer(lab, "10.5.21.0/24")
    host.daemon.start()
    wait_for(lambda: routes(host) == {"10.5.22.0/24"}, 10, "one has left meanwhile")
    # What stands was not added again: `ip route add` would have failed.
    stays(lambda: not problem(host.daemon), 0.5, "nothing has failed")
    host.daemon.wait_ok()
    # Another backend: what only its commands can remove is removed, and all is forgotten.
    assert record.exists()
    lab.configure(APART)
    host.daemon.restart()
    wait_for(lambda: not routes(host) and not record.exists(), 10, "nothing of it is left")
    assert host.link("flannel.1")
    host.daemon.wait_log("leftover: what backend extension left is removed")


def test_environment_and_stdin(lab, notes):
    values = '"$NETWORK" "$SUBNET" "$IPV6SUBNET" "$PUBLIC_IP" "$PUBLIC_IPV6" "$(cat)"'
    note = f"printf '%s|%s|%s|%s|%s|%s|%s\\n' NAME {values} >>{notes}"
    keys = {name: sh(note.replace("NAME", name[:4])) for name in ("PostStartupCommand", "SubnetAddCommand")}
    lab.start_etcd()
    lab.configure(DUAL | extension(PreStartupCommand=sh("echo; echo ' two  words '; echo no >&2"), **keys))
    h1 = lab.host().start_daemon().host
    h2 = lab.host().start_daemon().host
    d1, d2 = h1.daemon, h2.daemon
    want = [
        f"Post|10.5.0.0/16|{d1.subnet()}|{d1.subnet6()}|{h1.address}|{h1.address6}|",
        f"Subn||{d2.subnet()}|{d2.subnet6()}|{h2.address}|{h2.address6}|two  words",
    ]
    wait_for(lambda: all(line in notes.read_text().splitlines() for line in want), 5, f"{want} in the notes")
    assert json.loads(lab.etcd.get(d1.key()).value)["BackendData"] == "two  words"


def test_a_failing_peer_is_that_peers_problem(lab, gate):
    add = sh(f"case $SUBNET in 10.5.21.*) test -e {gate} || {{ echo not yet >&2; exit 3; }};; esac; ip route replace $SUBNET via "
             "$PUBLIC_IP proto 77")
    lab.start_etcd()
    lab.configure(APART | extension(SubnetAddCommand=add))
    for number in (20, 21, 22):
        put_peer(lab, f"10.5.{number}.0/24", f"192.0.2.{number}")
    host = lab.host().start_daemon().host
    wait_for(lambda: routes(host) == {"10.5.20.0/24", "10.5.22.0/24"}, 5, "the others' routes")
    wait_for(
        lambda: problem(host.daemon) == "SubnetAddCommand of 10.5.21.0/24: sh: exit status 3: not yet", 5, "who fails, and why"
    )
    assert host.daemon.status()["verdict"] == "degraded"
    gate.touch()
    wait_for(lambda: "10.5.21.0/24" in routes(host), 20, "it is tried again")
    host.daemon.wait_ok()


def test_commands_of_one_peer_are_serial_and_the_last_wish_wins(lab, notes, gate):
    def noting(word):
        return sh(f"echo begin {word} $SUBNET $PUBLIC_IP >>{notes}; while test ! -e {gate}; do sleep 0.02; done; "
                  f"echo end {word} $SUBNET >>{notes}")

    lab.start_etcd()
    lab.configure(APART | extension(SubnetAddCommand=noting("add"), SubnetRemoveCommand=noting("remove")))
    host = lab.host().start_daemon().host
    put_peer(lab, "10.5.20.0/24", "192.0.2.20")
    wait_for(lambda: "begin add 10.5.20.0/24 192.0.2.20" in notes.read_text(), 5, "the first")
    for number in (21, 22, 23):
        put_peer(lab, "10.5.20.0/24", f"192.0.2.{number}")
    wait_for(lambda: "extension-behind" in host.daemon.problems(), 5, "status says that it is not done")
    # Another peer does not wait for it.
    put_peer(lab, "10.5.30.0/24", "192.0.2.30")
    wait_for(lambda: "begin add 10.5.30.0/24" in notes.read_text(), 5, "another peer")
    wait_for(lambda: '"192.0.2.23"' in json.dumps(host.daemon.subnets()), 5, "the last change is known")
    gate.touch()
    wait_for(lambda: notes.read_text().count("end add 10.5.20.0/24") == 2, 5, "the first and the last")
    mine = [line for line in notes.read_text().splitlines() if "10.5.20.0" in line]
    assert mine == [
        "begin add 10.5.20.0/24 192.0.2.20",
        "end add 10.5.20.0/24",
        "begin add 10.5.20.0/24 192.0.2.23",
        "end add 10.5.20.0/24",
    ]
    drop_peer(lab, "10.5.20.0/24")
    wait_for(lambda: "end remove 10.5.20.0/24" in notes.read_text(), 10, "it is removed")
    wait_for(lambda: "end add 10.5.30.0/24" in notes.read_text(), 5, "the other has ended")
    stays(lambda: notes.read_text().count("10.5.30.0/24") == 2, 0.3, "nothing more is run for the other")


@pytest.mark.parametrize(
    "command, said",
    [
        (["sleep", "60"], "PreStartupCommand: sleep did not end in time"),
        (["yes"], "PreStartupCommand: yes said more than 16384 bytes"),
        ("no-such-program $SUBNET", "PreStartupCommand: there is no program no-such-program"),
        (sh("echo broken >&2; exit 9"), "PreStartupCommand: sh: exit status 9: broken"),
    ],
    ids=["time", "output", "missing", "status"],
)
def test_no_lease_before_the_first_command_has_worked(lab, command, said):
    lab.start_etcd()
    lab.configure(APART | extension(PreStartupCommand=command, TimeoutSeconds=1))
    daemon = lab.host().start_daemon(ready=False)
    wait_for(lambda: problem(daemon) == said, 5, said)
    daemon.wait_status(lambda s: any(p["name"] == "lease-not-published" for p in s["problems"]), 5, "no lease")
    assert not lab.etcd.list(f"{PREFIX}/subnets/")


def test_what_needs_a_shell_is_refused(lab):
    lab.start_etcd()
    lab.configure(APART | extension(**VXLAN))
    daemon = lab.host().start_daemon(ready=False)
    text = 'PreStartupCommand has "2>", and no shell runs it: name a script, or write an array'
    wait_for(lambda: text in daemon.request("/readyz")[1], 5, "/readyz says why")
