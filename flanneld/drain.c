/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/drain.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "flanneld/daemon.h"
#include "lib/file.h"
#include "lib/log.h"

#define FILE_SIZE_MAX 16
#define ANSWER_US     100000 /* who asked hears of it before the end */

static const char *const names[DRAIN_STATES] = { "off", "drained", "released" };

const char *drain_state_name(enum drain_state state)
{
	return names[state];
}

bool drain_state_parse(const char *text, enum drain_state *ret)
{
	for (unsigned i = 0; i < DRAIN_STATES; i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum drain_state)i;
			return true;
		}
	}
	return false;
}

static char *path_of(const struct daemon *d)
{
	return xasprintf("%s/drained", d->options->state_dir);
}

void drain_start(struct daemon *d)
{
	auto_free char *path = path_of(d);
	auto_free char *text = NULL;
	struct err e;
	int rc = file_read(path, FILE_SIZE_MAX, &text, NULL, &e);

	d->drain = DRAIN_OFF;
	if (rc == 0) {
		text[strcspn(text, "\n")] = '\0';
		if (!drain_state_parse(text, &d->drain))
			log_warn("drained", "%s: not drained or released; it is not used", path);
	} else if (rc != -ENOENT) {
		log_warn("drained", "%s; it is not used", e.text);
	}
}

static int write_down(const struct daemon *d, enum drain_state state, struct err *e)
{
	auto_free char *path = path_of(d);
	auto_free char *text = xasprintf("%s\n", names[state]);

	if (state != DRAIN_OFF)
		return file_replace(path, text, strlen(text), 0644, e);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, -errno, "%s", path);
	return 0;
}

int drain_set(struct daemon *d, enum drain_state state, struct err *e)
{
	enum drain_state before = d->drain;

	if (state == DRAIN_RELEASED && before == DRAIN_OFF)
		return err_set(e, -EINVAL, "this host is not drained");
	/* There is nothing here that could be drained. */
	if (state == DRAIN_DRAINED && before == DRAIN_RELEASED)
		return 0;
	if (write_down(d, state, e) < 0)
		return e->code;
	d->drain = state;
	d->env_dirty = true;
	d->publish_wanted |= (before == DRAIN_RELEASED && state == DRAIN_OFF) ||
			     d->host.out_of_use != STORE_OUT_NEVER;
	event_active(d->deferred, 0, 0);
	if (state != before)
		log_info("drained", "%s -> %s", names[before], names[state]);
	if (state == DRAIN_RELEASED)
		event_base_loopexit(d->base, &(struct timeval){ 0, ANSWER_US });
	return 0;
}

void drain_problems(const struct daemon *d, struct problem_list *ret)
{
	if (d->drain == DRAIN_DRAINED)
		problem_add(ret, PROBLEM_INFO, "drained",
			    "no new containers are attached on this host; those that run go on. "
			    "fabricctl resume ends that");
	else if (d->drain == DRAIN_RELEASED)
		problem_add(ret, PROBLEM_INFO, "drained",
			    "this host was taken out of use: it claims no subnet until fabricctl "
			    "resume");
}
