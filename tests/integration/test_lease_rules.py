# SPDX-License-Identifier: Apache-2.0
"""What a lease must not say. Each bad one is set aside with the reason, and costs nobody but its owner."""

import ipaddress
import json

import pytest

from etcd import PREFIX
from fabric import APART, CONFIG, DUAL
from netns import wait_for
from test_fabricctl import ask
from witness import lease_value

MAC = "0e:00:00:00:70:%02x"


def vxlan(ip="192.0.2.70", mac=MAC % 0, **more):
    return json.dumps(json.loads(lease_value(ip, mac)) | more)


def data(**more):
    return vxlan(BackendData={"VNI": 1, "VtepMAC": MAC % 1} | more)


def dual(ip="2001:db8:1::70", mac=MAC % 6, vni=1):
    return vxlan(mac=MAC % 5, PublicIPv6=ip, BackendV6Data={"VNI": vni, "VtepMAC": mac})


def sized(size):
    """A value of so many bytes."""
    return vxlan(More="x" * (size - len(vxlan(More=""))))


OWN, OWN_AROUND, OWN6, OWN_MAC = object(), object(), object(), object()
RULES = {
    "outside the network": ("10.6.1.0-24", vxlan(), "subnet is outside Network 10.5.0.0/16"),
    "outside in IPv6": ("10.5.9.0-24&fd11::-64", vxlan(), "subnet is outside IPv6Network fd10:5::/48"),
    "half of the network": ("10.5.0.0-17", vxlan(), "subnet's length is 17, must be from 18 to 30"),
    "too short": ("10.5.9.0-31", vxlan(), "subnet's length is 31, must be from 18 to 30"),
    "half of the network, IPv6": ("10.5.8.0-24&fd10:5::-49", dual(), "subnet's length is 49, must be from 50 to 126"),
    "too short, IPv6": ("10.5.8.0-25&fd10:5:0:8::-127", dual(), "subnet's length is 127, must be from 50 to 126"),
    "ours, a part of it": (OWN, vxlan(), "overlaps this host's own subnet"),
    "ours, around it": (OWN_AROUND, vxlan(), "overlaps this host's own subnet"),
    "ours, in IPv6": (OWN6, dual(), "overlaps this host's own subnet"),
    "an older one, around it": ("10.5.128.0-20", vxlan(), "overlaps the older lease 10.5.130.0/24"),
    "an older one, in it": ("10.5.130.128-25", vxlan(), "overlaps the older lease 10.5.130.0/24"),
    "an older one, in one family": ("10.5.130.0-24&fd10:5:0:9::-64", vxlan(), "overlaps the older lease 10.5.130.0/24"),
    "loopback": ("10.5.10.0-24", vxlan("127.0.0.1"), "PublicIP is 127.0.0.1, must be a unicast address"),
    "broadcast of the underlay": ("10.5.52.0-24", vxlan("192.0.2.255"), "192.0.2.255 is the broadcast address of the underlay"),
    "network of the underlay": ("10.5.53.0-24", vxlan("192.0.2.0"), "192.0.2.0 is the network address of the underlay"),
    "multicast": ("10.5.11.0-24", vxlan("224.0.0.5"), "PublicIP is 224.0.0.5, must be a unicast address"),
    "broadcast": ("10.5.32.0-24", vxlan("255.255.255.255"), "PublicIP is 255.255.255.255, must be a unicast address"),
    "no host's": ("10.5.33.0-24", vxlan("0.0.0.9"), "PublicIP is 0.0.0.9, must be a unicast address"),
    "unspecified": ("10.5.12.0-24", vxlan("0.0.0.0"), "PublicIP is missing"),
    "our address": ("10.5.13.0-24", vxlan("192.0.2.1"), "PublicIP is 192.0.2.1, which is this host's own"),
    "in the overlay": ("10.5.14.0-24", vxlan("10.5.130.5"), "PublicIP is 10.5.130.5, inside the overlay network"),
    "no address": ("10.5.15.0-24", vxlan("nonsense"), "PublicIP"),
    "zero MAC": ("10.5.16.0-24", data(VtepMAC="00:00:00:00:00:00"), "must be a unicast address"),
    "multicast MAC": ("10.5.17.0-24", data(VtepMAC="01:00:5e:00:00:01"), "must be a unicast address"),
    "broadcast MAC": ("10.5.34.0-24", data(VtepMAC="ff:ff:ff:ff:ff:ff"), "must be a unicast address"),
    "no MAC": ("10.5.18.0-24", data(VtepMAC="$(reboot)"), "is not a MAC address"),
    "our MAC": ("10.5.19.0-24", OWN_MAC, "VtepMAC is this host's own"),
    "an older one's MAC": ("10.5.20.0-24", vxlan(mac=MAC % 0xFF), "uses the same MAC, address or route as 10.5.130.0/24"),
    "another VNI": ("10.5.21.0-24", data(VNI=2), "VNI is 2, ours is 1"),
    "a VNI that is none": ("10.5.22.0-24", data(VNI=1 << 24), "VNI is 16777216, must be an integer from 0 to 16777215"),
    "a VNI that is negative": ("10.5.35.0-24", data(VNI=-1), "VNI is -1, must be an integer"),
    "a VNI that is a text": ("10.5.23.0-24", data(VNI="1"), 'VNI is "1", must be an integer'),
    "another backend": ("10.5.24.0-24", vxlan(BackendType="ipip"), 'BackendType is "ipip", ours is "vxlan"'),
    "a backend that nobody has": ("10.5.25.0-24", vxlan(BackendType="$(id)"), 'BackendType is "$(id)"'),
    "a type that is cut in a letter": ("10.5.36.0-24", vxlan(BackendType="x" * 39 + "\u00e9\u00e9"), "BackendType is"),
    "a type that is a number": ("10.5.26.0-24", vxlan(BackendType=7), "BackendType is 7, must be a string"),
    "deep": ("10.5.27.0-24", vxlan(More="@").replace('"@"', "[" * 16 + "]" * 16), "more than 16 levels deep"),
    "large": ("10.5.28.0-24", sized(65537), "value of 65537 bytes, must be 65536 at most"),
    "not an object": ("10.5.29.0-24", "[7]", "not a JSON object"),
    "no JSON": ("10.5.37.0-24", vxlan()[:-1], "not valid JSON at line 1"),
    "a member twice": ("10.5.38.0-24", vxlan()[:-1] + ',"PublicIP":"192.0.2.71"}', '"PublicIP" is given twice, again at line 1'),
    "a member twice, the same": ("10.5.39.0-24", vxlan()[:-1] + ',"x":{"y":[{"z":1,"z":1}]}}', '"z" is given twice'),
    "a member twice in its data": ("10.5.43.0-24", data().replace('"VNI"', '"VNI": 1, "VNI"'), '"VNI" is given twice'),
    "a member in two cases": ("10.5.44.0-24", vxlan(publicip="192.0.2.71"), 'given twice, as "PublicIP" and as "publicip"'),
    "data in two cases": ("10.5.45.0-24", data(vni=2), 'VNI is given twice, as "VNI" and as "vni"'),
    "IPv6 without data": ("10.5.30.0-24&fd10:5:0:30::-64", vxlan(mac=MAC % 3, PublicIPv6="2001:db8:1::70"), "BackendV6Data"),
    "IPv6 loopback": ("0.0.0.0-0&fd10:5:0:31::-64", vxlan(PublicIPv6="::1", BackendV6Data={"VNI": 1, "VtepMAC": MAC % 4}),
                      "PublicIPv6 is ::1, must be a unicast address"),
    "IPv6 multicast": ("10.5.46.0-24&fd10:5:0:46::-64", dual("ff02::1"), "PublicIPv6 is ff02::1, must be a unicast address"),
    "IPv4 in IPv6": ("10.5.47.0-24&fd10:5:0:47::-64", dual("::ffff:192.0.2.70"), "must be a unicast address"),
    "IPv6, ours": ("10.5.48.0-24&fd10:5:0:48::-64", dual("2001:db8:1::1"), "2001:db8:1::1, which is this host's own"),
    "IPv6, in the overlay": ("10.5.49.0-24&fd10:5:0:49::-64", dual("fd10:5:0:1::1"), "inside the overlay network"),
    "IPv6, another VNI": ("10.5.50.0-24&fd10:5:0:50::-64", dual(vni=2), "BackendV6Data: VNI is 2, ours is 1"),
    "IPv6, zero MAC": ("10.5.51.0-24&fd10:5:0:51::-64", dual(mac="00:00:00:00:00:00"), "must be a unicast address"),
}  # fmt: skip
# As much as is allowed, of what nobody reads: used like any other.
ALLOWED = {
    "10.5.60.0-24": vxlan("192.0.2.60", MAC % 0x60, More="@").replace('"@"', "[" * 15 + "]" * 15),
    "10.5.61.0-24": sized(65536),
    "10.5.62.0-24": vxlan("192.0.2.62", MAC % 0x62, more=1, MORE=2, Node={"x": 1, "X": 2}),
}
JUNK = {"10.5.40.1-24": "host bits", "10.5.41.0-24&fd10:5:0:41::1-64": "host bits", "10.5.42.0-33": ""}


def test_every_rule(lab):
    etcd = lab.start_etcd()
    lab.configure(DUAL)
    h1, h2 = lab.hosts(2)
    for host in (h1, h2):
        host.start_daemon()
    etcd.put(f"{PREFIX}/subnets/10.5.130.0-24", vxlan("192.0.2.130", MAC % 0xFF))
    etcd.put_many((f"{PREFIX}/subnets/{key}", value) for key, value in ALLOWED.items())
    h1.daemon.wait_peers(2 + len(ALLOWED))
    h1.daemon.wait_ok()
    own = ipaddress.ip_network(h1.daemon.subnet())
    places = {
        OWN: f"{own[128]}-25",
        OWN_AROUND: f"{own.supernet(1).network_address}-23",
        OWN6: "10.5.31.0-24&" + h1.daemon.subnet6().replace("/64", "-80"),
    }
    rules = {}
    for name, (key, value, reason) in RULES.items():
        rules[name] = places.get(key, key), vxlan(mac=h1.vtep_mac()) if value is OWN_MAC else value, reason
    before = h1.objects()
    with lab.pinger(h1.container(), h2.container()) as pinger:
        for key, value, _ in rules.values():
            etcd.put(f"{PREFIX}/subnets/{key}", value)
        for key in JUNK:
            etcd.put(f"{PREFIX}/subnets/{key}", vxlan())
        h1.daemon.wait_status(lambda s: s["peersIgnored"] == len(rules) and s["junkKeys"] == len(JUNK))

        def check():
            document = h1.daemon.json("/v1/subnets")
            items = {(item["subnet"], item["subnetV6"]): item for item in document["items"]}
            for name, (key, _, reason) in rules.items():
                v4, _, v6 = key.replace("-", "/").partition("&")
                item = items[None if v4 == "0.0.0.0/0" else v4, v6 or None]
                assert item["kernel"] == "ignored", name
                assert reason in item["reason"] and item["reason"], (name, item["reason"])
            assert {j["key"].rsplit("/", 1)[-1] for j in document["junk"]} == set(JUNK)
            assert h1.objects() == before

        def shown():
            """Each with its sentence, to whom asks as a person."""
            for command in (["peers"], ["subnets", "-o", "wide"]):
                lines = ask(h1, *command).splitlines()
                for name, (key, _, reason) in rules.items():
                    subnets = key.replace("-", "/").removeprefix("0.0.0.0/0&").split("&")
                    line = next(line for line in lines if all(s in line.replace(",", " ").split() for s in subnets))
                    assert "ignored" in line.split(), (command, name, line)
                    assert reason in line, (command, name, line)

        check()
        shown()
        # The next start judges the same, though it sees all of them at once.
        h1.daemon.restart()
        h1.daemon.wait_status(lambda s: s["peersIgnored"] == len(rules) and s["junkKeys"] == len(JUNK))
        check()
        assert h1.daemon.metric("flannel_netlink_writes_total") == 0
    assert pinger.lost == 0, pinger.report()
    etcd.delete_many(f"{PREFIX}/subnets/{key}" for key in [*JUNK, *(key for key, _, _ in rules.values())])
    h1.daemon.wait_ok()
    assert h1.objects() == before


@pytest.mark.parametrize(
    "config, key, value",
    [
        (APART, "0.0.0.0-0&fd10:5:0:9::-64", dual()),
        (DUAL | {"EnableIPv4": False}, "10.5.9.0-24", vxlan()),
        (APART | {"Backend": {"Type": "host-gw"}}, "0.0.0.0-0&fd10:5:0:9::-64", vxlan(BackendType="host-gw")),
    ],
    ids=["IPv6 in an IPv4 network", "IPv4 in an IPv6 network", "host-gw"],
)
def test_a_peer_of_a_family_that_we_do_not_have(lab, config, key, value):
    lab.start_etcd()
    lab.configure(config)
    h1, _ = lab.hosts(2, daemons=True)
    before = h1.objects()
    lab.etcd.put(f"{PREFIX}/subnets/{key}", value)
    h1.daemon.wait_status(lambda s: s["peersIgnored"] == 1)
    sentence = "has no subnet in a family that this network uses"
    problem = next(p for p in h1.daemon.status()["problems"] if p["name"] == "peers-ignored")
    assert sentence in problem["text"]
    for command in (["peers"], ["subnets", "-o", "wide"]):
        assert len([line for line in ask(h1, *command).splitlines() if "ignored" in line and sentence in line]) == 1
    assert h1.objects() == before


def test_the_older_lease_has_the_right_and_the_younger_waits(lab, fabric3):
    """Whatever changes in between: a lease that could not be used comes into its right when it can."""
    h1 = fabric3[0]
    old, young = f"{PREFIX}/subnets/10.5.0.0-22", f"{PREFIX}/subnets/10.5.1.0-24"

    def reason(subnet):
        return next(i["reason"] for i in h1.daemon.subnets() if i["subnet"] == subnet)

    def has(subnet):
        return any(o[:1] == ("route",) and o[2] == subnet for o in h1.objects())

    lab.etcd.put(old, "unreadable")
    lab.etcd.put(young, vxlan("192.0.2.71", MAC % 1))
    wait_for(lambda: has("10.5.1.0/24"), 3, "what nobody can read is no claim")
    lab.etcd.put(old, vxlan("192.0.2.72", MAC % 2))
    wait_for(lambda: has("10.5.0.0/22") and not has("10.5.1.0/24"), 3, "the older is used")
    assert "older lease 10.5.0.0/22" in reason("10.5.1.0/24")
    # The younger takes the older's MAC, then the older is gone.
    lab.etcd.put(young, vxlan("192.0.2.71", MAC % 2))
    lab.etcd.delete(old)
    wait_for(lambda: has("10.5.1.0/24") and not has("10.5.0.0/22"), 3, "the younger is used")
    # Put again, what was older is younger.
    lab.etcd.put(old, vxlan("192.0.2.72", MAC % 3))
    wait_for(lambda: "older lease 10.5.1.0/24" in reason("10.5.0.0/22"), 3, "it waits")
    lab.etcd.delete_many([old, young])
    lab.wait_equal()


def test_leases_with_one_public_address_are_both_used(lab, fabric3):
    """The lease of a host that is no more may stand for a day; whoever got its address since must not suffer for it."""
    for number in (1, 2):
        lab.etcd.put(f"{PREFIX}/subnets/10.5.{number}.0-24", vxlan("192.0.2.99", MAC % number))
    lab.wait_equal(5, [fabric3[0]])
    fabric3[0].daemon.wait_ok()


def test_a_subnet_that_the_underlay_is_in(lab):
    """A network that was laid over the underlay: the hosts are not cut off from it."""
    etcd = lab.start_etcd()
    lab.configure(CONFIG | {"Network": "192.0.0.0/16", "SubnetMin": "192.0.2.0", "SubnetMax": "192.0.3.0"})
    host = lab.host()
    host.start_daemon()
    assert host.daemon.subnet() == "192.0.3.0/24", "of two subnets the one that the underlay is not in"
    reasons = {
        "192.0.2.0/25": "contains this host's own address in the underlay",
        "192.0.2.128/25": "overlaps this host's segment of the underlay, 192.0.2.0/24",
        "192.0.0.0/18": "contains this host's own address in the underlay",
    }
    for subnet in reasons:
        etcd.put(f"{PREFIX}/subnets/{subnet.replace('/', '-')}", vxlan("198.51.100.70"))
    wait_for(lambda: len(host.daemon.subnets()) == 1 + len(reasons), 3, "they are shown")
    assert {i["subnet"]: i["reason"] for i in host.daemon.subnets() if not i["own"]} == reasons
    assert not [o for o in host.objects() if o[0] == "route"]


def test_a_network_inside_the_segment_of_the_underlay_is_used(lab):
    """The administrator gave a part of it to the fabric: that works as it does with flannel."""
    lab.start_etcd()
    lab.configure(CONFIG | {"Network": "192.0.2.128/25", "SubnetLen": 28})
    h1, h2 = lab.hosts(2, daemons=True)
    with lab.pinger(h1.container(), h2.container()) as pinger:
        wait_for(lambda: pinger.sent > 20, 5, "pings")
    assert pinger.lost == 0, pinger.report()


LEASES_MAX = 65536


@pytest.mark.slow
@pytest.mark.long
def test_no_more_than_65536_leases(lab):
    """One too many is said, and nothing is done by a list that is cut; with one less all is well."""
    etcd = lab.start_etcd()
    lab.configure({"Network": "10.0.0.0/8", "SubnetLen": 26, "SubnetMin": "10.200.0.0", "Backend": {"Type": "alloc"}})
    keys = [f"{PREFIX}/subnets/{ipaddress.ip_address((10 << 24) + n * 64)}-26" for n in range(LEASES_MAX + 1)]
    etcd.put_many((key, '{"PublicIP":"192.0.2.70","PublicIPv6":null}') for key in keys)
    daemon = lab.host().start_daemon(ready=False)
    sentence = f"more than {LEASES_MAX} leases"
    wait_for(lambda: sentence in daemon.request("/readyz")[1], 30, "/readyz says why")
    assert sentence in daemon.log()
    assert not daemon.subnet_file.exists()
    etcd.delete_many(keys[-2:])
    daemon.wait_ready(60)
    daemon.wait_status(lambda s: s["peers"] == LEASES_MAX - 1, 30)
    # Told while it runs: set aside by name, and forgotten when it goes.
    etcd.put(keys[-1], '{"PublicIP":"192.0.2.70"}')
    daemon.wait_status(lambda s: s["junkKeys"] == 1 and s["peers"] == LEASES_MAX - 1, 5)
    assert sentence in daemon.log()
    etcd.delete(keys[-1])
    daemon.wait_status(lambda s: s["junkKeys"] == 0, 5)
