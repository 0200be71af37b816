# SPDX-License-Identifier: Apache-2.0
"""fabricctl capacity: what is used and free, of the network and of this host's subnet, and when that is too much."""

import json

import pytest

from fabricctl_support import CONFIG, FOUND, NO_DAEMON, NOT_FOUND, OK, USAGE, ask, ask_store, fabricctl, put_lease, two


@pytest.fixture
def networks(tmp_path):
    directory = tmp_path / "networks"
    (directory / "cbr0").mkdir(parents=True)
    (directory / "cbr0" / "lock").touch()
    return directory


def reserve(networks, *addresses):
    for n, address in enumerate(addresses):
        (networks / "cbr0" / address).write_text(f"c{n}\r\neth0")


def test_what_is_used_and_free(lab, two, networks):
    h1 = two[0]
    before = json.loads(ask(h1, "capacity", "-o", "json", "--cni-ipam-dir", networks))
    v4 = before["ipv4"]
    assert before["kind"] == "Capacity" and before["ipv6"] is None
    # The one that was made up lies behind SubnetMax.
    assert (v4["used"], v4["reserved"], v4["outside"], v4["free"]) == (2, 0, 1, v4["subnets"] - 2)
    assert 0 < v4["largestFreeRun"] < v4["free"] and before["hostsFree"] == v4["free"]
    assert before["forecast"]["hostsPerWeek"] is None and "cannot be known" in before["forecast"]["from"]
    hosts = {host.daemon.subnet() for host in two}
    first, second = [s for n in range(150, 154) if (s := f"10.5.{n}.0/24") not in hosts][:2]
    put_lease(lab, first.replace("/", "-"), "192.0.2.150", backend="vxlan")
    lab.etcd.put(f"/coreos.com/network/subnets/{second.replace('/', '-')}", json.dumps({"PublicIP": "192.0.2.151"}))
    h1.daemon.wait_peers(4)
    v4 = json.loads(ask(h1, "capacity", "-o", "json"))["ipv4"]
    # A key that nobody's lease of the store ends, and no host has signed, is a reservation.
    assert v4["reserved"] == 2 and v4["free"] == v4["subnets"] - 4
    text = ask(h1, "capacity", "--cni-ipam-dir", networks)
    assert f"{v4['free']} more fit" in text and "2 reserved" in text and "1 outside" in text
    stored = json.loads(ask_store(lab, "capacity", "-o", "json"))
    assert stored["ipv4"] == v4 and stored["source"] == "store" and stored["host"] is None


def test_addresses_of_this_host(lab, two, networks):
    h1 = two[0]
    subnet = h1.daemon.status()["lease"]["subnet"].removesuffix("0/24")
    reserve(networks, f"{subnet}2", f"{subnet}3", "10.99.0.5", "fd00::2")
    ask_it = ("capacity", "--cni-ipam-dir", networks)
    host = json.loads(ask(h1, *ask_it, "-o", "json"))["host"]
    assert (host["used"], host["addresses"], host["free"], host["usedPercent"]) == (2, 253, 251, 0)
    assert f"{subnet}0/24: 2 of 253 addresses used, 251 free" in ask(h1, *ask_it)
    reserve(networks, *(f"{subnet}{n}" for n in range(2, 240)))
    assert json.loads(ask(h1, *ask_it, "-o", "json", status=FOUND))["host"]["usedPercent"] == 94
    ask(h1, *ask_it, "--warn", "95", status=OK)
    # None was ever made.
    host = json.loads(ask(h1, "capacity", "--cni-ipam-dir", networks / "none", "-o", "json"))["host"]
    assert host["used"] == 0 and host["reason"] is None
    (networks / "file").write_text("")
    host = json.loads(ask(h1, "capacity", "--cni-ipam-dir", networks / "file", "-o", "json"))["host"]
    assert host["used"] is None and "Not a directory" in host["reason"]
    assert "is not known: " in ask(h1, "capacity", "--cni-ipam-dir", networks / "file")


def test_nearly_full(lab):
    lab.start_etcd()
    lab.configure(CONFIG | {"SubnetMin": "10.5.16.0", "SubnetMax": "10.5.19.0"})
    for n in (16, 17, 18):
        put_lease(lab, f"10.5.{n}.0-24", f"192.0.2.{n}", lease=lab.etcd.grant(5000))
    ask_store(lab, "capacity")
    assert "FABRIC_IPV4_USED_PERCENT='75'" in ask_store(lab, "capacity", "--warn", "75", "-o", "env", status=FOUND)
    put_lease(lab, "10.5.19.0-24", "192.0.2.19", lease=lab.etcd.grant(5000))
    full = json.loads(ask_store(lab, "capacity", "-o", "json", status=FOUND))
    assert (full["hostsFree"], full["ipv4"]["largestFreeRun"], full["ipv4"]["usedPercent"]) == (0, 0, 100)
    lab.etcd.delete("/coreos.com/network/config")
    ask_store(lab, "capacity", status=NOT_FOUND)


def test_what_can_go_wrong(tmp_path):
    for wrong in ("0", "101", "-1", "ten", "", "9x"):
        done = fabricctl("capacity", f"--warn={wrong}")
        assert done.returncode == USAGE and "from 1 to 100" in done.stderr
    done = fabricctl("capacity", "--socket", tmp_path / "none")
    assert done.returncode == NO_DAEMON and "capacity --store" in done.stderr
