# SPDX-License-Identifier: Apache-2.0
"""Addresses: host-local's format on disk, its order, its errors, and sharing the directory with it."""

import concurrent.futures
import fcntl
import json
import subprocess

import pytest
from cni_support import PLUGIN, REFERENCE, Host
from netns import wait_for


@pytest.fixture
def host():
    with Host() as h:
        yield h


def address(result, index=0):
    return result["ips"][index]["address"].split("/")[0]


def add(host, conf, id="c1", **env):
    """ADD with a namespace that is thrown away: the addresses are what matters."""
    return host.run("ADD", conf, host.namespace(), id=id, **env)


def reference(host, verb, conf, id, ifname="eth0"):
    """The reference host-local on the same directory."""
    binary = REFERENCE / "host-local"
    if not binary.exists():
        pytest.skip(f"{binary} is not installed")
    return host.run(verb, conf | {"cniVersion": "1.0.0"}, "/x", id=id, ifname=ifname, plugin=binary)


def test_format_on_disk(host):
    conf = host.direct(ranges=[[{"subnet": "10.1.2.0/24"}, {"subnet": "10.2.2.0/24"}], "2001:db8:1::/64"])
    conf["ipam"]["routes"] = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "192.168.0.0/16", "gw": "1.1.1.1"},
                              {"dst": "2001:db8:2::0/64", "gw": "2001:db8:3::1"}]  # fmt: skip
    # Two of the routes cannot be installed; the format is the matter here, so the gateways are made reachable.
    conf["ipam"]["routes"][2]["gw"] = "10.1.2.9"
    conf["ipam"]["routes"][3]["gw"] = "2001:db8:1::9"
    result = host.add(conf, host.namespace(), id="dummy")
    assert [(ip["address"], ip["gateway"]) for ip in result["ips"]] == [
        ("10.1.2.2/24", "10.1.2.1"),
        ("2001:db8:1::2/64", "2001:db8:1::1"),
    ]
    assert result["routes"][2:] == [{"dst": "192.168.0.0/16", "gw": "10.1.2.9"}, {"dst": "2001:db8:2::/64", "gw": "2001:db8:1::9"}]
    directory = host.pool_dir / "net1"
    for name in ("10.1.2.2", "2001:db8:1::2"):
        file = directory / name
        assert file.read_bytes() == b"dummy\r\neth0" and file.stat().st_mode & 0o777 == 0o600
    assert (directory / "last_reserved_ip.0").read_text() == "10.1.2.2"
    assert (directory / "last_reserved_ip.1").read_text() == "2001:db8:1::2"
    assert directory.stat().st_mode & 0o777 == 0o755
    host.delete(conf, id="dummy")
    assert host.reservations() == {}


# last reserved, taken, what comes; None: none left.
ORDER_29 = [
    (None, [], ".2"),
    (None, [".2"], ".3"),
    (".5", [], ".6"),
    (".3", [".4", ".5"], ".6"),
    (".5", [".6"], ".2"),
    (".200", [], ".2"),
    (".4", [".2", ".3", ".5", ".6"], ".4"),
    (".6", [".2"], ".3"),
    (None, [".2", ".3", ".4", ".5", ".6"], None),
]


@pytest.mark.parametrize("last,taken,expected", ORDER_29)
def test_order_in_a_small_subnet(host, last, taken, expected):
    directory = host.pool_dir / "net1"
    directory.mkdir(parents=True)
    for name in taken:
        (directory / f"10.1.2{name}").write_text("other\r\neth0")
    if last:
        (directory / "last_reserved_ip.0").write_text(f"10.1.2{last}")
    outcome = add(host, host.direct(ranges=["10.1.2.0/29"]))
    if expected is None:
        assert outcome.code == 101
        assert "no IP addresses available in range set: 10.1.2.1-10.1.2.6" in outcome.message
    else:
        assert address(outcome.json) == f"10.1.2{expected}"


def test_order_through_several_ranges(host):
    conf = host.direct(ranges=[[{"subnet": f"10.1.{i}.0/30"} for i in range(3)]])
    taken = []
    for i in range(3):
        taken.append(address(add(host, conf, f"c{i}").json))
    assert taken == ["10.1.0.2", "10.1.1.2", "10.1.2.2"]
    assert add(host, conf, "c3").code == 101
    host.delete(conf, id="c0")
    assert address(add(host, conf, "c4").json) == "10.1.0.2"


def test_released_addresses_rest_until_the_pool_was_walked_through(host):
    conf = host.direct(ranges=["10.1.2.0/29"])
    seen = []
    for i in range(7):
        seen.append(address(add(host, conf, f"c{i}").json))
        host.delete(conf, id=f"c{i}")
    assert seen == [f"10.1.2.{n}" for n in (2, 3, 4, 5, 6, 2, 3)]


def test_two_networks_do_not_meet(host):
    one, two = host.direct(ranges=["10.1.2.0/24"]), host.direct(ranges=["10.2.2.0/24"], name="net2", bridge="br1")
    ns = host.namespace()
    host.add(one, ns)
    host.add(two, ns, ifname="eth1")
    host.delete(one, ns)
    assert host.reservations("net2") == {"10.2.2.2": ("c1", "eth1")} and host.reservations() == {}
    assert "eth1" in ns.links()


def test_one_container_with_two_interfaces_of_one_network(host):
    conf = host.flannel()
    ns = host.namespace()
    for ifname in ("eth0", "eth1"):
        host.add(conf, ns, ifname=ifname)
    assert set(host.reservations().values()) == {("c1", "eth0"), ("c1", "eth1")}
    host.delete(conf, ns, ifname="eth0")
    assert host.reservations() == {"10.5.17.3": ("c1", "eth1")} and host.records() == ["c1@eth1"]
    host.delete(conf, ns, ifname="eth1")
    assert host.leftovers() == {}


@pytest.mark.parametrize("how", ["CNI_ARGS", "args", "runtimeConfig"])
def test_requested_addresses(host, how):
    conf = host.direct(ranges=["10.1.2.0/24", "fd00::/64"], isGateway=True)
    wanted = {"CNI_ARGS": ["10.1.2.88"], "args": ["10.1.2.88"], "runtimeConfig": ["10.1.2.88/24", "fd00::88"]}[how]
    env = {}
    if how == "CNI_ARGS":
        env["args"] = "IgnoreUnknown=1;IP=10.1.2.88"
    elif how == "args":
        conf["args"] = {"cni": {"ips": wanted}}
    else:
        conf["runtimeConfig"] = {"ips": wanted}
    result = add(host, conf, **env).json
    assert address(result) == "10.1.2.88"
    assert address(result, 1) == ("fd00::88" if how == "runtimeConfig" else "fd00::2")
    outcome = add(host, conf, "c2", **env)
    assert outcome.code == 102
    assert "requested IP address 10.1.2.88 is not available in range set 10.1.2.1-10.1.2.254" in outcome.message
    assert len(host.reservations()) == 2


@pytest.mark.parametrize("wanted,text", [("10.1.2.1", "gateway"), ("10.1.3.1", "failed to allocate all requested IPs: 10.1.3.1"),
                                         ("10.1.2.100", "failed to allocate all requested IPs")])  # fmt: skip
def test_addresses_that_cannot_be_had(host, wanted, text):
    conf = host.direct(ranges=[[{"subnet": "10.1.2.0/24", "rangeEnd": "10.1.2.50"}]], runtimeConfig={"ips": [wanted]})
    outcome = add(host, conf)
    assert outcome.code == 102 and text in outcome.message
    assert host.reservations() == {}


def test_ranges_from_the_runtime_and_the_old_style_come_first(host):
    conf = host.direct(ranges=["10.3.0.0/24"], runtimeConfig={"ipRanges": [[{"subnet": "10.1.0.0/24"}]]})
    conf["ipam"] |= {"subnet": "10.2.0.0/24", "rangeStart": "10.2.0.20", "rangeEnd": "10.2.0.30", "gateway": "10.2.0.25"}
    result = host.add(conf, host.namespace())
    assert [ip["address"] for ip in result["ips"]] == ["10.1.0.2/24", "10.2.0.20/24", "10.3.0.2/24"]
    assert result["ips"][1]["gateway"] == "10.2.0.25"


@pytest.mark.parametrize(
    "ranges,text",
    [
        ([], "no address ranges"),
        ([[]], "1 to"),
        ([[{"subnet": "10.1.2.0/24"}, {"subnet": "fd00::/64"}]], "mixes"),
        ([[{"subnet": "10.1.2.3/24"}]], "Network has host bits set. For a subnet mask of length 24 the network address is 10.1.2.0"),
        ([[{"subnet": "10.1.2.0/31"}]], "too small to allocate from"),
        ([[{"subnet": "fd00::/127"}]], "too small to allocate from"),
        ([[{"subnet": "10.1.2.0/24", "rangeStart": "10.1.3.1"}]], "rangeStart"),
        ([[{"subnet": "10.1.2.0/24", "rangeEnd": "10.1.3.1"}]], "rangeEnd"),
        ([[{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.8"}]], "rangeStart"),
        ([[{"subnet": "10.1.2.0/24"}, {"subnet": "10.1.2.128/25"}]], "overlap"),
        ([[{"subnet": "10.1.0.0/16"}], [{"subnet": "10.1.2.0/24"}]], "overlap"),
        ([[{"rangeStart": "10.1.2.1"}]], "subnet is missing"),
        ([{"subnet": "10.1.2.0/24"}], "list"),
        ("10.1.2.0/24", "list"),
    ],
)
def test_bad_ranges(host, ranges, text):
    conf = host.direct(ranges=[])
    conf["ipam"]["ranges"] = ranges
    outcome = add(host, conf)
    assert outcome.code == 7 and text in outcome.message, outcome


def test_an_empty_file_is_free(host):
    """host-local leaves one when it is killed, and everybody's power may fail."""
    directory = host.pool_dir / "net1"
    directory.mkdir(parents=True)
    (directory / "10.5.17.2").touch()
    (directory / "last_reserved_ip.0").write_text("nonsense")
    assert address(add(host, host.flannel()).json) == "10.5.17.2"
    assert host.reservations() == {"10.5.17.2": ("c1", "eth0")}


def test_files_that_are_no_reservations_are_left_alone(host):
    directory = host.pool_dir / "net1"
    (directory / "10.5.17.2").mkdir(parents=True)
    (directory / "notes").write_text("c1\r\neth0")
    (directory / "10.5.17.3").symlink_to("/etc/hostname")
    conf = host.flannel()
    assert address(add(host, conf).json) == "10.5.17.4"
    host.delete(conf)
    host.run("GC", conf | {"cni.dev/valid-attachments": []})
    assert sorted(f.name for f in directory.iterdir()) == ["10.5.17.2", "10.5.17.3", "last_reserved_ip.0", "lock", "notes"]


def test_shared_with_the_reference(host):
    """Both hand out addresses by turns from one directory, and release each other's."""
    conf = host.direct(ranges=["10.1.2.0/24"])
    seen = []
    for i in range(6):
        if i % 2:
            outcome = reference(host, "ADD", conf, f"c{i}")
            assert outcome.ok, outcome
            seen.append(address(outcome.json))
        else:
            seen.append(address(add(host, conf, f"c{i}").json))
    assert seen == [f"10.1.2.{n}" for n in range(2, 8)]
    for i in range(6):
        if i % 2:
            host.delete(conf, id=f"c{i}")
        else:
            assert reference(host, "DEL", conf, f"c{i}").ok
    assert host.reservations() == {}


def test_shared_with_the_reference_at_the_same_time(host):
    conf = host.direct(ranges=["10.1.2.0/24"])

    def one(i):
        outcome = reference(host, "ADD", conf, f"r{i}") if i % 2 else add(host, conf, f"o{i}")
        assert outcome.ok, outcome
        return address(outcome.json)

    reference(host, "VERSION", conf, "x")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(one, range(30)))
    assert len(set(seen)) == 30


def test_old_files_without_an_interface(host):
    directory = host.pool_dir / "net1"
    directory.mkdir(parents=True)
    (directory / "10.5.17.9").write_text(" c1\n")
    host.delete(host.flannel(), id="c1")
    assert host.reservations() == {}


def test_many_reservations_cost_nothing(host):
    """Not measured in time: the number of files that an ADD and a DEL open does not depend on them."""
    conf = host.direct(ranges=["10.16.0.0/12"])

    def opened(verb, ns):
        env = host.environment(verb, ns, ASAN_OPTIONS="detect_leaks=0")
        trace = host.directory / "trace"
        subprocess.run(["/usr/bin/nsenter", f"--net={host.ns.path}", "/usr/bin/strace", "-qq", "-o", trace, "-e",
                        "trace=openat,getdents64", str(PLUGIN)],
                       env=env, input=json.dumps(conf).encode(), check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        return len(trace.read_text().splitlines())

    if not subprocess.run(["sh", "-c", "command -v strace"], capture_output=True).stdout:
        pytest.skip("strace is not installed")
    ns = host.namespace()
    host.add(conf, ns)
    host.delete(conf, ns)
    before = [opened(verb, ns) for verb in ("ADD", "DEL")]
    directory = host.pool_dir / "net1"
    for i in range(3000):
        (directory / f"10.16.{1 + i // 250}.{i % 250}").write_text("other\r\neth0")
    (directory / "last_reserved_ip.0").write_text("10.16.12.249")
    assert [opened(verb, ns) for verb in ("ADD", "DEL")] == before


def test_the_lock_is_waited_for(host):
    conf = host.flannel()
    directory = host.pool_dir / "net1"
    directory.mkdir(parents=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = host.start("ADD", conf, host.namespace())
        process.stdin.write(process.request)
        process.stdin.close()
        wait_for(lambda: "flock" in open(f"/proc/{process.pid}/wchan").read() or
                 open(f"/proc/{process.pid}/syscall").read().split()[0] == "73", 10, "the plugin waits for the lock")  # fmt: skip
        assert host.reservations() == {}
    process.wait(30)
    assert process.returncode == 0 and len(host.reservations()) == 1
    process.stdout.close()
    process.stderr.close()


def test_status_says_when_the_pool_is_full(host):
    conf = host.direct(ranges=["10.1.2.0/30"])
    assert host.run("STATUS", conf).ok
    host.add(conf, host.namespace())
    outcome = host.run("STATUS", conf)
    assert outcome.code == 50 and "no IP addresses available" in outcome.message
    host.delete(conf)
    assert host.run("STATUS", conf).ok
