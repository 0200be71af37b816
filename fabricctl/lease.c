/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl lease: this host's lease; reservations for others are lease_reserve.c's. */
#include "fabricctl/lease.h"

#include <errno.h>
#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/session.h"
#include "fabricctl/text.h"
#include "lib/clock.h"
#include "subnet/lease_json.h"

#define ANSWER_TIMEOUT_MS 5000
#define RENEW_TIMEOUT_MS  30000 /* the daemon may have to try several endpoints */

/* ---- show and renew ---- */

static void print_duration(const struct ctl *c, const char *before, const json_t *lease,
			   const char *key, const char *after)
{
	int64_t seconds = ctl_int(lease, key, -1);
	char text[CLOCK_TEXT];

	if (seconds >= 0)
		fprintf(c->out, "  %s%s%s", before, clock_format_duration(seconds, text), after);
}

/* One line, as far as things are known. */
static int print_lease(const struct ctl *c, const json_t *document)
{
	const json_t *lease = json_object_get(document, "lease");
	auto_free char *subnet = ctl_safe(c, lease, "subnet");
	auto_free char *node = ctl_safe(c, document, "node");
	auto_free char *state = ctl_safe(c, lease, "state");
	auto_free char *reason = ctl_safe(c, lease, "reason");
	auto_free char *handle = ctl_safe(c, lease, "handle");
	auto_free char *revision = ctl_safe(c, lease, "revision");

	if (document_is_wanted(c)) {
		document_print(c, json_incref((json_t *)document));
		return ctl_text(lease, "subnet") ? CTL_OK : CTL_NOT_FOUND;
	}
	if (!ctl_text(lease, "subnet"))
		return ctl_fail(c, CTL_NOT_FOUND, reason, "fabricctl status",
				"this host has no lease: %s", state);
	fprintf(c->out, "%s  %s  %s", subnet, node, state);
	if (json_is_true(json_object_get(lease, "reservation"))) {
		fputs("  reserved, never ends", c->out);
	} else {
		fprintf(c->out, "  lease %s", handle);
		print_duration(c, "left ", lease, "expiresSeconds", "");
		print_duration(c, "renewed ", lease, "renewedSecondsAgo", " ago");
	}
	fprintf(c->out, "  revision %s\n", revision);
	if (ctl_text(lease, "reason") && *ctl_text(lease, "reason"))
		fprintf(c->out, "%s%s%s\n", ctl_color_on(c, COLOR_WARN), reason,
			ctl_color_off(c, COLOR_WARN));
	return CTL_OK;
}

static int ask_daemon(struct ctl *c, bool renew)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *document = NULL;
	struct err e;
	int status = settings_read(c, false, &settings);
	int rc;

	if (status)
		return status;
	if (renew)
		rc = client_post(settings.socket, "/v1/lease/renew", "Lease", RENEW_TIMEOUT_MS,
				 &document, &e);
	else
		rc = client_get(settings.socket, "/v1/lease", "Lease", ANSWER_TIMEOUT_MS, &document,
				&e);
	if (rc < 0)
		return client_fail(c, settings.socket, &e, "fabricctl lease show --store");
	return print_lease(c, document);
}

/* ---- the own lease in the store ---- */

/*
 * Lists the leases and finds ours among them by the identity of this host. *ret_own is borrowed
 * from the list, NULL if there is none. Two with one identity: a machine was cloned, and it cannot
 * be told from here which is whose.
 */
static int find_own(const struct ctl *c, struct session *s, struct store_reply *ret_list,
		    const struct lease **ret_own)
{
	const char *id = s->settings.node_id;
	size_t found = 0;

	*ret_own = NULL;
	if (!*id) {
		auto_free char *why = xasprintf("there is nothing in %s/node-id that can be read",
						s->settings.state_dir);

		return ctl_fail(c, CTL_NOT_FOUND, why, "sudo, or --state-dir",
				"it is not known which host this is");
	}
	session_ask(s, &(struct store_request){ .op = STORE_LIST }, ret_list);
	if (ret_list->status != STORE_OK)
		return session_fail(c, s, ret_list);
	for (size_t i = 0; i < ret_list->leases_len; i++) {
		const struct lease *l = ret_list->leases[i];

		if (l->node_id && strcmp(l->node_id, id) == 0) {
			*ret_own = l;
			found++;
		}
	}
	if (found > 1)
		return ctl_fail(c, CTL_CONFLICT, "another host has a copy of this one's identity",
				"fabricctl subnets --store -o wide",
				"%zu leases carry the identity of this host", found);
	return CTL_OK;
}

/* The same shape as the daemon's. */
static json_t *lease_document(const struct session *s, const struct lease *own, int64_t left_s)
{
	json_t *document = ctl_document("Lease");
	json_t *lease = json_object();
	char subnet[SUBNET_KEY_TEXT];
	char id[LEASE_ID_TEXT];

	json_object_set_new(lease, "state", json_string(own ? "held" : "absent"));
	json_object_set_new(lease, "reason",
			    json_string(own ? "" : "the store has none with its identity"));
	if (own) {
		json_object_set_new(lease, "subnet",
				    json_string(subnet_format(&own->subnet, subnet)));
		json_object_set_new(lease, "publicIP", lease_addr_json(&own->public_v4));
		json_object_set_new(lease, "publicIPv6", lease_addr_json(&own->public_v6));
		json_object_set_new(lease, "handle", json_string(lease_id_format(own->id, id)));
		json_object_set_new(lease, "revision",
				    json_sprintf("%llu", (unsigned long long)own->mod_revision));
		json_object_set_new(lease, "reservation", json_boolean(lease_is_reservation(own)));
		if (left_s >= 0)
			json_object_set_new(lease, "expiresSeconds", json_integer(left_s));
	}
	json_object_set_new(document, "source", json_string("store"));
	json_object_set_new(document, "node",
			    own && own->node_name ? json_string(own->node_name) : json_null());
	json_object_set_new(document, "nodeID", json_string(s->settings.node_id));
	json_object_set_new(document, "lease", lease);
	return document;
}

static int show_from_store(struct ctl *c)
{
	auto_session struct session s;
	auto_json json_t *document = NULL;
	struct store_reply list = { 0 };
	const struct lease *own;
	int64_t left_s = -1;
	int status = session_open(c, &s);

	if (status == CTL_OK)
		status = find_own(c, &s, &list, &own);
	if (status == CTL_OK && own && own->flags & LEASE_EXPIRES) {
		struct store_reply left = { 0 };

		session_ask(&s, &(struct store_request){ .op = STORE_TIME_LEFT, .lease = own },
			    &left);
		if (left.status == STORE_OK)
			left_s = left.ttl_s;
		store_reply_fini(&left);
	}
	if (status == CTL_OK) {
		document = lease_document(&s, own, left_s);
		status = print_lease(c, document);
	}
	store_reply_fini(&list);
	return status;
}

/* ---- release ---- */

int lease_print_change(const struct ctl *c, const char *action, const struct lease *lease,
		       bool changed, uint64_t revision)
{
	auto_free char *past = xasprintf("%sd", action);
	bool unreserve = strcmp(action, "unreserve") == 0;
	const char *of = unreserve ? "of" : "for";
	bool dry = c->options.dry_run && changed;
	const char *name = lease && lease->node_name ? lease->node_name : "";
	auto_free char *node = text_escape(name, c->utf8);
	char subnet[SUBNET_KEY_TEXT] = "";

	if (lease)
		subnet_format(&lease->subnet, subnet);
	if (document_is_wanted(c)) {
		json_t *document = ctl_document("LeaseChange");

		json_object_set_new(document, "action", json_string(action));
		json_object_set_new(document, "subnet", lease ? json_string(subnet) : json_null());
		json_object_set_new(document, "node", *name ? json_string(name) : json_null());
		json_object_set_new(document, "changed", json_boolean(changed && !dry));
		json_object_set_new(document, "dryRun", json_boolean(c->options.dry_run));
		json_object_set_new(document, "revision",
				    revision ? json_sprintf("%llu", (unsigned long long)revision)
					     : json_null());
		document_print(c, document);
	} else if (!lease) {
		fputs("nothing to do: the store has no lease of this host\n", c->out);
	} else if (!changed && unreserve) {
		fprintf(c->out, "nothing to do: %s is not reserved\n", subnet);
	} else if (!changed) {
		fprintf(c->out, "nothing to do: %s is %s for %s already\n", subnet, past, node);
	} else {
		auto_free char *who = *node ? xasprintf(" %s %s", of, node) : xstrdup("");

		if (dry)
			fprintf(c->out, "would %s %s%s\n", action, subnet, who);
		else
			fprintf(c->out, "%s %s%s (revision %llu)\n", past, subnet, who,
				(unsigned long long)revision);
	}
	return CTL_OK;
}

/* A daemon would claim again at once what is taken from it. */
static bool daemon_runs(const char *socket)
{
	auto_json json_t *document = NULL;
	struct err e;
	int rc = client_get(socket, "/v1/lease", "Lease", ANSWER_TIMEOUT_MS, &document, &e);

	return rc != -ENOENT && rc != -ECONNREFUSED && rc != -ENOTDIR;
}

/* What the daemon would start from without the store: it names the lease that is given back. */
static void forget_last_known(const struct session *s)
{
	auto_free char *path = xasprintf("%s/last-known.json", s->settings.state_dir);

	unlink(path);
}

static int release_own(const struct ctl *c, struct session *s, const struct lease *own)
{
	struct store_reply reply = { 0 };
	char subnet[SUBNET_KEY_TEXT];
	char address[IP_ADDR_TEXT];
	auto_free char *what = NULL;
	int status;

	what = xasprintf(
		"give back %s of %s at %s, so that another host may get it",
		subnet_format(&own->subnet, subnet), own->node_name ? own->node_name : "this host",
		ip_addr_format(ip_addr_is_set(&own->public_v4) ? &own->public_v4 : &own->public_v6,
			       address));
	status = ctl_confirm(c, what);
	if (status)
		return status;
	session_ask(s, &(struct store_request){ .op = STORE_REMOVE, .lease = own }, &reply);
	/* Gone meanwhile is gone. */
	if (reply.status == STORE_OK || (reply.status == STORE_CONFLICT && !reply.holder)) {
		forget_last_known(s);
		status = lease_print_change(c, "release", own, true, reply.revision);
	} else {
		status = session_fail(c, s, &reply);
	}
	store_reply_fini(&reply);
	return status;
}

int lease_release(struct ctl *c)
{
	auto_session struct session s;
	struct store_reply list = { 0 };
	const struct lease *own = NULL;
	int status = session_open(c, &s);

	if (status == CTL_OK && !c->options.force && !c->options.dry_run &&
	    daemon_runs(s.settings.socket))
		status = ctl_fail(c, CTL_FAILED, "it would claim the subnet again at once",
				  "systemctl stop flanneld, or --force",
				  "flanneld is running at %s", s.settings.socket);
	if (status == CTL_OK)
		status = find_own(c, &s, &list, &own);
	if (status == CTL_OK && !own && !c->options.dry_run)
		forget_last_known(&s);
	if (status == CTL_OK && (!own || c->options.dry_run))
		status = lease_print_change(c, "release", own, own != NULL, 0);
	else if (status == CTL_OK)
		status = release_own(c, &s, own);
	store_reply_fini(&list);
	return status;
}

/* ---- which of them ---- */

static int refuse(const struct ctl *c, const char *verb, const char *option)
{
	return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
			"fabricctl lease %s has no --%s", verb, option);
}

int lease_run(struct ctl *c)
{
	const struct ctl_options *o = &c->options;
	const char *verb = c->operands_len > 0 ? c->operands[0] : "";
	bool show = strcmp(verb, "show") == 0;
	bool renew = strcmp(verb, "renew") == 0;
	bool reserving = strcmp(verb, "reserve") == 0;
	bool releasing = strcmp(verb, "release") == 0;
	bool unreserving = strcmp(verb, "unreserve") == 0;
	int operands = 1 + (reserving || unreserving);

	if ((!show && !renew && !reserving && !releasing && !unreserving) ||
	    c->operands_len != operands)
		return ctl_fail(
			c, CTL_USAGE, operands == 2 ? "name one subnet" : NULL,
			command_help_hint(c->command),
			"usage: fabricctl lease show|renew|release, fabricctl lease reserve "
			"SUBNET --node NAME, or fabricctl lease unreserve SUBNET");
	if (o->force && !releasing)
		return refuse(c, verb, "force");
	if (o->yes && !releasing && !unreserving)
		return refuse(c, verb, "yes");
	if (o->dry_run && (show || renew))
		return refuse(c, verb, "dry-run");
	if ((o->node || o->public_ip || o->public_ipv6) && !reserving)
		return refuse(c, verb, o->node ? "node" : "public-ip");
	if (o->store && renew)
		return refuse(c, verb, "store");
	if (reserving)
		return lease_reserve(c);
	if (unreserving)
		return lease_unreserve(c);
	if (releasing)
		return lease_release(c);
	return show && o->store ? show_from_store(c) : ask_daemon(c, renew);
}
