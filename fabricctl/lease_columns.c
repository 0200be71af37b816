/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/lease_columns.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fabricctl/text.h"
#include "lib/addr.h"
#include "lib/clock.h"

static char *copy(const json_t *lease, const char *key)
{
	const char *text = ctl_text(lease, key);

	return text && *text ? xstrdup(text) : NULL;
}

/* Both families, if there are two. */
static char *copy_pair(const json_t *lease, const char *key, const char *key_v6)
{
	const char *a = ctl_text(lease, key);
	const char *b = ctl_text(lease, key_v6);

	if (a && b)
		return xasprintf("%s,%s", a, b);
	return a ? xstrdup(a) : b ? xstrdup(b) : NULL;
}

char *lease_name(const json_t *lease)
{
	return copy_pair(lease, "subnet", "subnetV6");
}

static char *text_subnet(const json_t *lease, bool people UNUSED)
{
	return lease_name(lease);
}

static char *text_node(const json_t *lease, bool people UNUSED)
{
	return copy(lease, "node");
}

static char *text_public(const json_t *lease, bool people UNUSED)
{
	return copy_pair(lease, "publicIP", "publicIPv6");
}

static char *text_backend(const json_t *lease, bool people UNUSED)
{
	return copy(lease, "backend");
}

static char *text_mac(const json_t *lease, bool people UNUSED)
{
	return copy_pair(lease, "mac", "macV6");
}

/* Why it has no end, "" if it has. */
static const char *never_ends(const json_t *lease)
{
	if (json_is_true(json_object_get(lease, "reservation")))
		return "reserved";
	return json_is_true(json_object_get(lease, "unbound")) ? "unbound" : "";
}

static char *text_time_left(const json_t *lease, bool people)
{
	int64_t seconds = ctl_int(lease, "expiresSeconds", -1);
	char text[CLOCK_TEXT];

	if (*never_ends(lease))
		return xstrdup("never");
	if (seconds < 0)
		return NULL;
	return people ? xstrdup(clock_format_duration(seconds, text))
		      : xasprintf("%" PRId64, seconds);
}

static char *text_role(const json_t *lease, bool people UNUSED)
{
	const json_t *own = json_object_get(lease, "own");
	const char *never = never_ends(lease);

	if (!json_is_boolean(own))
		return *never ? xstrdup(never) : NULL;
	return xasprintf("%s%s%s", json_is_true(own) ? "own" : "peer", *never ? "," : "", never);
}

static char *text_kernel(const json_t *lease, bool people UNUSED)
{
	return copy(lease, "kernel");
}

static char *text_reason(const json_t *lease, bool people UNUSED)
{
	return copy(lease, "reason");
}

static char *text_node_id(const json_t *lease, bool people UNUSED)
{
	return copy(lease, "nodeID");
}

static char *text_revision(const json_t *lease, bool people UNUSED)
{
	return copy(lease, "revision");
}

char *lease_rtt(const json_t *lease)
{
	const json_t *rtt = json_object_get(lease, "rttSeconds");

	return json_is_number(rtt) ? xasprintf("%.3g ms", json_number_value(rtt) * 1e3) : NULL;
}

static char *text_reach(const json_t *lease, bool people UNUSED)
{
	return copy(lease, "reach");
}

/* Microseconds, for programs. */
static char *text_rtt(const json_t *lease, bool people)
{
	const json_t *rtt = json_object_get(lease, "rttSeconds");

	if (people || !json_is_number(rtt))
		return lease_rtt(lease);
	return xasprintf("%.0f", json_number_value(rtt) * 1e6);
}

/* The order is that of -o raw: columns are added at the end, never moved. */
const struct lease_column lease_columns[LEASE_COLUMNS_LEN] = {
	{ "SUBNET", NULL, "subnet,subnetV6", ORDER_ADDRESS, false, false, 18, text_subnet },
	{ "NODE", NULL, "node", ORDER_TEXT, false, true, 16, text_node },
	{ "PUBLIC IP", NULL, "publicIP,publicIPv6", ORDER_ADDRESS, false, false, 15, text_public },
	{ "BACKEND", NULL, "backend", ORDER_TEXT, false, false, 7, text_backend },
	{ "MAC", NULL, "mac,macV6", ORDER_TEXT, false, false, 17, text_mac },
	{ "TIME LEFT", "expiresSeconds", "expiresSeconds,reservation,unbound", ORDER_NUMBER, false,
	  false, 9, text_time_left },
	{ "ROLE", "own", "own,reservation,unbound", ORDER_TEXT, false, false, 4, text_role },
	{ "KERNEL", NULL, "kernel", ORDER_TEXT, false, false, 7, text_kernel },
	{ "REASON", NULL, "reason,kernel", ORDER_TEXT, true, false, 6, text_reason },
	{ "NODE ID", NULL, "nodeID", ORDER_TEXT, true, false, 33, text_node_id },
	{ "REVISION", NULL, "revision", ORDER_NUMBER, true, false, 8, text_revision },
	{ "REACH", NULL, "reach", ORDER_TEXT, true, false, 6, text_reach },
	{ "RTT", "rttSeconds", "rttSeconds", ORDER_NUMBER, true, false, 8, text_rtt },
};

int lease_column_find(const char *name, size_t size, const struct lease_column **ret, struct err *e)
{
	auto_free char *wanted = xstrndup(name, size);

	for (size_t i = 0; i < LEASE_COLUMNS_LEN; i++) {
		const struct lease_column *column = &lease_columns[i];

		if (text_same_name(wanted, column->name) ||
		    (column->member && text_same_name(wanted, column->member))) {
			*ret = column;
			return 0;
		}
	}
	return err_set(
		e, -EINVAL,
		"there is no column \"%.40s\"; there are subnet, node, public-ip, backend, mac, "
		"time-left, role, kernel, reason, node-id, revision, reach, rtt",
		wanted);
}

int lease_columns_parse(const char *list, const struct lease_column **ret, size_t *ret_len,
			struct err *e)
{
	const struct lease_column *found[LEASE_COLUMNS_LEN];
	size_t len = 0;

	for (const char *p = list;;) {
		size_t size = strcspn(p, ",");
		const struct lease_column *column;
		int rc = lease_column_find(p, size, &column, e);

		if (rc < 0)
			return rc;
		for (size_t i = 0; i < len; i++) {
			if (found[i] == column)
				return err_set(e, -EINVAL, "column \"%.*s\" is named twice",
					       (int)size, p);
		}
		found[len++] = column;
		if (!p[size])
			break;
		p += size + 1;
	}
	memcpy(ret, found, len * sizeof(*ret));
	*ret_len = len;
	return 0;
}

enum ctl_color lease_column_color(const struct lease_column *column, const json_t *lease)
{
	const char *state = ctl_text(lease, "kernel");

	if (column->text == text_role && json_is_true(json_object_get(lease, "own")))
		return COLOR_BOLD;
	if (!state || (column->text != text_kernel && column->text != text_reason))
		return COLOR_NONE;
	if (strcmp(state, "ok") == 0)
		return COLOR_GOOD;
	return strcmp(state, "failed") == 0 ? COLOR_BAD : COLOR_WARN;
}

int lease_filter_parse(const char *expr, struct lease_filter *ret, struct err *e)
{
	size_t size = strcspn(expr, "=~!");
	const char *op = expr + size;
	struct lease_filter f = { 0 };
	char why[160];
	int rc;

	*ret = f;
	f.negate = *op == '!';
	op += f.negate;
	if (size == 0 || (*op != '=' && *op != '~'))
		return err_set(e, -EINVAL,
			       "\"%.60s\" must be COLUMN=TEXT, COLUMN!=TEXT, COLUMN~REGEX or "
			       "COLUMN!~REGEX",
			       expr);
	rc = lease_column_find(expr, size, &f.column, e);
	if (rc < 0)
		return rc;
	f.is_regex = *op == '~';
	if (f.is_regex) {
		rc = regcomp(&f.regex, op + 1, REG_EXTENDED | REG_NOSUB);
		if (rc) {
			regerror(rc, &f.regex, why, sizeof(why));
			return err_set(e, -EINVAL, "\"%.60s\" is no regular expression: %s", op + 1,
				       why);
		}
	}
	f.text = xstrdup(op + 1);
	*ret = f;
	return 0;
}

bool lease_filter_match(const struct lease_filter *filter, const json_t *lease)
{
	/* What is shown is what can be asked for: "23h59m", though nobody will, and "-" for
	 * nothing. */
	auto_free char *text = filter->column->text(lease, true);
	bool match;

	if (filter->is_regex)
		match = regexec(&filter->regex, text ? text : "", 0, NULL, 0) == 0;
	else if (text)
		match = strcmp(text, filter->text) == 0;
	else
		match = !*filter->text || strcmp(filter->text, "-") == 0;
	return match != filter->negate;
}

void lease_filter_fini(struct lease_filter *filter)
{
	if (filter->is_regex)
		regfree(&filter->regex);
	free(filter->text);
}

struct sort_key {
	json_t *lease;
	size_t position;
	char *text; /* NULL: empty */
	unsigned long long number;
	struct ip_net net;
	enum lease_column_order order;
	bool backwards;
};

static void key_init(struct sort_key *key, const struct lease_column *column)
{
	auto_free char *first = NULL;
	struct ip_addr addr;

	key->order = column->order;
	key->text = column->text(key->lease, false);
	if (!key->text)
		return;
	if (key->order == ORDER_NUMBER) {
		/* "never" is longer than anything. */
		key->number = strcmp(key->text, "never") == 0 ? UINT64_MAX
							      : strtoull(key->text, NULL, 10);
	} else if (key->order == ORDER_ADDRESS) {
		first = xstrndup(key->text, strcspn(key->text, ","));
		if (ip_net_parse(first, AF_UNSPEC, &key->net, NULL) < 0 &&
		    ip_addr_parse(first, AF_UNSPEC, &addr, NULL) == 0)
			key->net = (struct ip_net){ addr, (uint8_t)ip_family_bits(addr.family) };
	}
}

static int compare(const void *a, const void *b)
{
	const struct sort_key *x = a;
	const struct sort_key *y = b;
	int order = 0;

	if (!x->text || !y->text)
		order = !x->text - !y->text;
	else if (x->order == ORDER_NUMBER)
		order = (x->number > y->number) - (x->number < y->number);
	else if (x->order == ORDER_ADDRESS)
		order = memcmp(&x->net, &y->net, sizeof(x->net));
	else
		order = strcmp(x->text, y->text);
	if (x->backwards && x->text && y->text)
		order = -order;
	return order ? order : (x->position > y->position) - (x->position < y->position);
}

void lease_sort(json_t *leases, const struct lease_column *column, bool backwards)
{
	size_t len = json_array_size(leases);
	auto_free struct sort_key *keys = xcalloc(len, sizeof(*keys));

	for (size_t i = 0; i < len; i++) {
		keys[i].lease = json_incref(json_array_get(leases, i));
		keys[i].position = i;
		keys[i].backwards = backwards;
		key_init(&keys[i], column);
	}
	qsort(keys, len, sizeof(*keys), compare);
	json_array_clear(leases);
	for (size_t i = 0; i < len; i++) {
		json_array_append_new(leases, keys[i].lease);
		free(keys[i].text);
	}
}
