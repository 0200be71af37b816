# SPDX-License-Identifier: Apache-2.0
"""A node that runs pods: a real kubelet and containerd on a host of the lab.

    node = Kubelet(cluster, host, archives)        # images to import: OCI archives
    node.wait_ready(); node.run("ctr", ...)

All that they write on a real machine they write into folders of their own: a mount namespace has these in the places of
/run, /var/lib, /var/log, /opt and /etc/cni. So have the sysctls that a kubelet would set on the whole machine.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest
from cluster import KUBERNETES, PORT
from netns import end_process, run, wait_for
from test_cni_clients import REFERENCE, make_image, require

PAUSE = "localhost/pause:test"
# What a kubelet wants, whatever the machine has.
SYSCTLS = {
    "vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000,
}  # fmt: skip
PLACES = {"/run": "run", "/var/lib": "lib", "/var/log": "log", "/opt": "opt", "/etc/cni": "cni"}
CONTAINERD = """
version = 2
root = "{d}/containerd"
state = "{d}/state"
oom_score = 0
[grpc]
address = "{d}/sock"
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
disable_hugetlb_controller = true
sandbox_image = "{pause}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
"""


class Kubelet:
    def __init__(self, cluster, host, archives):
        require("containerd", "ctr", "runc", "unshare", "nsenter")
        for place in PLACES:
            if not pathlib.Path(place).is_dir():
                pytest.skip(f"{place} does not exist, and the test makes nothing there")
        self.cluster = cluster
        self.host = host
        self.name = f"h{host.number}"
        # Not on a tmpfs, of which a kubelet can say nothing.
        self.directory = d = pathlib.Path(tempfile.mkdtemp(prefix="kubelet-", dir="/var/tmp"))
        self.keeper = self.kubelet = None
        cluster.lab.closers.callback(self.close)
        for name in (*PLACES.values(), "sysctls", "kubelet"):
            (d / name).mkdir()
        (d / "run/netns").mkdir()
        shutil.copytree(REFERENCE, d / "opt/cni/bin")
        (d / "cni/net.d").mkdir()
        (d / "config.toml").write_text(CONTAINERD.format(d=d, pause=PAUSE))
        self._write_kubelet()
        self._serve_kubernetes()
        self.keeper = self._start("containerd", "unshare", "-m", "--propagation", "private", "sh", "-c", self._mounts() + f"exec containerd --config {d}/config.toml")
        wait_for(lambda: self.run("ctr", "-a", d / "sock", "version"), 60, "containerd answers")
        make_image(d / "pause.tar", PAUSE, ("/bin/sleep", "1000000"))
        make_image(d / "busybox.tar")
        for archive in (d / "pause.tar", d / "busybox.tar", *archives):
            self.run("ctr", "-a", d / "sock", "-n", "k8s.io", "images", "import", "--snapshotter", "native", archive)

    def _mounts(self):
        d = self.directory
        lines = [f"mount --bind {d}/{name} {place}" for place, name in PLACES.items()]
        for n, (key, value) in enumerate(SYSCTLS.items()):
            if pathlib.Path("/proc/sys", key).exists():
                (d / f"sysctls/{n}").write_text(f"{value}\n")
                lines.append(f"mount --bind {d}/sysctls/{n} /proc/sys/{key}")
        return "".join(f"{line} && " for line in lines)

    def _serve_kubernetes(self):
        """There is no kube-proxy: the API server's service is translated by hand, for the host and for its pods."""
        to = f"ip daddr {KUBERNETES} tcp dport 443 dnat to 192.0.2.205:{PORT}"
        chains = "".join(f" chain {hook} {{\n  type nat hook {hook} priority -100;\n  {to}\n }}\n" for hook in ("prerouting", "output"))
        self.host.namespace.nft(f"table ip services {{\n{chains}}}")

    def _write_kubelet(self):
        d = self.directory
        never = dict.fromkeys(["memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"], "0%")
        configuration = {
            "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1", "cgroupDriver": "cgroupfs", "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [], "failSwapOn": False, "makeIPTablesUtilChains": False, "oomScoreAdj": 0, "evictionHard": never,
            "imageGCHighThresholdPercent": 100, "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"}, "readOnlyPort": 0, "resolvConf": "", "volumePluginDir": f"{d}/plugins",
        }  # fmt: skip
        (d / "kubelet.yaml").write_text(json.dumps(configuration))

    def _start(self, name, *argv):
        with (self.directory / f"{name}.log").open("ab") as log:
            return self.host.namespace.popen(*argv, stdout=log, stderr=log)

    def inside(self, *argv):
        return ["nsenter", "-t", str(self.keeper.pid), "-m", "-n", *map(str, argv)]

    def run(self, *argv, check=True, **options):
        return run(*self.inside(*argv), check=check, **options)

    def start(self):
        d = self.directory
        kubeconfig = self.cluster.kubeconfig(token=f"of-{self.name}", name=f"kubeconfig-kubelet-{self.name}")
        self.kubelet = self._start(
            "kubelet", *self.inside(
                self.cluster.programs / "kubelet", f"--kubeconfig={kubeconfig}", f"--config={d}/kubelet.yaml", f"--root-dir={d}/kubelet",
                f"--cert-dir={d}/pki", "--container-runtime=remote", f"--container-runtime-endpoint=unix://{d}/sock",
                f"--hostname-override={self.name}", f"--node-ip={self.host.address}",
            )
        )  # fmt: skip
        return self

    def stop(self):
        end_process(self.kubelet, signal.SIGTERM, 30)

    def log(self):
        return (self.directory / "kubelet.log").read_text(errors="replace")[-6000:]

    def wait_registered(self):
        def there():
            assert self.kubelet.poll() is None, self.log()
            return self.cluster.node(self.name)

        wait_for(there, 120, f"{self.name} is there")

    def wait_ready(self):
        wait_for(lambda: self.cluster.condition(self.name, "Ready")["status"] == "True", 180, f"{self.name} is ready")

    def close(self):
        """Containers first, by the shims that keep them."""
        if self.kubelet:
            end_process(self.kubelet)
        d = self.directory
        if kept := os.environ.get("KEEP_LOGS"):
            for log in d.glob("*.log"):
                shutil.copy(log, f"{kept}/{self.name}-{log.name}")
        with contextlib.suppress(AssertionError, AttributeError, subprocess.TimeoutExpired):
            for task in self.run("ctr", "-a", d / "sock", "-n", "k8s.io", "task", "list", "-q", check=False).stdout.split():
                self.run("ctr", "-a", d / "sock", "-n", "k8s.io", "task", "rm", "-f", task, check=False)
        if self.keeper:
            end_process(self.keeper, signal.SIGTERM, 20)
        for pid in shims(d):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for mount in reversed(re.findall(rf"^\S+ ({re.escape(str(d))}\S*) ", pathlib.Path("/proc/mounts").read_text(), re.M)):
            subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
        shutil.rmtree(d, ignore_errors=True)
        for group in pathlib.Path("/sys/fs/cgroup").glob("*/k8s.io"):
            with contextlib.suppress(OSError):
                group.rmdir()  # containerd's, if nobody else is in it


def shims(directory):
    """Processes whose command line has this folder."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(directory).encode() in path.read_bytes():
                yield int(path.parent.name)
