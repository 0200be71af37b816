/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/plugin.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdarg.h>
#include <string.h>

#include "fabric/plugin_find.h"
#include "kernel/marks.h"
#include "kernel/nft.h"
#include "lib/clock.h"
#include "lib/fight.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/options.h"
#include "lib/process.h"

#define HEAL_DELAY_MS 10    /* lets a burst of notifications become one look */
#define SHARE         10    /* ... and looks take at most a tenth of the time, */
#define PAUSE_MAX_MS  3000  /* unless what was undone would wait for longer than this */
#define PERIOD_MS     60000 /* a look although nothing was noticed */
#define COST_FACTOR   2000  /* ... but at most 1/2000 of the time is spent on it */
#define TIMEOUT_MS    60000

static const struct backoff_policy retry = { .min_ms = 500, .max_ms = 30000 };

struct plugin {
	struct event_base *base;
	const struct plugin_options *options;
	void (*changed)(void *arg);
	void *arg;
	struct event *timer;
	struct process *process; /* that looks */
	bool started;
	bool looked;      /* once at least, so that what is undone is undone since */
	int64_t began_ms; /* the last look */
	int64_t ended_ms;
	int64_t look_ms; /* the next one at the latest */
	/* what may have been undone: "" if nothing */
	char suspicion[160];
	int64_t suspected_ms;
	char looked_for[160]; /* by the look that is under way */
	bool touched;         /* by the transaction that is being told */
	char culprit[64];     /* ", by nft (pid 123)" */
	struct fight fight;
	/* what came of it */
	bool missing; /* there are records, but no plugin */
	struct err error;
	char failed[ERR_TEXT_SIZE];
	size_t failed_len;
	struct backoff backoff;
};

int plugin_check_options(const struct plugin_options *o, struct err *e)
{
	int rc = *o->cni_plugin ? options_check_path("cni-plugin", o->cni_plugin, e) : 0;

	return rc < 0 ? rc : options_check_path("cni-data-dir", o->cni_data_dir, e);
}

/* ---- what there is to keep, and who keeps it ---- */

static bool has_record(const char *dir, const char *network)
{
	auto_free char *path = xasprintf("%s/%s", dir, network);
	DIR *d = opendir(path);
	const struct dirent *entry;
	bool found = false;

	while (d && !found && (entry = readdir(d)))
		found = entry->d_name[0] != '.' && strcmp(entry->d_name, "lock") != 0;
	if (d)
		closedir(d);
	return found;
}

static bool has_records(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;
	bool found = false;

	while (d && !found && (entry = readdir(d)))
		found = entry->d_name[0] == '@' && has_record(dir, entry->d_name);
	if (d)
		closedir(d);
	return found;
}

/* Its process has this name. */
static bool is_plugins_name(const struct plugin *p, const char *process)
{
	const char *path = p->options->cni_plugin;
	const char *slash = strrchr(path, '/');

	/* Names of processes are cut to 15 bytes. */
	return strcmp(process, PLUGIN_NAME) == 0 || (slash && strncmp(process, slash + 1, 15) == 0);
}

/* ---- when to look ---- */

/* After the last look. */
static int64_t pause_ms(const struct plugin *p)
{
	return MIN((p->ended_ms - p->began_ms) * SHARE, (int64_t)PAUSE_MAX_MS);
}

static void plan(struct plugin *p)
{
	int64_t now_ms = clock_boot_ms();
	int64_t due_ms = p->look_ms;
	struct timeval tv;

	if (p->process || !p->started)
		return;
	if (p->suspicion[0] && !p->missing) {
		int64_t from_ms = p->ended_ms + pause_ms(p);

		from_ms = MAX(from_ms, p->suspected_ms + HEAL_DELAY_MS);
		due_ms = MIN(due_ms, MAX(from_ms, now_ms + fight_wait(&p->fight, now_ms)));
	}
	if (p->backoff.failures)
		due_ms = MIN(due_ms, now_ms + backoff_left(&p->backoff, now_ms));
	if (p->fight.pace.failures)
		due_ms = MIN(due_ms, fight_end_ms(&p->fight));
	due_ms = MAX(due_ms - now_ms, (int64_t)0);
	tv = (struct timeval){ due_ms / 1000, due_ms % 1000 * 1000 };
	event_add(p->timer, &tv);
}

static bool is_due(const struct plugin *p, int64_t now_ms)
{
	return now_ms >= p->look_ms ||
	       (p->backoff.failures && !backoff_left(&p->backoff, now_ms)) ||
	       (p->suspicion[0] && !p->missing && !fight_wait(&p->fight, now_ms) &&
		now_ms >= p->suspected_ms + HEAL_DELAY_MS && now_ms >= p->ended_ms + pause_ms(p));
}

/* ---- what came of it ---- */

static void fail(struct plugin *p, const struct err *e)
{
	p->error = *e;
	backoff_next(&p->backoff, &retry, clock_boot_ms());
}

static void note_repaired(struct plugin *p, const json_t *repaired)
{
	int64_t now_ms = clock_boot_ms();
	bool before = fight_is_on(&p->fight);
	char text[FIGHT_TEXT];
	const json_t *item;
	size_t i;

	json_array_foreach (repaired, i, item) {
		if (!before)
			log_warn("cni-healed", "%s%s; the CNI plugin has put it back in %lld ms",
				 json_string_value(item), p->culprit,
				 (long long)(p->ended_ms - p->began_ms));
	}
	/* What was undone while nobody was there to see it is no fight. */
	if (!p->looked || json_array_size(repaired) == 0)
		return;
	fight_undone(&p->fight, now_ms);
	if (fight_is_on(&p->fight) && !before)
		log_warn("fighting", "what the CNI plugin made: %s; it is put back later and later",
			 fight_describe(&p->fight, text));
}

static void note_failed(struct plugin *p, const json_t *failed)
{
	const char *first = json_string_value(json_array_get(failed, 0));

	p->failed_len = json_array_size(failed);
	snprintf(p->failed, sizeof(p->failed), "%s", first ? first : "");
	if (p->failed_len)
		backoff_next(&p->backoff, &retry, clock_boot_ms());
	else
		backoff_reset(&p->backoff);
}

/* Another plugin of that name says something else, or nothing. */
static int read_report(struct plugin *p, const char *output, struct err *e)
{
	auto_json json_t *report = NULL;
	json_t *repaired = NULL;
	json_t *failed = NULL;

	if (json_parse_object(output, strlen(output), &report, e) < 0 ||
	    json_find(report, "repaired", &repaired, e) < 0 ||
	    json_find(report, "failed", &failed, e) < 0)
		return e->code;
	if (!json_is_array(repaired) || !json_is_array(failed))
		return err_set(e, -EINVAL, "no report");
	p->error.code = 0;
	note_repaired(p, repaired);
	note_failed(p, failed);
	return 0;
}

static void on_done(void *arg, int rc, const char *output, const struct err *why)
{
	struct plugin *p = arg;
	int64_t period_ms;
	struct err e;

	p->process = NULL;
	p->ended_ms = clock_boot_ms();
	period_ms = MAX((p->ended_ms - p->began_ms) * COST_FACTOR, (int64_t)PERIOD_MS);
	p->look_ms = p->ended_ms + period_ms;
	if (read_report(p, output, &e) < 0) {
		auto_free char *path = plugin_find(p->options->cni_plugin);

		if (rc < 0)
			e = *why;
		else
			err_set(&e, -EINVAL,
				"%.120s does not know \"keep\": it is another plugin of that name, "
				"or "
				"an older one; say with cni-plugin where this one is",
				path ? path : PLUGIN_NAME);
		fail(p, &e);
	}
	p->looked = true;
	p->looked_for[0] = p->culprit[0] = '\0';
	plan(p);
	p->changed(p->arg);
}

static void forget(struct plugin *p)
{
	p->suspicion[0] = '\0';
	p->failed_len = 0;
	p->error.code = 0;
	p->missing = false;
	backoff_reset(&p->backoff);
}

static void look(struct plugin *p)
{
	auto_free char *path = NULL;
	const char *argv[] = { NULL, "keep", p->options->cni_data_dir, NULL };
	struct err e;

	p->began_ms = p->ended_ms = clock_boot_ms();
	p->look_ms = p->began_ms + PERIOD_MS;
	if (!has_records(p->options->cni_data_dir)) {
		forget(p);
		return;
	}
	path = plugin_find(p->options->cni_plugin);
	p->missing = !path;
	if (p->missing)
		return;
	argv[0] = path;
	if (process_start(p->base, argv, NULL, TIMEOUT_MS, on_done, p, &p->process, &e) < 0) {
		fail(p, &e);
		return;
	}
	memcpy(p->looked_for, p->suspicion, sizeof(p->looked_for));
	p->suspicion[0] = '\0';
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct plugin *p = arg;
	int64_t now_ms = clock_boot_ms();

	if (fight_is_over(&p->fight, now_ms)) {
		if (fight_is_on(&p->fight))
			log_info("fight-over", "what the CNI plugin made has stood for a while");
		p->fight = (struct fight){ 0 };
	}
	if (is_due(p, now_ms))
		look(p);
	plan(p);
	p->changed(p->arg);
}

/* ---- what is told ---- */

void plugin_look(struct plugin *p)
{
	if (!p)
		return;
	p->started = true;
	p->look_ms = 0;
	plan(p);
}

void plugin_suspect(struct plugin *p, uint32_t port_id, const char *fmt, ...)
{
	va_list args;

	if (!p)
		return;
	fight_blame_port(&p->fight, port_id);
	if (!p->suspicion[0]) {
		va_start(args, fmt);
		vsnprintf(p->suspicion, sizeof(p->suspicion), fmt, args);
		va_end(args);
	}
	log_debug("cni-suspect", "%s", p->suspicion);
	p->suspected_ms = clock_boot_ms();
	plan(p);
}

bool plugin_table_changed(struct plugin *p, const struct nft_change *change)
{
	bool its = p && strcmp(change->table, MARK_CNI_TABLE) == 0 &&
		   (change->family == NFPROTO_INET || change->family == NFPROTO_BRIDGE);

	/* Who puts an element in takes away none of the plugin's. */
	if (its && change->message != NFT_MSG_NEWSETELEM)
		p->touched = true;
	return its;
}

void plugin_finished(struct plugin *p, uint32_t pid, const char *process)
{
	if (!p || !p->touched)
		return;
	p->touched = false;
	if (is_plugins_name(p, process))
		return;
	fight_blame(&p->fight, pid, process);
	snprintf(p->culprit, sizeof(p->culprit), ", by %.16s (pid %u)", process, pid);
	plugin_suspect(p, 0, "nftables table " MARK_CNI_TABLE " was changed by %.16s (pid %u)",
		       process, pid);
}

void plugin_problems(const struct plugin *p, struct problem_list *ret)
{
	const char *undone;
	char text[FIGHT_TEXT];

	if (!p)
		return;
	undone = p->suspicion[0] ? p->suspicion : p->looked_for;
	if (p->missing)
		problem_add(ret, undone[0] ? PROBLEM_WARNING : PROBLEM_INFO, "cni-plugin-missing",
			    "%s%swhat the CNI plugin made is not kept: there is no %s", undone,
			    undone[0] ? "; " : "",
			    *p->options->cni_plugin ? p->options->cni_plugin
						    : PLUGIN_NAME " in " PLUGIN_DIRECTORIES);
	else if (p->error.code)
		problem_add(ret, PROBLEM_WARNING, "cni-plugin-failed",
			    "what the CNI plugin made is not kept: %s", p->error.text);
	else if (p->failed_len)
		problem_add(ret, PROBLEM_ERROR, "cni-not-kept", "%s", p->failed);
	else if (undone[0])
		problem_add(ret, PROBLEM_WARNING, "cni-undone",
			    "%s; the CNI plugin looks and puts back what it made", undone);
	if (fight_is_on(&p->fight))
		problem_add(ret, PROBLEM_WARNING, "fighting", "what the CNI plugin made: %s",
			    fight_describe(&p->fight, text));
}

/* ---- life ---- */

struct plugin *plugin_new(struct event_base *base, const struct plugin_options *options,
			  void (*changed)(void *arg), void *arg)
{
	struct plugin *p = xcalloc(1, sizeof(*p));

	*p = (struct plugin){ .base = base, .options = options, .changed = changed, .arg = arg };
	p->timer = evtimer_new(base, on_timer, p);
	return p;
}

void plugin_free(struct plugin *p)
{
	if (!p)
		return;
	process_cancel(p->process);
	event_free(p->timer);
	free(p);
}
