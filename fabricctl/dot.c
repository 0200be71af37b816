/* SPDX-License-Identifier: Apache-2.0 */
/* Source: https://graphviz.org/doc/info/lang.html */
#include "fabricctl/dot.h"

#include <string.h>

#include "fabricctl/lease_columns.h"
#include "fabricctl/text.h"

#define CENTRE "fabric"

/* Within the quotes of an identifier or a label, in which a backslash begins an order. */
static void print_quoted(const struct ctl *c, const char *text)
{
	auto_free char *safe = text_escape(text ? text : "-", c->utf8);

	for (const char *p = safe; *p; p++) {
		if (*p == '"' || *p == '\\')
			fputc('\\', c->out);
		fputc(*p, c->out);
	}
}

/* Who has taken over a reservation has written how it is reached. */
static bool is_used(const json_t *item)
{
	return ctl_text(item, "backend") || !json_is_true(json_object_get(item, "reservation"));
}

static void print_host(const struct ctl *c, const json_t *item)
{
	auto_free char *name = lease_name(item);
	const char *node = ctl_text(item, "node");
	const char *address = ctl_text(item, "publicIP");
	bool own = json_is_true(json_object_get(item, "own"));
	bool reserved = !is_used(item);

	if (!address)
		address = ctl_text(item, "publicIPv6");
	fputs("\t\"", c->out);
	print_quoted(c, name);
	fputs("\" [label=\"", c->out);
	print_quoted(c, node);
	fputs("\\n", c->out);
	print_quoted(c, name);
	fputs("\\n", c->out);
	print_quoted(c, address);
	fprintf(c->out, "%s\"%s%s];\n", reserved ? "\\nreserved" : "", own ? ", penwidth=2" : "",
		reserved ? ", style=dotted" : "");
}

/* What is the matter with the way to it; NULL: nothing that is known. */
static const char *trouble(const json_t *item)
{
	const char *kernel = ctl_text(item, "kernel");
	const char *reach = ctl_text(item, "reach");

	if (kernel && strcmp(kernel, "ok") != 0)
		return kernel;
	return reach && strcmp(reach, "ok") != 0 && strcmp(reach, "new") != 0 ? reach : NULL;
}

static void print_tunnel(const struct ctl *c, const char *from, const json_t *item)
{
	auto_free char *name = lease_name(item);
	auto_free char *rtt = lease_rtt(item);
	const char *bad = trouble(item);

	fputs("\t\"", c->out);
	print_quoted(c, from);
	fputs("\" -- \"", c->out);
	print_quoted(c, name);
	fputs("\" [label=\"", c->out);
	print_quoted(c, ctl_text(item, "backend"));
	if (rtt)
		fprintf(c->out, "\\n%s", rtt);
	if (bad) {
		fputs("\\n", c->out);
		print_quoted(c, bad);
	}
	fprintf(c->out, "\"%s];\n", bad ? ", color=red, style=dashed" : "");
}

void dot_print(const struct ctl *c, const json_t *document)
{
	const char *kind = ctl_text(document, "kind");
	bool peers = kind && strcmp(kind, "PeerList") == 0;
	const json_t *items = json_object_get(document, "items");
	auto_free char *centre = NULL;
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		if (!centre && json_is_true(json_object_get(item, "own")))
			centre = lease_name(item);
	}
	fputs("graph fabric {\n\tnode [shape=box];\n", c->out);
	if (!centre) {
		centre = xstrdup(CENTRE);
		fprintf(c->out, "\t\"%s\" [label=\"%s\", shape=ellipse];\n", centre,
			peers ? "this host" : "fabric");
	}
	json_array_foreach (items, i, item)
		print_host(c, item);
	json_array_foreach (items, i, item) {
		if (!json_is_true(json_object_get(item, "own")) && is_used(item))
			print_tunnel(c, centre, item);
	}
	fputs("}\n", c->out);
}
