/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of stores/etcd/etcd_watch share: a stream, what comes on it, reads beside it. */
#ifndef TESTS_UNIT_ETCD_WATCH_RIG_H
#define TESTS_UNIT_ETCD_WATCH_RIG_H

#include "stores/etcd/etcd_json.h"
#include "tests/unit/fake_etcd.h"

#define WATCH  "/v3/watch"
#define MSG(h) "{\"result\":" h
#define CREATED(revision)                                                                          \
	MSG(HEAD(revision))                                                                        \
	",\"created\":true}}"

static UNUSED char *stream_request(uint64_t leases, uint64_t config)
{
	auto_text one = etcd_encode_watch("/f/subnets/", "/f/subnets0", leases);
	auto_text two = etcd_encode_watch("/f/config", NULL, config);

	return xasprintf("%s%s", one, two);
}

static UNUSED void watch_from(struct rig *r, uint64_t revision)
{
	r->watch = store_watch(r->store, revision, on_event, r);
}

/* The next stream must ask for history from these on. It is accepted, and not yet confirmed. */
static UNUSED struct asked *opens(struct rig *r, unsigned endpoint, uint64_t leases,
				  uint64_t config)
{
	auto_text body = stream_request(leases, config);
	struct asked *a = expect(r, endpoint, WATCH, body);

	stream_open(a, 200);
	return a;
}

/* A watch from 5 on, live at endpoint 0. */
static UNUSED struct asked *live(struct rig *r)
{
	struct asked *a;

	watch_from(r, 5);
	a = opens(r, 0, 5, 5);
	stream(a, CREATED(4));
	stream(a, CREATED(4));
	tells(r, STORE_EVENT_LIVE, NULL);
	return a;
}

/* Before every stream but the first a read must succeed. */
static UNUSED void checks(struct rig *r, unsigned endpoint, const char *answer)
{
	auto_text body = etcd_encode_range("/f/config", NULL, 1, 0);

	reply(expect(r, endpoint, RANGE, body), 200, answer);
}

/* The probe that has been sent. */
static UNUSED struct asked *probe(struct rig *r, unsigned endpoint)
{
	auto_text body = etcd_encode_probe("/f/config");

	return expect(r, endpoint, RANGE, body);
}

/* Ten seconds pass, and a probe is sent; ten more, if the answer to the last one was still on its
 * way. */
static UNUSED struct asked *probes(struct rig *r, unsigned endpoint)
{
	int64_t until = patience();

	while (!next_asked(r)) {
		etcd_watch_tick(r->watch);
		turn(r, until, "a probe");
		if (r->told_seen < r->told_len)
			tells(r, STORE_EVENT_LIVE, "no event while a probe is waited for");
	}
	return probe(r, endpoint);
}

static UNUSED char *put_event(const char *key, const char *value, uint64_t revision)
{
	auto_text record = kv(key, value, revision, revision, 7);

	return xasprintf("{\"kv\":%s}", record);
}

/* What a deletion looks like: the key and its revision. */
static UNUSED char *delete_event(const char *key, uint64_t revision)
{
	auto_text record = kv(key, "", 0, revision, 0);

	return xasprintf("{\"type\":\"DELETE\",\"kv\":%s}", record);
}

static UNUSED void stream_events(struct asked *a, const char *events, bool fragment)
{
	auto_text message = xasprintf(MSG(HEAD(90)) "%s,\"events\":[%s]}}",
				      fragment ? ",\"fragment\":true" : "", events);

	stream(a, message);
}

static UNUSED void stream_put(struct asked *a, const char *key, uint64_t revision)
{
	auto_text full = xasprintf("/f/%s", key);
	auto_text event = put_event(full, "{\"BackendType\":\"vxlan\"}", revision);

	stream_events(a, event, false);
}

#endif
