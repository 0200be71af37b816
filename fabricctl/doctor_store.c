/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store as this host's daemon needs it, asked without the daemon and with the settings that both read:
 * whether its members answer and who they are, whether we may write, whether its clock is ours; and the
 * certificates that the way to it depends on. Here are those and etcd; doctor_consul.c has Consul,
 * doctor_directory.c a store that is a directory.
 */
#include <event2/event.h>
#include <string.h>

#include "fabricctl/doctor.h"
#include "fabricctl/loop.h"
#include "lib/certificate.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/endpoints.h"
#include "lib/http.h"
#include "lib/json.h"
#include "stores/etcd/etcd_endpoint.h"
#include "stores/etcd/etcd_store.h"
#include "stores/kube/kube_config.h"

#define CONNECT_TIMEOUT_MS 2000
#define CALL_TIMEOUT_MS    4000
#define APART_S            60 /* clocks */
#define SOON_S             (INT64_C(14) * 86400)
#define NEVER_WRITTEN      "fabricctl-doctor"

/* ---- asking ---- */

struct asking {
	struct event_base *base;
	struct http_client *http;
	struct etcd_client *client;
	size_t len; /* endpoints */
	struct answer {
		struct asking *asking;
		int code;
		bool is_learner;
		bool has_leader;
		char version[32];
		char text[ETCD_TEXT_MAX];
	} answers[ENDPOINTS_MAX];
	size_t outstanding;
};

static void one_less(struct asking *a)
{
	if (--a->outstanding == 0)
		event_base_loopbreak(a->base);
}

static void on_status(void *arg, const struct etcd_result *result)
{
	struct answer *answer = arg;

	answer->code = result->code;
	snprintf(answer->text, sizeof(answer->text), "%s", result->text);
	util_make_printable(answer->text);
	if (result->code == ETCD_OK) {
		const char *version = result->reply->version;

		answer->is_learner = result->reply->is_learner;
		answer->has_leader = result->reply->leader != 0;
		snprintf(answer->version, sizeof(answer->version), "%s", version ? version : "?");
		util_make_printable(answer->version);
	}
	one_less(answer->asking);
}

static void on_answer(void *arg, const struct etcd_result *result)
{
	struct answer *answer = arg;

	answer->code = result->code;
	snprintf(answer->text, sizeof(answer->text), "%s", result->text);
	util_make_printable(answer->text);
	one_less(answer->asking);
}

static void on_clock(void *arg)
{
	one_less(arg);
}

static int asking_open(struct asking *a, const struct etcd_options *options, struct err *e)
{
	auto_json json_t *description = json_object();

	a->base = loop_new();
	a->http = http_client_new(a->base);
	if (etcd_client_new(a->http, options, &a->client, e) < 0) {
		a->client = NULL;
		return e->code;
	}
	etcd_client_set_timeouts(a->client, CONNECT_TIMEOUT_MS, CALL_TIMEOUT_MS);
	etcd_client_describe(a->client, description);
	a->len = MIN(json_array_size(json_object_get(description, "endpoints")),
		     (size_t)ENDPOINTS_MAX);
	return 0;
}

static void asking_close(struct asking *a)
{
	etcd_client_free(a->client);
	http_client_free(a->http);
	event_base_free(a->base);
}

/* ---- what is judged ---- */

/* The first endpoint that answered and can be asked more; a->len: none. */
static size_t say_members(struct doctor *d, struct asking *a)
{
	size_t usable = a->len;
	size_t well = 0;

	for (size_t i = 0; i < a->len; i++) {
		const struct answer *one = &a->answers[i];
		const char *url = etcd_client_url(a->client, i);

		if (one->code != ETCD_OK) {
			doctor_say(d, "store", DOCTOR_WARNING, "fabricctl store ping", "%s",
				   one->text);
		} else if (one->is_learner) {
			doctor_say(d, "store", DOCTOR_WARNING, "etcdctl member promote",
				   "%s is a learner, which answers neither reads nor writes", url);
		} else if (!one->has_leader) {
			doctor_say(d, "store", DOCTOR_ERROR, "etcdctl endpoint status --cluster",
				   "%s knows no leader: more than half of the members must run",
				   url);
		} else {
			usable = MIN(usable, i);
			well++;
		}
	}
	if (well == 0)
		doctor_say(d, "store", DOCTOR_ERROR, NULL,
			   "no endpoint of etcd can be used: the data path stays as it is, changes "
			   "are not heard");
	else if (well == a->len)
		doctor_say(d, "store", DOCTOR_OK, NULL, "%zu of %zu endpoints answer, etcd %s",
			   well, a->len, a->answers[usable].version);
	return usable;
}

/* How the answer was about what we may do; whether it was none at all is the members' matter. */
static int ask_one(struct asking *a, size_t endpoint, const struct etcd_ask *ask)
{
	struct answer *answer = &a->answers[endpoint];

	a->outstanding = 1;
	/* A write goes to whichever endpoint is the next, as etcd's rights are the same at all. */
	if (etcd_ask_writes(ask))
		etcd_client_call(a->client, ask, on_answer, answer);
	else
		etcd_client_call_at(a->client, endpoint, ask, on_answer, answer);
	event_base_dispatch(a->base);
	return answer->code;
}

/* A transaction that is never to succeed is refused all the same if we may not do what it would do. */
static void say_rights(struct doctor *d, struct asking *a, size_t endpoint)
{
	auto_free char *prefix = etcd_clean_prefix(d->settings->store.etcd.prefix);
	auto_free char *config = xasprintf("%s/config", prefix);
	auto_free char *key = xasprintf("%s/subnets/" NEVER_WRITTEN, prefix);
	auto_free char *remedy =
		xasprintf("etcdctl role grant-permission ROLE readwrite --prefix=true %s/", prefix);
	char nothing[] = "";
	const struct etcd_ask read = { .method = ETCD_RANGE, .key = config, .limit = 1 };
	const struct etcd_ask write = { .method = ETCD_TXN,
					.txn = ETCD_TXN_UPDATE,
					.key = key,
					.value = nothing,
					.mod_revision = INT64_MAX };

	if (ask_one(a, endpoint, &read) != ETCD_OK)
		doctor_say(d, "store-rights", DOCTOR_ERROR, remedy, "%s cannot be read: %s", config,
			   a->answers[endpoint].text);
	else if (ask_one(a, endpoint, &write) != ETCD_OK)
		doctor_say(d, "store-rights", DOCTOR_ERROR, remedy,
			   "no lease can be written below %s/subnets: %s", prefix,
			   a->answers[endpoint].text);
	else
		doctor_say(d, "store-rights", DOCTOR_OK, NULL, "%s/ can be read and written",
			   prefix);
}

void doctor_say_clock(struct doctor *d, const struct http_client *http, const char *url)
{
	const struct http_clock *clock = http_client_clock(http);
	char text[CLOCK_TEXT];
	int64_t ahead_s;

	if (!clock->where[0]) {
		doctor_say(d, "clock", DOCTOR_OK, NULL, "%s does not tell its time", url);
		return;
	}
	ahead_s = http_clock_ahead_s(clock, clock_boot_ms(), clock_wall_ms());
	if (llabs(ahead_s) < APART_S)
		doctor_say(d, "clock", DOCTOR_OK, NULL,
			   "this host's clock and that of %s agree within %d s", clock->where,
			   APART_S);
	else
		doctor_say(d, "clock", DOCTOR_WARNING, "timedatectl set-ntp true",
			   "this host's clock is %s (%lld s) %s that of %s: times in its log and "
			   "events are "
			   "wrong by so much, and certificates are judged by it",
			   clock_format_duration(llabs(ahead_s), text), llabs(ahead_s),
			   ahead_s < 0 ? "behind" : "ahead of", clock->where);
}

static void say_clock(struct doctor *d, struct asking *a, size_t endpoint)
{
	a->outstanding = 1;
	etcd_client_ask_clock(a->client, endpoint, on_clock, a);
	event_base_dispatch(a->base);
	doctor_say_clock(d, a->http, etcd_client_url(a->client, endpoint));
}

static void check_etcd(struct doctor *d)
{
	struct asking a = { 0 };
	struct err e;
	size_t usable;

	if (asking_open(&a, &d->settings->store.etcd, &e) < 0) {
		doctor_say(d, "store", DOCTOR_ERROR, NULL, "it cannot be asked: %s", e.text);
		asking_close(&a);
		return;
	}
	a.outstanding = a.len;
	for (size_t i = 0; i < a.len; i++) {
		a.answers[i].asking = &a;
		etcd_client_call_at(a.client, i, &(struct etcd_ask){ .method = ETCD_STATUS },
				    on_status, &a.answers[i]);
	}
	event_base_dispatch(a.base);
	usable = say_members(d, &a);
	if (usable < a.len) {
		say_rights(d, &a, usable);
		say_clock(d, &a, usable);
	}
	asking_close(&a);
}

/* ---- certificates ---- */

enum doctor_state doctor_judge_validity(int64_t from_s, int64_t until_s, int64_t now_s, char *ret,
					size_t size)
{
	char text[CLOCK_TEXT];
	char date[CLOCK_TEXT];

	if (now_s >= until_s) {
		snprintf(ret, size, "has ended %s ago, at %.19sZ",
			 clock_format_duration(now_s - until_s, text),
			 clock_format_utc(until_s * 1000, date));
		return DOCTOR_ERROR;
	}
	if (now_s < from_s) {
		snprintf(ret, size, "is good only from %.19sZ on, in %s by this host's clock",
			 clock_format_utc(from_s * 1000, date),
			 clock_format_duration(from_s - now_s, text));
		return DOCTOR_ERROR;
	}
	snprintf(ret, size, "ends in %s, at %.19sZ", clock_format_duration(until_s - now_s, text),
		 clock_format_utc(until_s * 1000, date));
	return until_s - now_s < SOON_S ? DOCTOR_WARNING : DOCTOR_OK;
}

/* Of a file, or of a text that `name` is called; both NULL: nothing is said. */
static void say_certificate(struct doctor *d, const char *name, const char *file, const char *pem)
{
	auto_free char *text = NULL;
	auto_free char *remedy = NULL;
	struct certificate_validity v;
	enum doctor_state state;
	char words[160];
	struct err e = { 0 };

	if (!pem && (!file || !*file))
		return;
	if (!pem && file_read(file, CERTIFICATE_MAX_SIZE, &text, NULL, &e) == 0)
		pem = text;
	if (e.code || certificate_read(pem, strlen(pem), &v, &e) < 0) {
		doctor_say(d, "certificates", DOCTOR_WARNING, NULL, "%s%s%s: %s", name,
			   text || !file ? "" : " ", text || !file ? "" : file, e.text);
		return;
	}
	state = doctor_judge_validity(v.from_s, v.until_s, clock_wall_ms() / 1000, words,
				      sizeof(words));
	if (file && *file)
		remedy = xasprintf("openssl x509 -noout -subject -dates -in %s", file);
	doctor_say(d, "certificates", state, state == DOCTOR_OK ? NULL : remedy, "%s%s%s %s", name,
		   file && *file ? " " : "", file && *file ? file : "", words);
}

static void check_certificates(struct doctor *d, const struct store_type *type)
{
	const struct store_options *o = &d->settings->store;
	struct kube_access access = { 0 };

	if (strcmp(type->scheme, "etcd") == 0) {
		say_certificate(d, "etcd's authority", o->etcd.ca_file, NULL);
		say_certificate(d, "the certificate for etcd", o->etcd.cert_file, NULL);
	} else if (strcmp(type->scheme, "consul") == 0) {
		say_certificate(d, "Consul's authority", o->consul.ca_file, NULL);
		say_certificate(d, "the certificate for Consul", o->consul.cert_file, NULL);
	} else if (strcmp(type->scheme, "kube") == 0 &&
		   kube_access_open(o->kube.api_url, o->kube.kubeconfig_file, &access, NULL) == 0) {
		say_certificate(d, "the API server's authority", access.ca_file, access.ca_pem);
		say_certificate(d, "the certificate for the API server", access.cert_file,
				access.cert_pem);
	}
	kube_access_fini(&access);
}

void doctor_check_store(struct doctor *d)
{
	const struct store_type *type = store_type_of(&d->settings->store);
	char why[256];

	if (d->store_error->code || !type) {
		doctor_say(d, "store", DOCTOR_ERROR, NULL, "it cannot be asked: %s",
			   d->store_error->code ? d->store_error->text
						: "there is none of that name");
		return;
	}
	check_certificates(d, type);
	if (strcmp(type->scheme, "consul") == 0)
		doctor_check_consul(d);
	if (strcmp(type->scheme, "file") == 0)
		doctor_check_directory(d);
	if (strcmp(type->scheme, "etcd") != 0)
		return;
	if (settings_know_store(d->settings, d->c->options.store, d->status, why, sizeof(why)))
		check_etcd(d);
	else
		doctor_say(d, "store", DOCTOR_OK, NULL, "%s", why);
}
