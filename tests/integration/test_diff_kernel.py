# SPDX-License-Identifier: Apache-2.0
"""fabricctl diff --kernel: what the kernel lacks, with the daemon dead, by what it left behind; nothing is written."""

import contextlib
import json
import tarfile

import pytest

import ipsec
import wireguard
from fabric import APART, DUAL
from fabricctl_support import FAILED, FOUND, NO_STORE, NOT_FOUND, OK, USAGE, ask, assert_three_lines, fabricctl, put_lease
from netns import wait_for
from test_extension import VXLAN, WITH_ITS_SYS, extension, sh
from test_ipip import needs_ipip

TABLE = ("inet", "flannel.1")
FORWARD_DROP = "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"


def run(host, *args, **options):
    """In the host's namespace, and in its mount namespace where the daemon has one: sockets of other daemons are there."""
    state = ["--config-file=/dev/null", "--state-dir", host.daemon.flags["state_dir"]]
    daemon = host.daemon
    where = type("Where", (), {"namespace": host.namespace, "wrapper": [str(a) for a in daemon.wrapped()]})
    return fabricctl("diff", "--kernel", *args, *state, where=where, **options)


def look(host, *args, status=OK):
    """What it prints; the exit status must be `status`."""
    done = run(host, *args)
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
    assert done.stderr == ""
    return done.stdout


def leave(*hosts):
    """The daemons end, and all that is known is written down."""
    for host in hosts:
        assert host.daemon.stop() == 0


def kernel(host):
    """All that a fabric may have made. A table that is written again, even as it was, has other handles."""
    run_ip = host.namespace.run
    return [
        # The timers of a bridge, and of its ports, run.
        [{k: v for k, v in link.items() if k != "linkinfo"} for link in host.namespace.ip("link", "show")],
        host.link(),
        run_ip("ip", "route", "show", "table", "all"),
        run_ip("ip", "-6", "route", "show", "table", "all"),
        run_ip("ip", "rule") + run_ip("ip", "-6", "rule"),
        run_ip("bridge", "fdb", "show"),
        run_ip("nft", "-s", "-a", "list", "ruleset"),
        run_ip("ip", "xfrm", "policy"),
        host.namespace.ip("neigh", "show", "nud", "permanent"),
    ]


@contextlib.contextmanager
def untouched(host):
    """The kernel tells of no change meanwhile, and has the same after it as before."""
    monitor = host.monitor()
    before = kernel(host)
    files = sorted((path, path.stat().st_mtime_ns) for path in host.daemon.directory.rglob("*") if path.name != "log")
    yield
    assert monitor.tunnel_events() == []
    assert kernel(host) == before
    assert files == sorted((p, p.stat().st_mtime_ns) for p in host.daemon.directory.rglob("*") if p.name != "log")


@pytest.fixture
def two(lab):
    lab.start_etcd()
    lab.configure(APART)
    return lab.hosts(2, daemons=True)


def test_every_sort_of_difference_is_named(lab, two):
    h1, h2 = two
    subnet, mac = h2.daemon.subnet(), h2.vtep_mac()
    leave(h1, h2)
    with untouched(h1):
        assert look(h1) == ""
    h1.namespace.ip_batch(
        [
            f"route delete {subnet} dev flannel.1",
            "neigh add 10.5.7.7 lladdr 02:00:00:00:00:77 dev flannel.1 nud permanent",
            "link set flannel.1 mtu 1000",
        ]
    )
    h1.namespace.run("bridge", "fdb", "replace", mac, "dev", "flannel.1", "dst", "192.0.2.99", "self")
    h1.namespace.run("nft", "flush", "set", *TABLE, "fabric-peers")
    h1.namespace.run("nft", "flush", "chain", *TABLE, "fabric-guard")
    with untouched(h1):
        lines = look(h1, status=FOUND).splitlines()
        document = json.loads(look(h1, "-o", "json", status=FOUND))
    for sign, *texts in (
        ("+ route ", subnet),
        ("- neighbour ", "10.5.7.7"),
        ("~ fdb ", mac, "192.0.2.2"),
        ("+ element ", "192.0.2.2"),
        ("~ device flannel.1: ", "mtu 1000 -> 1450"),
        ("~ table flannel.1: ", "fabric-guard"),
    ):
        assert any(x.startswith(sign) and all(text in x for text in texts) for x in lines), (sign, texts, lines)
    assert len(lines) == 6, lines
    assert document["kind"] == "Diff" and document["apiVersion"] == "fabric/v1"
    assert {i["kind"] for i in document["items"]} == {"route", "neighbour", "fdb", "element", "device", "table"}
    # The daemon finds the same, and puts it right.
    h1.daemon.start().wait_ready()
    h1.daemon.wait_ok()
    assert look(h1) == ""


def test_what_is_gone_altogether(lab, two):
    h1, h2 = two
    leave(h1, h2)
    h1.namespace.run("nft", "delete", "table", *TABLE)
    with untouched(h1):
        lines = look(h1, status=FOUND).splitlines()
    assert any(x.startswith("~ table flannel.1: ") and "missing" in x for x in lines), lines
    assert any(x.startswith("+ element ") and "192.0.2.2" in x for x in lines), lines
    address = f"{h1.daemon.subnet().split('/')[0]}/32"
    h1.namespace.ip_batch([f"addr del {address} dev flannel.1"])
    with untouched(h1):
        lines = look(h1, status=FOUND).splitlines()
    assert any(x.startswith(f"+ address {address} ") for x in lines), lines
    h1.namespace.ip_batch(["link delete flannel.1"])
    with untouched(h1):
        lines = look(h1, status=FOUND).splitlines()
    assert "+ device flannel.1: made" in lines, lines


def test_a_route_of_somebody_else(lab, two):
    h1, h2 = two
    leave(h1, h2)
    inside = h2.daemon.subnet().replace(".0/24", ".7/32")
    h1.namespace.ip_batch([f"route add blackhole {inside}"])
    with untouched(h1):
        done = look(h1, "-o", "json", status=FOUND)
    assert [(i["action"], i["kind"]) for i in json.loads(done)["items"]] == [("shadowed", "route")], done


def vandalise(host, device, subnet):
    host.namespace.ip_batch([f"route delete {subnet} dev {device}"])


@pytest.mark.parametrize(
    "backend, keys, device",
    [
        ("vxlan", {}, "flannel.1"),
        ("vxlan", {"DirectRouting": True}, "eth0"),
        ("host-gw", {}, "eth0"),
        pytest.param("ipip", {}, "flannel.ipip", marks=needs_ipip),
        pytest.param("udp", {}, "flannel0", marks=needs_ipip),
    ],
    ids=["vxlan", "vxlan-direct", "host-gw", "ipip", "udp"],
)
def test_backends_whose_peers_have_routes(lab, backend, keys, device):
    lab.start_etcd()
    lab.configure(APART | {"Backend": {"Type": backend} | keys})
    h1, h2 = lab.hosts(2, daemons=True, ip_masq=True, ip_blackhole_route=True)
    subnet = h2.daemon.subnet()
    leave(h1, h2)
    with untouched(h1):
        assert look(h1) == ""
    vandalise(h1, device, subnet)
    with untouched(h1):
        lines = look(h1, status=FOUND).splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"+ route {subnet} "), lines


def test_two_families_with_containers(lab):
    lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2, daemons=True)
    h1.container()
    wait_for(lambda: "cni0" in h1.namespace.run("nft", "list", "set", *TABLE, "container-devices"), 10, "the guard knows cni0")
    leave(h1, h2)
    with untouched(h1):
        assert look(h1) == ""
    vandalise(h1, "flannel-v6.1", h2.daemon.subnet6())
    assert look(h1, status=FOUND).startswith("+ route fd10:5:")


def test_alloc_wants_nothing_of_peers(lab):
    lab.start_etcd()
    lab.configure(APART | {"Backend": {"Type": "alloc"}})
    h1, h2 = lab.hosts(2, daemons=True)
    leave(h1, h2)
    with untouched(h1):
        assert look(h1) == ""


def test_extension_compares_what_is_the_kernels(lab):
    lab.start_etcd()
    lab.configure(APART | extension(**{name: sh(text) for name, text in VXLAN.items()}))
    h1, h2 = lab.hosts(2)
    for host in (h1, h2):
        host.make_daemon().wrapper = WITH_ITS_SYS
        host.daemon.start().wait_ready()
        host.namespace.inhabited = True
    wait_for(lambda: h2.daemon.subnet() in h1.namespace.run("ip", "route"), 10, "the command made a route")
    leave(h1, h2)
    with untouched(h1):
        assert look(h1) == ""


@wireguard.needs_wireguard
def test_wireguard(lab):
    h1, h2 = wireguard.start(lab, 2)
    subnet = h2.daemon.subnet()
    leave(h1, h2)
    with untouched(h1):
        assert look(h1) == ""
    key = wireguard.wg(h1, "show", wireguard.DEVICE, "peers").strip()
    wireguard.wg(h1, "set", wireguard.DEVICE, "peer", key, "remove")
    wireguard.wg(h1, "set", wireguard.DEVICE, "listen-port", "51999")
    shown = wireguard.wg(h1, "show", wireguard.DEVICE, "dump")
    with untouched(h1):
        lines = look(h1, status=FOUND).splitlines()
    assert wireguard.wg(h1, "show", wireguard.DEVICE, "dump") == shown
    assert any(x.startswith("~ device flannel-wg: ") for x in lines), lines
    assert any(x.startswith("+ ") and subnet in x for x in lines), lines
    # Without the key it is not known what the device is to be; none is made.
    secret = h1.daemon.directory / "state" / "wireguard.key"
    secret.rename(secret.with_name("elsewhere"))
    done = run(h1)
    assert done.returncode == FAILED and "wireguard.key" in done.stderr and not secret.exists()


@ipsec.needs_charon
def test_ipsec(lab):
    hosts = ipsec.start(lab, 2)
    h1, h2 = hosts
    leave(h1, h2)
    with untouched(h1):
        assert look(h1) == ""


def test_rules_that_stand_in_iptables(lab, two):
    """Where iptables drops what is forwarded our table has the guard alone, with and without a daemon."""
    h1, h2 = two
    h1.namespace.nft(FORWARD_DROP)
    h1.daemon.restart()
    h1.daemon.wait_status(lambda s: s["traffic"]["mode"] == "iptables" and s["traffic"]["ok"])
    leave(h1, h2)

    def saved():
        """Without the time and the counters of chains."""
        return [line for line in h1.namespace.run("iptables-save").splitlines() if line[0] not in "#:"]

    rules = saved()
    with untouched(h1):
        assert look(h1) == ""
    assert saved() == rules and any("flannel.1-FWD" in line for line in rules)


def test_with_the_daemon_alive_it_says_what_the_daemon_says(lab, two):
    h1, h2 = two
    subnet = h2.daemon.subnet()
    wait_for(lambda: (h1.daemon.directory / "state" / "last-known.json").read_text().count("\n") == 2, 20, "the peer is written down")
    assert look(h1) == ask(h1, "diff") == ""
    # What a route of somebody else takes is nothing that the daemon heals.
    h1.namespace.ip_batch([f"route add blackhole {subnet.replace('.0/24', '.9/32')}"])
    h1.daemon.wait_status(lambda s: "route-shadowed" in {p["name"] for p in s["problems"]})
    wanted = json.loads(ask(h1, "diff", "-o", "json", status=FOUND))["items"]
    assert json.loads(look(h1, "-o", "json", status=FOUND))["items"] == wanted != []
    assert h1.daemon.metric('flannel_drift_total{object="route"}') == 0


def test_where_nothing_was_left(lab, tmp_path):
    host = lab.host()

    def failed():
        where = type("W", (), {"namespace": host.namespace})
        done = fabricctl("diff", "--kernel", "--config-file=/dev/null", "--state-dir", tmp_path, where=where)
        assert done.returncode == FAILED
        return done.stderr

    assert_three_lines(failed(), f"in {tmp_path} there is not", "No such file", "--state-dir")
    for text, says in {
        "ip-masq = perhaps\n": 'ip-masq is "perhaps", must be true or false',
        "": "node-id is missing",
        "\0" * 40: "there is a zero byte at offset 0",
        "ip-masq = true\n\0\0": "there is a zero byte at offset 15",
    }.items():
        (tmp_path / "options").write_text(text)
        assert_three_lines(failed(), f"in {tmp_path} there is not", says, "--state-dir")


def test_a_lease_that_has_run_out_is_said(lab, two):
    h1, h2 = two
    leave(h1, h2)
    file = h1.daemon.directory / "state" / "last-known.json"
    head, rest = file.read_text().split("\n", 1)
    document = json.loads(head)
    document["written"], document["expires"] = 1000, 90000
    file.write_text(json.dumps(document) + "\n" + rest)
    done = run(h1)
    assert done.returncode == OK and done.stdout == ""
    assert "ran out" in done.stderr and "another host may have the subnet" in done.stderr


def test_the_store_in_place_of_what_was_known_last(lab, two):
    """A host that came after the daemon was gone is wanted by the store alone."""
    h1, h2 = two
    leave(h1, h2)
    put_lease(lab, "10.5.240.0-24", "192.0.2.240")
    assert look(h1) == ""
    store = ("--store", "--etcd-endpoints", lab.etcd.endpoints)
    with untouched(h1):
        lines = look(h1, *store, status=FOUND).splitlines()
    assert any(x.startswith("+ route 10.5.240.0/24 ") for x in lines) and len(lines) == 4, lines
    lab.etcd.delete(h1.daemon.key())
    done = run(h1, *store)
    assert done.returncode == NOT_FOUND and "the store has no lease of this host" in done.stderr
    lab.etcd.kill()
    assert run(h1, *store).returncode == NO_STORE
    done = fabricctl("diff", "--store")
    assert done.returncode == USAGE and "--kernel" in done.stderr


def test_a_bundle_has_it(lab, two, tmp_path):
    """With the daemon dead."""
    h1, h2 = two
    leave(h1, h2)
    h1.namespace.ip_batch([f"route delete {h2.daemon.subnet()} dev flannel.1"])
    fabricctl(
        "bundle", tmp_path / "b.tar", "--config-file=/dev/null", f"--socket={h1.daemon.socket_path}", f"--state-dir={h1.daemon.flags['state_dir']}",
        where=h1,
    )  # fmt: skip
    with tarfile.open(tmp_path / "b.tar") as archive:
        document = json.load(archive.extractfile(next(m for m in archive if m.name.endswith("fabricctl/diff.json"))))
    assert [(i["action"], i["kind"]) for i in document["items"]] == [("create", "route")]
