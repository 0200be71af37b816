/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/rules_iptables.h"

#include <errno.h>
#include <event2/event.h>

#include "kernel/marks.h"
#include "lib/process.h"

#define TIMEOUT_MS   15000
#define LOCK_WAIT_S  "5" /* iptables-legacy: everybody waits for one lock */
#define PROGRAM_SIZE 40

struct rules_iptables {
	struct event_base *base;
	rules_iptables_done_fn *done;
	void *arg;
	struct event *finish; /* `done` is never called from inside rules_iptables_run */
	struct process *process;
	bool busy;
	enum rules_iptables_kind kind;
	struct traffic_rules rules;
	char table[NFT_NAME_SIZE];
	char mark[MARK_SIZE];
	unsigned families; /* left to do */
	unsigned before[2];
	int family; /* under way */
	unsigned writes;
	struct err error;
};

static const char *program(enum rules_iptables_kind kind, int family, const char *verb,
			   char buf[static PROGRAM_SIZE])
{
	static const char *const names[] = { [RULES_IPTABLES_ANY] = "",
					     [RULES_IPTABLES_NFT] = "-nft",
					     [RULES_IPTABLES_LEGACY] = "-legacy" };
	const char *ip = family == AF_INET ? "iptables" : "ip6tables";

	snprintf(buf, PROGRAM_SIZE, "%s%s-%s", ip, names[kind], verb);
	/* Some hosts have one iptables, under its plain name. */
	if (!process_exists(buf))
		snprintf(buf, PROGRAM_SIZE, "%s-%s", ip, verb);
	return buf;
}

bool rules_iptables_exists(enum rules_iptables_kind kind)
{
	char name[PROGRAM_SIZE];

	return process_exists(program(kind, AF_INET, "restore", name));
}

bool rules_iptables_busy(const struct rules_iptables *r)
{
	return r->busy;
}

static void next_family(struct rules_iptables *r);

static void finish(struct rules_iptables *r)
{
	event_active(r->finish, 0, 0);
}

static void on_finish(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct rules_iptables *r = arg;

	r->busy = false;
	traffic_rules_fini(&r->rules);
	r->done(r->arg, r->error.code, r->writes, &r->error);
}

static void on_restored(void *arg, int rc, const char *output UNUSED, const struct err *e)
{
	struct rules_iptables *r = arg;

	r->process = NULL;
	if (rc < 0) {
		r->error = *e;
		finish(r);
		return;
	}
	r->writes++;
	next_family(r);
}

static void on_saved(void *arg, int rc, const char *output, const struct err *e)
{
	struct rules_iptables *r = arg;
	char name[PROGRAM_SIZE];
	const char *argv[] = { program(r->kind, r->family, "restore", name), "--noflush",
			       "--wait=" LOCK_WAIT_S, NULL };
	auto_free char *update = NULL;

	r->process = NULL;
	if (rc < 0) {
		r->error = *e;
		finish(r);
		return;
	}
	update = traffic_iptables_update(&r->rules, r->family, r->table, r->mark, output,
					 r->before[r->family == AF_INET ? 0 : 1]);
	if (!update)
		next_family(r);
	else if (process_start(r->base, argv, update, TIMEOUT_MS, on_restored, r, &r->process,
			       &r->error) < 0)
		finish(r);
}

static void next_family(struct rules_iptables *r)
{
	char name[PROGRAM_SIZE];
	const char *argv[] = { name, NULL };

	if (r->families == 0) {
		finish(r);
		return;
	}
	r->family = r->families & 1 ? AF_INET : AF_INET6;
	r->families &= r->families - 1;
	program(r->kind, r->family, "save", name);
	if (process_start(r->base, argv, NULL, TIMEOUT_MS, on_saved, r, &r->process, &r->error) < 0)
		finish(r);
}

void rules_iptables_run(struct rules_iptables *r, enum rules_iptables_kind kind,
			const struct traffic_rules *rules, const char *table, const char *mark,
			unsigned families, const unsigned before[static 2])
{
	r->busy = true;
	r->kind = kind;
	r->families = families;
	memcpy(r->before, before, sizeof(r->before));
	r->writes = 0;
	r->error.code = 0;
	snprintf(r->table, sizeof(r->table), "%s", table);
	snprintf(r->mark, sizeof(r->mark), "%s", mark);
	traffic_rules_fini(&r->rules);
	if (rules->len) {
		r->rules.len = r->rules.cap = rules->len;
		r->rules.items = xmalloc(rules->len * sizeof(*rules->items));
		memcpy(r->rules.items, rules->items, rules->len * sizeof(*rules->items));
	}
	next_family(r);
}

struct rules_iptables *rules_iptables_new(struct event_base *base, rules_iptables_done_fn *done,
					  void *arg)
{
	struct rules_iptables *r = xcalloc(1, sizeof(*r));

	r->base = base;
	r->done = done;
	r->arg = arg;
	r->finish = evtimer_new(base, on_finish, r);
	return r;
}

void rules_iptables_free(struct rules_iptables *r)
{
	if (!r)
		return;
	process_cancel(r->process);
	event_free(r->finish);
	traffic_rules_fini(&r->rules);
	free(r);
}
