/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl trace: what this host's kernel would do with a packet, and where it would stop. */
#include "fabricctl/trace.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/lease_source.h"
#include "fabricctl/text.h"
#include "fabricctl/trace_live.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 2000
#define PORT_MAX          65535

static int read_port(const struct ctl *c, uint16_t *ret)
{
	const char *text = c->options.port;
	char *end;
	long value;

	errno = 0;
	value = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : 0;
	if (value < 1 || value > PORT_MAX || errno || *end)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"--port is \"%.40s\", must be a number from 1 to %d", text,
				PORT_MAX);
	*ret = (uint16_t)value;
	return CTL_OK;
}

static int read_protocol(const struct ctl *c, struct lookup_packet *p)
{
	const char *name = c->options.proto;

	if (!name)
		name = c->options.port ? "tcp" : "icmp";
	if (strcmp(name, "tcp") == 0)
		p->protocol = IPPROTO_TCP;
	else if (strcmp(name, "udp") == 0)
		p->protocol = IPPROTO_UDP;
	else if (strcmp(name, "icmp") == 0)
		p->protocol = p->dst.family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	else
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"--proto is \"%.40s\", must be one of: tcp, udp, icmp", name);
	if (!c->options.port && c->options.live && strcmp(name, "icmp") != 0)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"--live with %s needs a --port to send to", name);
	if (!c->options.port)
		return CTL_OK;
	if (strcmp(name, "icmp") == 0)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"icmp has no --port");
	return read_port(c, &p->port);
}

static int read_question(const struct ctl *c, struct lookup_packet *p)
{
	struct err e;

	if (c->operands_len != 2)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"fabricctl trace needs two addresses, of sender and receiver");
	if (ip_addr_parse(c->operands[0], AF_UNSPEC, &p->src, &e) < 0 ||
	    ip_addr_parse(c->operands[1], AF_UNSPEC, &p->dst, &e) < 0)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command), "%s", e.text);
	if (p->src.family != p->dst.family)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"%.50s and %.50s are of different families", c->operands[0],
				c->operands[1]);
	return read_protocol(c, p);
}

/* Without the daemon the kernel can be asked all the same. *ret_why is "" if the leases are known. */
static int read_leases(const struct ctl *c, json_t **ret, struct err *why)
{
	auto_settings struct settings settings = { 0 };
	int status;

	why->text[0] = '\0';
	if (c->options.store)
		return lease_source_get(c, NULL, ret);
	status = settings_read(c, false, &settings);
	if (status == CTL_OK && client_get(settings.socket, "/v1/subnets", "SubnetList",
					   ANSWER_TIMEOUT_MS, ret, why) < 0)
		err_wrap(why, "flanneld at %s", settings.socket);
	return status;
}

static const char *verdict(const struct trace *t)
{
	return t->stop ? "stops" : t->is_unknown ? "unknown" : "passes";
}

static void print_verdict(const struct ctl *c, const struct trace *t)
{
	enum ctl_color color = t->stop ? COLOR_BAD : t->is_unknown ? COLOR_WARN : COLOR_GOOD;
	auto_free char *step = ctl_safe(c, t->stop, "step");
	auto_free char *text = ctl_safe(c, t->stop, "text");
	auto_free char *remedy = ctl_safe(c, t->stop, "remedy");

	fprintf(c->out, "%s%s%s", ctl_color_on(c, color), verdict(t), ctl_color_off(c, color));
	if (t->stop)
		fprintf(c->out, " at %s: %s\n", step, text);
	else
		fprintf(c->out, ": %s\n",
			t->is_unknown ? "nothing that is known here stops it"
				      : "nothing here stops it");
	if (t->stop && json_is_string(json_object_get(t->stop, "remedy")))
		fprintf(c->out, "  try: %s\n", remedy);
}

static void print_steps(const struct ctl *c, const struct trace *t)
{
	json_t *item;
	size_t i;

	json_array_foreach (t->steps, i, item) {
		auto_free char *step = ctl_safe(c, item, "step");
		auto_free char *state = ctl_safe(c, item, "state");
		auto_free char *text = ctl_safe(c, item, "text");
		enum ctl_color color = strcmp(state, "ok") == 0      ? COLOR_GOOD
				       : strcmp(state, "stops") == 0 ? COLOR_BAD
								     : COLOR_WARN;

		fprintf(c->out, "%3zu  %-10s  %s%-7s%s  %s\n", i + 1, step, ctl_color_on(c, color),
			state, ctl_color_off(c, color), text);
	}
}

/* `live` may be NULL. */
static void print(const struct ctl *c, const struct trace *t, const struct live *live,
		  const struct err *why)
{
	json_t *document;

	if (!document_is_wanted(c)) {
		print_verdict(c, t);
		print_steps(c, t);
		if (live)
			live_print(c, live);
		if (why->text[0])
			fprintf(c->out, "whose addresses these are is not known: %s\n", why->text);
		return;
	}
	document = ctl_document("Trace");
	json_object_set_new(document, "source", json_string(c->operands[0]));
	json_object_set_new(document, "destination", json_string(c->operands[1]));
	json_object_set_new(document, "protocol", json_integer(t->packet.protocol));
	json_object_set_new(document, "port",
			    t->packet.port ? json_integer(t->packet.port) : json_null());
	json_object_set_new(document, "verdict", json_string(verdict(t)));
	json_object_set_new(document, "stopsAt",
			    t->stop ? json_incref(json_object_get(t->stop, "step")) : json_null());
	json_object_set(document, "steps", t->steps);
	json_object_set_new(document, "live", live ? live_json(live) : json_null());
	json_object_set_new(document, "leasesUnknown",
			    why->text[0] ? json_text(why->text) : json_null());
	document_print(c, document);
}

static int elsewhere(const struct ctl *c, const struct trace *t)
{
	auto_free char *node = ctl_safe(c, t->source.lease, "node");
	auto_free char *hint = t->source.lease ? xasprintf("on %s: fabricctl trace %s %s", node,
							   c->operands[0], c->operands[1])
					       : NULL;

	return ctl_fail(c, CTL_NOT_FOUND,
			"only the kernel of the host that it comes from knows what becomes of it",
			hint, "%s is not on this host", c->operands[0]);
}

/* Walks, sends if that is wished, and prints. */
static int answer(const struct ctl *c, struct trace *t, const struct err *why)
{
	char text[LIVE_TEXT];
	struct live live;
	struct err e;

	trace_walk(t);
	if (t->elsewhere)
		return elsewhere(c, t);
	trace_ask_host(c, t);
	if (!c->options.live) {
		print(c, t, NULL, why);
		return t->stop ? CTL_FOUND : CTL_OK;
	}
	if (live_run(t, &live, &e) < 0)
		return ctl_fail(c, e.code == -EACCES || e.code == -EPERM ? CTL_DENIED : CTL_FAILED,
				e.text, NULL, "nothing was sent");
	print(c, t, &live, why);
	return t->stop || live_judge(&live, text) == LIVE_LOST ? CTL_FOUND : CTL_OK;
}

int trace_run(struct ctl *c)
{
	auto_json json_t *leases = NULL;
	struct trace t = { 0 };
	struct err why;
	struct err e;
	int status = read_question(c, &t.packet);

	if (status == CTL_OK)
		status = read_leases(c, &leases, &why);
	if (status == CTL_OK && trace_open(&t, &e) < 0)
		status = ctl_fail(c, CTL_FAILED, NULL, NULL, "the kernel cannot be asked: %s",
				  e.text);
	if (status == CTL_OK) {
		t.leases = leases;
		status = answer(c, &t, &why);
	}
	trace_close(&t);
	return status;
}
