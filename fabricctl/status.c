/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl status: one screen that says what is well and what is not, the verdict first. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/problems.h"
#include "fabricctl/settings.h"
#include "fabricctl/text.h"
#include "lib/clock.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 5000
#define DEFAULT_WAIT_S    60
#define POLL_FIRST_MS     50
#define POLL_MAX_MS       1000

static bool is_ok(const json_t *status)
{
	const char *verdict = ctl_text(status, "verdict");

	return verdict && strcmp(verdict, "ok") == 0;
}

static enum ctl_color verdict_color(const json_t *status)
{
	const char *verdict = ctl_text(status, "verdict");

	if (is_ok(status))
		return COLOR_GOOD;
	return verdict && strcmp(verdict, "degraded") == 0 ? COLOR_BAD : COLOR_WARN;
}

static char *duration(const json_t *object, const char *key)
{
	char text[CLOCK_TEXT];
	int64_t seconds = ctl_int(object, key, -1);

	return xstrdup(seconds < 0 ? "-" : clock_format_duration(seconds, text));
}

static void print_label(const struct ctl *c, const char *label)
{
	fprintf(c->out, "%s%-9s%s ", ctl_color_on(c, COLOR_DIM), label,
		ctl_color_off(c, COLOR_DIM));
}

static void print_verdict(const struct ctl *c, const json_t *s)
{
	auto_free char *version = ctl_safe(c, s, "version");
	auto_free char *verdict = ctl_safe(c, s, "verdict");
	auto_free char *uptime = duration(s, "uptimeSeconds");
	enum ctl_color color = verdict_color(s);

	fprintf(c->out, "%s%s%s flanneld %s  %s%s%s  ", ctl_color_on(c, color),
		c->utf8 ? "\u25cf" : "*", ctl_color_off(c, color), version, ctl_color_on(c, color),
		verdict, ctl_color_off(c, color));
	problems_print_count(c, json_object_get(s, "problems"));
	fprintf(c->out, "up %s\n", uptime);
}

static void print_problems(const struct ctl *c, const json_t *s)
{
	const json_t *problems = json_object_get(s, "problems");

	problems_print(c, problems, clock_wall_ms());
	if (json_array_size(problems) == 0 && !json_is_true(json_object_get(s, "ready"))) {
		auto_free char *reason = ctl_safe(c, s, "readyReason");

		fprintf(c->out, "  not-ready: %s\n", reason);
	}
	fputc('\n', c->out);
}

static void print_node(const struct ctl *c, const json_t *s)
{
	auto_free char *name = ctl_safe(c, s, "node");
	auto_free char *id = ctl_safe(c, s, "nodeID");
	auto_free char *interface = ctl_safe(c, s, "externalInterface");
	auto_free char *interface_v6 = ctl_safe(c, s, "externalInterfaceV6");
	bool two = strcmp(interface_v6, "-") != 0;

	print_label(c, "node");
	fprintf(c->out, "%s  id %s, on %s%s%s, pid %" PRId64 "\n", name, id, interface,
		two ? " and " : "", two ? interface_v6 : "", ctl_int(s, "pid", 0));
}

static void print_lease(const struct ctl *c, const json_t *s)
{
	const json_t *lease = json_object_get(s, "lease");
	auto_free char *subnet = ctl_safe(c, lease, "subnet");
	auto_free char *state = ctl_safe(c, lease, "state");
	auto_free char *address = ctl_safe(c, lease, "publicIP");
	auto_free char *address_v6 = ctl_safe(c, lease, "publicIPv6");
	auto_free char *left = duration(lease, "expiresSeconds");
	auto_free char *renewed = duration(lease, "renewedSecondsAgo");

	print_label(c, "lease");
	fprintf(c->out, "%s  %s", subnet, state);
	if (strcmp(address, "-") != 0)
		fprintf(c->out, ", at %s", address);
	if (strcmp(address_v6, "-") != 0)
		fprintf(c->out, "%s%s", strcmp(address, "-") != 0 ? " and " : ", at ", address_v6);
	if (json_is_true(json_object_get(lease, "reservation")))
		fprintf(c->out, ", reserved, never expires");
	if (strcmp(left, "-") != 0)
		fprintf(c->out, ", %s left", left);
	if (strcmp(renewed, "-") != 0)
		fprintf(c->out, ", renewed %s ago", renewed);
	fputc('\n', c->out);
}

static void print_store(const struct ctl *c, const json_t *s)
{
	const json_t *store = json_object_get(s, "store");
	const json_t *endpoints = json_object_get(store, "endpoints");
	auto_free char *type = ctl_safe(c, store, "type");
	auto_free char *watch = ctl_safe(c, store, "watchReason");
	auto_free char *directory = ctl_safe(c, store, "directory");
	bool live = json_is_true(json_object_get(store, "watchLive"));
	json_t *endpoint;
	size_t i;

	print_label(c, "store");
	fputs(type, c->out);
	if (json_object_get(store, "directory"))
		fprintf(c->out, " %s", directory);
	json_array_foreach (endpoints, i, endpoint) {
		auto_free char *url = ctl_safe(c, endpoint, "url");
		auto_free char *error = ctl_safe(c, endpoint, "last_error");
		auto_free char *transport = ctl_safe(c, endpoint, "transport");
		auto_free char *why = ctl_safe(c, endpoint, "transport_reason");
		const char *reason = ctl_text(endpoint, "transport_reason");
		int64_t errors = ctl_int(endpoint, "errors", 0);

		if (i)
			fprintf(c->out, "\n%10s    ", "");
		fprintf(c->out, " %s%s", url,
			json_is_true(json_object_get(endpoint, "current")) ? " (in use)" : "");
		fprintf(c->out, ", by %s", transport);
		if (reason && *reason)
			fprintf(c->out, " (it %s)", why);
		if (errors)
			fprintf(c->out, ", %" PRId64 " error%s, the last: %s", errors,
				errors == 1 ? "" : "s", error);
	}
	fputc('\n', c->out);
	print_label(c, "watch");
	if (live)
		fputs("live\n", c->out);
	else
		fprintf(c->out, "%sinterrupted%s  %s\n", ctl_color_on(c, COLOR_WARN),
			ctl_color_off(c, COLOR_WARN), watch);
}

static void print_devices(const struct ctl *c, const json_t *s)
{
	const json_t *devices = json_object_get(s, "devices");
	auto_free char *backend = ctl_safe(c, s, "backend");
	json_t *device;
	size_t i;

	print_label(c, "backend");
	fprintf(c->out, "%s", backend);
	if (json_is_integer(json_object_get(s, "podMTU")))
		fprintf(c->out, ", containers' mtu %" PRId64, ctl_int(s, "podMTU", 0));
	fputc('\n', c->out);
	json_array_foreach (devices, i, device) {
		auto_free char *name = ctl_safe(c, device, "name");
		auto_free char *mac = ctl_safe(c, device, "mac");
		int64_t index = ctl_int(device, "index", 0);

		print_label(c, "device");
		if (index)
			fprintf(c->out, "%s  index %" PRId64, name, index);
		else
			fprintf(c->out, "%s  %smissing%s", name, ctl_color_on(c, COLOR_BAD),
				ctl_color_off(c, COLOR_BAD));
		fprintf(c->out, ", mtu %" PRId64 ", %s\n", ctl_int(device, "mtu", 0), mac);
	}
}

/* Adds up the counts of all kinds of objects, and lists them. */
static int64_t print_counts(const struct ctl *c, const json_t *counts, bool print)
{
	const char *kind;
	json_t *count;
	int64_t total = 0;
	bool first = true;

	json_object_foreach ((json_t *)counts, kind, count) {
		auto_free char *name = text_escape(kind, c->utf8);
		int64_t n = json_integer_value(count);

		total += n;
		if (print && n) {
			fprintf(c->out, "%s%" PRId64 " %s", first ? "" : ", ", n, name);
			first = false;
		}
	}
	return total;
}

static void print_kernel(const struct ctl *c, const json_t *s)
{
	const json_t *kernel = json_object_get(s, "kernel");
	const json_t *wanted = json_object_get(kernel, "wanted");
	int64_t failed = ctl_int(kernel, "failed", 0);
	int64_t unsettled = ctl_int(kernel, "unsettled", 0);
	int64_t total = print_counts(c, wanted, false);
	int64_t healed = print_counts(c, json_object_get(kernel, "driftHealed"), false);
	enum ctl_color color = failed ? COLOR_BAD : unsettled ? COLOR_WARN : COLOR_GOOD;
	auto_free char *compared = duration(kernel, "comparedSecondsAgo");

	print_label(c, "kernel");
	fprintf(c->out, "%s%" PRId64 " of %" PRId64 " objects agree%s",
		ctl_color_on(c, total ? color : COLOR_NONE), total - MAX(failed, unsettled), total,
		ctl_color_off(c, total ? color : COLOR_NONE));
	if (total) {
		fputs(" (", c->out);
		print_counts(c, wanted, true);
		fputc(')', c->out);
	}
	if (failed)
		fprintf(c->out, ", %" PRId64 " refused", failed);
	if (healed)
		fprintf(c->out, ", %" PRId64 " put right", healed);
	if (strcmp(compared, "-") != 0)
		fprintf(c->out, ", compared %s ago", compared);
	fputc('\n', c->out);
}

/* "12 packets", with what happened to them. Nothing if there are none. */
static void print_packets(const struct ctl *c, const json_t *traffic, const char *key,
			  const char *what)
{
	int64_t packets = ctl_int(traffic, key, 0);

	if (packets)
		fprintf(c->out, ", %" PRId64 " packet%s %s", packets, packets == 1 ? "" : "s",
			what);
}

static void print_tracking(const struct ctl *c, const json_t *traffic)
{
	auto_free char *reason = ctl_safe(c, traffic, "tunnelTrackedReason");
	const json_t *tracked = json_object_get(traffic, "tunnelTracked");

	/* A daemon of an older version says nothing of it. */
	if (!tracked)
		return;
	print_label(c, "tracking");
	if (json_is_true(tracked))
		fprintf(c->out, "of tunnel packets too: %s\n", reason);
	else
		fputs("of containers' packets, not of tunnel packets\n", c->out);
}

static void print_rules(const struct ctl *c, const json_t *s)
{
	const json_t *traffic = json_object_get(s, "traffic");
	auto_free char *table = ctl_safe(c, traffic, "table");
	auto_free char *mode = ctl_safe(c, traffic, "mode");
	auto_free char *reason = ctl_safe(c, traffic, "modeReason");
	bool ok = json_is_true(json_object_get(traffic, "ok"));
	int64_t healed = ctl_int(traffic, "healed", 0);

	if (!json_is_object(traffic))
		return;
	print_label(c, "rules");
	fprintf(c->out, "%s%s%s  %s", ctl_color_on(c, ok ? COLOR_NONE : COLOR_BAD),
		ok ? table : "not as wanted", ctl_color_off(c, ok ? COLOR_NONE : COLOR_BAD), mode);
	if (strcmp(reason, "-") != 0)
		fprintf(c->out, " (%s)", reason);
	if (json_is_true(json_object_get(traffic, "masquerade")))
		fputs(", masquerade", c->out);
	if (json_is_true(json_object_get(traffic, "peerGuard")))
		fprintf(c->out, ", only %" PRId64 " peer address%s let in",
			ctl_int(traffic, "guardAddresses", 0),
			ctl_int(traffic, "guardAddresses", 0) == 1 ? "" : "es");
	print_packets(c, traffic, "guardDroppedPackets", "of others dropped");
	print_packets(c, traffic, "spoofedDroppedPackets", "with false sources dropped");
	if (healed)
		fprintf(c->out, ", %" PRId64 " time%s put right", healed, healed == 1 ? "" : "s");
	fputc('\n', c->out);
	print_tracking(c, traffic);
}

static void print_fast_path(const struct ctl *c, const json_t *s)
{
	static const char *const taken[] = { "out", "in", "local" };
	const json_t *path = json_object_get(s, "fastPath");
	const json_t *packets = json_object_get(path, "packets");
	auto_free char *mode = ctl_safe(c, path, "mode");
	auto_free char *reason = ctl_safe(c, path, "reason");
	auto_free char *refused_reason = ctl_safe(c, path, "refusedReason");
	int64_t containers = ctl_int(path, "containers", 0);
	int64_t refused = ctl_int(path, "refused", 0);
	int64_t sum = 0;
	int64_t others = 0;
	const char *name;
	json_t *value;

	/* Who did not ask for it need not read of it. */
	if (!json_is_object(path) || strcmp(mode, "on") != 0)
		return;
	json_object_foreach ((json_t *)packets, name, value)
		others += json_integer_value(value);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		sum += ctl_int(packets, taken[i], 0);
	print_label(c, "fast path");
	if (!json_is_true(json_object_get(path, "on"))) {
		fprintf(c->out, "off: %s\n", reason);
		return;
	}
	fprintf(c->out, "on for %" PRId64 " container address%s", containers,
		containers == 1 ? "" : "es");
	if (refused)
		fprintf(c->out, " and not for %" PRId64 " (%s)", refused, refused_reason);
	fprintf(c->out, ", %" PRId64 " packet%s took it, %" PRId64 " did not\n", sum,
		sum == 1 ? "" : "s", others - sum);
}

static void print_peers(const struct ctl *c, const json_t *s)
{
	int64_t ignored = ctl_int(s, "peersIgnored", 0);
	int64_t reserved = ctl_int(s, "peersReserved", 0);
	int64_t junk = ctl_int(s, "junkKeys", 0);

	print_label(c, "peers");
	fprintf(c->out, "%" PRId64, ctl_int(s, "peers", 0) - reserved);
	if (reserved)
		fprintf(c->out, ", and %" PRId64 " reserved subnet%s", reserved,
			reserved == 1 ? "" : "s");
	if (ignored)
		fprintf(c->out, ", %" PRId64 " of them ignored (fabricctl subnets -o wide)",
			ignored);
	if (junk)
		fprintf(c->out, ", %" PRId64 " key%s that cannot be read", junk,
			junk == 1 ? "" : "s");
	fputc('\n', c->out);
}

/* "3 answer, 1 does not"; nothing where there are no peers. */
static void print_reach(const struct ctl *c, const json_t *s)
{
	const json_t *probes = json_object_get(s, "probes");
	const json_t *peers = json_object_get(probes, "peers");
	auto_free char *reason = ctl_safe(c, probes, "reason");
	int64_t well = ctl_int(peers, "ok", 0);
	int64_t tunnel = ctl_int(peers, "tunnel-silent", 0);
	int64_t silent = ctl_int(peers, "silent", 0);
	int64_t asked = ctl_int(peers, "new", 0);

	if (!json_is_object(probes))
		return;
	if (!json_is_true(json_object_get(probes, "on"))) {
		if (strcmp(reason, "-") == 0)
			return;
		print_label(c, "reach");
		fprintf(c->out, "peers are not asked whether they answer: %s\n", reason);
		return;
	}
	if (!(well + tunnel + silent + asked))
		return;
	print_label(c, "reach");
	fprintf(c->out, "%" PRId64 " answer%s", well, well == 1 ? "s" : "");
	if (tunnel)
		fprintf(c->out, ", %s%" PRId64 " not through the tunnel%s",
			ctl_color_on(c, COLOR_BAD), tunnel, ctl_color_off(c, COLOR_BAD));
	if (silent)
		fprintf(c->out, ", %s%" PRId64 " not at all%s", ctl_color_on(c, COLOR_WARN), silent,
			ctl_color_off(c, COLOR_WARN));
	if (asked)
		fprintf(c->out, ", %" PRId64 " not yet", asked);
	fputs("  (fabricctl peers)\n", c->out);
}

static void print_warnings(const struct ctl *c, const json_t *s)
{
	const json_t *warnings = json_object_get(s, "warnings");
	json_t *warning;
	size_t i;

	if (json_array_size(warnings) == 0)
		return;
	fputs("\nlast warnings\n", c->out);
	json_array_foreach (warnings, i, warning) {
		auto_free char *when = ctl_safe(c, warning, "time");
		auto_free char *event = ctl_safe(c, warning, "event");
		auto_free char *text = ctl_safe(c, warning, "text");

		fprintf(c->out, "  %s  %-16s %s\n", when, event, text);
	}
}

static void print_screen(const struct ctl *c, const json_t *s)
{
	auto_free char *file = ctl_safe(c, s, "subnetFile");

	print_verdict(c, s);
	print_problems(c, s);
	print_node(c, s);
	print_lease(c, s);
	print_store(c, s);
	print_devices(c, s);
	print_kernel(c, s);
	print_rules(c, s);
	print_fast_path(c, s);
	print_peers(c, s);
	print_reach(c, s);
	print_label(c, "file");
	fprintf(c->out, "%s\n", file);
	print_warnings(c, s);
}

static void print_brief(const struct ctl *c, const json_t *s)
{
	auto_free char *verdict = ctl_safe(c, s, "verdict");
	enum ctl_color color = verdict_color(s);

	fprintf(c->out, "%s%s%s", ctl_color_on(c, color), verdict, ctl_color_off(c, color));
	problems_print_names(c, json_object_get(s, "problems"));
	fputc('\n', c->out);
}

static void print(const struct ctl *c, json_t *s)
{
	if (document_is_wanted(c))
		document_print(c, json_incref(s));
	else if (c->options.brief)
		print_brief(c, s);
	else
		print_screen(c, s);
}

static void sleep_ms(int64_t ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/*
 * Asks until all is well or the time is over; a daemon that is not there yet may still come. *ret
 * is the last answer, NULL if the last try had none, and then *e says why. Returns whether all is
 * well.
 */
static bool wait_until_ok(const char *socket, int64_t wait_s, json_t **ret, struct err *e)
{
	int64_t deadline = clock_boot_ms() + wait_s * 1000;
	int64_t pause = POLL_FIRST_MS;

	for (;;) {
		int64_t left;

		json_decref(STEAL(*ret));
		if (client_get(socket, "/v1/status", "Status", ANSWER_TIMEOUT_MS, ret, e) == 0 &&
		    is_ok(*ret))
			return true;
		left = deadline - clock_boot_ms();
		if (left <= 0 || (!*ret && e->code == -EACCES))
			return false;
		sleep_ms(MIN(pause, left));
		pause = MIN(pause * 2, (int64_t)POLL_MAX_MS);
	}
}

static int wait_failed(const struct ctl *c, const char *socket, json_t *last, const struct err *e,
		       int64_t wait_s)
{
	char text[CLOCK_TEXT];

	if (last) {
		print(c, last);
		return ctl_fail(c, CTL_TIMEOUT, NULL, NULL, "flanneld is %s after %s",
				ctl_text(last, "verdict"), clock_format_duration(wait_s, text));
	}
	if (e->code == -EACCES)
		return client_fail(c, socket, e, NULL);
	return ctl_fail(c, CTL_TIMEOUT, "the daemon does not answer (systemctl status flanneld)",
			NULL, "cannot reach flanneld at %s after %s: %s", socket,
			clock_format_duration(wait_s, text), e->text);
}

int status_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *answer = NULL;
	int64_t wait_s = DEFAULT_WAIT_S;
	struct err e = { 0 };
	int status;

	if (c->options.timeout && !c->options.wait)
		return ctl_fail(c, CTL_USAGE, NULL, "fabricctl status --wait --timeout TIME",
				"--timeout is of no use without --wait");
	if (c->options.timeout && text_parse_duration(c->options.timeout, &wait_s, &e) < 0)
		return ctl_fail(c, CTL_USAGE, NULL, NULL, "--timeout: %s", e.text);
	status = settings_read(c, false, &settings);
	if (status)
		return status;
	if (c->options.wait) {
		if (!wait_until_ok(settings.socket, wait_s, &answer, &e))
			return wait_failed(c, settings.socket, answer, &e, wait_s);
	} else if (client_get(settings.socket, "/v1/status", "Status", ANSWER_TIMEOUT_MS, &answer,
			      &e) < 0) {
		return client_fail(c, settings.socket, &e, "fabricctl subnets --store");
	}
	print(c, answer);
	return is_ok(answer) ? CTL_OK : CTL_FOUND;
}
