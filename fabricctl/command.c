/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/command.h"

#include <string.h>

#include "lib/nearest.h"

#define HELP_COLUMN    30
#define HELP_WIDTH     100
#define TEST_HOSTS_MAX 1000 /* that can be named */

/* What is a rendering of the same document; of one record, a shell can read it as well. */
#define DOCUMENT (FORMAT_BIT(FORMAT_JSON) | FORMAT_BIT(FORMAT_YAML))
#define RECORD   (DOCUMENT | FORMAT_BIT(FORMAT_ENV))

/* clang-format off */
const struct command commands[] = {
	{ "subnets", "", "", "", 0,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_LIST | GROUP_TABLE | GROUP_LEASES,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_WIDE) | DOCUMENT |
	  FORMAT_BIT(FORMAT_JSONL) | FORMAT_BIT(FORMAT_RAW) | FORMAT_BIT(FORMAT_NAME) | FORMAT_BIT(FORMAT_DOT) |
	  FORMAT_BIT(FORMAT_PROM_SD),
	  "all leases: who has which subnet, and whether the kernel agrees",
	  "Columns: subnet, node, public-ip, backend, mac, time-left, role, kernel; with -o wide and\n"
	  "raw also reason, node-id, revision, reach, rtt. KERNEL says whether this host's kernel does what the\n"
	  "lease means: ok, pending, failed or ignored. Keys that cannot be read follow the table. -o prom-sd:\n"
	  "whom Prometheus is to scrape, a file for its file_sd_configs.\n",
	  subnets_run },
	{ "status", "", "", "", 0, GROUP_OUTPUT | GROUP_STATUS,
	  FORMAT_BIT(FORMAT_TABLE) | RECORD,
	  "what is well on this host and what is not",
	  "Exit status 0 if all is well, 3 if it is starting or degraded, 4 if the daemon does not\n"
	  "answer, 7 if --wait waited in vain.\n",
	  status_run },
	{ "peers", "", "", "", 0, GROUP_OUTPUT | GROUP_TABLE,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_WIDE) | DOCUMENT |
	  FORMAT_BIT(FORMAT_JSONL) | FORMAT_BIT(FORMAT_RAW) | FORMAT_BIT(FORMAT_NAME) | FORMAT_BIT(FORMAT_DOT),
	  "what the kernel has for every peer: route, neighbour, FDB entry",
	  "Each is ok, pending or failed; a dash: this backend needs none. There are columns for IPv6\n"
	  "if a peer has it. -o wide shows the objects themselves, json each with its error.\n",
	  peers_run },
	{ "mtu", "", "", "", 0, GROUP_OUTPUT | GROUP_TABLE,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT | FORMAT_BIT(FORMAT_JSONL) |
	  FORMAT_BIT(FORMAT_RAW),
	  "how large packets to each peer may be, and whether those of containers arrive",
	  "INTERFACE and DEVICE are this host's, with their MTU; CONTAINERS is what containers here send to\n"
	  "that peer at most; UNDERLAY and TUNNEL the largest packet that was seen to pass there and back.\n"
	  "VERDICT is ok; smaller, if larger ones are refused, and who sends them is told; black-hole, if\n"
	  "they vanish; unknown, if small ones are not answered either. Exit status 3 if there is a black\n"
	  "hole.\n",
	  mtu_run },
	{ "hosts", "", "", "", 0, GROUP_OUTPUT | GROUP_ETCD | GROUP_TABLE,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_WIDE) | DOCUMENT |
	  FORMAT_BIT(FORMAT_JSONL) | FORMAT_BIT(FORMAT_RAW) | FORMAT_BIT(FORMAT_NAME),
	  "all hosts of the fabric: how each says it is, the bad ones first",
	  "From what every daemon keeps in the store beside its lease. STATE is ok, starting or degraded as\n"
	  "there; no-record, if nothing was heard for three minutes; flannel, for hosts that tell nothing.\n"
	  "PEERS are those that answer, of those it asks; PROBLEM is its worst. REACH and RTT are how this\n"
	  "host finds it. Exit status 3 if a host is not ok.\n",
	  hosts_run },
	{ "mesh", "[NAME...]", "", ":NODE", 64, GROUP_OUTPUT | GROUP_ETCD,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_WIDE) | DOCUMENT | FORMAT_BIT(FORMAT_RAW) | FORMAT_BIT(FORMAT_SVG) | FORMAT_BIT(FORMAT_HTML),
	  "who reaches whom: round trips and losses between all hosts",
	  "From what every daemon keeps in the store. A few hosts are shown as a matrix, of many only what\n"
	  "is bad; -o wide and raw list each way that a host names, -o html is a page to look at and to send,\n"
	  "svg its picture. Each host names 64 peers at most, those that answer worst; the others answer.\n"
	  "NAME is a host or its subnet, or a pattern of either such as 'rack7-*': then only those are shown,\n"
	  "and whose way from or to them is bad. Of more than 1024 those with the most bad ways are.\n"
	  "Exit status 3 if a way is bad: silent, silent through the tunnel, or a tenth of it lost.\n",
	  mesh_run },
	{ "events", "", "", "", 0, GROUP_OUTPUT | GROUP_EVENTS,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT | FORMAT_BIT(FORMAT_JSONL) |
	  FORMAT_BIT(FORMAT_RAW),
	  "what has happened on this host, the oldest first",
	  "The last 1000 lines of the daemon's log, also those that its limit kept out of the journal.\n"
	  "With -w the last ten, or those within --since, and then what comes.\n",
	  events_run },
	{ "ip", "ADDRESS", "", ":ADDRESS", 1,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_TABLE | GROUP_CNI | GROUP_PODS,
	  FORMAT_BIT(FORMAT_TABLE) | RECORD | FORMAT_BIT(FORMAT_RAW),
	  "who has an address: which host, and here which container, since when",
	  "OWNER is container, unrecorded (somebody answers whom the CNI plugin did not attach), host (an\n"
	  "address of the host itself), nobody (a free one of this host's subnet), unknown, or remote: ask\n"
	  "on that host. DEVICE is the host's end of the container's link. Exit status 8 if the address is\n"
	  "no host's of the fabric.\n",
	  ip_run },
	{ "pods", "", "", "", 0, GROUP_OUTPUT | GROUP_TABLE | GROUP_CNI | GROUP_PODS,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT | FORMAT_BIT(FORMAT_JSONL) |
	  FORMAT_BIT(FORMAT_RAW),
	  "the containers of this host: what the CNI plugin attached, and whether it is still so",
	  "STATE is ok; gone, if the interface is; forgotten, if the runtime does not know of it any\n"
	  "more; unfinished, if its ADD has not come to its end; damaged, if its record cannot be read.\n"
	  "POD is what the runtime calls it. Exit status 3 if one is not ok.\n",
	  pods_run },
	{ "trace", "SOURCE DESTINATION", "", ":ADDRESS", 2,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_TRACE,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT,
	  "what this kernel would do with a packet, step by step, and where it would stop",
	  "SOURCE is an address of this host or of what is behind it. The kernel is asked; no packet is\n"
	  "sent, but with --live: from SOURCE itself, and looked for on each device there and back. That\n"
	  "takes root, and writes nothing. The leases, from the daemon if it answers, only say whose the addresses are and whether\n"
	  "the other host answers. Exit status 3 if something stops the packet or it is lost, 8 if SOURCE is not here.\n",
	  trace_run },
	{ "top", "", "", "", 0,
	  GROUP_OUTPUT | GROUP_TABLE | GROUP_CNI | GROUP_TOP,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT | FORMAT_BIT(FORMAT_JSONL),
	  "how much goes to and comes from every peer and every container, each second",
	  "IN is what this host receives from a peer, and what a container receives; OUT the other way.\n"
	  "Containers are counted by the kernel anyway. Of peers the fabric's own packets are counted, by\n"
	  "the daemon, while this runs and ten seconds more: that takes root. The most bytes come first.\n"
	  "With -o json a line for each interval.\n",
	  top_run },
	{ "test", "[HOST ...]", "", ":NODE", TEST_HOSTS_MAX, GROUP_OUTPUT | GROUP_CNI | GROUP_TEST,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT,
	  "does what a container here sends arrive at the other hosts?",
	  "Attaches a container without a program by the CNI plugin, sends from it to every other host, or\n"
	  "to those that are named (by name, public address, subnet; or any address), and detaches it: ICMP,\n"
	  "small and as large as fits without being cut, a datagram, a TCP connection. A closed port is an\n"
	  "answer; where nobody has to answer silence is no failure. --listen on another host has all\n"
	  "answered, by a container. It takes root. Exit status 3 if something failed or was lost.\n",
	  test_run },
	{ "doctor", "", "", "", 0,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_CNI | GROUP_CHANGE | GROUP_ASK | GROUP_DOCTOR,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT,
	  "look at this host: what is in the way of the fabric, and what to do about it",
	  "One line for each check, with a remedy that can be pasted. The daemon's problems are among\n"
	  "them; without the daemon the kernel is asked, and whose the peers are comes from the last\n"
	  "known state or, with --store, from the store. --fix sets switches of the kernel, has the CNI\n"
	  "plugin put back what it made and the daemon compare; with --dry-run it says what it would do.\n"
	  "Exit status 3 if there is a warning or an error.\n",
	  doctor_run },
	{ "capacity", "", "", "", 0,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_CAPACITY | GROUP_IPAM,
	  FORMAT_BIT(FORMAT_TABLE) | RECORD,
	  "how many subnets and addresses are used, how many are free, how long they last",
	  "Of the network's subnets, in each family: used by hosts, reserved, unbound, free, and how many\n"
	  "of these stand side by side; leases outside of the range are counted apart. Of this host's\n"
	  "subnet: addresses that are reserved for containers. How fast it fills can be said only if the\n"
	  "store tells when leases were made, which Kubernetes does, asked with --store. Exit status 3 if\n"
	  "something is nearly full.\n",
	  capacity_run },
	{ "gc", "", "", "", 0,
	  GROUP_OUTPUT | GROUP_TABLE | GROUP_CNI | GROUP_PODS | GROUP_IPAM | GROUP_ASK | GROUP_GC,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT | FORMAT_BIT(FORMAT_RAW),
	  "what is left on this host of containers that are gone; with --apply it is removed",
	  "Records of attachments whose interface is gone, and reserved addresses of this host's subnet\n"
	  "that no record, no note of the runtime and no answer on the link belongs to. What is in doubt is\n"
	  "listed with the reason, and left alone: interfaces that are there, reservations of the last five\n"
	  "minutes, whatever the runtime knows. The CNI plugin removes it, by a DEL for each. Exit status 3\n"
	  "if there is something to be removed.\n",
	  gc_run },
	{ "bundle", "[FILE]", "", ":FILE", 1,
	  GROUP_OUTPUT | GROUP_TABLE | GROUP_STORE | GROUP_ETCD | GROUP_CNI | GROUP_PODS | GROUP_IPAM |
	  GROUP_BUNDLE,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT | FORMAT_BIT(FORMAT_RAW),
	  "an archive of all that somebody needs who helps, without secrets",
	  "Answers of this tool's commands, the kernel's links, routes, rules, neighbours, FDB and filters,\n"
	  "switches, subnet.env, flanneld.conf, the journal: a tar archive of 50 MB at most, readable by\n"
	  "its owner; \"-\" is standard output. Passwords, keys and tokens are left out; the list says of\n"
	  "each file how many. It works with the daemon dead, and better as root. Read it before it is sent.\n",
	  bundle_run },
	{ "explain", "[WORD]", "", ":WORD", 1, GROUP_OUTPUT | GROUP_TABLE,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT | FORMAT_BIT(FORMAT_RAW),
	  "what a word means that is said here, what it does to packets, what to do",
	  "WORD is the name of a problem, a state, an event of the log, or a word of the field. Without one\n"
	  "all are listed. Nobody is asked. Exit status 8 if there is no such word.\n",
	  explain_run },
	{ "diff", "", "", "", 0, GROUP_OUTPUT | GROUP_DIFF | GROUP_STORE | GROUP_ETCD,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT,
	  "what the kernel has too little, too much and otherwise than the leases want",
	  "+ is missing, - is too much, ~ is another than it should be. The daemon reads the kernel for\n"
	  "this, and puts right what it finds. Exit status 3 if there was anything.\n\n"
	  "With --kernel no daemon is asked, and nothing is put right: the leases are those of\n"
	  "last-known.json in the state directory, the options those that the daemon noted there when it\n"
	  "was started last; with --store leases and configuration are those of the store. What a backend\n"
	  "runs beside the kernel (an extension's commands, charon) and rules in iptables are not compared.\n",
	  diff_run },
	{ "sync", "", "", "", 0, GROUP_OUTPUT | GROUP_CHANGE,
	  FORMAT_BIT(FORMAT_TABLE) | RECORD,
	  "compare the kernel with the leases and put it right, now", 
	  "The daemon does so by itself; this waits until it is done. With --dry-run as diff.\n",
	  sync_run },
	{ "log-level", "[LEVEL]", "error warn info debug", "", 1, GROUP_OUTPUT,
	  FORMAT_BIT(FORMAT_TABLE) | RECORD,
	  "how much the daemon logs; with a word that much from now on, until it is started again",
	  "debug: what is sent to the store and to the kernel, and what is decided. Only root may change it.\n",
	  log_level_run },
	{ "drain", "", "", "", 0,
	  GROUP_OUTPUT | GROUP_ETCD | GROUP_CHANGE | GROUP_ASK | GROUP_CNI | GROUP_DRAIN,
	  FORMAT_BIT(FORMAT_TABLE) | RECORD,
	  "take this host out of use: attach no more containers, and wait until none is left",
	  "The CNI plugin refuses new ones (STATUS and ADD: code 50); all that run go on. Waits until the\n"
	  "runtime has moved or ended them. With --release the subnet is given back then. A restart of\n"
	  "the daemon changes nothing; fabricctl resume does. Exit status 7 if some are left in the end.\n",
	  drain_run },
	{ "resume", "", "", "", 0, GROUP_OUTPUT | GROUP_RESUME, FORMAT_BIT(FORMAT_TABLE) | RECORD,
	  "take this host into use again", "Nothing to do is no error.\n", resume_run },
	{ "lease", "show|renew|release|reserve SUBNET|unreserve SUBNET",
	  "show renew release reserve unreserve", "unreserve:SUBNET", 2,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_CHANGE | GROUP_ASK | GROUP_LEASE,
	  FORMAT_BIT(FORMAT_TABLE) | RECORD,
	  "the lease of this host: look at it, prolong it, give it back; and reservations",
	  "show            what the daemon holds; with --store what the store has\n"
	  "renew           prolongs it now; the daemon does so by itself\n"
	  "release         gives the subnet back to the store, for good. Not while the daemon runs, which\n"
	  "                would claim it again; addresses of this host's containers are free then\n"
	  "reserve SUBNET  keeps a subnet for a host, without end: 10.5.50.0/24, or with both families\n"
	  "                10.5.50.0/24,fd10:5:0:50::/64\n"
	  "unreserve SUBNET  ends that: what no host has taken over is free, what one has (or somebody\n"
	  "                has written without its lease of the store) ends in a day unless it is renewed\n"
	  "release, reserve and unreserve go to the store. What is done already is no error.\n",
	  lease_run },
	{ "config", "check|set FILE, or show", "check set show", "check:FILE set:FILE", 2,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_CHANGE | GROUP_ASK,
	  FORMAT_BIT(FORMAT_TABLE) | RECORD | FORMAT_BIT(FORMAT_RAW),
	  "check a network configuration, show the one in use, write another",
	  "check FILE  reads a network configuration (\"-\": standard input) and says what it means, or\n"
	  "            what is wrong with it\n"
	  "set FILE    checks it, shows what changes, and writes it to the store, unless somebody else\n"
	  "            changed it meanwhile (exit status 9). Daemons use it when they start again\n"
	  "show        the configuration that the daemon uses; with --store the document in the\n"
	  "            store, and whether it is valid; -o raw prints its bytes alone\n",
	  config_run },
	{ "store", "ping|dump|watch|repair", "ping dump watch repair", "", 1, GROUP_OUTPUT | GROUP_ETCD | GROUP_TABLE,
	  FORMAT_BIT(FORMAT_TABLE) | DOCUMENT | FORMAT_BIT(FORMAT_JSONL) |
	  FORMAT_BIT(FORMAT_RAW),
	  "ask every endpoint of the store how it is; print what it has, and what changes",
	  "ping  whether each endpoint answers, how quickly it reads what all members agree on, which\n"
	  "      member leads, version, revision, size. Exit status 3 if one does not answer, 5 if none\n"
	  "dump  every key under the prefix, an object a line, all at one revision; values called PSK,\n"
	  "      password or the like are left out\n"
	  "watch  every change as the store tells it, of any store; on standard error each call and message\n"
	  "      on the wire, with its bytes, its end and its milliseconds\n"
	  "repair  of a store that is a directory: which lines of its journal cannot be read, exit status\n"
	  "      3; and a journal without them, beside it, for you to take into use\n",
	  store_run },
	{ "version", "", "", "", 0, GROUP_OUTPUT, FORMAT_BIT(FORMAT_TABLE) | RECORD,
	  "versions of fabricctl and of the daemon", "", version_run },
	{ "help", "[COMMAND [WORD]]", "COMMAND", "", 2, 0, FORMAT_BIT(FORMAT_TABLE),
	  "this text, or all about one command", "", help_run },
	{ "completion", "bash|zsh|fish|nodes|subnets|addresses|words", "bash zsh fish nodes subnets addresses words", "", 1, 0,
	  FORMAT_BIT(FORMAT_TABLE),
	  "the script that completes command lines of fabricctl",
	  "To use it: source <(fabricctl completion bash), the same in zsh, or in fish\n"
	  "fabricctl completion fish | source. nodes, subnets, addresses and words are what the\n"
	  "scripts ask for while a line is typed: the hosts' as the daemon knows them, or nothing if it does\n"
	  "not answer within 0.2 s; and what explain knows.\n", completion_run },
	{ 0 },
};
/* clang-format on */

const struct command *command_find(const char *name)
{
	for (const struct command *command = commands; command->name; command++) {
		if (strcmp(command->name, name) == 0)
			return command;
	}
	return NULL;
}

int command_unknown(const struct ctl *c, const char *name)
{
	struct nearest nearest = { .word = name };
	auto_free char *why = NULL;
	auto_free char *hint = NULL;

	for (const struct command *command = commands; command->name; command++)
		nearest_consider(&nearest, command->name);
	if (nearest.best) {
		why = xasprintf("the nearest is \"%s\"", nearest.best);
		hint = xasprintf("fabricctl %s", nearest.best);
	}
	return ctl_fail(c, CTL_USAGE, why, hint ? hint : "fabricctl help",
			"there is no command \"%.60s\"", name);
}

/* Whether `word` is one that the command begins with; complains otherwise. */
static int check_word(const struct ctl *c, const struct command *command, const char *word)
{
	auto_free char *words = xstrdup(command->words);
	struct nearest nearest = { .word = word };
	auto_free char *why = NULL;
	char *rest = words;
	char *one;

	while ((one = strsep(&rest, " "))) {
		if (strcmp(one, word) == 0)
			return CTL_OK;
		nearest_consider(&nearest, one);
	}
	if (nearest.best)
		why = xasprintf("the nearest is \"%s\"", nearest.best);
	return ctl_fail(c, CTL_USAGE, why, command_help_hint(command),
			"there is no \"%.60s\" of fabricctl %s", word, command->name);
}

char *command_formats(const struct command *command, const char *separator)
{
	char *text = xstrdup("");

	for (unsigned f = 0; f < FORMATS; f++) {
		auto_free char *before = text;

		text = command->formats & FORMAT_BIT(f)
			       ? xasprintf("%s%s%s", before, *before ? separator : "",
					   ctl_format_name(f))
			       : xstrdup(before);
	}
	return text;
}

const char *command_help_hint(const struct command *command)
{
	static char text[64];

	snprintf(text, sizeof(text), "fabricctl help %s", command->name);
	return text;
}

/* Words in lines that end before HELP_WIDTH, the first of which has begun at HELP_COLUMN. */
static void print_wrapped(FILE *out, const char *text)
{
	size_t column = HELP_COLUMN + 3;

	while (*text) {
		size_t size = strcspn(text, " ");

		if (column > HELP_COLUMN + 3 && column + 1 + size > HELP_WIDTH) {
			fprintf(out, "\n%*s", HELP_COLUMN + 3, "");
			column = HELP_COLUMN + 3;
		} else if (column > HELP_COLUMN + 3) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", (int)size, text);
		column += size;
		text += size + (text[size] == ' ');
	}
	fputc('\n', out);
}

static void print_options(FILE *out, const struct command *command, unsigned groups,
			  unsigned without)
{
	for (const struct ctl_option *o = arguments_table(); o->name; o++) {
		auto_free char *name = NULL;
		auto_free char *formats = NULL;
		auto_free char *help = NULL;

		if (!(o->groups & groups) || o->groups & without)
			continue;
		name = arguments_describe(o);
		if (o->groups & GROUP_OUTPUT && command)
			formats = command_formats(command, ", ");
		help = xasprintf("%s%s%s", o->help, formats ? ": " : "", formats ? formats : "");
		fprintf(out, "  %-*s ", HELP_COLUMN, name);
		print_wrapped(out, help);
	}
}

static void print_program_help(FILE *out)
{
	fputs("fabricctl: looks at the network fabric of this host and of its peers\n\n"
	      "usage: fabricctl COMMAND [OPTION ...]\n\ncommands:\n",
	      out);
	for (const struct command *command = commands; command->name; command++) {
		auto_free char *name = xasprintf("%s %s", command->name, command->operands);

		/* One that is too long has a line of its own. */
		fprintf(out, "  %-*s%s%*s %s\n", HELP_COLUMN, name,
			strlen(name) > HELP_COLUMN ? "\n" : "",
			strlen(name) > HELP_COLUMN ? HELP_COLUMN + 2 : 0, "", command->help);
	}
	fputs("\noptions of every command:\n", out);
	print_options(out, NULL, GROUP_ALL, 0);
	fputs("\nexit status:\n"
	      "  0 fine  1 failed  2 usage  3 ran, and found something wrong  4 daemon "
	      "unreachable\n"
	      "  5 store unreachable  6 permission denied  7 timed out  8 not found  9 conflict\n",
	      out);
}

void command_print_help(FILE *out, const struct command *command)
{
	if (!command) {
		print_program_help(out);
		return;
	}
	fprintf(out, "fabricctl %s: %s\n\nusage: fabricctl %s%s%s [OPTION ...]\n", command->name,
		command->help, command->name, *command->operands ? " " : "", command->operands);
	if (*command->details)
		fprintf(out, "\n%s", command->details);
	if (command->options) {
		fputs("\noptions:\n", out);
		print_options(out, command, command->options, 0);
	}
	fputs("\noptions of every command:\n", out);
	print_options(out, command, GROUP_ALL, command->options);
}

int command_run(struct ctl *c)
{
	if (c->options.version)
		c->command = command_find("version");
	else if (c->options.help) {
		command_print_help(c->out, c->command);
		return CTL_OK;
	}
	if (!c->command) {
		command_print_help(c->err, NULL);
		return CTL_USAGE;
	}
	if (c->operands_len > c->command->operands_max)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"unexpected argument \"%.80s\"",
				c->operands[c->command->operands_max]);
	if (c->command->words[0] && c->operands_len > 0 && c->command->run != help_run &&
	    check_word(c, c->command, c->operands[0]))
		return CTL_USAGE;
	return c->command->run(c);
}

int help_run(struct ctl *c)
{
	const struct command *about = NULL;

	if (c->operands_len > 0) {
		about = command_find(c->operands[0]);
		if (!about)
			return command_unknown(c, c->operands[0]);
	}
	if (c->operands_len > 1 && check_word(c, about, c->operands[1]))
		return CTL_USAGE;
	command_print_help(c->out, about);
	return CTL_OK;
}
