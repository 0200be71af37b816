# SPDX-License-Identifier: Apache-2.0
"""fabricctl doctor: what is in the way on this host, by the daemon's judgement or without it, and what --fix does."""

import contextlib
import json
import pathlib
import re
import shutil
import struct
import subprocess

import pytest
import fabric
from cni_support import Host
from etcd import PREFIX, enable_auth
from fabric import APART, CNI_PLUGIN
from fabricctl_support import FOUND, OK, USAGE, fabricctl
from netns import end_process, wait_for


class World:
    def __init__(self, lab, stack):
        lab.start_etcd()
        lab.configure(APART)
        self.lab = lab
        self.machine, self.other = lab.hosts(2, daemons=True, probe_interval=0)
        self.daemon = self.machine.daemon
        self.ns = self.machine.namespace
        self.plugin = stack.enter_context(Host(existing=self.machine.name, subnet_file=self.daemon.subnet_file))
        self.plugin.data_dir = pathlib.Path(self.daemon.flags["cni_data_dir"])
        self.container = self.plugin.namespace()
        result = self.plugin.add(self.plugin.flannel(delegate={"isDefaultGateway": True}), self.container, id="c1")
        self.address, self.gateway = result["ips"][0]["address"].split("/")[0], result["ips"][0]["gateway"]
        self.daemon.wait_ok()

    def doctor(self, *args, status=None, where=None, env=None):
        flags = self.daemon.flags
        done = fabricctl(
            "doctor", "--config-file=/dev/null", f"--socket={self.daemon.socket_path}", f"--state-dir={flags['state_dir']}",
            f"--subnet-file={flags['subnet_file']}", f"--cni-plugin={CNI_PLUGIN}", f"--cni-data-dir={flags['cni_data_dir']}",
            *args, where=where or self.machine, stdin=subprocess.DEVNULL, env=env or {},
        )  # fmt: skip
        assert status is None or done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def found(self, *args, status=FOUND, **options):
        """{check: (state, text, remedy)} of what is not ok."""
        document = json.loads(self.doctor("-o", "json", *args, status=status, **options).stdout)
        assert document["kind"] == "Doctor"
        items = {i["check"]: (i["state"], i["text"], i["remedy"]) for i in document["items"] if i["state"] != "ok"}
        assert (document["errors"] + document["warnings"] > 0) == bool(items)
        return items


@pytest.fixture
def world(lab):
    with contextlib.ExitStack() as stack:
        yield World(lab, stack)


def test_all_is_well(world):
    lines = world.doctor(status=OK).stdout.splitlines()
    assert re.fullmatch(r"0 errors, 0 warnings in \d+ checks", lines[0])
    assert all(line.startswith("ok ") for line in lines[1:]), lines
    assert {line.split()[1] for line in lines[1:]} >= {"daemon", "subnet-file", "forwarding", "rp_filter", "containers", "peers"}
    text = "\n".join(lines)
    assert "1 attached by the CNI plugin, behind cni0" in text and "packets to 1 of them" in text
    assert "nothing that is safe to do" in world.doctor("--fix", status=OK).stdout


def test_what_the_daemon_says(world):
    """Its problems, each with the command that it names."""
    world.ns.nft("table inet mine { chain passing { type filter hook forward priority 0; policy drop; }; }")
    wait_for(lambda: "forward-blocked" in world.daemon.problems(), 5, "the daemon notices")
    state, text, remedy = world.found()["forward-blocked"]
    assert state == "error" and "chain passing of table inet mine" in text and remedy.startswith("nft insert rule inet mine passing")


def test_switches_and_what_is_done_about_them(world):
    for key, value, name, state in (("ip_forward", 0, "forwarding", "error"), ("conf/flannel.1/rp_filter", 1, "rp_filter", "warning")):
        world.ns.run("sysctl", "-qw", f"net/ipv4/{key}={value}")
        assert world.found()[name][0] == state
    assert world.found()["rp_filter"][2] == "sysctl -w net/ipv4/conf/flannel.1/rp_filter=2"
    # Nothing is done that was not shown and agreed to.
    assert "--yes" in world.doctor("--fix", status=USAGE).stderr
    shown = world.doctor("--fix", "--dry-run", status=FOUND).stdout
    assert "what is safe to do, and is not done now\n  sysctl -w net/ipv4/ip_forward=1\n" in shown
    assert set(world.found()) >= {"forwarding", "rp_filter"}
    text = world.doctor("--fix", "--yes", status=OK).stdout
    assert text.endswith("checks\n") and "done; now 0 errors, 0 warnings" in text
    assert world.ns.run("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"


class OtherFiles:
    """The host with other files than the machine has, in a mount namespace of its own: `script` puts them there."""

    def __init__(self, host, script):
        self.namespace = host.namespace
        self.wrapper = ["unshare", "-m", "sh", "-c", f'{script}; exec "$@"', "sh"]


def ManagedHost(host, state):
    """With what systemd-networkd writes down of a device."""
    links = "/run/systemd/netif/links"
    return OtherFiles(host, f"mount -t tmpfs none /run; mkdir -p {links}; echo ADMIN_STATE={state} >{links}/{host.link()['ifindex']}")


def test_who_manages_the_devices(world):
    text = world.doctor(where=ManagedHost(world.machine, "configured"), status=FOUND).stdout
    assert re.search(r"^warning  networkd .* manages flannel\.1: ", text, re.M), text
    text = world.doctor(where=ManagedHost(world.machine, "unmanaged"), status=OK).stdout
    assert re.search(r"^ok .* networkd ", text, re.M), text


# What is written where, so that it is told to leave our devices alone.
MANAGERS = {
    "NetworkManager": ("NetworkManager", "NetworkManager/conf.d/10-flannel.conf", "unmanaged-devices+=interface-name:flannel.*"),
    "connman": ("connmand", "connman/main.conf", "NetworkInterfaceBlacklist=vmnet,veth,flannel,cni"),
    "dhcpcd": ("dhcpcd", "dhcpcd.conf", "denyinterfaces flannel* cni* veth????????"),
}


def test_other_network_managers(world, tmp_path):
    """Programs of these names, and what they are told."""

    def etc(told):
        lines = [f"mkdir -p /etc/$(dirname {path}); echo '{told}{line}' >/etc/{path}" for _, path, line in MANAGERS.values()]
        return OtherFiles(world.machine, f"mount -t tmpfs none /etc; mkdir -p /etc/flannel; {'; '.join(lines)}")

    with contextlib.ExitStack() as stack:
        for process, _, _ in MANAGERS.values():
            shutil.copy("/bin/sleep", tmp_path / process)
            stack.callback(end_process, world.ns.popen(tmp_path / process, "600"))
        found = world.found(where=etc("# "))
        assert set(found) == set(MANAGERS), found
        assert all(state == "warning" and "nothing tells it" in text and remedy for state, text, remedy in found.values())
        text = world.doctor(where=etc(""), status=OK).stdout
        assert text.count("is told to leave the fabric's devices alone") == 3
        # What runs in another network namespace is none of ours.
        stack.pop_all().close()
        stack.callback(end_process, world.other.namespace.popen(tmp_path / "dhcpcd", "600"))
        assert "dhcpcd" not in world.doctor(where=etc("# "), status=OK).stdout


def test_rules_for_one_container(world):
    """As docker has them from release 28 on."""
    world.ns.nft(f'table ip raw {{ chain PREROUTING {{ type filter hook prerouting priority raw; ip daddr {world.address} iifname != "cni0" drop; }}; }}')
    state, text, remedy = world.found()["inbound"]
    assert state == "error" and "chain PREROUTING of table ip raw, rule 1" in text and world.address in text
    assert "docs/integrations/docker.md" in remedy


def test_docker_masquerades(world, tmp_path):
    """A program of this name, and a bridge of docker's with this host's subnet; the daemon would put back the one that was there."""
    world.daemon.stop()
    world.ns.ip_batch(["link set cni0 down", "link del cni0", "link add docker0 type bridge", f"addr add {world.gateway}/24 dev docker0", "link set docker0 up"])
    shutil.copy("/bin/sh", tmp_path / "dockerd")

    for args, said in (["--bip=10.5.1.1/24"], True), (["--ip-masq=false"], False):
        process = world.ns.popen(tmp_path / "dockerd", "-c", "read -r _; :", *args, stdin=subprocess.PIPE)
        found = world.found()
        end_process(process)
        process.stdin.close()
        assert ("docker" in found) == said, found
        if said:
            state, text, remedy = found["docker"]
            assert state == "warning" and "--ip-masq=false" in text and remedy.startswith("mk-docker-opts -c")


def test_the_identity_of_another_host(world):
    record = json.loads(world.lab.etcd.get(world.daemon.key()).value)
    record |= {"PublicIP": "192.0.2.77", "BackendData": {"VNI": 1, "VtepMAC": "0e:00:00:00:00:77"}}
    record["Node"]["Name"] = "copy"
    world.lab.etcd.put(f"{PREFIX}/subnets/10.5.240.0-24", json.dumps(record), world.lab.etcd.grant(600))
    state, text, _ = wait_for(lambda: world.found().get("identity"), 10, "it is seen")
    assert state == "error" and "10.5.240.0/24 (copy)" in text and "node-id" in text


def test_the_store(world, tmp_path):
    """Asked without the daemon, by the same settings."""
    etcd = world.lab.etcd
    store = [f"--etcd-endpoints={etcd.endpoints}"]
    text = world.doctor(*store, status=OK).stdout
    assert re.search(r"^ok +store  +1 of 1 endpoints answer, etcd 3", text, re.M), text
    assert re.search(r"^ok +store-rights  +/coreos.com/network/ can be read and written$", text, re.M), text
    assert re.search(r"^ok +clock  +this host's clock and that of http://\S+ agree within 60 s$", text, re.M), text
    assert not etcd.get(f"{PREFIX}/subnets/fabricctl-doctor")
    assert re.search(r"^ok +store  +not asked: the daemon's is at http://", world.doctor(status=OK).stdout, re.M)
    # One of two does not answer; none does; the options are of no use.
    found = world.found(f"--etcd-endpoints={etcd.endpoints},http://192.0.2.1:9")
    assert found["store"][0] == "warning" and "http://192.0.2.1:9: " in found["store"][1] and "Connection refused" in found["store"][1]
    assert world.found("--etcd-endpoints=http://192.0.2.1:9")["store"][0] == "error"
    assert "etcd-password-file" in world.found(*store, f"--etcd-password-file={tmp_path}/none")["store"][1]
    # The clock of this command's host is wrong.
    shift = tmp_path / "clock"
    shift.write_bytes(struct.pack("=q", -7200))
    wrong = {"LD_PRELOAD": fabric.preloaded(fabric.SHIFT_CLOCK), "SHIFT_CLOCK_FILE": str(shift)}
    state, text, remedy = world.found(*store, env=wrong)["clock"]
    assert state == "warning" and re.search(r"is (2h0m|1h59m) \(7\d\d\d s\) behind that of http://", text), text
    assert remedy == "timedatectl set-ntp true"
    # A user who may read, and no more; one who is none.
    enable_auth(etcd, permission="READ")
    password = tmp_path / "password"
    password.write_text("open sesame\n")
    user = [*store, "--etcd-username=fabric", f"--etcd-password-file={password}"]
    state, text, remedy = world.found(*user)["store-rights"]
    assert state == "error" and "no lease can be written below /coreos.com/network/subnets: " in text and "permission denied" in text
    assert remedy == "etcdctl role grant-permission ROLE readwrite --prefix=true /coreos.com/network/"
    assert "cannot be read" in world.found(*store)["store-rights"][1]


@pytest.mark.parametrize("ends_in_s, state, words", [(86400, "warning", "ends in (23h59m|1d0h), at 20"), (-86400, "error", "has ended 1d0h ago"), (20 * 86400, "error", "is good only from")])
def test_certificates(world, ends_in_s, state, words):
    certificates = world.lab.certificates()
    certificates.issue_client(ends_in_s)
    where = ["--etcd-endpoints=https://192.0.2.1:9", f"--etcd-certfile={certificates.client_cert}", f"--etcd-keyfile={certificates.client_key}"]
    document = json.loads(world.doctor(*where, "-o", "json", status=FOUND).stdout)
    one = next(i for i in document["items"] if i["check"] == "certificates")
    assert one["state"] == state and re.search(f"{certificates.client_cert} {words}", one["text"]), one
    assert one["remedy"] == f"openssl x509 -noout -subject -dates -in {certificates.client_cert}"


@pytest.mark.long
def test_with_the_daemon_dead(world):
    """The kernel and files say it; who the peers are is known from the last known state."""
    wait_for((pathlib.Path(world.daemon.flags["state_dir"]) / "last-known.json").exists, 10, "the state is written")
    world.daemon.stop()
    assert set(world.found()) == {"daemon"}
    assert world.found()["daemon"][2] == "systemctl start flanneld"
    world.ns.ip_do(f"route del {world.other.daemon.subnet()} dev flannel.1")
    state, text, _ = world.found()["peers"]
    assert state == "error" and "which is not the fabric's, takes packets for" in text
    world.ns.ip_do("link set cni0 down")
    state, text, remedy = world.found()["containers"]
    assert state == "error" and "is down" in text and remedy == f"{CNI_PLUGIN} keep {world.plugin.data_dir}"
    assert not world.container.ping(world.gateway, check=False)
    document = json.loads(world.doctor("--fix", "--yes", "-o", "json", status=FOUND).stdout)
    assert document["done"] == [remedy]
    wait_for(lambda: world.container.ping(world.gateway, check=False), 5, "the container reaches its gateway again")
    assert "containers" not in world.found()
    world.ns.ip_do(f"link del {world.plugin.veths()[0]}")
    assert world.found()["containers"] == ("warning", "1 of 1 attached have lost their interface, and hold their addresses", "fabricctl pods")
    world.daemon.subnet_file.write_text("FLANNEL_SUBNET=nonsense\n")
    assert "FLANNEL_SUBNET" in world.found()["subnet-file"][1]
    world.daemon.subnet_file.unlink()
    assert world.found()["subnet-file"][0] == "error"


def test_bad_command_lines(world):
    assert "--fix" in world.doctor("--dry-run", status=USAGE).stderr
    assert fabricctl("doctor", "now").returncode == USAGE
