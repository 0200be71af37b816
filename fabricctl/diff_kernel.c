/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon left in its state directory, last-known.json and options, against the kernel: by
 * fabric/look.h. With --store what the store has now takes the place of last-known.json.
 */
#include "fabricctl/diff_kernel.h"

#include <errno.h>
#include <string.h>

#include "fabric/look.h"
#include "fabricctl/session.h"
#include "lib/clock.h"
#include "lib/file.h"

#define DRAINED_MAX_SIZE 16

static int read_known(const struct settings *s, struct last_known *ret, struct err *e)
{
	auto_free char *path = xasprintf("%s/last-known.json", s->state_dir);
	auto_free char *text = NULL;
	size_t size;
	int rc = file_read(path, LAST_KNOWN_MAX_SIZE, &text, &size, e);

	if (rc == 0 && last_known_parse(text, size, ret, e) < 0)
		rc = err_wrap(e, "%s", path);
	return rc;
}

/* The lease with our node id is ours. */
static void take_leases(struct store_reply *list, const char *node_id, struct last_known *ret)
{
	ret->peers = xcalloc(MAX(list->leases_len, (size_t)1), sizeof(*ret->peers));
	for (size_t i = 0; i < list->leases_len; i++) {
		struct lease *l = STEAL(list->leases[i]);

		if (!ret->own && l->node_id && strcmp(l->node_id, node_id) == 0)
			ret->own = l;
		else
			ret->peers[ret->peers_len++] = l;
	}
}

/* As if it had been known last. Complains, and returns the exit status. */
static int ask_store(const struct ctl *c, const char *node_id, struct last_known *ret)
{
	auto_session struct session s = { 0 };
	struct store_reply config = { 0 };
	struct store_reply list = { 0 };
	int status = session_open(c, &s);

	if (status)
		return status;
	session_ask(&s, &(struct store_request){ .op = STORE_CONFIG }, &config);
	if (config.status == STORE_OK)
		session_ask(&s, &(struct store_request){ .op = STORE_LIST }, &list);
	if (config.status != STORE_OK) {
		status = session_fail(c, &s, &config);
	} else if (list.status != STORE_OK) {
		status = session_fail(c, &s, &list);
	} else {
		ret->config = STEAL(config.config);
		take_leases(&list, node_id, ret);
		if (!ret->own)
			status = ctl_fail(
				c, CTL_NOT_FOUND, NULL, "fabricctl subnets --store",
				"the store has no lease of this host, whose node id is %.80s",
				node_id);
	}
	store_reply_fini(&config);
	store_reply_fini(&list);
	return status;
}

static void add(void *arg, const char *action, const char *kind, const char *text)
{
	json_array_append_new(
		arg, json_pack("{s:s,s:s,s:s}", "action", action, "kind", kind, "object", text));
}

static bool is_denied(int rc)
{
	return rc == -EACCES || rc == -EPERM;
}

static int nothing_left(const struct ctl *c, const struct settings *s, int rc, const struct err *e)
{
	if (is_denied(rc))
		return ctl_fail(c, CTL_DENIED, NULL, "sudo", "%s", e->text);
	return ctl_fail(
		c, CTL_FAILED, e->text, "--state-dir, if it is another one; or fabricctl diff",
		"in %s there is not what a daemon leaves that has had a lease", s->state_dir);
}

/* What it goes by may be old, or given up. */
static void warn(const struct ctl *c, const struct settings *s, const struct last_known *known)
{
	int64_t ended_s = clock_wall_ms() / 1000 - known->expires_wall_s;
	auto_free char *path = xasprintf("%s/drained", s->state_dir);
	auto_free char *drained = NULL;
	char text[CLOCK_TEXT];

	if (known->expires_wall_s && ended_s > 0)
		fprintf(c->err,
			"fabricctl: the lease in last-known.json ran out %s ago: another host may "
			"have the subnet by now\n",
			clock_format_duration(ended_s, text));
	if (file_read(path, DRAINED_MAX_SIZE, &drained, NULL, NULL) == 0 &&
	    strncmp(drained, "released", strlen("released")) == 0)
		fprintf(c->err,
			"fabricctl: this host was taken out of use and its subnet given back: "
			"this is what it had before\n");
}

static int compare(const struct ctl *c, const struct fabric_left *left,
		   const struct last_known *known, json_t **ret)
{
	auto_json json_t *items = json_array();
	json_t *document;
	struct err e;
	int rc = fabric_look(left, known, add, items, &e);

	if (rc < 0)
		return ctl_fail(c, is_denied(rc) ? CTL_DENIED : CTL_FAILED, NULL,
				is_denied(rc) ? "sudo" : NULL, "%s", e.text);
	document = ctl_document("Diff");
	json_object_set(document, "items", items);
	*ret = document;
	return CTL_OK;
}

int diff_kernel(const struct ctl *c, const struct settings *s, json_t **ret)
{
	auto_fabric_left struct fabric_left left = { 0 };
	struct last_known known = { 0 };
	struct err e;
	int rc = fabric_left_load(s->state_dir, &left, &e);
	int status = CTL_OK;

	if (rc == 0 && !c->options.store)
		rc = read_known(s, &known, &e);
	if (rc < 0)
		return nothing_left(c, s, rc, &e);
	if (c->options.store)
		status = ask_store(c, left.node_id, &known);
	warn(c, s, &known);
	if (status == CTL_OK)
		status = compare(c, &left, &known, ret);
	last_known_fini(&known);
	return status;
}
