# SPDX-License-Identifier: Apache-2.0
"""A real dockerd inside a host's namespace, with everything that it keeps in the test's directory.

    docker = Docker(host, "28")           # the dockerd of Debian that has this version; see SUITES
    docker.start()
    docker("run", "--rm", IMAGE, "true")

/run is the dockerd's own, but for the directory of drivers, which is `docker.drivers`. The programs are those of
Debian's packages, which apt is asked for once and which stay in the build directory; DOCKERD=/path/to/dockerd is that one
for every version. What cannot be had, or cannot run a container even without a network, skips the test.
"""

import contextlib
import io
import os
import pathlib
import shutil
import signal
import subprocess
import tarfile

import pytest

import debian
from netns import end_process, wait_for

# Of whose dockerds the machine's C library runs, and the packages.
SUITES = {
    "20": ("bookworm", "docker.io"),
    "26": ("trixie", "docker.io", "docker-cli"),
    "28": ("sid", "docker.io", "docker-cli"),
}
RUN_S = 60
IMAGE = "busybox"
APPLETS = ["sh", "ip", "ping", "sleep", "httpd", "wget", "cat", "nc", "true", "echo"]
MOUNTS = """mount --make-rprivate /
mount -t tmpfs none /run
mkdir -p /run/docker/plugins
mount --bind "$1" /run/docker/plugins
# What dockerd looks for among the links of /sys are those of its namespace.
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs none /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount -l /run/cgroup
rmdir /run/cgroup
echo ready
exec cat
"""


def program(version):
    """Path of a dockerd; skips the test where there is none."""
    if found := os.environ.get("DOCKERD"):
        return pathlib.Path(found)
    return debian.unpacked(*SUITES[version]) / "usr" / "sbin" / "dockerd"


def busybox():
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path) and subprocess.run(["ldd", path], capture_output=True).returncode:
            return path
    pytest.skip("there is no static busybox (package busybox-static)")


def image():
    """A root directory, for `docker import`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("bin", "proc", "sys", "dev", "etc", "tmp", "run", "www"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        tar.add(busybox(), "bin/busybox")
        page = b"hello from the container\n"
        info = tarfile.TarInfo("www/index.html")
        info.size = len(page)
        tar.addfile(info, io.BytesIO(page))
        for applet in APPLETS:
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
    return out.getvalue()


class Docker:
    def __init__(self, host, version, *flags):
        self.host = host
        self.directory = host.lab.directory / f"{host.name}-docker"
        self.dockerd = program(version)
        for name in ("docker", "containerd", "runc"):
            if not shutil.which(name, path=self.environment["PATH"]):
                pytest.skip(f"{name} is not installed")
        self.drivers = self.directory / "plugins"
        self.drivers.mkdir(parents=True)
        self.log_file = self.directory / "log"
        self.log_start = 0
        self.flags = list(flags)
        self.process = None
        # What it mounts there, its containers' namespaces among it, outlives a dockerd.
        self.mounts = host.namespace.popen(
            "unshare", "-m", "sh", "-e", "-c", MOUNTS, "sh", self.drivers, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.mounts.stdout.readline() == b"ready\n"
        host.lab.closers.callback(self.close)

    def path(self):
        """Where dockerd finds what it runs: what its package has first."""
        usr = self.dockerd.parent.parent
        own = [usr / "sbin", usr / "bin", usr / "libexec" / "docker"]
        return ":".join([*map(str, own), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])

    @property
    def environment(self):
        home = self.directory / "home"
        return os.environ | {"PATH": self.path(), "DOCKER_HOST": f"unix://{self.directory}/socket", "HOME": str(home)}

    def start(self, ready=True):
        d = self.directory
        self.log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        self.forget_dead()
        with self.log_file.open("ab") as log:
            self.process = self.host.namespace.popen(
                "nsenter", f"--mount=/proc/{self.mounts.pid}/ns/mnt", self.dockerd, "--data-root", d / "data", "--exec-root", d / "exec", "--pidfile", d / "pid",
                "--host", f"unix://{d}/socket", "--storage-driver", "vfs", "--debug", *self.flags,
                stdout=log, stderr=log, env=self.environment,
            )  # fmt: skip
        return self.wait_ready() if ready else self

    def forget_dead(self):
        """dockerd 20 takes a containerd for living that has ended and of which nobody has taken notice."""
        for file in self.directory.glob("exec/containerd/*.pid"):
            status = pathlib.Path(f"/proc/{file.read_text()}/status")
            with contextlib.suppress(OSError):
                if "State:\tZ" not in status.read_text():
                    continue
            file.unlink()

    def wait_ready(self):
        def answers():
            if self.process.poll() is not None:
                # Once it has run it can run.
                (pytest.fail if self.log_start else pytest.skip)(f"dockerd does not run here: {self.log()[-6000:]}")
            return self("version", check=False).returncode == 0

        wait_for(answers, RUN_S, "dockerd answers")
        if not self("images", "--quiet", IMAGE).strip():
            self("import", "-", IMAGE, text=False, input=image())
            done = self("run", "--rm", "--network", "none", IMAGE, "true", check=False)
            if done.returncode:
                pytest.skip(f"dockerd cannot run a container here: {done.stderr.strip()[-500:]}")
        return self

    def __call__(self, *argv, check=True, text=True, **options):
        """docker's output; without `check` what subprocess says."""
        done = subprocess.run(
            ["docker", *map(str, argv)], capture_output=True, text=text, timeout=RUN_S, env=self.environment, check=False, **options
        )
        if check and done.returncode:
            pytest.fail(f"docker {' '.join(map(str, argv))}: {done.stderr}\n{self.log()[-3000:]}")
        return done.stdout if check else done

    def log(self):
        with self.log_file.open("rb") as file:
            file.seek(self.log_start)
            return file.read().decode(errors="replace")

    def stop(self):
        return end_process(self.process, signal.SIGTERM, 30)

    def kill(self):
        """And with it the containerd that it has started: the kernel kills that."""
        pids = [int(file.read_text()) for file in self.directory.glob("exec/containerd/*.pid")]
        end_process(self.process)
        wait_for(lambda: not self.processes().intersection(pids), 10, "containerd has ended")

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        """Whatever state it is in."""
        if self.process:
            self.kill()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self.processes(), 10, "docker's processes have ended")
        end_process(self.mounts)

    def processes(self):
        """containerd and its shims, whose arguments have our directory, and their children: the containers."""
        parents, found = {}, set()
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                pid = int(status.parent.name)
                lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
                if lines["State"].startswith("Z"):
                    continue
                parents[pid] = int(lines["PPid"])
                if str(self.directory).encode() in (status.parent / "cmdline").read_bytes():
                    found.add(pid)
        return found | {pid for pid, parent in parents.items() if parent in found}
