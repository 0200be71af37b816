# SPDX-License-Identifier: Apache-2.0
"""The shipped unit: a daemon with exactly its capabilities, which may write exactly where it says."""

import collections
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
