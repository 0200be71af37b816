#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which lines of each parser of outside bytes the fuzz corpora reach.

    coverage.py DIRECTORY [CORPORA...]    DIRECTORY holds the programs fuzz_*, compiled by clang with
                                          -fprofile-instr-generate -fcoverage-mapping and replay.c

Every program replays tests/fuzz/corpus/NAME, and NAME below each of CORPORA. PARSERS says which files, or which functions of
them, read what others wrote; the rest of a file writes, or asks the kernel. Fails if a parser is below 95 %.
"""

import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BAR = 95.0
Parser = collections.namedtuple("Parser", "what targets file functions")

# `functions`: those that parse; after a "!" those that do not.
PARSERS = [
    Parser("JSON", "json", "lib/json.c", "!json_text json_append json_failures_total"),
    Parser("base64", "base64", "lib/base64.c", "!"),
    Parser("etcd's answers and events", "etcd_answer etcd_watch", "stores/etcd/etcd_json.c",
           "decode_bytes decode_kv decode_kvs decode_error decode_event etcd_decode_.* decode_seconds"),
    Parser("gRPC's frames and headers", "etcd_grpc", "lib/grpc.c", "!grpc_prefix"),
    Parser("etcd's answers and events in gRPC", "etcd_grpc", "stores/etcd/etcd_grpc.c", "take_.* read_.* add_kv decode.*"),
    Parser("the file store's journal", "file_journal", "stores/file_journal.c", "!step_to_json file_journal_present"),
    Parser("network configuration", "network_config", "subnet/config.c", "read_.* network_config_parse"),
    Parser("lease keys and values", "lease_key lease_value", "subnet/lease.c", "parse_part subnet_key_parse read_.* lease_value_parse"),
    Parser("vxlan's part of a lease", "lease_value network_config", "backends/vxlan.c", "read_config parse_.* vxlan_peer_parse"),
    Parser("last known state", "last_known", "subnet/last_known.c", "!last_known_left_ms last_known_format"),
    Parser("subnet.env", "subnet_env", "subnet/subnet_env.c", "!"),
    Parser("flanneld.conf", "flanneld_options", "lib/options.c", "set parse_.* options_read_file read_line"),
    Parser("requests of status clients", "flanneld_status", "flanneld/status.c", "status_query_value status_has_query wants_open_metrics"),
    Parser("lists that status clients want", "flanneld_status", "flanneld/status_subnets.c", "status_on_subnets"),
    Parser("CNI environment and CNI_ARGS", "cni_args", "cni-plugin/env.c", "!"),
    Parser("the state of OCI hooks", "cni_hook", "cni-plugin/hook.c", "read_state hook_parse_state"),
    Parser("CNI configuration, both forms", "cni_stdin", "cni-plugin/netconf.c", "!"),
    Parser("keys of the bridge and ptp plugins", "cni_stdin", "cni-plugin/config.c", "!config_parse_resolver parse_resolver"),
    Parser("ranges of addresses", "cni_stdin", "cni-plugin/ranges.c", "!range_set_find range_set_format"),
    Parser("prevResult", "cni_stdin", "cni-plugin/result.c", "!"),
    Parser("valid attachments", "cni_stdin", "cni-plugin/attachments.c", "!attachments_have attachments_have_key"),
    Parser("netavark's requests", "cni_netavark", "cni-plugin/netavark.c", "!netavark_status subnets_of"),
    Parser("published ports", "cni_netavark cni_record", "cni-plugin/ports.c", "!"),
    Parser("calls of dockerd", "cni_docker", "cni-plugin/docker_call.c"),
    Parser("the plugin's records", "cni_record", "cni-plugin/record.c", "read_.* record_parse"),
    Parser("reservations", "cni_reservation", "cni-plugin/pool.c", "pool_parse_owner trim"),
    Parser("routes", "kernel", "kernel/kind_route.c", ".*decode.*"),
    Parser("neighbours", "kernel", "kernel/kind_neighbour.c", ".*decode.*"),
    Parser("FDB entries", "kernel", "kernel/kind_fdb.c", ".*decode.*"),
    Parser("addresses", "kernel", "kernel/kind_address.c", ".*decode.*"),
    Parser("links", "kernel", "kernel/link.c", "copy_.* keep_data read_.* link_decode"),
    Parser("nft dumps", "nft", "kernel/nft_read.c", "!"),
    Parser("nft dumps, compared", "nft", "kernel/nft_compare.c", "!"),
    Parser("rules of other programs", "nft", "kernel/filter_nft.c", "!xt_match"),
    Parser("WireGuard's answers", "wireguard", "kernel/wireguard_message.c", "keep read_.* copy wireguard_decode"),
    Parser("wireguard-go's answers", "wireguard", "kernel/wireguard_text.c", "digit read_.* show_peer wireguard_parse"),
    Parser("charon's messages", "vici", "lib/vici_message.c", "take_text follow vici_walk look_for vici_find vici_text_.*"),
    Parser("nodes of Kubernetes", "kube_node kube_answer", "stores/kube/kube_node.c",
           "key_of annotation set_.* add_pod_cidr read_.* is_reachable kube_revision_read kube_node_read kube_node_fini"),
    Parser("answers of an API server", "kube_answer", "stores/kube/kube_answer.c", "!"),
    Parser("lists and watches in pieces", "kube_stream", "stores/kube/kube_stream.c", "!"),
    Parser("kubeconfig", "kube_config", "stores/kube/kube_config.c", "!read_config kube_access_.*"),
    Parser("answers of Consul", "consul_answer", "stores/consul/consul_answer.c", "!consul_session_format consul_session_ttl"),
    Parser("health records", "health_record", "subnet/health_record.c", "read_.* .*_parse take_.*"),
    Parser("commands of the extension backend", "command", "backends/command.c", "!command_environment"),
    Parser("what the extension backend kept", "extension_file", "backends/extension_peers.c", "load read_peer stands read_peers extension_peers_leftover"),
    Parser("reservations of others", "fabricctl_reservation", "fabricctl/reservations.c", "reservations_parse"),
    Parser("what runtimes know", "fabricctl_runtime", "fabricctl/runtime.c", "argument runtime_parse"),
    Parser("secrets in any text", "fabricctl_redact", "fabricctl/redact.c", "!"),
    Parser("words and durations", "fabricctl_text", "fabricctl/text.c", "!"),
    Parser("lists of rows", "fabricctl_rows", "fabricctl/rows.c", "!"),
    Parser("columns of leases", "fabricctl_text", "fabricctl/lease_columns.c", "!"),
]  # fmt: skip


def tool(name):
    for version in ("", "-14", "-16", "-19"):
        if path := shutil.which(name + version):
            return path
    sys.exit(f"{name} is not installed (llvm)")


def record(program, corpora, directory):
    """Counts of all lines and functions that this program has: {file: (functions, lines)}."""
    raw, data = directory / f"{program.name}.raw", directory / f"{program.name}.data"
    corpora = [c for c in corpora if c.is_dir()]
    subprocess.run([program, "-n", "0", *corpora], env=os.environ | {"LLVM_PROFILE_FILE": str(raw)}, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    subprocess.run([tool("llvm-profdata"), "merge", "-sparse", raw, "-o", data], check=True)
    text = subprocess.run([tool("llvm-cov"), "export", "-format=lcov", program, f"-instr-profile={data}"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout  # fmt: skip
    files = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            functions, lines = files.setdefault(os.path.relpath(os.path.join(ROOT, rest), ROOT), ({}, {}))
        elif kind == "FN":
            start, name = rest.split(",")[0], rest.split(",")[-1].split(":")[-1]
            functions[int(start)] = name
        elif kind == "DA":
            number, count = map(int, rest.split(",")[:2])
            lines[number] = lines.get(number, 0) + count
    return files


def counts(name, functions):
    """Whether a function of this name is a part of the parser."""
    invert = functions.startswith("!")
    return invert != any(re.fullmatch(f, name) for f in functions.removeprefix("!").split())


def judge(parser, recorded):
    lines = collections.Counter()
    for target in parser.targets.split():
        functions, counted = recorded[target].get(parser.file, ({}, {}))
        starts = sorted(functions)
        for number, count in counted.items():
            within = [s for s in starts if s <= number]
            if within and counts(functions[within[-1]], parser.functions):
                lines[number] += count
    missed = sorted(number for number, count in lines.items() if not count)
    return len(lines), missed


def main():
    directory = pathlib.Path(sys.argv[1])
    scratch = directory / "coverage"
    scratch.mkdir(exist_ok=True)
    recorded = {}
    for program in sorted(p for p in directory.glob("fuzz_*") if not p.suffix):
        name = program.name.removeprefix("fuzz_")
        corpora = [ROOT / "tests" / "fuzz" / "corpus", *map(pathlib.Path, sys.argv[2:])]
        recorded[name] = record(program, [c / name for c in corpora], scratch)
    below = 0
    for parser in PARSERS:
        total, missed = judge(parser, recorded)
        percent = 100 * (total - len(missed)) / total if total else 0
        below += percent < BAR
        where = f"  not reached: {' '.join(map(str, missed))}" if missed else ""
        print(f"  {parser.what:<36} {parser.file:<28} {percent:6.1f} % of {total:>3} lines{where}")
    print(f"{len(PARSERS)} parsers, {below} below {BAR:.0f} %")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
