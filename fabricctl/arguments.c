/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/arguments.h"

#include <string.h>

#include "fabricctl/command.h"
#include "lib/nearest.h"
#include "stores/store_open.h"

#define AT(field) offsetof(struct ctl_options, field)
/* Here stand those that the stores have. */
#define STORE_OPTIONS "*"
#define OPTIONS_MAX   96

/* clang-format off */
static const struct ctl_option options[] = {
	{ "output", 'o', KIND_TEXT, GROUP_OUTPUT, AT(output), "FORMAT", "FORMAT",
	  "form of the answer" },
	{ "watch", 'w', KIND_FLAG, GROUP_LEASES | GROUP_EVENTS, AT(watch), NULL, NULL,
	  "go on and show what changes" },
	{ "columns", 0, KIND_TEXT, GROUP_TABLE | GROUP_EVENTS, AT(columns), "A,B,...", NULL,
	  "show these columns, in this order" },
	{ "sort", 0, KIND_TEXT, GROUP_LIST, AT(sort), "COLUMN",
	  "subnet node public-ip backend mac time-left role kernel reason node-id revision reach rtt",
	  "sort by this column; -COLUMN: backwards" },
	{ "filter", 0, KIND_FILTER, GROUP_LIST, 0, "EXPR", NULL,
	  "only what fits: COLUMN=TEXT, COLUMN!=TEXT, COLUMN~REGEX or COLUMN!~REGEX; several must all "
	  "fit" },
	{ "no-headers", 0, KIND_FLAG, GROUP_TABLE, AT(no_headers), NULL, NULL,
	  "leave out the line with the names of the columns" },
	{ "time-left", 0, KIND_FLAG, GROUP_LEASES, AT(time_left), NULL, NULL,
	  "wait for the time left of the leases however long it takes; with --store, of all of them" },
	{ "since", 0, KIND_TEXT, GROUP_EVENTS, AT(since), "TIME", NULL,
	  "only what happened within this time, such as 90, 30s, 5m or 1h" },
	{ "wait", 0, KIND_FLAG, GROUP_STATUS, AT(wait), NULL, NULL,
	  "wait until all is well" },
	{ "timeout", 0, KIND_TEXT, GROUP_STATUS | GROUP_DRAIN, AT(timeout), "TIME", NULL,
	  "how long --wait [60s] or drain [10m] waits, such as 90, 30s or 5m" },
	{ "release", 0, KIND_FLAG, GROUP_DRAIN, AT(release), NULL, NULL,
	  "then give back the subnet: the daemon ends, and claims none until resume" },
	{ "brief", 0, KIND_FLAG, GROUP_STATUS, AT(brief), NULL, NULL,
	  "one line: the verdict and the names of the problems" },
	{ "dry-run", 0, KIND_FLAG, GROUP_CHANGE, AT(dry_run), NULL, NULL,
	  "only say what would be done" },
	{ "yes", 'y', KIND_FLAG, GROUP_ASK, AT(yes), NULL, NULL,
	  "do not ask before something that runs may break" },
	{ "force", 0, KIND_FLAG, GROUP_LEASE | GROUP_DRAIN, AT(force), NULL, NULL,
	  "release: even while the daemon runs; drain: even if links of containers are left" },
	{ "node", 0, KIND_TEXT, GROUP_LEASE, AT(node), "NAME", "NODE",
	  "reserve: name of the host that shall have the subnet" },
	{ "public-ip", 0, KIND_TEXT, GROUP_LEASE, AT(public_ip), "ADDRESS", NULL,
	  "reserve: public address of that host, by which it finds the reservation" },
	{ "public-ipv6", 0, KIND_TEXT, GROUP_LEASE, AT(public_ipv6), "ADDRESS", NULL,
	  "reserve: its public IPv6 address" },
	{ "proto", 0, KIND_TEXT, GROUP_TRACE, AT(proto), "PROTOCOL", "tcp udp icmp",
	  "of the packet: tcp, udp or icmp [icmp; tcp with --port]" },
	{ "port", 0, KIND_TEXT, GROUP_TRACE, AT(port), "PORT", NULL,
	  "that the packet is sent to, with tcp and udp" },
	{ "count", 'n', KIND_TEXT, GROUP_TOP, AT(count), "N", NULL,
	  "end after so many intervals [none]" },
	{ "disrupt", 0, KIND_TEXT, GROUP_TEST, AT(disrupt), "TIME", NULL,
	  "send all the time for so long, such as 60s, and say what was lost and the longest gap" },
	{ "listen", 0, KIND_FLAG, GROUP_TEST, AT(listen), NULL, NULL,
	  "be what other hosts' fabricctl test can send to, until Ctrl-C" },
	{ "cni-config", 0, KIND_TEXT, GROUP_TEST, AT(cni_config), "FILE", "FILE",
	  "by which the container is attached [the first in /etc/cni/net.d with type flannel]" },
	{ "live", 0, KIND_FLAG, GROUP_TRACE, AT(live), NULL, NULL,
	  "send the packet, five times, and say where it was seen and where not" },
	{ "fix", 0, KIND_FLAG, GROUP_DOCTOR, AT(fix), NULL, NULL,
	  "then do what is safe, after showing it" },
	{ "store", 0, KIND_FLAG, GROUP_STORE, AT(store), NULL, NULL,
	  "ask the store, not the daemon, which need not run" },
	{ STORE_OPTIONS, 0, KIND_SETTING, GROUP_ETCD, 0, NULL, NULL, NULL },
	{ "plan", 0, KIND_FLAG, GROUP_GC, AT(plan), NULL, NULL,
	  "only say what would be removed, and why; this is what is done without --apply" },
	{ "apply", 0, KIND_FLAG, GROUP_GC, AT(apply), NULL, NULL,
	  "have the CNI plugin remove it" },
	{ "warn", 0, KIND_TEXT, GROUP_CAPACITY, AT(warn), "PERCENT", NULL,
	  "so full is nearly full [90]" },
	{ "kernel", 0, KIND_FLAG, GROUP_DIFF, AT(kernel), NULL, NULL,
	  "do not ask the daemon, which need not run: read the kernel, and what the daemon left in its directory" },
	{ "state-dir", 0, KIND_SETTING, GROUP_ETCD | GROUP_DOCTOR | GROUP_RESUME | GROUP_DIFF, 0, "DIR", "FILE",
	  "the daemon's directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]" },
	{ "subnet-file", 0, KIND_SETTING, GROUP_DOCTOR | GROUP_GC | GROUP_BUNDLE | GROUP_TEST, 0, "FILE", "FILE",
	  "what the daemon writes for the CNI plugin [/run/flannel/subnet.env]" },
	{ "cni-cache-dir", 0, KIND_TEXT, GROUP_PODS, AT(cni_cache_dir), "DIR", "FILE",
	  "where the runtime notes what is attached, below results [/var/lib/cni]" },
	{ "cni-ipam-dir", 0, KIND_TEXT, GROUP_IPAM, AT(cni_ipam_dir), "DIR", "FILE",
	  "where reserved addresses are, dataDir of the address management [/var/lib/cni/networks]" },
	{ "cni-plugin", 0, KIND_SETTING, GROUP_CNI, 0, "FILE", "FILE",
	  "the CNI plugin, which knows the containers of this host [flannel, in the daemon's list of directories]" },
	{ "cni-data-dir", 0, KIND_SETTING, GROUP_CNI, 0, "DIR", "FILE",
	  "dataDir of the plugin's configuration, where its records are [/var/lib/cni/flannel]" },
	{ "socket", 0, KIND_SETTING, GROUP_ALL, 0, "PATH", "FILE",
	  "unix socket of the daemon [/run/flannel/flanneld.sock]" },
	{ "config-file", 0, KIND_SETTING, GROUP_ALL, 0, "FILE", "FILE",
	  "the daemon's configuration file, for what is not given here [/etc/flannel/flanneld.conf]" },
	{ "color", 0, KIND_TEXT, GROUP_ALL, AT(color), "WHEN", "auto always never",
	  "use colours: auto, always or never [auto]" },
	{ "version", 0, KIND_FLAG, GROUP_ALL, AT(version), NULL, NULL,
	  "print the version and exit" },
	{ "help", 'h', KIND_FLAG, GROUP_ALL, AT(help), NULL, NULL,
	  "print help and exit" },
	{ 0 },
};
/* clang-format on */

struct table {
	struct ctl_option options[OPTIONS_MAX];
	size_t len;
};

static void add(struct table *t, const struct ctl_option *option)
{
	if (t->len + 1 == ARRAY_LEN(t->options))
		abort();
	t->options[t->len++] = *option;
}

/* As completion wants them; they live as long as the table. */
static const char *words_of(const struct option_spec *spec)
{
	char *words = xstrdup(spec->choices);

	for (char *p = words; *p; p++)
		*p = *p == ',' ? ' ' : *p;
	return words;
}

static int add_setting(const struct option_spec *spec, void *value UNUSED, void *arg)
{
	struct ctl_option option = { .name = spec->name,
				     .kind = KIND_SETTING,
				     .groups = GROUP_ETCD,
				     .metavar = spec->metavar ? spec->metavar : "BOOL",
				     .help = spec->help };

	/* Which store it is the daemon was told; here --store is to ask it at all. */
	if (strcmp(spec->name, "store") == 0 || spec->secret)
		return 0;
	if (spec->type == OPTION_BOOL)
		option.choices = "true false";
	else if (strcmp(spec->metavar, "FILE") == 0)
		option.choices = "FILE";
	else if (spec->type == OPTION_CHOICE)
		option.choices = words_of(spec);
	add(arg, &option);
	return 0;
}

const struct ctl_option *arguments_table(void)
{
	static struct table table;
	struct store_options nowhere;

	if (table.len > 0)
		return table.options;
	for (const struct ctl_option *o = options; o->name; o++) {
		if (strcmp(o->name, STORE_OPTIONS) == 0)
			options_each(store_option_specs, &nowhere, add_setting, &table);
		else
			add(&table, o);
	}
	return table.options;
}

static const struct ctl_option *find_long(const char *name, size_t size)
{
	for (const struct ctl_option *o = arguments_table(); o->name; o++) {
		if (strlen(o->name) == size && memcmp(o->name, name, size) == 0)
			return o;
	}
	return NULL;
}

static const struct ctl_option *find_letter(char letter)
{
	for (const struct ctl_option *o = arguments_table(); o->name; o++) {
		if (o->letter == letter)
			return o;
	}
	return NULL;
}

static bool takes(const struct command *command, const struct ctl_option *option)
{
	return option->groups & ((command ? command->options : 0) | GROUP_ALL);
}

static int unknown_option(const struct ctl *c, const char *given)
{
	size_t dashes = strspn(given, "-");
	auto_free char *name = xstrndup(given + dashes, strcspn(given + dashes, "="));
	struct nearest nearest = { .word = name };
	auto_free char *why = NULL;

	for (const struct ctl_option *o = arguments_table(); o->name; o++) {
		if (takes(c->command, o))
			nearest_consider(&nearest, o->name);
	}
	if (nearest.best)
		why = xasprintf("the nearest is --%s", nearest.best);
	return ctl_fail(c, CTL_USAGE, why,
			c->command ? command_help_hint(c->command) : "fabricctl help",
			"there is no option %.80s", given);
}

static int set(struct ctl *c, const struct ctl_option *option, const char *value)
{
	struct ctl_options *o = &c->options;
	void *place = (char *)o + option->offset;

	switch (option->kind) {
	case KIND_FLAG:
		*(bool *)place = true;
		break;
	case KIND_TEXT:
		*(const char **)place = value;
		break;
	case KIND_FILTER:
		if (o->filters_len == CTL_FILTERS_MAX)
			return ctl_fail(c, CTL_USAGE, NULL, NULL, "more than %d filters",
					CTL_FILTERS_MAX);
		o->filters[o->filters_len++] = value;
		break;
	case KIND_SETTING:
		o->settings =
			xrealloc(o->settings, ((size_t)o->settings_len + 1) * sizeof(*o->settings));
		o->settings[o->settings_len++] = xasprintf("--%s=%s", option->name, value);
		break;
	}
	return CTL_OK;
}

/* An option that was met, with its value; the check whether the command takes it comes when the
 * command is known. */
struct met {
	const struct ctl_option *option;
	const char *given;
};

struct parser {
	struct ctl *c;
	int argc;
	char **argv;
	int i;
	struct met *met;
	size_t met_len;
	size_t met_cap;
	const char *unknown; /* the first */
};

static int apply(struct parser *p, const struct ctl_option *option, const char *value)
{
	const char *given = p->argv[p->i];

	if (option->kind == KIND_FLAG && value)
		return ctl_fail(p->c, CTL_USAGE, NULL, NULL, "option --%s takes no value",
				option->name);
	if (option->kind != KIND_FLAG && !value) {
		if (p->i + 1 >= p->argc)
			return ctl_fail(p->c, CTL_USAGE, NULL, NULL, "option %.80s needs a value",
					given);
		value = p->argv[++p->i];
	}
	GROW(p->met, p->met_len, p->met_cap);
	p->met[p->met_len++] = (struct met){ option, given };
	return set(p->c, option, value);
}

static int parse_letters(struct parser *p, const char *letters)
{
	for (; *letters; letters++) {
		const struct ctl_option *option = find_letter(*letters);
		int status;

		if (!option) {
			p->unknown = p->unknown ? p->unknown : p->argv[p->i];
			return CTL_OK;
		}
		if (option->kind != KIND_FLAG)
			return apply(p, option, letters[1] ? letters + 1 : NULL);
		status = apply(p, option, NULL);
		if (status)
			return status;
	}
	return CTL_OK;
}

static int parse_option(struct parser *p, const char *arg)
{
	const char *name = arg + (arg[1] == '-' ? 2 : 1);
	size_t size = strcspn(name, "=");
	const struct ctl_option *option = size > 1 ? find_long(name, size) : NULL;

	if (option)
		return apply(p, option, name[size] ? name + size + 1 : NULL);
	if (arg[1] != '-')
		return parse_letters(p, arg + 1);
	p->unknown = p->unknown ? p->unknown : arg;
	return CTL_OK;
}

static int parse(struct parser *p)
{
	bool only_operands = false;
	const char *first = NULL;

	for (p->i = 1; p->i < p->argc; p->i++) {
		char *arg = p->argv[p->i];

		if (!only_operands && strcmp(arg, "--") == 0) {
			only_operands = true;
		} else if (!only_operands && arg[0] == '-' && arg[1]) {
			int status = parse_option(p, arg);

			if (status)
				return status;
		} else if (!first) {
			first = arg;
		} else {
			p->c->operands[p->c->operands_len++] = arg;
		}
	}
	if (first) {
		p->c->command = command_find(first);
		if (!p->c->command)
			return command_unknown(p->c, first);
	}
	return CTL_OK;
}

static int check_format(struct ctl *c)
{
	const struct command *command = c->command;
	auto_free char *known = command_formats(command, ", ");

	if (!c->options.output)
		return CTL_OK;
	for (unsigned f = 0; f < FORMATS; f++) {
		if (command->formats & 1u << f &&
		    strcmp(c->options.output, ctl_format_name(f)) == 0) {
			c->format = f;
			return CTL_OK;
		}
	}
	return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(command),
			"--output is \"%.40s\", must be one of: %s", c->options.output, known);
}

static int check(struct parser *p)
{
	struct ctl *c = p->c;
	const char *color = c->options.color;

	if (p->unknown)
		return unknown_option(c, p->unknown);
	if (color && strcmp(color, "auto") != 0 && strcmp(color, "always") != 0 &&
	    strcmp(color, "never") != 0)
		return ctl_fail(c, CTL_USAGE, NULL, NULL,
				"--color is \"%.40s\", must be one of: auto, always, never", color);
	/* Help and version answer whatever else was given. */
	if (c->options.help || c->options.version || !c->command)
		return CTL_OK;
	for (size_t i = 0; i < p->met_len; i++) {
		if (!takes(c->command, p->met[i].option))
			return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
					"fabricctl %s has no option --%s", c->command->name,
					p->met[i].option->name);
	}
	return check_format(c);
}

int arguments_read(struct ctl *c, int argc, char **argv)
{
	struct parser p = { .c = c, .argc = argc, .argv = argv };
	int status;

	c->operands = xcalloc((size_t)argc + 1, sizeof(*c->operands));
	status = parse(&p);
	if (status == CTL_OK)
		status = check(&p);
	free(p.met);
	return status;
}

void arguments_fini(struct ctl *c)
{
	for (int i = 0; i < c->options.settings_len; i++)
		free(c->options.settings[i]);
	free(c->options.settings);
	free(c->operands);
}

char *arguments_describe(const struct ctl_option *option)
{
	char letter[8] = "    ";

	if (option->letter)
		snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	return xasprintf("%s--%s%s%s", letter, option->name, option->metavar ? " " : "",
			 option->metavar ? option->metavar : "");
}
