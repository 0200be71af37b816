/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/process.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ERROR_MAX 256

struct process {
	struct event_base *base;
	pid_t pid;
	int pid_fd;
	int output;
	int error;
	struct event *event;
	process_done_fn *done;
	void *arg;
	LIST_ENTRY(process) link; /* of the dying */
	char name[32];
};

static char *find(const char *name)
{
	static const char *const directories[] = { "/usr/sbin", "/sbin", "/usr/bin", "/bin",
						   "/usr/local/sbin" };

	if (name[0] == '/')
		return access(name, X_OK) == 0 ? xstrdup(name) : NULL;
	for (size_t i = 0; i < ARRAY_LEN(directories); i++) {
		char *path = xasprintf("%s/%s", directories[i], name);

		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

bool process_exists(const char *name)
{
	auto_free char *path = find(name);

	return path != NULL;
}

static void process_free(struct process *p)
{
	if (p->event)
		event_free(p->event);
	if (p->pid_fd >= 0)
		close(p->pid_fd);
	if (p->output >= 0)
		close(p->output);
	if (p->error >= 0)
		close(p->error);
	free(p);
}

/* Whether it has ended, or -errno if that cannot be told. */
static int reap(struct process *p, int *ret_status)
{
	pid_t pid;

	do
		pid = waitpid(p->pid, ret_status, WNOHANG);
	while (pid < 0 && errno == EINTR);
	return pid < 0 ? -errno : pid > 0;
}

/* ---- those that nobody waits for any more ---- */

/*
 * A process that was killed ends when the kernel lets it: not while it is inside a call that hangs,
 * for example on a file system of the network. Nobody waits for it but this list.
 */
static LIST_HEAD(, process) dying = LIST_HEAD_INITIALIZER(dying);

static void on_dead(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct process *p = arg;
	int status;

	if (reap(p, &status) == 0)
		return;
	LIST_REMOVE(p, link);
	process_free(p);
}

static void kill_and_forget(struct process *p)
{
	static const struct timeval look_again = { 1, 0 };
	int status;

	kill(p->pid, SIGKILL);
	if (p->event)
		event_free(STEAL(p->event));
	if (reap(p, &status) != 0) {
		process_free(p);
		return;
	}
	/* Without a descriptor, by the time alone. */
	p->event = event_new(p->base, p->pid_fd, EV_PERSIST | (p->pid_fd >= 0 ? EV_READ : 0),
			     on_dead, p);
	event_add(p->event, &look_again);
	LIST_INSERT_HEAD(&dying, p, link);
}

/* ---- those that somebody waits for ---- */

/* All of a memory file, at most `max` bytes. */
static char *read_all(int fd, size_t max)
{
	struct stat st;
	size_t size = fstat(fd, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size : 0;
	size_t used = 0;
	char *text;

	size = MIN(size, max);
	text = xmalloc(size + 1);
	while (used < size) {
		ssize_t n = pread(fd, text + used, size - used, (off_t)used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	text[used] = '\0';
	return text;
}

static int outcome(struct process *p, int status, struct err *e)
{
	auto_free char *said = read_all(p->error, ERROR_MAX);

	said[strcspn(said, "\n")] = '\0';
	if (WIFSIGNALED(status))
		return err_set(e, -EIO, "%s was ended by signal %d", p->name, WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return err_set(e, -EIO, "%s: exit status %d: %s", p->name, WEXITSTATUS(status),
			       said);
	return 0;
}

static void on_event(evutil_socket_t fd UNUSED, short what, void *arg)
{
	struct process *p = arg;
	process_done_fn *done = p->done;
	void *done_arg = p->arg;
	auto_free char *output = NULL;
	struct err e = { 0 };
	int status = 0;
	int rc;

	if (what & EV_TIMEOUT) {
		rc = err_set(&e, -ETIMEDOUT, "%s did not end in time", p->name);
		output = read_all(p->output, PROCESS_OUTPUT_MAX);
		kill_and_forget(p);
	} else {
		rc = reap(p, &status);
		rc = rc < 0 ? err_sys(&e, rc, "%s", p->name) : outcome(p, status, &e);
		output = read_all(p->output, PROCESS_OUTPUT_MAX);
		process_free(p);
	}
	done(done_arg, rc, output, &e);
}

static int memory_file(const char *content)
{
	int fd = memfd_create("flanneld", MFD_CLOEXEC);
	size_t size = content ? strlen(content) : 0;
	size_t used = 0;

	while (fd >= 0 && used < size) {
		ssize_t n = pwrite(fd, content + used, size - used, (off_t)used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			close(fd);
			return -1;
		}
		used += (size_t)n;
	}
	return fd;
}

static int spawn(struct process *p, const char *path, const char *const argv[], int input)
{
	static char *environment[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
				       (char *)"LC_ALL=C", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t signals;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, p->output, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, p->error, STDERR_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigaddset(&signals, SIGPIPE);
	sigaddset(&signals, SIGXFSZ);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	rc = posix_spawn(&p->pid, path, &actions, &attributes, (char *const *)argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

int process_start(struct event_base *base, const char *const argv[], const char *input,
		  int64_t timeout_ms, process_done_fn *done, void *arg, struct process **ret,
		  struct err *e)
{
	struct timeval timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	const char *slash = strrchr(argv[0], '/');
	auto_free char *path = find(argv[0]);
	auto_close int input_fd = -1;
	struct process *p;
	int rc;

	if (!path)
		return err_set(e, -ENOENT, "there is no program %s", argv[0]);
	p = xcalloc(1, sizeof(*p));
	*p = (struct process){ .base = base, .pid_fd = -1, .done = done, .arg = arg };
	snprintf(p->name, sizeof(p->name), "%s", slash ? slash + 1 : argv[0]);
	input_fd = memory_file(input);
	p->output = memory_file(NULL);
	p->error = memory_file(NULL);
	rc = input_fd < 0 || p->output < 0 || p->error < 0 ? -errno
							   : spawn(p, path, argv, input_fd);
	if (rc < 0) {
		process_free(p);
		return err_sys(e, rc, "%s", argv[0]);
	}
	p->pid_fd = pidfd_open(p->pid, 0);
	if (p->pid_fd < 0) {
		rc = -errno;
		process_cancel(p);
		return err_sys(e, rc, "%s", argv[0]);
	}
	p->event = event_new(base, p->pid_fd, EV_READ, on_event, p);
	event_add(p->event, &timeout);
	*ret = p;
	return 0;
}

void process_cancel(struct process *p)
{
	if (p)
		kill_and_forget(p);
}
