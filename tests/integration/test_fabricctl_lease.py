# SPDX-License-Identifier: Apache-2.0
"""fabricctl lease: show, renew, release, reserve, against real daemons and a real etcd."""

import json
import os
import pty
import re
import subprocess

import pytest

from etcd import PREFIX
from fabric import DUAL, FABRICCTL
from netns import end_process, wait_for
from fabricctl_support import (
    DENIED,
    ENVIRONMENT,
    FAILED,
    NO_DAEMON,
    NO_STORE,
    NOT_FOUND,
    OK,
    USAGE,
    Underlay,
    ask,
    ask_store,
    assert_three_lines,
    fabricctl,
    lease_text,
    put_lease,
)
from faults import ALL_BY_BOTH

pytestmark = ALL_BY_BOTH
CONFLICT = 9
# Daemons choose at random, but not the subnets that are reserved here.
CONFIG = {"Network": "10.5.0.0/16", "SubnetMin": "10.5.1.0", "SubnetMax": "10.5.250.0", "Backend": {"Type": "vxlan"}}
FREE, OTHER = "10.5.242.0/24", "10.5.243.0/24"


@pytest.fixture
def fabric(lab):
    lab.start_etcd()
    lab.configure(CONFIG)
    return lab


def hosts(lab, count, **flags):
    """With daemons, and with subnets that they had before: none of those that are reserved and written here."""
    found = [lab.host() for _ in range(count)]
    for host in found:
        daemon = host.make_daemon(**flags)
        subnet = f"10.5.{100 + host.number}.1/24"
        daemon.subnet_file.write_text(f"FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET={subnet}\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n")
        daemon.start()
    for host in found:
        host.daemon.wait_ready()
        host.daemon.wait_peers(len(lab.all_hosts) - 1)
    return found


def store_flags(lab, host=None):
    flags = ["--etcd-endpoints", lab.etcd.endpoints, "--config-file", "/dev/null"]
    if host:
        flags += ["--state-dir", host.daemon.flags["state_dir"], "--socket", host.daemon.socket_path]
    return flags


def lease(lab, *args, host=None, status=OK, **options):
    done = fabricctl("lease", *args, *store_flags(lab, host), where=Underlay(lab), stdin=subprocess.DEVNULL, **options)
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout if status == OK else done.stderr


def at_a_terminal(lab, answer, *args):
    """The command with somebody at the keyboard; `answer` may be called to get the answer. (status, all output)"""
    leader, follower = pty.openpty()
    argv = [str(a) for a in (FABRICCTL, *args)]
    process = subprocess.Popen(
        lab.underlay.argv(*argv), stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    os.close(follower)
    try:
        question = ""
        while not question.endswith("? [y/N] "):
            letter = process.stderr.read(1)
            assert letter, question
            question += letter
        os.write(leader, ((answer() if callable(answer) else answer) + "\n").encode())
        out, err = process.communicate(timeout=20)
        return process.returncode, question, out, err
    finally:
        end_process(process)
        os.close(leader)


def test_show(fabric):
    lab = fabric
    (host,) = hosts(lab, 1)
    subnet = host.daemon.subnet()
    text = ask(host, "lease", "show")
    assert re.fullmatch(
        rf"{subnet}  h1  held  lease [0-9a-f]+  left \S+  renewed \S+ ago  revision \d+\n", text
    ), text
    document = json.loads(ask(host, "lease", "show", "-o", "json"))
    assert document["kind"] == "Lease" and document["source"] == "daemon"
    daemon = document["lease"]
    assert daemon["subnet"] == subnet and daemon["state"] == "held" and not daemon["reservation"]
    host.daemon.kill()
    document = json.loads(lease(lab, "show", "--store", "-o", "json", host=host))
    assert document["source"] == "store" and document["node"] == "h1"
    for name in ("subnet", "handle", "revision", "publicIP", "state", "reservation"):
        assert document["lease"][name] == daemon[name], name
    assert 0 < document["lease"]["expiresSeconds"] <= 86400
    assert lease(lab, "show", "--store", host=host).startswith(f"{subnet}  h1  held  lease {daemon['handle']}  left 23h")


def test_show_without_a_lease(lab, tmp_path):
    lab.start_etcd()
    host = lab.host()
    host.start_daemon(ready=False).wait_listening()
    done = fabricctl("lease", "show", "--socket", host.daemon.socket_path)
    assert done.returncode == NOT_FOUND
    assert_three_lines(done.stderr, "has no lease", "", "fabricctl status")
    assert "no lease" in lease(lab, "show", "--store", host=host, status=NOT_FOUND)
    flags = [*store_flags(lab), "--state-dir", tmp_path]
    done = fabricctl("lease", "show", "--store", *flags, where=Underlay(lab))
    assert done.returncode == NOT_FOUND
    assert_three_lines(done.stderr, "not known which host", "node-id", "--state-dir")


def test_renew(fabric):
    lab = fabric
    (host,) = hosts(lab, 1, lease_ttl=100)
    handle = int(json.loads(ask(host, "lease", "show", "-o", "json"))["lease"]["handle"], 16)
    wait_for(lambda: lab.etcd.time_to_live(handle) < 99, 10, "some of its time has passed")
    renewals = host.daemon.metrics()
    text = ask(host, "lease", "renew")
    assert re.search(r"  left 1m\S*  renewed 0s ago", text), text
    assert lab.etcd.time_to_live(handle) >= 99
    assert sum(v for k, v in host.daemon.metrics().items() if "keepalive" in k and "ok" in k) > sum(
        v for k, v in renewals.items() if "keepalive" in k and "ok" in k
    )
    # Twice at once is no harm.
    assert json.loads(ask(host, "lease", "renew", "-o", "json"))["lease"]["state"] == "held"


def test_renew_that_the_store_cannot_hear(fabric):
    lab = fabric
    (host,) = hosts(lab, 1)
    lab.etcd.kill()
    done = fabricctl("lease", "renew", "--socket", host.daemon.socket_path)
    assert done.returncode == FAILED and done.stdout == ""
    assert_three_lines(done.stderr, "cannot do this now", "192.0.2.201", "fabricctl status")
    lab.etcd.start()
    host.daemon.wait_ok(20)
    assert "held" in ask(host, "lease", "renew")


def test_renew_is_for_root(fabric):
    lab = fabric
    (host,) = hosts(lab, 1)
    assert host.daemon.request("/v1/lease/renew")[0] == 405
    os.chmod(lab.directory, 0o755)
    os.chmod(host.daemon.directory, 0o755)
    os.chmod(host.daemon.socket_path, 0o666)
    binary = lab.directory / "fabricctl"
    binary.write_bytes(FABRICCTL.read_bytes())
    binary.chmod(0o755)
    done = subprocess.run(
        [binary, "lease", "renew", "--socket", host.daemon.socket_path], capture_output=True, text=True, check=False,
        timeout=30, env=ENVIRONMENT, cwd="/", user=65534, group=65534, extra_groups=[],
    )  # fmt: skip
    assert done.returncode == DENIED
    assert_three_lines(done.stderr, "refuses", "only root", "sudo")


def test_release(fabric):
    lab = fabric
    h1, h2 = hosts(lab, 2)
    subnet, key = h1.daemon.subnet(), h1.daemon.key()
    # Not while the daemon runs.
    assert_three_lines(
        lease(lab, "release", "--yes", host=h1, status=FAILED), "flanneld is running", "claim", "--force"
    )
    assert lease(lab, "release", "--dry-run", host=h1) == f"would release {subnet} for h1\n"
    h1.daemon.stop()
    # Nor without being asked.
    assert_three_lines(lease(lab, "release", host=h1, status=USAGE), "needs --yes", "no terminal", "--dry-run")
    status, question, out, err = at_a_terminal(lab, "n", "lease", "release", *store_flags(lab, h1))
    assert status == FAILED and subnet in question and "192.0.2.1" in question and "nothing was changed" in err and not out
    assert lab.etcd.get(key) is not None
    status, _, out, err = at_a_terminal(lab, "y", "lease", "release", *store_flags(lab, h1))
    assert status == OK and re.fullmatch(rf"released {subnet} for h1 \(revision \d+\)\n", out) and not err
    assert not lab.etcd.get(key)
    h2.daemon.wait_peers(0)
    # A second time there is nothing to do.
    assert "nothing to do" in lease(lab, "release", "--yes", host=h1)
    assert json.loads(lease(lab, "release", "--yes", "-o", "json", host=h1))["changed"] is False
    # The daemon comes back to the same subnet.
    h1.daemon.start()
    h1.daemon.wait_ready()
    assert h1.daemon.subnet() == subnet
    # Taken from a running one by force, it is claimed again.
    assert "released" in lease(lab, "release", "--yes", "--force", host=h1)
    h1.daemon.wait_status(lambda s: s["lease"]["state"] == "held" and s["verdict"] == "ok" and lab.etcd.get(key), 20)


def test_release_that_somebody_was_quicker_than(fabric):
    lab = fabric
    (host,) = hosts(lab, 1)
    host.daemon.stop()
    key = host.daemon.key()

    def meanwhile():
        put_lease(lab, key.rsplit("/", 1)[1], "192.0.2.9", name="thief")
        return "yes"

    status, _, out, err = at_a_terminal(lab, meanwhile, "lease", "release", *store_flags(lab, host))
    assert status == CONFLICT and out == "" and "changed meanwhile" in err
    assert lab.etcd.get(key)


def test_release_with_a_cloned_identity(fabric):
    lab = fabric
    (host,) = hosts(lab, 1)
    host.daemon.stop()
    value = json.loads(lease_text("192.0.2.77", name="clone"))
    value["Node"]["ID"] = (host.daemon.flags["state_dir"] / "node-id").read_text().strip()
    lab.etcd.put(f"{PREFIX}/subnets/10.5.243.0-24", json.dumps(value))
    assert_three_lines(
        lease(lab, "release", "--yes", host=host, status=CONFLICT), "2 leases", "copy", "fabricctl subnets --store"
    )


def test_reserve_by_name(fabric):
    lab = fabric
    (h1,) = hosts(lab, 1)
    assert lease(lab, "reserve", FREE, "--node", "h2", "--dry-run") == f"would reserve {FREE} for h2\n"
    assert not lab.etcd.list(f"{PREFIX}/subnets/10.5.242.0")
    assert re.fullmatch(rf"reserved {FREE} for h2 \(revision \d+\)\n", lease(lab, "reserve", FREE, "--node", "h2"))
    assert lease(lab, "reserve", FREE, "--node", "h2") == f"nothing to do: {FREE} is reserved for h2 already\n"
    assert_three_lines(
        lease(lab, "reserve", FREE, "--node", "h3", status=CONFLICT), "is not free", "reserved for h2", "fabricctl subnets"
    )
    assert_three_lines(
        lease(lab, "reserve", h1.daemon.subnet(), "--node", "h3", status=CONFLICT), "is not free", "leased to h1", "subnets"
    )
    # Kept for somebody who has not come is nothing wrong.
    h1.daemon.wait_status(lambda s: s["peers"] == 1 and s["verdict"] == "ok")
    row = next(i for i in json.loads(ask(h1, "subnets", "-o", "json"))["items"] if i["subnet"] == FREE)
    assert row["reservation"] and row["node"] == "h2" and row["kernel"] == "ok"
    assert re.search(r"^peers +0, and 1 reserved subnet$", ask(h1, "status"), re.M)
    # The host comes, and has it, for good.
    h2 = lab.host()
    h2.start_daemon()
    assert h2.daemon.subnet() == FREE
    assert "reserved, never ends" in ask(h2, "lease", "show")
    assert "reserved, never ends" in ask(h2, "lease", "renew")
    h1.daemon.wait_peers(1)
    lab.wait_equal()
    assert re.search(r"^peers +1$", ask(h1, "status"), re.M), "a host that has come is a peer"
    assert "nothing to do" in lease(lab, "reserve", FREE, "--node", "h2")


def test_unreserve(fabric):
    lab = fabric
    lease(lab, "reserve", FREE, "--node", "h1")
    lease(lab, "reserve", OTHER, "--node", "h9")
    assert lease(lab, "unreserve", OTHER, "--dry-run") == f"would unreserve {OTHER} of h9\n"
    assert_three_lines(lease(lab, "unreserve", OTHER, status=USAGE), "another host may get it", "terminal", "--yes")
    assert reservation(lab, OTHER)
    assert re.fullmatch(rf"unreserved {OTHER} of h9 \(revision \d+\)\n", lease(lab, "unreserve", OTHER, "--yes"))
    assert not lab.etcd.list(f"{PREFIX}/subnets/10.5.243.0")
    for subnet in (OTHER, "10.5.241.0/24"):
        assert lease(lab, "unreserve", subnet, "--yes") == f"nothing to do: {subnet} is not reserved\n"
    # One that its host has taken over becomes a lease like others.
    h1, h2 = lab.hosts(2, daemons=True)
    assert h1.daemon.subnet() == FREE and "reserved, never ends" in ask(h1, "lease", "show")
    assert "peer,reserved" in ask(h2, "subnets")
    change = json.loads(lease(lab, "unreserve", FREE, "--yes", "-o", "json"))
    assert (change["kind"], change["action"], change["subnet"]) == ("LeaseChange", "unreserve", FREE)
    assert change["changed"] and not change["dryRun"] and int(change["revision"]) > 0
    shown = h1.daemon.wait_status(lambda s: s["lease"].get("expiresSeconds", 0) > 80000)
    record = lab.etcd.get(h1.daemon.key())
    assert not shown["lease"]["reservation"] and record.lease and "Reserved" not in record.json["Node"]
    assert "reserved" not in ask(h2, "subnets")
    assert json.loads(lease(lab, "unreserve", FREE, "--yes", "-o", "json"))["changed"] is False
    h1.daemon.restart()
    assert h1.daemon.subnet() == FREE and lab.etcd.get(h1.daemon.key()).lease == record.lease
    lab.wait_equal()


def test_unreserve_what_a_dead_host_left(fabric):
    """A host that was taken away, whose key somebody had put again without its lease."""
    lab = fabric
    key = f"{PREFIX}/subnets/{OTHER.replace('/', '-')}"
    lab.etcd.put(key, lease_text("192.0.2.77", name="gone"))
    assert re.search(rf"^{OTHER} .* never +unbound", lease_list(lab), re.M)
    status, shown, _, _ = at_a_terminal(lab, "yes", "lease", "unreserve", OTHER, *store_flags(lab))
    assert status == OK and "let the lease of gone" in shown
    record = lab.etcd.get(key)
    assert 86000 < lab.etcd.time_to_live(record.lease) <= 86400 and record.json == json.loads(lease_text("192.0.2.77", name="gone"))
    assert "unbound" not in lease_list(lab)


def lease_list(lab):
    return ask_store(lab, "subnets")


@pytest.mark.parametrize(("args", "why"), [([], "usage"), (["10.5.7.1/24"], "host bits"), ([FREE, "--force"], "--force"), ([FREE, "--node", "x"], "--node")])
def test_unreserve_of_nonsense(fabric, args, why):
    assert why in lease(fabric, "unreserve", "--yes", *args, status=USAGE)


def test_reserve_by_address(fabric):
    lab = fabric
    assert "reserved" in lease(lab, "reserve", OTHER, "--node", "first", "--public-ip", "192.0.2.1")
    value = json.loads(reservation(lab, OTHER))
    assert value == {"PublicIP": "192.0.2.1", "PublicIPv6": None, "Node": {"ID": "", "Name": "first"}}
    assert "is not free" in lease(
        lab, "reserve", OTHER, "--node", "first", "--public-ip", "192.0.2.2", status=CONFLICT
    )
    (h1,) = lab.hosts(1, daemons=True)
    assert h1.daemon.subnet() == OTHER


def reservation(lab, subnet):
    return lab.etcd.get(f"{PREFIX}/subnets/{subnet.replace('/', '-')}").value


def test_a_reservation_does_not_move_who_has_a_lease(fabric):
    lab = fabric
    (h1,) = hosts(lab, 1)
    subnet = h1.daemon.subnet()
    assert "reserved" in lease(lab, "reserve", FREE, "--node", "h1")
    h1.daemon.wait_status(lambda s: s["leases"] == 2)
    h1.daemon.restart()
    assert h1.daemon.subnet() == subnet and reservation(lab, FREE)


@pytest.mark.parametrize(
    ("subnet", "why"),
    [
        ("10.6.0.0/24", "leases /24 each"),
        ("10.5.7.0/25", "leases /24 each"),
        ("10.5.251.0/24", "to 10.5.250.0"),
        ("10.5.7.1/24", "host bits"),
        ("10.5.7.0", ""),
        ("10.5.7.0/24,10.5.8.0/24", "one family"),
        ("10.5.7.0/24,fd00::/64", "no IPv6"),
        ("", ""),
    ],
)
def test_reserve_what_nobody_could_have(fabric, subnet, why):
    assert why in lease(fabric, "reserve", subnet, "--node", "x", status=USAGE)
    assert not fabric.etcd.list(f"{PREFIX}/subnets/")


def test_reserve_two_families(lab):
    lab.start_etcd()
    lab.configure(DUAL)
    assert "IPv6: name" in lease(lab, "reserve", "10.5.160.0/24", "--node", "h1", status=USAGE)
    assert "reserved" in lease(lab, "reserve", "10.5.160.0/24,fd10:5:0:160::/64", "--node", "h1")
    (h1,) = lab.hosts(1, daemons=True)
    assert h1.daemon.subnet() == "10.5.160.0/24" and "fd10:5:0:160::1/64" in h1.daemon.environment_file().values()


def test_reserve_before_there_is_a_network(lab):
    lab.start_etcd()
    assert "no network configuration" in lease(lab, "reserve", FREE, "--node", "x", status=NOT_FOUND)


def test_without_daemon_and_store(tmp_path):
    done = fabricctl("lease", "renew", "--socket", tmp_path / "sock")
    assert done.returncode == NO_DAEMON
    assert_three_lines(done.stderr, "cannot reach flanneld", "not running", "--store")
    (tmp_path / "node-id").write_text("somebody\n")
    flags = ["--etcd-endpoints", "http://127.0.0.1:1", "--config-file", "/dev/null", "--socket", tmp_path / "sock"]
    done = fabricctl("lease", "release", "--yes", "--state-dir", tmp_path, *flags)
    assert done.returncode == NO_STORE
    assert fabricctl("lease", "reserve", FREE, "--node", "x", *flags).returncode == NO_STORE


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["frobnicate"],
        ["show", "it"],
        ["show", "--yes"],
        ["show", "--dry-run"],
        ["renew", "--force"],
        ["renew", "--store"],
        ["release", FREE],
        ["release", "--node", "x"],
        ["reserve"],
        ["reserve", FREE],
        ["reserve", FREE, OTHER],
        ["reserve", FREE, "--node", "x", "--public-ip", "nowhere"],
        ["reserve", FREE, "--node", "x", "--public-ip", "fd00::1"],
        ["reserve", FREE, "--node", "n" * 300],
    ],
)
def test_bad_usage(args):
    done = fabricctl("lease", *args)
    assert done.returncode == USAGE and done.stdout == "" and done.stderr.startswith("fabricctl: ")
