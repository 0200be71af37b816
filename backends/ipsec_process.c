/* SPDX-License-Identifier: Apache-2.0 */
/*
 * charon as a process that we start, as flannel does, where no other answers. It goes on when we end, since it holds
 * what tunnels live by: stopping it takes them down. What was started is noted, so that a later run with another
 * backend can end it.
 *
 * It finds its own configuration as ever (/etc/strongswan.conf, or what the variable STRONGSWAN_CONF names), and writes
 * where we do.
 */
#include "backends/ipsec_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "lib/child.h"
#include "lib/file.h"
#include "lib/log.h"

#define CONFIGURATION "STRONGSWAN_CONF"

struct ipsec_process {
	pid_t pid;
	int pid_fd;
	struct event *ended_event;
	ipsec_ended_fn *ended;
	void *arg;
};

/* ---- the one that runs ---- */

static void on_ended(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct ipsec_process *p = arg;
	char nothing[] = "see what it has said in this log";
	struct err e;
	int status = 0;

	if (waitpid(p->pid, &status, WNOHANG) <= 0)
		err_set(&e, -ECHILD, "charon has ended");
	else if (child_outcome("charon", status, nothing, &e) == 0)
		err_set(&e, -EIO, "charon has ended by itself, without an error");
	p->ended(p->arg, &e);
}

/* Where distributions and flannel's image have it. */
static char *find_program(void)
{
	static const char *const places[] = { "charon", "/usr/lib/strongswan/charon",
					      "/usr/lib/ipsec/charon",
					      "/usr/libexec/strongswan/charon",
					      "/usr/libexec/ipsec/charon" };
	char *path = NULL;

	for (size_t i = 0; !path && i < ARRAY_LEN(places); i++)
		path = child_find(places[i]);
	return path;
}

int ipsec_process_start(struct event_base *loop, ipsec_ended_fn *ended, void *arg,
			struct ipsec_process **ret, struct err *e)
{
	const char *configuration = getenv(CONFIGURATION);
	auto_free char *variable =
		configuration ? xasprintf(CONFIGURATION "=%s", configuration) : NULL;
	auto_free char *path = find_program();
	const char *const argv[] = { path, NULL };
	struct ipsec_process *p;
	pid_t pid;
	int rc;

	if (!path)
		return err_set(e, -ENOENT,
			       "it is not installed (strongSwan: Debian's packages "
			       "strongswan-charon and strongswan-swanctl)");
	rc = child_start(argv, variable, &pid, e);
	if (rc < 0)
		return rc;
	p = xcalloc(1, sizeof(*p));
	p->pid = pid;
	p->ended = ended;
	p->arg = arg;
	p->pid_fd = pidfd_open(pid, 0);
	if (p->pid_fd >= 0) {
		p->ended_event = event_new(loop, p->pid_fd, EV_READ, on_ended, p);
		event_add(p->ended_event, NULL);
	}
	log_info("charon", "none answers: %s is started, process %d", path, (int)pid);
	*ret = p;
	return 0;
}

void ipsec_process_free(struct ipsec_process *p)
{
	if (!p)
		return;
	if (p->ended_event)
		event_free(p->ended_event);
	if (p->pid_fd >= 0)
		close(p->pid_fd);
	free(p);
}

/* ---- the note ---- */

/* When it was started, in the kernel's ticks since boot; 0: there is no such process, or it has another name than
 * this, which one that was just started has not for a moment yet; NULL: any. */
static uint64_t started(pid_t pid, const char *name)
{
	auto_free char *path = xasprintf("/proc/%d/stat", (int)pid);
	auto_free char *text = NULL;
	const char *rest;
	uint64_t ticks = 0;
	size_t size;

	if (file_read(path, 4096, &text, &size, NULL) < 0 || (name && !strstr(text, name)))
		return 0;
	rest = strrchr(text, ')');
	/* proc(5): the 22nd field; the third is the first behind the name. */
	for (int field = 2; rest && field < 22; field++)
		rest = strchr(rest + 1, ' ');
	if (!rest || sscanf(rest, "%" SCNu64, &ticks) != 1)
		return 0;
	return ticks;
}

int ipsec_process_note(const struct ipsec_process *p, const char *path, struct err *e)
{
	auto_free char *text = xasprintf("%d %" PRIu64 "\n", (int)p->pid, started(p->pid, NULL));

	return file_replace(path, text, strlen(text), 0600, e);
}

bool ipsec_process_end(const char *path)
{
	auto_free char *text = NULL;
	uint64_t ticks = 0;
	size_t size;
	int pid = 0;
	auto_close int pid_fd = -1;

	if (file_read(path, 4096, &text, &size, NULL) < 0 ||
	    sscanf(text, "%d %" SCNu64, &pid, &ticks) != 2 || pid <= 0 || !ticks)
		return false;
	/* Before it is looked at: what is ended is what was looked at. */
	pid_fd = pidfd_open(pid, 0);
	if (pid_fd < 0 || started(pid, "(charon)") != ticks)
		return false;
	log_info("sweep", "charon, process %d, was started for ipsec and is ended", pid);
	return pidfd_send_signal(pid_fd, SIGTERM, NULL, 0) == 0;
}
