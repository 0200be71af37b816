# SPDX-License-Identifier: Apache-2.0
"""The manual pages and the shipped completion say what the programs' tables of options and commands say."""

import json
import re
import shutil
import subprocess

import pytest

from fabric import FLANNELD, ROOT
from fabricctl_support import COMMANDS, NOT_FOUND, USAGE, fabricctl

PAGES = sorted((ROOT / "docs" / "man").glob("*.[1-8]"))


def plain(text):
    """One line without escapes and closing stop."""
    return re.sub(r"\s+", " ", text.replace("\\-", "-").replace("\\&", "")).strip().rstrip(".")


# ---- flanneld


def daemon_options():
    """{name: (value, text)} of flanneld --help."""
    text = subprocess.run([FLANNELD, "--help"], capture_output=True, text=True, check=True).stdout
    found = {}
    for entry in re.split(r"^  --", text, flags=re.M)[1:]:
        head, *lines = entry.splitlines()
        name, _, value = head.partition(" ")
        lines = [line.strip() for line in lines if line.startswith("        ") and "  environment " not in line]
        found[name] = (value.replace(" (repeatable)", "").lower(), plain(" ".join(lines)))
    return found


def daemon_page():
    """The same of the manual page."""
    section = (ROOT / "docs" / "man" / "flanneld.8").read_text().split("\n.Sh OPTIONS\n")[1].split("\n.El\n")[0]
    found = {}
    for entry in section.split("\n.It Fl Fl ")[1:]:
        head, _, text = entry.partition("\n")
        name, _, value = head.partition(" Ar ")
        text, _, variable = text.partition("\nEnvironment:\n.Ev ")
        assert variable.strip() == f"FLANNELD_{re.sub('[-.]', '_', name).upper()} .", name
        found[name] = (value, plain(text))
    return found


def same(a, b):
    """But for the case of the first letter of sentences and how it is said that it may be repeated."""
    return a.lower().replace(". refused", " refused") == b.lower().replace(". refused", " refused")


def test_flanneld_options():
    told, page = daemon_options(), daemon_page()
    told.pop("h")
    assert list(page) == list(told)
    for name, (value, text) in told.items():
        assert page[name][0] == value, name
        assert same(page[name][1], text), f"{name}\n{page[name][1]}\n{text}"


# ---- fabricctl


def tool_options(command):
    """{(letter, name, value)} of what a command takes."""
    text = fabricctl("help", command).stdout
    return set(re.findall(r"^  (?:-(\w), |    )--([\w-]+)(?: ([A-Z]\S*))? ", text, re.M))


def tool_page():
    return (ROOT / "docs" / "man" / "fabricctl.1").read_text()


def test_fabricctl_commands_and_statuses():
    assert re.findall(r"^\.It Cm (\w+)", tool_page().split("The commands are:")[1], re.M)[0] == "subnets"
    for command in COMMANDS:
        assert re.search(rf"^\.It Cm {command}\b", tool_page(), re.M), command
    for status in range(10):
        assert re.search(rf"^\.It {status}$", tool_page(), re.M), status


def test_fabricctl_options():
    told = set().union(*(tool_options(command) for command in COMMANDS))
    page = set()
    for letter, name, value in re.findall(r"^\.It Fl (?:(\w) , )?-([\w-]+)(?: Ar (\S+)| Cm .*)?$", tool_page(), re.M):
        page.add((letter, name, value))
    # Of this one the page names the values.
    told = {(letter, name, "" if name == "color" else value.lower()) for letter, name, value in told}
    assert len(told) > 20 and page == told


def test_fabricctl_synopsis():
    """Every command names the options that are its own; what it shares with all others, and the store's, are left out."""
    everywhere = tool_options("help") | {o for o in tool_options("subnets") if o[1].startswith(("etcd-", "consul-", "kube", "net-config", "set-node", "node-network", "state-dir"))}
    synopsis = tool_page().split("\n.Sh SYNOPSIS\n")[1].split("\n.Sh ")[0]
    for command in COMMANDS:
        forms = [form for form in synopsis.split(".Nm\n") if form.startswith(f".Cm {command}")]
        named = set(re.findall(r"Fl -?([\w-]+)", "".join(forms)))
        own = {letter if letter in named else name for letter, name, _ in tool_options(command) - everywhere}
        assert forms and named <= own, command
        assert named == own or "Ar option ..." in "".join(forms), (command, own - named)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_fabricctl_completion_is_the_shipped_one(shell):
    shipped = (ROOT / "docs" / "completion" / f"fabricctl.{shell}").read_text()
    assert fabricctl("completion", shell).stdout == shipped
    assert fabricctl("completion", "tcsh").returncode == USAGE


# ---- the documents


def document(name):
    return (ROOT / "docs" / name).read_text()


def sources(*directories):
    return "\n".join(path.read_text() for name in directories for path in sorted((ROOT / name).rglob("*.c")))


def words(pattern, text):
    return set(re.findall(pattern, text))


def problems():
    """Every name that a problem can have."""
    manager = sources("subnet")
    states = re.search(r"manager_state_name.*?names\[\] = \{(.*?)\}", manager, re.S)[1]
    told = words(r'"([\w-]+)"', states) - {"held"}  # nothing is wrong with that one
    # Names are literals: of problem_add, or handed to it by the manager.
    told |= words(r'(?:problem_add|add_several)\([^;"]*?"([a-z0-9-]+)"', sources("flanneld", "fabric", "fastpath", "backends", "traffic", "kernel", "stores"))
    told |= words(r'state_problem = "([a-z0-9-]+)"', manager) | words(r'set_rival\([^;"]*?"([a-z0-9-]+)"', manager)
    for function in ("judge", "describe_twin"):
        body = re.search(rf"^static const char \*{function}\(.*?^\}}", manager, re.M | re.S)[0]
        told |= words(r'return "([a-z0-9-]+)"', body)
    return told


def explained():
    """{kind: words} of fabricctl explain."""
    found = {}
    for item in json.loads(fabricctl("explain", "-o", "json").stdout)["items"]:
        found.setdefault(item["kind"], []).append(item["word"])
    return found


def test_problems_by_name():
    """Every name that a problem can have, and no other: people search for it, and alert on it."""
    told = problems()
    table = document("operations.md").split("\n## Problems by name\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.M)
    named = re.findall(r"`([a-z0-9-]+)`", " ".join(rows))
    assert len(told) > 35 and sorted(named) == sorted(told)


def test_explained_are_all_problems_states_and_events():
    known = explained()
    assert sorted(known["problem"]) == sorted(problems())
    states = re.search(r"manager_state_name.*?names\[\] = \{(.*?)\}", sources("subnet"), re.S)[1]
    told = words(r'"([\w-]+)"', states) - problems()
    told |= words(r'"([\w-]+)"', re.search(r"reach_state_name.*?names\[\] = \{(.*?)\}", sources("fabric"), re.S)[1])
    told |= words(r'return "([\w-]+)"', re.search(r"^const char \*peers_state\(.*?^\}", sources("fabric"), re.S | re.M)[0])
    tool = sources("fabricctl")
    told |= words(r'\bstate = "([\w-]+)"', (ROOT / "fabricctl" / "pods.c").read_text())
    told |= words(r'return "([\w-]+)"', (ROOT / "fabricctl" / "ip.c").read_text())
    for array in re.findall(r"static const char \*const states\[\] = \{(.*?)\}", tool):
        told |= words(r'"([\w-]+)"', array)
    told |= words(r'"(\w+)"', re.search(r"verdicts\[\] = \{(.*?)\}", sources("subnet"))[1])
    told |= words(r'\{ "([\w-]+)", COLOR', (ROOT / "fabricctl" / "fleet.c").read_text())
    told |= words(r'"([\w-]+)"', re.search(r"names\[MESH_WAYS\] = \{(.*?)\}", tool, re.S)[1]) - {"self"}
    assert {"held", "tunnel-silent", "ignored", "forgotten", "unrecorded", "stops", "degraded"} <= told
    assert told <= set(known["state"]), told - set(known["state"])
    daemon = sources("flanneld", "fabric", "fastpath", "backends", "traffic", "kernel", "stores", "lib", "subnet")
    events = words(r'\blog_(?:info|warn|error)\(\s*"([a-z-]+)"', daemon)
    events |= words(r'manager_(?:note|complain)\([^;"]*?(?:INFO|WARN|ERROR), "([a-z-]+)"', daemon) | words(r'wait_for_config\([^;"]*"([a-z-]+)"', daemon)
    events |= words(r'\bnews\([^;"]*"([a-z-]+)"', daemon)
    assert len(events) > 50 and events <= set(known["event"]) | set(known["problem"]), events - set(known["event"]) - set(known["problem"])
    # No word of one kind is there twice, and none of the log that nothing says.
    assert all(len(set(of_kind)) == len(of_kind) for of_kind in known.values())
    assert all(f'"{event}"' in daemon for event in known["event"])


def test_explained_well():
    """Three to ten lines, and every command and option that is named exists."""
    options = set(daemon_options()) | {name for command in COMMANDS for _, name, _ in tool_options(command)}
    for kind, entries in explained().items():
        for word in entries:
            text = fabricctl("explain", word).stdout
            assert kind == "word" or 4 <= len(text.split("\n\n")[0].splitlines()) <= 10, text
            assert max(map(len, text.splitlines())) <= 100
            assert set(re.findall(r"fabricctl ([\w-]*\w)", text)) <= set(COMMANDS), text
            assert words(r" --([a-z][\w-]*)", text) <= options, text
    wrong = fabricctl("explain", "peer-unreachible")
    assert wrong.returncode == NOT_FOUND and 'the nearest is "peer-unreachable"' in wrong.stderr
    assert fabricctl("explain", "Peer_Unreachable").stdout.startswith("peer-unreachable (problem)")
    rows = fabricctl("explain", "--columns", "word,kind", "-o", "raw").stdout.splitlines()
    assert "stale\tproblem" in rows and "vtep\tword" in rows


def test_metrics():
    """What a document calls a metric is one."""
    told = {f"flannel_{name}" for name in words(r'\((?:out, )?"(\w+)",', sources("flanneld"))}
    told |= words(r"flannel_\w+", (ROOT / "flanneld" / "metrics.c").read_text())
    for name in ("operations.md", "traffic.md"):
        assert words(r"flannel_[a-z_]+", document(name)) <= told, name


def test_flags():
    told = set(daemon_options()) | {name for command in COMMANDS for _, name, _ in tool_options(command)}
    for path in (ROOT / "docs").glob("*.md"):
        named = words(r"`--([a-z][\w-]*)", path.read_text()) - {"flag"}
        assert named <= told, path.name


def test_keys_of_the_network_configuration():
    keys = re.search(r"network_config_keys\[\] =(.*?);", sources("subnet"), re.S)[1].replace('"', "").split()
    table = document("configuration.md").split("\n## The network configuration\n")[1].split("\n`vxlan`:")[0]
    named = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", table, re.M)))
    assert len(keys) > 8 and sorted(named) == sorted(keys)


def test_sets_of_nftables():
    """`nft list set` with a name from a document finds one."""
    told = words(r'#define TRAFFIC_SET_\w+\s+"([\w-]+)"', (ROOT / "traffic" / "traffic.h").read_text())
    named = words(r"nft list set inet flannel\.1 ([\w-]+)", document("traffic.md"))
    assert named and named <= told


# ---- both


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_is_well_formed(page):
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    assert not re.search(r"\w\.\.$", page.read_text(), re.M), "a sentence ends once"
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
