#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs integration tests under other kernels: guest.py [--suite SUITE... | --kernel PACKAGE.deb] [--list all | TEST...]

A guest boots from memory: the kernel of a Debian package, its modules, and the files of this machine's own packages that
the tests need (with all that those depend on), the tree and its build. Nothing of this machine is written to, and the
guest has no network but its own namespaces. TCG alone is used, which is slow and works everywhere.

    this machine                                    the guest
      tree, build, packages, modules  -- cpio -->     init: mounts, modules, pytest
      our standard output             <- ttyS1 --     what pytest prints, "guest: exit status N"
      console.log                     <- ttyS0 --     what the kernel prints

Its clock counts instructions (QEMU's icount): a nanosecond for each, and where all processes wait it goes on to the next timer
at once. So to who is in it the guest is always equally fast, a quarter of a machine of today, however busy this machine is or how
often it stands still: a deadline that is kept once is kept always. For this it has one processor. With --cpus it has more, and the
time of the world, in which a busy machine starves it.
"""
import argparse
import fcntl
import importlib.util
import os
import pathlib
import platform
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

LOCK = threading.Lock()  # of our standard output
TREE = pathlib.Path(__file__).resolve().parent.parent.parent
LIST = TREE / "tests/guest/tests.list"
# The one place that says how slow a guest is, for all deadlines of the tests (netns.SLOWNESS): as its clock is made, or, in the
# time of the world, by TCG and by what others do here when it is booted.
SLOWNESS = 4
SLOWNESS_OF_THE_WORLD = 6 * max(1, round(os.getloadavg()[0] / os.cpu_count() / 2))
META_PACKAGE = "linux-image-cloud-amd64"
OWN_SUITE = platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
FETCH_S = 300
SKIPPED = 77  # our exit status if no guest can be had
PACKAGES = (
    "bash coreutils dash libbpf1 libprotobuf-c1 etcd-client etcd-server grep iperf3 iproute2 iptables iputils-ping jq kmod libc-bin mount nftables procps "
    "python3 python3-pytest sed util-linux wireguard-tools strongswan-charon strongswan-swanctl libstrongswan-standard-plugins"
).split()
# What none of them needs at run time.
LEFT_OUT = re.compile(
    r"^/usr/share/(doc|doc-base|man|locale|info|lintian|bug|zoneinfo|i18n|bash-completion|perl)(/|$)"
    r"|/__pycache__(/|$)|^/usr/lib/x86_64-linux-gnu/(gconv|perl)|^/boot/"
)
# What a kernel would load when it is first used, but for the namespaces in which the tests do.
MODULES = (
    "veth bridge br_netfilter vxlan ipip fou wireguard dummy macvlan ipvlan 8021q tun nf_tables nft_ct nft_chain_nat "
    "nft_masq nft_compat nft_fib_inet nft_reject_inet nft_limit nft_meta_bridge nf_conntrack_bridge ip_tables "
    "iptable_filter iptable_nat iptable_mangle iptable_raw ip6_tables ip6table_filter ip6table_nat ip6table_mangle "
    "ip6table_raw xt_comment xt_conntrack xt_MASQUERADE xt_mark xt_addrtype xt_multiport xt_tcpudp xt_nat inet_diag "
    "xfrm_user esp4 xfrm4_tunnel"
).split()
# What of the build a guest has no use for. Of what was fetched from other suites it takes strongSwan (tests/integration/ipsec.py).
BUILD_LEFT_OUT = re.compile(r"/(obj|debian/(?!\w+-strongswan-charon)[^/]*|tests/(fuzz|unit|sim))$")
# Of the kernel's modules.
MODULES_LEFT_OUT = re.compile(r"/(drivers/(?!net)|sound|fs/(?!fuse|overlayfs))")

INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TMPDIR=/tmp PYTHONDONTWRITEBYTECODE=1 TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
ln -sf /proc/self/fd /dev/fd
mkdir -p /dev/pts /dev/shm /run /tmp
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
mkdir -p /run/netns /run/lock
exec </dev/null >/dev/ttyS1 2>&1
stty raw -echo </dev/ttyS1
for module in @MODULES@; do modprobe -q "$module"; done
ip link set lo up
cd @TREE@
echo "guest: Linux $(uname -r)"
@COMMAND@
echo "guest: exit status $?"
sync
echo o >/proc/sysrq-trigger
sleep 60
"""


class NotHere(OSError):
    """What a guest is made of cannot be had on this machine: a program, a package, a kernel."""


def run(*argv, **options):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def bare(package):
    """Without version and architecture."""
    return re.sub(r"[ (:].*", "", package.strip())


def closure(packages):
    """The packages and all that they depend on, as installed here."""
    depends, provides = {}, {}
    columns = "${Package}\t${Provides}\t${Pre-Depends}, ${Depends}\t${db:Status-Abbrev}\n"
    for line in run("dpkg-query", "-W", "-f", columns).splitlines():
        name, provided, needed, status = line.split("\t")
        if not status.startswith("ii"):
            continue
        depends[name] = [[bare(one) for one in group.split("|")] for group in needed.split(",")]
        for one in provided.split(","):
            provides.setdefault(bare(one), name)
    missing = [package for package in packages if package not in depends]
    if missing:
        raise NotHere(f"not installed: {' '.join(missing)}")
    found, todo = set(), list(packages)
    while todo:
        name = todo.pop()
        name = name if name in depends else provides.get(name)
        if not name or name in found:
            continue
        found.add(name)
        for group in depends[name]:
            todo += [one for one in group if one in depends or one in provides][:1]
    return sorted(found)


class Cpio:
    """An archive in the form that the kernel unpacks ("newc")."""

    def __init__(self, file):
        self.file, self.known, self.inode = file, set(), 0

    def _entry(self, name, mode, data, rdev=(0, 0), mtime=0):
        if name in self.known:
            return
        self.known.add(name)
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, mtime, len(data), 0, 0, rdev[0], rdev[1], len(name.encode()) + 1, 0)
        self.file.write(b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0")
        self._pad()
        self.file.write(data)
        self._pad()

    def _pad(self):
        self.file.write(b"\0" * (-self.file.tell() % 4))

    def folder(self, name):
        name = name.strip("/")
        if name and name not in self.known:
            self.folder(os.path.dirname(name))
            self._entry(name, stat.S_IFDIR | 0o755, b"")

    def put(self, name, data, mode=0o644, mtime=0):
        self.folder(os.path.dirname(name))
        self._entry(name.strip("/"), stat.S_IFREG | mode, data, mtime=mtime)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self._entry(name.strip("/"), stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor):
        self.folder(os.path.dirname(name))
        self._entry(name.strip("/"), stat.S_IFCHR | 0o666, b"", (major, minor))

    def copy(self, path, name=None):
        """A file, link or folder of this machine (not what is in it), where it really is."""
        name = name or os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if os.path.islink(path):
            self.link(name, os.readlink(path))
        elif os.path.isdir(path):
            self.folder(name)
        elif os.path.isfile(path):
            known = os.stat(path)
            with open(path, "rb") as file:
                self.put(name, file.read(), stat.S_IMODE(known.st_mode), int(known.st_mtime))

    def copy_tree(self, path, name=None, skip=lambda _: False):
        for folder, folders, files in os.walk(path):
            folders[:] = [one for one in folders if not skip(os.path.join(folder, one))]
            inside = os.path.normpath(os.path.join(name or path, os.path.relpath(folder, path)))
            self.folder(inside)
            for one in files + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
                if not skip(os.path.join(folder, one)):
                    self.copy(os.path.join(folder, one), os.path.join(inside, one))

    def end(self):
        self._entry("TRAILER!!!", 0, b"")


def put_packages(archive):
    """With links as they are now: what postinst scripts made (alternatives) is followed too."""
    for link in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
        if os.path.islink(f"/{link}"):
            archive.copy(f"/{link}", f"/{link}")
    for path in run("dpkg", "-L", *closure(PACKAGES)).splitlines():
        if path.startswith("/") and path != "/." and not LEFT_OUT.search(path):
            archive.copy(path)
            # What it was compiled to when it was installed, for the machine's Python; to compile it again takes a guest seconds.
            compiled = importlib.util.cache_from_source(path, optimization="") if path.endswith(".py") else ""
            if os.path.exists(compiled):
                archive.copy(compiled)
    for path in ("/usr/bin/awk", "/etc/alternatives", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ssl"):
        if os.path.isdir(path):
            archive.copy_tree(path)
        else:
            archive.copy(path)
    for name in sorted(os.listdir("/usr/sbin")):
        if re.match(r"(ip6?tables|arptables|ebtables)", name):
            archive.copy(f"/usr/sbin/{name}")
    archive.copy("/usr/bin/python3")


def put_libraries(archive, programs):
    """What our programs are linked with, and curl, which they load by name."""
    found = set()
    for program in programs:
        found |= set(re.findall(r"/\S+", run("ldd", str(program))))
    curl = re.findall(r"libcurl\S*\.so\.4 .*=> (/\S+)", run("ldconfig", "-p"))
    for library in curl:
        found |= {library} | set(re.findall(r"/\S+", run("ldd", library)))
    for path in sorted(one for one in found if os.path.isabs(one)):
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        archive.copy(path)
        archive.copy(os.path.realpath(path))


class Apt:
    """apt for another suite, with the source, proxies and keys of this machine's, and nothing else of it."""

    def __init__(self, cache, suite):
        self.folder = cache / f"apt-{suite}"
        for name in ("lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        columns = "$(REPO_URI) $(SIGNED_BY)"
        targets = run("apt-get", "indextargets", "--format", columns, "Created-By: Packages", "Origin: Debian", "Label: Debian")
        if not targets:
            raise NotHere("apt has no source of Debian's main archive")
        uri, _, signed_by = targets.splitlines()[0].partition(" ")
        options = f"[signed-by={signed_by}] " if signed_by.startswith("/") else ""
        (self.folder / "sources.list").write_text(f"deb {options}{uri} {suite} main\n", encoding="ascii")

    def run(self, *argv, **options):
        places = {
            "Dir::Etc::SourceList": "sources.list",
            "Dir::Etc::SourceParts": "none",
            "Dir::State::Lists": "lists",
            "Dir::State::Status": "status",
            "Dir::Cache": "cache",
        }
        flags = [one for key, name in places.items() for one in ("-o", f"{key}={self.folder / name}")]
        flags += ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"]
        return run(argv[0], *flags, *argv[1:], **options)


def kernel_packages(cache, suite):
    """The newest cloud kernel of a suite, kept in `cache` and not asked for again."""
    note = cache / f"{suite}.kernel"
    if note.exists():
        kept = [cache / name for name in note.read_text(encoding="ascii").split()]
        if all(one.exists() for one in kept):
            return kept
    apt = Apt(cache, suite)

    def ask(*argv):
        return apt.run(*argv, cwd=cache, stderr=subprocess.PIPE, timeout=FETCH_S)

    def depends(package, pattern):
        return re.findall(f"Depends: ({pattern})", ask("apt-cache", "depends", package))

    try:
        ask("apt-get", "update", "-qq")
        image, *_ = depends(META_PACKAGE, r"linux-image-\S+")
        # Young ones have kernel and modules in packages of their own.
        names = [image, *depends(image, r"linux-(?:base|binary|modules)-\d\S*")]
        ask("apt-get", "download", "-qq", *names)
    except (subprocess.SubprocessError, ValueError) as e:
        said = (getattr(e, "stderr", None) or str(e)).strip().splitlines()[-1]
        raise NotHere(f"no kernel can be fetched from Debian's {suite}: {said}") from e
    found = [max(cache.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime) for name in names]
    note.write_text("\n".join(one.name for one in found), encoding="ascii")
    return found


def unpack_kernel(packages, cache):
    folder = cache / packages[0].stem
    if not folder.exists():
        partial = pathlib.Path(tempfile.mkdtemp(dir=cache))
        for package in packages:
            run("dpkg", "-x", str(package), str(partial))
        lib = partial / "usr/lib/modules" if (partial / "usr/lib/modules").exists() else partial / "lib/modules"
        version = next(lib.iterdir()).name
        # A guest would take seconds for it, each time.
        if packed := [str(one) for one in lib.rglob("*.ko.xz")]:
            run("xz", "-d", *packed)
        run("depmod", "-b", str(lib.parent.parent), version)
        partial.rename(folder)
    return folder


def vmlinuz(kernel):
    return next(one for place in ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz") for one in kernel.glob(place))


def make_archive(path, kernel, build, command):
    lib = kernel / "usr/lib" if (kernel / "usr/lib/modules").exists() else kernel / "lib"
    with open(path, "wb") as file:
        archive = Cpio(file)
        archive.device("/dev/console", 5, 1)
        archive.device("/dev/null", 1, 3)
        archive.device("/dev/ttyS0", 4, 64)
        archive.device("/dev/ttyS1", 4, 65)
        put_packages(archive)
        put_libraries(archive, [build / name for name in ("flanneld", "fabricctl", "flannel")])
        archive.copy_tree(lib / "modules", "/usr/lib/modules", MODULES_LEFT_OUT.search)
        archive.copy_tree(TREE, skip=lambda path: re.search(r"/(\.git|__pycache__|build[^/]*)$", path))
        archive.copy_tree(build, skip=BUILD_LEFT_OUT.search)
        init = INIT
        for name, value in (("MODULES", " ".join(MODULES)), ("TREE", str(TREE)), ("COMMAND", command)):
            init = init.replace(f"@{name}@", value)
        archive.put("/init", init.encode(), 0o755)
        archive.end()


class Guest:
    """One kernel and what is tried under it."""

    def __init__(self, kernel, options, prefix):
        self.kernel, self.options, self.prefix = kernel, options, prefix
        self.linux, self.status, self.counts, self.took = "not booted", None, "no test was counted", ""

    def _argv(self, archive, log):
        argv = ["prlimit", f"--cpu={self.options.seconds}", "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"]
        if self.options.cpus == 1:
            argv += ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-rtc", "clock=vm"]
        else:
            argv += ["-accel", "tcg,thread=multi", "-smp", str(self.options.cpus)]
        argv += ["-cpu", "max", "-m", self.options.memory, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none"]
        argv += ["-serial", f"file:{log}", "-serial", "stdio", "-kernel", str(vmlinuz(self.kernel)), "-initrd", str(archive)]
        return [*argv, "-append", "console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0 random.trust_cpu=on rdinit=/init"]

    def _hear(self, line):
        say(self.prefix + line)
        if told := re.match(r"guest: (?:Linux (\S+)|exit status (\d+))", line):
            self.linux = told[1] or self.linux
            self.status = int(told[2]) if told[2] else self.status
        elif re.search(r"^(=+ )?\d+ (passed|failed|skipped|error).* in [\d.]+s", line):
            self.counts = line.strip("= ")

    def boot(self, command):
        """Runs the command in it. Returns the exit status that the guest tells, 2 if it tells none."""
        build = pathlib.Path(os.environ.get("FLANNEL_BUILD", TREE / "build")).resolve()
        slowness = SLOWNESS if self.options.cpus == 1 else SLOWNESS_OF_THE_WORLD
        command = f"export FLANNEL_SLOWNESS={slowness} FLANNEL_BUILD={build}; {command}"
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as work:
            archive, log = pathlib.Path(work) / "initramfs", pathlib.Path(work) / "console.log"
            make_archive(archive, self.kernel, build, command)
            process = subprocess.Popen(
                self._argv(archive, log), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace", start_new_session=True
            )
            try:
                for line in process.stdout:
                    self._hear(line.rstrip("\r\n"))
            finally:
                process.kill()
                _, _, usage = os.wait4(process.pid, 0)
            if self.status is None:
                say(f"guest: it ended without a word; its console:\n{log.read_text(errors='replace')[-4000:]}")
        used = usage.ru_utime + usage.ru_stime
        self.took = f"{time.monotonic() - started:.0f} s, {used:.0f} s of a processor{', which was all it had' if used >= self.options.seconds else ''}"
        return 2 if self.status is None else self.status


def listed(word):
    """The tests of LIST, as pytest is told of them: all, or those that are marked with the word."""
    lines = [line.partition("#")[0].split() for line in LIST.read_text(encoding="ascii").splitlines()]
    return [f"tests/integration/{test}" for test, *words in filter(None, lines) if word == "all" or word in words]


def options_of(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kernel", type=pathlib.Path, help="a package of a kernel")
    parser.add_argument("--suite", nargs="+", default=[OWN_SUITE], help="of Debian, whose newest cloud kernel it is; several beside each other; default: this one's")
    parser.add_argument("--cache", type=pathlib.Path, help="where kernels are kept; default: ~/.cache/flannel-guest")
    parser.add_argument("--memory", default="3G", help="of the guest; default: 3G")
    parser.add_argument("--seconds", type=int, default=5400, help="of this machine's processor, after which the guest is ended; default: 5400")
    parser.add_argument("--cpus", type=int, default=1, help="with more than one it has the time of the world")
    parser.add_argument("--command", help="for the guest's shell, in place of pytest")
    parser.add_argument("--list", choices=("all", "check"), help=f"the tests in {LIST.name}, or those marked `check` there")
    parser.add_argument("tests", nargs="*", help="as for pytest, from the top of the tree")
    return parser.parse_args(argv)


def say(text):
    with LOCK:
        print(text, flush=True)


def prepared(options):
    """The guests, ready to boot; a sentence of why not is raised."""
    for program in ("qemu-system-x86_64", "depmod", "prlimit", "setpriv"):
        if not shutil.which(program):
            raise NotHere(f"{program} is not installed (make guest-deps)")
    closure(PACKAGES)
    cache = options.cache or pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "flannel-guest"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packages = {suite: [options.kernel] if options.kernel else kernel_packages(cache, suite) for suite in options.suite}
        kernels = {suite: unpack_kernel(debs, cache) for suite, debs in packages.items()}
    return [Guest(kernel, options, f"{suite}: " if len(kernels) > 1 else "") for suite, kernel in kernels.items()]


def main():
    options = options_of(sys.argv[1:])
    tests = options.tests + (listed(options.list) if options.list else [])
    command = options.command or shlex.join(["python3", "-m", "pytest", "-q", "-rfEs", "--tb=short", "-p", "no:cacheprovider", *tests])
    try:
        guests = prepared(options)
    except NotHere as e:
        say(f"guest: skipped: {e}")
        return SKIPPED
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // options.cpus)) as pool:
        statuses = list(pool.map(lambda guest: guest.boot(command), guests))
    for guest, status in zip(guests, statuses):
        say(f"guest: Linux {guest.linux}: {guest.counts}; exit status {status} ({guest.took})")
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
