/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a bundle: answers of this tool's commands, the kernel's tables, files, the journal. */
#include <event2/event.h>
#include <glob.h>
#include <string.h>

#include "fabricctl/bundle.h"
#include "fabricctl/command.h"
#include "fabricctl/loop.h"
#include "lib/buffer.h"
#include "lib/file.h"
#include "lib/process.h"

#define PROGRAM_TIMEOUT_MS 10000
#define FILE_MAX           ((size_t)1 << 20)
#define VALUE_MAX          ((size_t)4096)
#define JOURNAL_LINES      "2000"

/* ---- commands of this tool ---- */

static const struct own {
	const char *command;
	const char *word; /* its operand, or NULL */
	bool from_daemon; /* asks it, or with --store the store */
} owns[] = {
	{ "version", NULL, false }, { "status", NULL, true },   { "doctor", NULL, false },
	{ "subnets", NULL, true },  { "peers", NULL, true },    { "events", NULL, true },
	{ "diff", NULL, true },     { "config", "show", true }, { "lease", "show", true },
	{ "capacity", NULL, true }, { "pods", NULL, false },    { "gc", NULL, false },
	{ "mtu", NULL, true },      { "hosts", NULL, true },    { "mesh", NULL, true },
};

/* As if it had been called with -o json; what it complains about is the file's error. */
static void add_own(struct bundle *b, const struct own *own)
{
	auto_free char *name = xasprintf("fabricctl/%s.json", own->command);
	char *operands[] = { (char *)own->word, NULL };
	bool by_itself;
	struct ctl c = *b->c;
	char *text = NULL;
	char *error = NULL;
	size_t size;

	c.command = command_find(own->command);
	by_itself = !b->daemon_answers && c.command->options & GROUP_DIFF;
	if (own->from_daemon && !b->daemon_answers && !by_itself &&
	    !(b->c->options.store && c.command->options & GROUP_STORE)) {
		bundle_add(b, name, NULL, "the daemon does not answer");
		return;
	}
	c.options.store = b->c->options.store && c.command->options & GROUP_STORE;
	c.options.kernel = by_itself;
	c.options.columns = NULL;
	c.options.no_headers = false;
	c.operands = operands;
	c.operands_len = own->word ? 1 : 0;
	c.format = FORMAT_JSON;
	c.tty = c.color = false;
	c.out = open_memstream(&text, &size);
	c.err = open_memstream(&error, &size);
	if (!c.out || !c.err)
		abort();
	c.command->run(&c);
	fclose(c.out);
	fclose(c.err);
	error[strcspn(error, "\n")] = '\0';
	bundle_add(b, name, text, *error ? error : NULL);
	free(text);
	free(error);
}

/* ---- programs ---- */

/* Of the states of IPsec the keys are not asked for; nothing here has any. */
static const struct program {
	const char *name;
	const char *argv[8];
} programs[] = {
	{ "kernel/uname.txt", { "uname", "-a" } },
	{ "kernel/links.txt", { "ip", "-d", "-s", "link" } },
	{ "kernel/addresses.txt", { "ip", "addr" } },
	{ "kernel/routes-ipv4.txt", { "ip", "-4", "route", "show", "table", "all" } },
	{ "kernel/routes-ipv6.txt", { "ip", "-6", "route", "show", "table", "all" } },
	{ "kernel/rules-ipv4.txt", { "ip", "-4", "rule" } },
	{ "kernel/rules-ipv6.txt", { "ip", "-6", "rule" } },
	{ "kernel/neighbours.txt", { "ip", "-s", "neigh" } },
	{ "kernel/fdb.txt", { "bridge", "fdb" } },
	{ "kernel/bridge-ports.txt", { "bridge", "-d", "link" } },
	{ "kernel/xfrm-policies.txt", { "ip", "-s", "xfrm", "policy" } },
	{ "kernel/nft.txt", { "nft", "list", "ruleset" } },
	{ "kernel/iptables.txt", { "iptables-save", "-c" } },
	{ "kernel/ip6tables.txt", { "ip6tables-save", "-c" } },
	{ "kernel/sockets.txt", { "ss", "-lnup" } },
	{ "journal.txt",
	  { "journalctl", "-u", "flanneld", "-n", JOURNAL_LINES, "--no-pager",
	    "--output=short-iso" } },
};

struct run {
	struct bundle *bundle;
	const char *name;
	struct event_base *base;
};

static void on_done(void *arg, int rc, const char *output, const struct err *e)
{
	struct run *run = arg;

	bundle_add(run->bundle, run->name, output, rc < 0 ? e->text : NULL);
	event_base_loopbreak(run->base);
}

static void add_program(struct bundle *b, const struct program *program)
{
	struct run run = { b, program->name, NULL };
	struct process *process;
	struct err e;

	if (!process_exists(program->argv[0])) {
		bundle_add(b, program->name, NULL, "the program is not installed");
		return;
	}
	run.base = loop_new();
	if (process_start(run.base, program->argv, NULL, PROGRAM_TIMEOUT_MS, on_done, &run,
			  &process, &e) < 0)
		bundle_add(b, program->name, NULL, e.text);
	else
		event_base_dispatch(run.base);
	event_base_free(run.base);
}

/* ---- files ---- */

static void add_file(struct bundle *b, const char *name, const char *path)
{
	auto_free char *text = NULL;
	struct err e;

	if (file_read(path, FILE_MAX, &text, NULL, &e) < 0)
		bundle_add(b, name, NULL, e.text);
	else
		bundle_add(b, name, text, NULL);
}

/* Switches that packets depend on. */
static const char *const sysctls[] = {
	"net/ipv4/ip_forward",
	"net/ipv4/conf/*/forwarding",
	"net/ipv4/conf/*/rp_filter",
	"net/ipv4/conf/*/src_valid_mark",
	"net/ipv4/ping_group_range",
	"net/ipv4/neigh/default/gc_thresh*",
	"net/ipv6/conf/*/forwarding",
	"net/ipv6/conf/*/disable_ipv6",
	"net/ipv6/conf/*/accept_ra",
	"net/ipv6/neigh/default/gc_thresh*",
	"net/bridge/bridge-nf-call-*",
	"net/netfilter/nf_conntrack_max",
	"net/netfilter/nf_conntrack_count",
	"fs/inotify/max_user_*",
};

static void add_sysctls(struct bundle *b)
{
	struct buffer out = { 0 };
	auto_free char *text = NULL;

	for (size_t i = 0; i < ARRAY_LEN(sysctls); i++) {
		auto_free char *pattern = xasprintf("/proc/sys/%s", sysctls[i]);
		glob_t found = { 0 };

		if (glob(pattern, 0, NULL, &found) == 0) {
			for (size_t n = 0; n < found.gl_pathc; n++) {
				auto_free char *value = NULL;

				if (file_read(found.gl_pathv[n], VALUE_MAX, &value, NULL, NULL) ==
				    0)
					buffer_printf(&out, "%s = %s",
						      found.gl_pathv[n] + strlen("/proc/sys/"),
						      value);
			}
		}
		globfree(&found);
	}
	text = buffer_steal(&out);
	bundle_add(b, "kernel/sysctl.txt", text, NULL);
}

void bundle_gather(struct bundle *b)
{
	const char *config =
		*b->settings->config_file ? b->settings->config_file : SETTINGS_CONFIG_FILE;

	/* The kernel first: asked for the difference, the daemon puts right what it finds. */
	for (size_t i = 0; i < ARRAY_LEN(programs); i++)
		add_program(b, &programs[i]);
	add_sysctls(b);
	for (size_t i = 0; i < ARRAY_LEN(owns); i++)
		add_own(b, &owns[i]);
	add_file(b, "flanneld.conf", config);
	add_file(b, "subnet.env", b->settings->subnet_file);
	add_file(b, "os-release", "/etc/os-release");
	add_file(b, "kernel/version.txt", "/proc/version");
	add_file(b, "kernel/memory.txt", "/proc/meminfo");
}
