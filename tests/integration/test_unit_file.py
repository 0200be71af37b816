# SPDX-License-Identifier: Apache-2.0
"""The shipped unit: a daemon with exactly its capabilities, which may write exactly where it says."""

import collections
import fnmatch
import re
import shlex
import shutil

import pytest

import fabric
from netns import run, wait_for

UNIT = fabric.ROOT / "packaging/flanneld.service.in"
EXPOSURE_MAX = 2.5


def settings():
    """{"CapabilityBoundingSet": ["CAP_NET_ADMIN ..."], ...}"""
    found = collections.defaultdict(list)
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            name, value = line.split("=", 1)
            found[name].append(value)
    return found


def confined(directory, without=""):
    """A command that runs another as systemd would: /run is as after the boot, `directory` stands for the unit's own."""
    unit = settings()
    assert unit["ProtectSystem"] == ["strict"] and unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"]
    capabilities = [c.removeprefix("CAP_").lower() for c in unit["CapabilityBoundingSet"][0].split() if c != without]
    wanted = ",".join(["-all"] + [f"+{c}" for c in capabilities])
    commands = ["mount -t tmpfs tmpfs /run", f"mount --bind {directory} {directory}"]
    commands += [c.lstrip("-+!@") for c in unit["ExecStartPre"]]
    for path in " ".join(unit["ReadWritePaths"]).split():
        test = f"[ ! -e {path[1:]} ] || " if path[0] == "-" else ""
        commands.append(test + f"mount --bind {path.lstrip('-')} {path.lstrip('-')}")
    writable = [str(directory), *(p.lstrip("-") for p in " ".join(unit["ReadWritePaths"]).split()), "/dev", "/proc", "/sys"]
    keep = "|".join([f"{path}|{path}/*" for path in writable] + ["/run/*"])  # the last are out of sight
    commands.append(
        f"while read -r _ at _; do case $at in {keep}) ;; *) mount -o remount,bind,ro $at;; esac; done </proc/self/mounts"
    )
    drop = ["setpriv", f"--bounding-set={wanted}", f"--inh-caps={wanted}", f"--ambient-caps={wanted}", "--no-new-privs"]
    commands.append(f'exec {shlex.join(drop)} "$@"')
    return ["unshare", "-m", "--propagation=private", "sh", "-ec", "\n".join(commands), "sh"]


@pytest.fixture
def hosts(lab):
    lab.start_etcd()
    lab.configure()
    h1, h2 = lab.hosts(2)
    if h1.namespace.run("iptables-legacy", "-P", "FORWARD", "DROP", check=False).returncode:
        pytest.skip("iptables-legacy does not work here")
    h2.start_daemon()
    return h1, h2


def start_confined(host, **options):
    daemon = host.make_daemon(ip_masq=True, set_sysctls=True, iptables_resync=1)
    daemon.wrapper = confined(daemon.directory, **options)
    daemon.start().wait_peers(1)
    return daemon


def test_iptables_legacy_drops(lab, hosts):
    h1, h2 = hosts
    daemon = start_confined(h1)
    daemon.wait_status(lambda s: s["traffic"]["ok"] and s["traffic"]["mode"] == "iptables", what="rules in iptables-legacy")
    assert daemon.problems() == set()
    assert "flannel.1-FWD" in h1.namespace.run("iptables-legacy-save")
    with lab.pinger(h1.container(), h2.container()) as pinger:
        wait_for(lambda: pinger.sent >= 20, 10, "twenty pings")
    assert pinger.lost == 0, pinger.report()


def test_iptables_cannot_be_looked_at(hosts):
    """Without the right to look nobody may say that nothing stands in the way; with it, the problem is over."""
    h1, _ = hosts
    daemon = start_confined(h1, without="CAP_NET_RAW")
    daemon.wait_status(lambda s: s["traffic"]["ok"])
    assert "firewall-unknown" in daemon.problems()
    assert daemon.status()["traffic"]["modeReason"] == "what iptables does is not known"


def install(directory):
    run("make", "-C", fabric.ROOT, "install", f"DESTDIR={directory}", f"BUILD={fabric.BUILD}")
    return {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}


def test_nothing_installed_acts_by_itself(tmp_path):
    """No list that a runtime takes, no module, no sysctl: what an administrator wants of these is copied by one command."""
    files = install(tmp_path)
    acting = r"cni/net\.d/|modules-load\.d/|modprobe\.d/|sysctl\.d/|\.wants/"
    assert [f for f in files if re.search(acting, f)] == []
    assert {"10-flannel.conflist", "60-flannel.conf", "modules-load.conf"} <= {f.rsplit("/", 1)[1] for f in files}
    for path in tmp_path.rglob("examples/*.conf"):
        lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
        assert not [line for line in lines if "br_netfilter" in line or "ipv6" in line], path
    for document in ("README.md", "docs/cni.md"):
        command = re.search(r"^ *install (-D .*)$", (fabric.ROOT / document).read_text(), re.M)[1]
        run("install", *[f"{tmp_path}{word}" if word[0] == "/" else word for word in command.split()])
        assert (tmp_path / "etc/cni/net.d/10-flannel.conflist").exists()


OURS = {"flannel.1", "flannel-v6.1", "cni0", "cni0.7", "veth01ab23cd"}
OTHERS = {"eth0", "lo", "docker0", "veth1a2b3c4", "veth0", "br0", "wlan0", "virbr0"}
MANAGERS = {
    "lib/systemd/network/10-flannel.network": (r"^Name=(.*)$", " ", "{}"),
    "etc/NetworkManager/conf.d/10-flannel.conf": (r"^unmanaged-devices\+=(.*)$", ";", "interface-name:{}"),
    "examples/dhcpcd.conf": (r"^denyinterfaces (.*)$", " ", "{}"),
    "examples/connman-main.conf": (r"^NetworkInterfaceBlacklist=(.*)$", ",", "{}*"),
}


def test_network_managers_leave_our_devices_alone(tmp_path):
    """Each file has a pattern for every device of ours, and for no other; where it lies, the manager reads it."""
    files = install(tmp_path)
    for name, (line, separator, form) in MANAGERS.items():
        path = next(tmp_path / f for f in files if f.endswith(name))
        patterns = re.search(line, path.read_text(), re.M)[1].split(separator)
        patterns = [p.removeprefix(form.split("{")[0]) + form.split("}")[1] for p in patterns]
        matched = {d for d in OURS | OTHERS if any(fnmatch.fnmatchcase(d, p) for p in patterns)}
        # ConnMan has no patterns but beginnings, and virbr is its own.
        assert matched - ({"veth0", "veth1a2b3c4", "virbr0"} if "connman" in name else set()) == OURS, name
    assert "usr/local/lib/systemd/network/10-flannel.network" in files
    (tmp_path / "etc/NetworkManager/conf.d/10-flannel.conf").write_text("mine")
    install(tmp_path)
    assert (tmp_path / "etc/NetworkManager/conf.d/10-flannel.conf").read_text() == "mine"


def test_the_start_is_bounded():
    """docker, containerd and others are ordered after this unit."""
    assert re.fullmatch(r"[1-9]\d*(s|min)", settings()["TimeoutStartSec"][0])


def test_unit_is_valid(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("this system has no systemd-analyze")
    unit = tmp_path / "flanneld.service"
    unit.write_text(UNIT.read_text().replace("@sbindir@/flanneld", str(fabric.FLANNELD)))
    done = run("systemd-analyze", "verify", "--man=no", unit, check=False)
    complaints = [line for line in done.stderr.splitlines() if "flanneld.service" in line]
    assert done.returncode == 0 and complaints == [], done.stderr


def packages(*arguments):
    """What `make deps` would install on a machine that has none of it."""
    text = run("make", "-C", fabric.ROOT, "-n", *arguments, "BUILD=/nonexistent", check=False).stdout
    return set(re.search(r"for p in (.*?); do", text)[1].split())


def test_packages_of_the_demo():
    """Neither the compilers nor the servers and runtimes of the test suite."""
    everything = packages("deps")
    assert {"clang", "podman", "prometheus", "gcc", "etcd-server", "jq"} <= everything
    for store, wants in (("etcd", True), ("file", False)):
        mine = packages("demo", f"STORE={store}")
        assert {"gcc", "iproute2", "iperf3", "jq"} <= mine < everything
        assert not mine & {"clang", "podman", "containerd", "prometheus", "python3-pytest", "cppcheck"}
        assert ("etcd-server" in mine) == wants


def test_exposure(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("this system has no systemd-analyze")
    unit = tmp_path / "flanneld.service"
    unit.write_text(UNIT.read_text().replace("@sbindir@", "/usr/sbin"))
    done = run("systemd-analyze", "security", "--offline=true", unit, check=False)
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    if not found:
        pytest.skip(f"systemd-analyze does not look at units that are not installed: {done.stderr}")
    assert float(found[1]) <= EXPOSURE_MAX
