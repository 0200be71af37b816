/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl drain and resume: this host is taken out of use, in order, and into use again. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/containers.h"
#include "fabricctl/document.h"
#include "fabricctl/lease.h"
#include "fabricctl/session.h"
#include "fabricctl/text.h"
#include "kernel/inet.h"
#include "kernel/link.h"
#include "lib/clock.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 5000
#define DEFAULT_WAIT_S    600
#define LOOK_MS           500
#define END_MS            10000 /* in which a daemon that is released must have ended */

static void pause_ms(int64_t ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static int set(const struct ctl *c, const struct settings *s, const char *state)
{
	auto_free char *path = xasprintf("/v1/drain?state=%s", state);
	auto_json json_t *document = NULL;
	struct err e;

	if (client_post(s->socket, path, "Drain", ANSWER_TIMEOUT_MS, &document, &e) < 0)
		return client_fail(c, s->socket, &e, "fabricctl status");
	return CTL_OK;
}

/* Attachments that there are records of; -1: they cannot be counted. */
static int64_t count(const struct settings *s, struct err *e)
{
	auto_json json_t *list = NULL;
	const json_t *failed;

	if (containers_list(s, &list, e) < 0)
		return -1;
	failed = json_array_get(json_object_get(list, "failed"), 0);
	if (failed) {
		err_set(e, -EIO, "not all records can be read: %s", json_string_value(failed));
		return -1;
	}
	return (int64_t)json_array_size(json_object_get(list, "attachments"));
}

/* Until none is left. Says how many there are whenever that is another number. */
static int wait_empty(const struct ctl *c, const struct settings *s, int64_t wait_s,
		      int64_t *ret_left)
{
	int64_t end_ms = clock_boot_ms() + wait_s * 1000;
	int64_t told = -1;
	struct err e;

	for (;;) {
		*ret_left = count(s, &e);
		if (*ret_left < 0)
			return ctl_fail(c, CTL_FAILED, e.text, "--cni-plugin FILE",
					"it is not known whether containers are left");
		if (*ret_left == 0)
			return CTL_OK;
		if (*ret_left != told && !document_is_wanted(c)) {
			fprintf(c->out, "draining: %lld attachment%s left\n", (long long)*ret_left,
				*ret_left == 1 ? "" : "s");
			fflush(c->out);
		}
		told = *ret_left;
		if (clock_boot_ms() >= end_ms)
			return ctl_fail(c, CTL_TIMEOUT,
					"the runtime has to move or end them; no new ones are "
					"attached until fabricctl resume",
					"fabricctl pods", "%lld attachment%s left",
					(long long)*ret_left, *ret_left == 1 ? " is" : "s are");
		pause_ms(LOOK_MS);
	}
}

/* Whether no daemon here holds a lease any more: it has ended, or was started again and claims none. */
static bool has_let_go(const struct settings *s)
{
	auto_json json_t *document = NULL;
	const char *state;
	struct err e;
	int rc = client_get(s->socket, "/v1/lease", "Lease", ANSWER_TIMEOUT_MS, &document, &e);

	if (rc < 0)
		return rc == -ENOENT || rc == -ECONNREFUSED || rc == -ENOTDIR;
	state = ctl_text(json_object_get(document, "lease"), "state");
	return state && strcmp(state, "held") != 0;
}

/* ---- the subnet is given back ---- */

static bool is_ours(const json_t *lease, const struct ip_addr *address)
{
	const char *text = ctl_text(lease, "subnet");
	auto_free char *copy = xstrdup(text ? text : "");
	char *rest = copy;
	char *one;

	while ((one = strsep(&rest, ","))) {
		struct ip_net net;

		if (ip_net_parse(one, AF_UNSPEC, &net, NULL) == 0 && ip_net_contains(&net, address))
			return true;
	}
	return false;
}

/* Whether this bridge has an address of the subnet: the gateway of those behind it. */
static bool has_gateway(struct netlink *nl, const json_t *lease, uint32_t bridge)
{
	static const int families[] = { AF_INET, AF_INET6 };
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(families) && !found; i++) {
		auto_free struct inet_address *list = NULL;
		size_t len = 0;

		if (inet_list_addresses(nl, families[i], bridge, &list, &len, NULL) < 0)
			return false;
		for (size_t n = 0; n < len; n++)
			found |= is_ours(lease, &list[n].net.addr);
	}
	return found;
}

/* Links of containers in bridges of this subnet, whoever attached them; -1: not known. */
static int64_t count_links(const json_t *lease, struct err *e)
{
	auto_free struct link_info *links = NULL;
	struct netlink *nl;
	int64_t found = 0;
	size_t len = 0;

	if (netlink_open(NETLINK_ROUTE, &nl, e) < 0)
		return -1;
	if (link_list(nl, &links, &len, e) < 0)
		found = -1;
	for (size_t i = 0; found >= 0 && i < len; i++)
		found += strcmp(links[i].kind, "veth") == 0 && links[i].master_ifindex &&
			 has_gateway(nl, lease, links[i].master_ifindex);
	netlink_close(nl);
	return found;
}

/* The plugin knows its own alone; docker's and others' containers would lose their network. */
static int check_empty(const struct ctl *c, const struct settings *s)
{
	auto_json json_t *document = NULL;
	struct err e;
	int64_t links;

	if (client_get(s->socket, "/v1/lease", "Lease", ANSWER_TIMEOUT_MS, &document, &e) < 0)
		return client_fail(c, s->socket, &e, "fabricctl lease release");
	links = count_links(json_object_get(document, "lease"), &e);
	if (links < 0)
		return ctl_fail(c, CTL_FAILED, e.text, NULL, "links cannot be counted");
	if (links == 0 || c->options.force)
		return CTL_OK;
	return ctl_fail(
		c, CTL_FAILED,
		"the CNI plugin has no records of them: somebody else attached them, or the "
		"records are elsewhere (--cni-data-dir)",
		"end them, or --force",
		"%lld link%s of containers in bridges of this host's subnet", (long long)links,
		links == 1 ? " is" : "s are");
}

/* Before the daemon lets go: afterwards it is too late to find that the store is not to be reached. */
static int check_store(const struct ctl *c)
{
	auto_session struct session session;
	struct store_reply list = { 0 };
	int status = session_open(c, &session);

	if (status == CTL_OK)
		status = session_need_trait(c, &session, STORE_ASSIGNS, false,
					    "assigns subnets itself: there is none to give back");
	if (status)
		return status;
	session_ask(&session, &(struct store_request){ .op = STORE_LIST }, &list);
	if (list.status != STORE_OK)
		status = session_fail(c, &session, &list);
	store_reply_fini(&list);
	return status;
}

static int release(struct ctl *c, const struct settings *s)
{
	int64_t end_ms = clock_boot_ms() + END_MS;
	int status = check_empty(c, s);

	if (status == CTL_OK)
		status = check_store(c);
	if (status == CTL_OK)
		status = set(c, s, "released");
	if (status)
		return status;
	while (!has_let_go(s)) {
		if (clock_boot_ms() > end_ms)
			return ctl_fail(c, CTL_TIMEOUT, NULL, "fabricctl lease release --force",
					"flanneld does not let go of its lease");
		pause_ms(LOOK_MS / 5);
	}
	/* Asked already; and a daemon that was started again does not claim. */
	c->options.force = c->options.yes = true;
	return lease_release(c);
}

static int print_end(const struct ctl *c, int64_t left)
{
	json_t *document;

	if (!document_is_wanted(c)) {
		fputs("drained: 0 attachments left\n", c->out);
		return CTL_OK;
	}
	document = ctl_document("Drain");
	json_object_set_new(document, "state", json_string("drained"));
	json_object_set_new(document, "attachments", json_integer(left));
	document_print(c, document);
	return CTL_OK;
}

static int dry_run(const struct ctl *c, const struct settings *s)
{
	struct err e;
	int64_t left = count(s, &e);

	if (left < 0)
		return ctl_fail(c, CTL_FAILED, e.text, "--cni-plugin FILE",
				"containers cannot be counted");
	fprintf(c->out, "would attach no more containers, and wait for %lld that %s left%s\n",
		(long long)left, left == 1 ? "is" : "are",
		c->options.release ? "; then give back the subnet" : "");
	return CTL_OK;
}

int drain_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	int64_t wait_s = DEFAULT_WAIT_S;
	int64_t left = 0;
	struct err e;
	int status = settings_read(c, c->options.release, &settings);

	if (status)
		return status;
	if (c->options.timeout && text_parse_duration(c->options.timeout, &wait_s, &e) < 0)
		return ctl_fail(c, CTL_USAGE, NULL, NULL, "--timeout: %s", e.text);
	if (c->options.dry_run)
		return dry_run(c, &settings);
	status = ctl_confirm(
		c, c->options.release ? "attach no more containers here, and give back this host's "
					"subnet when none is left"
				      : "attach no more containers on this host");
	if (status == CTL_OK)
		status = set(c, &settings, "drained");
	if (status == CTL_OK)
		status = wait_empty(c, &settings, wait_s, &left);
	if (status)
		return status;
	if (!c->options.release)
		return print_end(c, left);
	return release(c, &settings);
}

/* Where no daemon runs, what it would read is removed. */
static int resume(const struct ctl *c, const struct settings *s)
{
	auto_free char *path = xasprintf("%s/drained", s->state_dir);
	auto_json json_t *document = NULL;
	struct err e;
	int rc = client_post(s->socket, "/v1/drain?state=off", "Drain", ANSWER_TIMEOUT_MS,
			     &document, &e);

	if (rc == 0)
		return CTL_OK;
	if (rc != -ENOENT && rc != -ECONNREFUSED && rc != -ENOTDIR)
		return client_fail(c, s->socket, &e, "fabricctl status");
	if (unlink(path) == 0 || errno == ENOENT)
		return CTL_OK;
	return ctl_fail(c, CTL_DENIED, strerror(errno), "sudo", "%s cannot be removed", path);
}

int resume_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	json_t *document;
	int status = settings_read(c, false, &settings);

	if (status == CTL_OK)
		status = resume(c, &settings);
	if (status)
		return status;
	if (document_is_wanted(c)) {
		document = ctl_document("Drain");
		json_object_set_new(document, "state", json_string("off"));
		document_print(c, document);
	} else {
		fputs("resumed: containers are attached again\n", c->out);
	}
	return CTL_OK;
}
