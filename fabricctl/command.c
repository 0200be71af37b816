/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/command.h"

#include <string.h>

#include "lib/nearest.h"

#define HELP_COLUMN 30
#define HELP_WIDTH  100

/* clang-format off */
const struct command commands[] = {
	{ "subnets", "", "", 0,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_LIST | GROUP_TABLE | GROUP_LEASES,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_WIDE) | FORMAT_BIT(FORMAT_JSON) |
	  FORMAT_BIT(FORMAT_JSONL) | FORMAT_BIT(FORMAT_RAW) | FORMAT_BIT(FORMAT_NAME) |
	  FORMAT_BIT(FORMAT_PROM_SD),
	  "all leases: who has which subnet, and whether the kernel agrees",
	  "Columns: subnet, node, public-ip, backend, mac, time-left, role, kernel; with -o wide and\n"
	  "raw also reason, node-id, revision, reach, rtt. KERNEL says whether this host's kernel does what the\n"
	  "lease means: ok, pending, failed or ignored. Keys that cannot be read follow the table. -o prom-sd:\n"
	  "whom Prometheus is to scrape, a file for its file_sd_configs.\n",
	  subnets_run },
	{ "status", "", "", 0, GROUP_OUTPUT | GROUP_STATUS,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON),
	  "what is well on this host and what is not",
	  "Exit status 0 if all is well, 3 if it is starting or degraded, 4 if the daemon does not\n"
	  "answer, 7 if --wait waited in vain.\n",
	  status_run },
	{ "peers", "", "", 0, GROUP_OUTPUT | GROUP_TABLE,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_WIDE) | FORMAT_BIT(FORMAT_JSON) |
	  FORMAT_BIT(FORMAT_JSONL) | FORMAT_BIT(FORMAT_RAW) | FORMAT_BIT(FORMAT_NAME),
	  "what the kernel has for every peer: route, neighbour, FDB entry",
	  "Each is ok, pending or failed; a dash: this backend needs none. There are columns for IPv6\n"
	  "if a peer has it. -o wide shows the objects themselves, json each with its error.\n",
	  peers_run },
	{ "events", "", "", 0, GROUP_OUTPUT | GROUP_EVENTS,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON) | FORMAT_BIT(FORMAT_JSONL) |
	  FORMAT_BIT(FORMAT_RAW),
	  "what has happened on this host, the oldest first",
	  "The last 1000 lines of the daemon's log, also those that its limit kept out of the journal.\n"
	  "With -w the last ten, or those within --since, and then what comes.\n",
	  events_run },
	{ "ip", "ADDRESS", "", 1,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_TABLE | GROUP_CNI | GROUP_PODS,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON) | FORMAT_BIT(FORMAT_RAW),
	  "who has an address: which host, and here which container, since when",
	  "OWNER is container, unrecorded (somebody answers whom the CNI plugin did not attach), host (an\n"
	  "address of the host itself), nobody (a free one of this host's subnet), unknown, or remote: ask\n"
	  "on that host. DEVICE is the host's end of the container's link. Exit status 8 if the address is\n"
	  "no host's of the fabric.\n",
	  ip_run },
	{ "pods", "", "", 0, GROUP_OUTPUT | GROUP_TABLE | GROUP_CNI | GROUP_PODS,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON) | FORMAT_BIT(FORMAT_JSONL) |
	  FORMAT_BIT(FORMAT_RAW),
	  "the containers of this host: what the CNI plugin attached, and whether it is still so",
	  "STATE is ok; gone, if the interface is; forgotten, if the runtime does not know of it any\n"
	  "more; unfinished, if its ADD has not come to its end; damaged, if its record cannot be read.\n"
	  "POD is what the runtime calls it. Exit status 3 if one is not ok.\n",
	  pods_run },
	{ "trace", "SOURCE DESTINATION", "", 2,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_TRACE,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON),
	  "what this kernel would do with a packet, step by step, and where it would stop",
	  "SOURCE is an address of this host or of what is behind it. The kernel is asked; no packet is\n"
	  "sent. The leases, from the daemon if it answers, only say whose the addresses are and whether\n"
	  "the other host answers. Exit status 3 if something stops the packet, 8 if SOURCE is not here.\n",
	  trace_run },
	{ "doctor", "", "", 0,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_CNI | GROUP_CHANGE | GROUP_ASK | GROUP_DOCTOR,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON),
	  "look at this host: what is in the way of the fabric, and what to do about it",
	  "One line for each check, with a remedy that can be pasted. The daemon's problems are among\n"
	  "them; without the daemon the kernel is asked, and whose the peers are comes from the last\n"
	  "known state or, with --store, from the store. --fix sets switches of the kernel, has the CNI\n"
	  "plugin put back what it made and the daemon compare; with --dry-run it says what it would do.\n"
	  "Exit status 3 if there is a warning or an error.\n",
	  doctor_run },
	{ "diff", "", "", 0, GROUP_OUTPUT, FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON),
	  "what the kernel has too little, too much and otherwise than the leases want",
	  "+ is missing, - is too much, ~ is another than it should be. The daemon reads the kernel for\n"
	  "this, and puts right what it finds. Exit status 3 if there was anything.\n",
	  diff_run },
	{ "sync", "", "", 0, GROUP_OUTPUT | GROUP_CHANGE,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON),
	  "compare the kernel with the leases and put it right, now", 
	  "The daemon does so by itself; this waits until it is done. With --dry-run as diff.\n",
	  sync_run },
	{ "lease", "show|renew|release|reserve SUBNET|unreserve SUBNET",
	  "show renew release reserve unreserve", 2,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_CHANGE | GROUP_ASK | GROUP_LEASE,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON),
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
	{ "config", "check|set FILE, or show", "check set show", 2,
	  GROUP_OUTPUT | GROUP_STORE | GROUP_ETCD | GROUP_CHANGE | GROUP_ASK,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON) | FORMAT_BIT(FORMAT_RAW),
	  "check a network configuration, show the one in use, write another",
	  "check FILE  reads a network configuration (\"-\": standard input) and says what it means, or\n"
	  "            what is wrong with it\n"
	  "set FILE    checks it, shows what changes, and writes it to the store, unless somebody else\n"
	  "            changed it meanwhile (exit status 9). Daemons use it when they start again\n"
	  "show        the configuration that the daemon uses; with --store the document in the\n"
	  "            store, and whether it is valid; -o raw prints its bytes alone\n",
	  config_run },
	{ "store", "ping|dump|watch|repair", "ping dump watch repair", 1, GROUP_OUTPUT | GROUP_ETCD | GROUP_TABLE,
	  FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON) | FORMAT_BIT(FORMAT_JSONL) |
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
	{ "version", "", "", 0, GROUP_OUTPUT, FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_JSON),
	  "versions of fabricctl and of the daemon", "", version_run },
	{ "help", "[COMMAND [WORD]]", "COMMAND", 2, 0, FORMAT_BIT(FORMAT_TABLE),
	  "this text, or all about one command", "", help_run },
	{ "completion", "bash", "bash", 1, 0, FORMAT_BIT(FORMAT_TABLE),
	  "the script that completes command lines of fabricctl",
	  "To use it: source <(fabricctl completion bash)\n", completion_run },
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

		fprintf(out, "  %-*s %s\n", HELP_COLUMN, name, command->help);
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
