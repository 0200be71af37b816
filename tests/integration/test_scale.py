# SPDX-License-Identifier: Apache-2.0
"""Many leases, and leases that nobody can read."""

import json

import pytest

from etcd import PREFIX
from netns import wait_for
from witness import lease_value, made_up_lease


# Made-up leases start at the lower end; the host's own subnet must not be one of them.
WIDE = {"Network": "10.0.0.0/12", "SubnetMin": "10.15.0.0", "Backend": {"Type": "vxlan"}}


def test_a_thousand_leases_of_flannel_are_programmed_and_shown(lab):
    etcd = lab.start_etcd()
    lab.configure(WIDE)
    lease = etcd.grant(86400)
    pairs = [made_up_lease(n, "10.0.0.0/12") for n in range(1000)]
    etcd.put_many(((PREFIX + key, value) for key, value in pairs), lease)
    host = lab.host()
    host.start_daemon()
    host.daemon.wait_peers(1000)
    lab.wait_equal()
    items = {item["subnet"]: item for item in host.daemon.subnets()}
    assert len(items) == 1001
    for key, value in pairs:
        item = items[key.removeprefix("/subnets/").replace("-", "/")]
        wrote = json.loads(value)
        assert item["publicIP"] == wrote["PublicIP"]
        assert item["mac"] == wrote["BackendData"]["VtepMAC"]
        assert (item["backend"], item["kernel"], item["own"]) == ("vxlan", "ok", False)
    assert items[host.daemon.subnet()]["own"] is True


def test_a_thousand_routes_of_others_are_counted_and_three_named_in_the_log(lab):
    """Before the daemon came back, so that no notification tells of them."""
    etcd = lab.start_etcd()
    lab.configure(WIDE)
    etcd.put_many((PREFIX + key, value) for key, value in (made_up_lease(n, "10.0.0.0/12") for n in range(1000)))
    host = lab.host()
    daemon = host.start_daemon()
    daemon.wait_peers(1000)
    lab.wait_equal()
    routes = [o[2] for o in host.objects() if o[0] == "route"]
    assert len(routes) == 1000
    daemon.stop()
    host.namespace.ip_batch(f"route prepend {route} dev eth0 proto static" for route in routes)
    daemon.start()

    def text():
        return next((p["text"] for p in daemon.status()["problems"] if p["name"] == "route-shadowed"), "")

    wait_for(lambda: text().endswith("and 999 more"), 10, "all to be counted")
    assert daemon.log().count("route-shadowed") <= 8
    host.namespace.ip_batch(f"route del {route} dev eth0 proto static" for route in routes)
    wait_for(lambda: not text(), 5, "the end of it")


def test_a_thousand_come_while_a_thousand_go(lab):
    etcd = lab.start_etcd()
    lab.configure(WIDE)
    old = [made_up_lease(n, "10.0.0.0/12") for n in range(1000)]
    new = [made_up_lease(n, "10.0.0.0/12") for n in range(1000, 2000)]
    etcd.put_many((PREFIX + key, value) for key, value in old)
    host = lab.host()
    host.start_daemon()
    host.daemon.wait_peers(1000)
    for start in range(0, 1000, 50):
        etcd.delete_many(PREFIX + key for key, _ in old[start : start + 50])
        etcd.put_many((PREFIX + key, value) for key, value in new[start : start + 50])
    lab.wait_equal()
    host.daemon.wait_peers(1000)


def test_a_lease_that_flaps_ends_as_it_stands(lab, fabric3):
    h1 = fabric3[0]
    key, value = made_up_lease(7)
    for _ in range(100):
        lab.etcd.put(PREFIX + key, value)
        lab.etcd.delete(PREFIX + key)
    lab.etcd.put(PREFIX + key, value)
    lab.wait_equal()
    h1.daemon.wait_peers(3)


JUNK_KEYS = [
    "hello",
    "10.5.300.0-24",
    "10.5.20.0-33",
    "10.5.20.0",
    "10.5.20.0-24&zz-64",
    "deep/10.5.20.0/24",
    "x" * 500,
    "\u00e9\u4e2d-24",
]
JUNK_VALUES = {
    "10.5.31.0-24": "",
    "10.5.32.0-24": "not json",
    "10.5.33.0-24": "[]",
    "10.5.34.0-24": '{"PublicIP":"not an address","BackendType":"vxlan"}',
    "10.5.35.0-24": lease_value("192.0.2.50", "not a mac"),
    "10.5.36.0-24": '{"PublicIP":"192.0.2.51","PublicIPv6":null,"BackendType":"vxlan"}',
    "10.5.37.0-24": '{"PublicIP":"192.0.2.52","PublicIPv6":null,"BackendType":"pigeon","BackendData":{"Wings":2}}',
    "10.5.38.0-24": lease_value("127.0.0.1", "0e:00:00:00:38:00"),
    "10.5.39.0-24": lease_value("192.0.2.53", "ff:ff:ff:ff:ff:ff"),
    "10.5.40.0-24": lease_value("192.0.2.54", "0e:00:00:00:40:00", vni=99),
    "10.5.41.0-24": "[" * 5000,
    "10.5.42.0-24": "x" * 1000000,
    "192.168.7.0-24": lease_value("192.0.2.55", "0e:00:00:00:41:00"),
}


def shows_all(document):
    ignored = [item for item in document["items"] if item["kernel"] == "ignored"]
    return len(document["junk"]) == len(JUNK_KEYS) and len(ignored) == len(JUNK_VALUES)


def check_junk(hosts):
    """Everybody else is as before; each bad one is shown with a reason, and no daemon has failed."""
    for host in hosts:
        daemon = host.daemon
        document = wait_for(
            lambda d=daemon: next((x for x in [d.json("/v1/subnets")] if shows_all(x)), None),
            5,
            f"{host.name} shows the junk",
        )
        reasons = {item["subnet"]: item["reason"] for item in document["items"] if item["kernel"] == "ignored"}
        assert set(reasons) == {key.replace("-", "/") for key in JUNK_VALUES}
        assert all(reasons.values()) and all(j["reason"] for j in document["junk"])
        status = daemon.status()
        assert status["ready"] and status["junkKeys"] == len(JUNK_KEYS)
        assert daemon.metric("flannel_junk_keys") == len(JUNK_KEYS)
        assert daemon.metric('flannel_peers{state="ignored"}') == len(JUNK_VALUES)
        assert {"junk-keys", "peers-ignored"} <= daemon.problems()


@pytest.mark.parametrize("when", ["before the daemons start", "while they run"])
def test_junk_harms_nobody_and_is_shown(lab, when):
    etcd = lab.start_etcd()
    lab.configure({"Network": "10.5.0.0/16", "SubnetMin": "10.5.128.0", "Backend": {"Type": "vxlan"}})

    def litter():
        for key in JUNK_KEYS:
            etcd.put(f"{PREFIX}/subnets/{key}", lease_value("192.0.2.60", "0e:00:00:00:60:00"))
        for key, value in JUNK_VALUES.items():
            etcd.put(f"{PREFIX}/subnets/{key}", value)
        etcd.put(f"{PREFIX}/subnets/", b"\xff\xfe\x00binary")
        etcd.delete(f"{PREFIX}/subnets/")

    hosts = lab.hosts(2)
    if when == "before the daemons start":
        litter()
    for host in hosts:
        host.start_daemon()
    c1, c2 = (host.container() for host in hosts)
    with lab.pinger(c1, c2) as pinger:
        if when == "while they run":
            litter()
        check_junk(hosts)
        etcd.put(f"{PREFIX}/subnets/10.5.99.0-24", lease_value("192.0.2.99", "0e:00:00:00:99:00"))
        wait_for(lambda: any("10.5.99.0/24" in o for o in hosts[0].objects()), 2, "good leases still arrive")
    assert pinger.lost == 0, pinger.report()
    # What was unreadable goes away with its key, and what is mended is used.
    etcd.put(f"{PREFIX}/subnets/10.5.32.0-24", lease_value("192.0.2.32", "0e:00:00:00:32:00"))
    wait_for(lambda: any("10.5.32.0/24" in o for o in hosts[0].objects()), 2, "a mended lease is used")
    etcd.delete_many(f"{PREFIX}/subnets/{key}" for key in [*JUNK_KEYS, *JUNK_VALUES])
    for host in hosts:
        host.daemon.wait_ok()
    lab.wait_equal()


@pytest.mark.slow
@pytest.mark.long
def test_fifty_daemons_started_at_once(lab):
    """Every one finds a subnet by itself, none is restarted, and each has a route to every other."""
    lab.start_etcd()
    lab.configure()
    hosts = lab.hosts(50)
    for host in hosts:
        host.make_daemon()
    for host in hosts:
        host.daemon.start()
    for host in hosts:
        host.daemon.wait_ready(30)
    for host in hosts:
        host.daemon.wait_peers(49, 15)
    assert len({host.daemon.subnet() for host in hosts}) == 50
    assert len(lab.etcd.leases()) == 50
    lab.wait_equal(10)


@pytest.mark.slow
def test_memory_is_flat_over_many_events(lab):
    """A hundred leases come and go a hundred times."""
    etcd = lab.start_etcd()
    lab.configure({"Network": "10.0.0.0/12", "Backend": {"Type": "vxlan"}})
    daemon = lab.host().start_daemon()
    pairs = [(PREFIX + key, value) for key, value in (made_up_lease(n, "10.0.0.0/12") for n in range(100))]

    def flap(times):
        for _ in range(times):
            etcd.put_many(pairs)
            etcd.delete_many(key for key, _ in pairs)
        daemon.wait_peers(0)
        return daemon.metric("process_resident_memory_bytes")

    before = flap(10)
    lines = daemon.log().count("\n")
    after = flap(90)
    assert after < before + (1 << 20)
    assert daemon.log().count("\n") < lines + 20
    lab.wait_equal()
