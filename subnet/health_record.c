/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/health_record.h"

#include <errno.h>

#include "lib/json.h"
#include "subnet/lease_json.h"

#define VERSION_NUMBER 1

#define RTT_FACTOR    2
#define RTT_MIN_US    2000 /* a smaller difference is none */
#define LOSS_STEP     10   /* percent */
#define NAME_MAX_SIZE 64
#define WORD_MAX_SIZE 128
#define RTT_MAX_US    1000000000 /* what a record may say */

static const char *const verdicts[] = { "ok", "starting", "degraded" };
static const char *const reaches[] = { "new", "ok", "tunnel-silent", "silent" };

const char *health_verdict_name(enum health_verdict verdict)
{
	return verdicts[verdict];
}

const char *health_reach_name(enum health_reach reach)
{
	return reaches[reach];
}

/* ---- peers ---- */

/* How much it is worth to be told: silence before loss before slowness. */
static int64_t badness(const struct health_record_peer *p)
{
	int64_t silence = p->reach == HEALTH_WELL ? 0 : p->reach == HEALTH_NEW ? 1 : 2;

	return silence << 48 | (int64_t)p->loss_percent << 40 | MAX(p->rtt_us, 0);
}

void health_record_add_peer(struct health_record *r, const struct health_record_peer *peer)
{
	size_t least = 0;

	r->reaches[peer->reach]++;
	if (r->peers_len < HEALTH_RECORD_PEERS_MAX) {
		r->peers[r->peers_len++] = *peer;
		return;
	}
	for (size_t i = 1; i < r->peers_len; i++) {
		if (badness(&r->peers[i]) < badness(&r->peers[least]))
			least = i;
	}
	if (badness(peer) > badness(&r->peers[least]))
		r->peers[least] = *peer;
}

static int by_subnet(const void *a, const void *b)
{
	const struct health_record_peer *x = a;
	const struct health_record_peer *y = b;

	return memcmp(&x->subnet, &y->subnet, sizeof(x->subnet));
}

void health_record_sort_peers(struct health_record *r)
{
	qsort(r->peers, r->peers_len, sizeof(r->peers[0]), by_subnet);
}

/* ---- what matters ---- */

static bool is_well(const struct health_record_peer *p)
{
	return p->reach == HEALTH_WELL && p->loss_percent < LOSS_STEP;
}

static bool is_another_time(int32_t a_us, int32_t b_us)
{
	int32_t low = MIN(a_us, b_us);
	int32_t high = MAX(a_us, b_us);

	return high - low > RTT_MIN_US && high / RTT_FACTOR > low;
}

static bool peer_differs(const struct health_record_peer *a, const struct health_record_peer *b)
{
	return a->reach != b->reach || a->loss_percent / LOSS_STEP != b->loss_percent / LOSS_STEP ||
	       is_another_time(a->rtt_us, b->rtt_us);
}

/* Both are in the order of their subnets. Who is well may be in one and not in the other: of a large
 * fabric only the worst are named. */
static bool peers_differ(const struct health_record *a, const struct health_record *b)
{
	size_t i = 0;
	size_t j = 0;

	while (i < a->peers_len || j < b->peers_len) {
		int order = i == a->peers_len   ? 1
			    : j == b->peers_len ? -1
						: by_subnet(&a->peers[i], &b->peers[j]);

		if (order == 0 && peer_differs(&a->peers[i], &b->peers[j]))
			return true;
		if ((order < 0 && !is_well(&a->peers[i])) || (order > 0 && !is_well(&b->peers[j])))
			return true;
		i += order <= 0;
		j += order >= 0;
	}
	return memcmp(a->reaches, b->reaches, sizeof(a->reaches)) != 0;
}

static bool problems_differ(const struct health_record *a, const struct health_record *b)
{
	if (a->problems_len != b->problems_len || a->problems_more != b->problems_more)
		return true;
	for (size_t i = 0; i < a->problems_len; i++) {
		if (strcmp(a->problems[i].name, b->problems[i].name) != 0 ||
		    a->problems[i].severity != b->problems[i].severity)
			return true;
	}
	return false;
}

static bool texts_differ(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") != 0;
}

bool health_record_differs(const struct health_record *a, const struct health_record *b)
{
	return a->verdict != b->verdict || a->started_s != b->started_s ||
	       a->pod_mtu_bytes != b->pod_mtu_bytes || !subnet_equal(&a->subnet, &b->subnet) ||
	       !ip_addr_equal(&a->public_v4, &b->public_v4) ||
	       !ip_addr_equal(&a->public_v6, &b->public_v6) ||
	       texts_differ(a->backend, b->backend) || texts_differ(a->node_name, b->node_name) ||
	       problems_differ(a, b) || peers_differ(a, b);
}

/* ---- text ---- */

static json_t *problems_json(const struct health_record *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->problems_len; i++) {
		const struct health_record_problem *p = &r->problems[i];
		auto_free char *text = xstrndup(p->text, HEALTH_RECORD_TEXT_MAX);

		util_make_printable(text); /* a character may have been cut */
		json_append(list, json_pack("{s:s,s:s,s:I,s:o}", "name", p->name, "severity",
					    problem_severity_name(p->severity), "since",
					    (json_int_t)p->since_s, "text", json_text(text)));
	}
	return list;
}

/* An array each: there are many of them. */
static json_t *peers_json(const struct health_record *r)
{
	json_t *list = json_array();
	char subnet[IP_NET_TEXT];

	for (size_t i = 0; i < r->peers_len; i++) {
		const struct health_record_peer *p = &r->peers[i];

		json_append(list,
			    json_pack("[s,s,i,i]", ip_net_format(&p->subnet, subnet),
				      reaches[p->reach], (int)p->rtt_us, (int)p->loss_percent));
	}
	return list;
}

char *health_record_format(const struct health_record *r)
{
	auto_json json_t *root = json_object();
	json_t *counts = json_object();
	char subnet[SUBNET_KEY_TEXT];
	char *text;

	for (size_t i = 0; i < HEALTH_REACHES; i++)
		json_object_set_new(counts, reaches[i], json_integer((json_int_t)r->reaches[i]));
	json_object_set_new(root, "version", json_integer(VERSION_NUMBER));
	json_object_set_new(root, "verdict", json_string(verdicts[r->verdict]));
	json_object_set_new(root, "node", json_text(r->node_name));
	json_object_set_new(root, "nodeID", json_text(r->node_id));
	json_object_set_new(root, "flanneld", json_text(r->version));
	json_object_set_new(root, "kernel", json_text(r->kernel));
	json_object_set_new(root, "backend", json_text(r->backend));
	json_object_set_new(root, "subnet", json_string(subnet_key_format(&r->subnet, subnet)));
	json_object_set_new(root, "publicIP", lease_addr_json(&r->public_v4));
	json_object_set_new(root, "publicIPv6", lease_addr_json(&r->public_v6));
	json_object_set_new(root, "podMTU", json_integer(r->pod_mtu_bytes));
	json_object_set_new(root, "written", json_integer(r->written_s));
	json_object_set_new(root, "started", json_integer(r->started_s));
	json_object_set_new(root, "problems", problems_json(r));
	json_object_set_new(root, "problemsMore", json_integer((json_int_t)r->problems_more));
	json_object_set_new(root, "reach", counts);
	json_object_set_new(root, "peers", peers_json(r));
	text = json_dumps(root, JSON_COMPACT);
	if (!text)
		abort();
	return text;
}

/* Whoever can write to the store has a hand in it. */
static char *word(const json_t *object, const char *key, size_t max)
{
	const char *text = json_string_value(json_object_get(object, key));

	return xstrndup(text ? text : "", max);
}

/* -1: none of them */
static int find(const char *const *names, size_t len, const json_t *value)
{
	const char *text = json_string_value(value);

	for (size_t i = 0; text && i < len; i++) {
		if (strcmp(text, names[i]) == 0)
			return (int)i;
	}
	return -1;
}

static int64_t bounded(const json_t *value, int64_t min, int64_t max, int64_t otherwise)
{
	int64_t number = json_is_integer(value) ? json_integer_value(value) : otherwise;

	return number >= min && number <= max ? number : otherwise;
}

static void read_problems(const json_t *list, struct health_record *r)
{
	size_t i;
	json_t *item;

	json_array_foreach (list, i, item) {
		struct health_record_problem *p = &r->problems[r->problems_len];
		const char *severity = json_string_value(json_object_get(item, "severity"));

		if (r->problems_len == HEALTH_RECORD_PROBLEMS_MAX)
			break;
		if (!json_is_object(item) || !severity)
			continue;
		p->severity = PROBLEM_ERROR;
		while (p->severity < PROBLEM_INFO &&
		       strcmp(severity, problem_severity_name(p->severity)) != 0)
			p->severity++;
		p->name = word(item, "name", NAME_MAX_SIZE);
		p->text = word(item, "text", HEALTH_RECORD_TEXT_MAX);
		p->since_s = bounded(json_object_get(item, "since"), 0, INT64_MAX / 1000, 0);
		r->problems_len++;
	}
}

static void read_peers(const json_t *list, struct health_record *r)
{
	size_t i;
	json_t *item;

	json_array_foreach (list, i, item) {
		struct health_record_peer *p = &r->peers[r->peers_len];
		const char *subnet = json_string_value(json_array_get(item, 0));
		int reach = find(reaches, HEALTH_REACHES, json_array_get(item, 1));

		if (r->peers_len == HEALTH_RECORD_PEERS_MAX)
			break;
		if (!subnet || reach < 0 || ip_net_parse(subnet, AF_UNSPEC, &p->subnet, NULL) < 0)
			continue;
		p->reach = (enum health_reach)reach;
		p->rtt_us = (int32_t)bounded(json_array_get(item, 2), -1, RTT_MAX_US, -1);
		p->loss_percent = (uint8_t)bounded(json_array_get(item, 3), 0, 100, 0);
		r->peers_len++;
	}
	health_record_sort_peers(r);
}

static void read_address(const json_t *root, const char *key, int family, struct ip_addr *ret)
{
	const char *text = json_string_value(json_object_get(root, key));
	struct ip_addr a;

	if (text && ip_addr_parse(text, family, &a, NULL) == 0)
		*ret = a;
}

int health_record_parse(const char *text, size_t size, struct health_record *ret, struct err *e)
{
	auto_json json_t *root = NULL;
	const char *subnet;
	int verdict;
	int rc = size > HEALTH_RECORD_MAX_SIZE
			 ? err_set(e, -EINVAL, "larger than %zu bytes", HEALTH_RECORD_MAX_SIZE)
			 : json_parse_object(text, size, &root, e);

	if (rc < 0)
		return rc;
	verdict = find(verdicts, ARRAY_LEN(verdicts), json_object_get(root, "verdict"));
	if (verdict < 0)
		return err_set(e, -EINVAL, "no verdict that is known here");
	*ret = (struct health_record){ .verdict = (enum health_verdict)verdict };
	subnet = json_string_value(json_object_get(root, "subnet"));
	if (subnet && subnet_key_parse(subnet, &ret->subnet, NULL) < 0)
		ret->subnet = (struct subnet){ 0 };
	ret->node_id = word(root, "nodeID", LEASE_TEXT_MAX);
	ret->node_name = word(root, "node", LEASE_TEXT_MAX);
	ret->version = word(root, "flanneld", WORD_MAX_SIZE);
	ret->kernel = word(root, "kernel", WORD_MAX_SIZE);
	ret->backend = word(root, "backend", WORD_MAX_SIZE);
	read_address(root, "publicIP", AF_INET, &ret->public_v4);
	read_address(root, "publicIPv6", AF_INET6, &ret->public_v6);
	ret->pod_mtu_bytes = (uint32_t)bounded(json_object_get(root, "podMTU"), 0, 65536, 0);
	ret->written_s = bounded(json_object_get(root, "written"), 0, INT64_MAX / 1000, 0);
	ret->started_s = bounded(json_object_get(root, "started"), 0, INT64_MAX / 1000, 0);
	ret->problems_more =
		(size_t)bounded(json_object_get(root, "problemsMore"), 0, PROBLEMS_MAX, 0);
	for (size_t i = 0; i < HEALTH_REACHES; i++)
		ret->reaches[i] = (size_t)bounded(
			json_object_get(json_object_get(root, "reach"), reaches[i]), 0, 1 << 20, 0);
	read_problems(json_object_get(root, "problems"), ret);
	read_peers(json_object_get(root, "peers"), ret);
	return 0;
}

void health_record_fini(struct health_record *r)
{
	for (size_t i = 0; i < r->problems_len; i++) {
		free(r->problems[i].name);
		free(r->problems[i].text);
	}
	free(r->node_id);
	free(r->node_name);
	free(r->version);
	free(r->kernel);
	free(r->backend);
	*r = (struct health_record){ 0 };
}
