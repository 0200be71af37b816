/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/process.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/child.h"

#define ERROR_MAX 256

/* What it says. */
struct stream {
	int fd; /* a memory file; or our end of a pipe, and then: */
	struct event *event;
	char *text; /* of `max` bytes, and one for the end */
	size_t used;
	size_t max;
	bool overflow;
};

struct process {
	struct event_base *base;
	pid_t pid;
	int pid_fd;
	struct stream output;
	struct stream error;
	struct event *event;
	process_done_fn *done;
	void *arg;
	LIST_ENTRY(process) link; /* of the dying */
	char name[32];
};

bool process_exists(const char *name)
{
	auto_free char *path = child_find(name);

	return path != NULL;
}

static void stream_close(struct stream *s)
{
	if (s->event)
		event_free(STEAL(s->event));
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	free(STEAL(s->text));
}

static void process_free(struct process *p)
{
	if (p->event)
		event_free(p->event);
	if (p->pid_fd >= 0)
		close(p->pid_fd);
	stream_close(&p->output);
	stream_close(&p->error);
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

	kill(-p->pid, SIGKILL);
	if (p->event)
		event_free(STEAL(p->event));
	stream_close(&p->output);
	stream_close(&p->error);
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

/* All that is in a pipe now. */
static void stream_read(struct stream *s)
{
	char buffer[4096];
	ssize_t n;

	while ((n = read(s->fd, buffer, sizeof(buffer))) > 0 || (n < 0 && errno == EINTR)) {
		size_t size = n > 0 ? (size_t)n : 0;
		size_t room = s->max - s->used;

		memcpy(s->text + s->used, buffer, MIN(size, room));
		s->used += MIN(size, room);
		s->overflow |= size > room;
	}
	/* Nobody can write any more, or it cannot be read. */
	if (n == 0 || errno != EAGAIN)
		event_del(s->event);
}

/* Caller frees. */
static char *stream_take(struct stream *s, size_t max)
{
	if (!s->text)
		return read_all(s->fd, max);
	stream_read(s);
	s->text[s->used] = '\0';
	return STEAL(s->text);
}

static int outcome(struct process *p, int status, struct err *e)
{
	auto_free char *said = stream_take(&p->error, ERROR_MAX);

	return child_outcome(p->name, status, said, e);
}

static int said_too_much(const struct process *p, struct err *e)
{
	return err_set(e, -EFBIG, "%s said more than %zu bytes", p->name, p->output.max);
}

/* It has ended, or must: `rc` 0 or why. */
static void finish(struct process *p, int rc, struct err *e)
{
	process_done_fn *done = p->done;
	void *done_arg = p->arg;
	auto_free char *output = NULL;
	int status = 0;

	if (rc == 0) {
		rc = reap(p, &status);
		rc = rc < 0 ? err_sys(e, rc, "%s", p->name) : outcome(p, status, e);
		output = stream_take(&p->output, PROCESS_OUTPUT_MAX);
		if (rc == 0 && p->output.overflow)
			rc = said_too_much(p, e);
		process_free(p);
	} else {
		output = stream_take(&p->output, PROCESS_OUTPUT_MAX);
		kill_and_forget(p);
	}
	done(done_arg, rc, output, e);
}

static void on_event(evutil_socket_t fd UNUSED, short what, void *arg)
{
	struct process *p = arg;
	struct err e = { 0 };
	int rc = 0;

	if (what & EV_TIMEOUT)
		rc = err_set(&e, -ETIMEDOUT, "%s did not end in time", p->name);
	finish(p, rc, &e);
}

static void on_output(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct process *p = arg;
	struct err e = { 0 };

	stream_read(&p->output);
	if (p->output.overflow)
		finish(p, said_too_much(p, &e), &e);
}

/* More of it than is kept is of no interest. */
static void on_error(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct process *p = arg;

	stream_read(&p->error);
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

static const char *const fixed_environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
						 NULL };

/* In a group of its own, so that what it starts can be ended with it. */
static int spawn(struct process *p, const char *path, const struct process_task *task,
		 const int ends[static 3])
{
	const char *const *environment = task->environment ? task->environment : fixed_environment;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t signals;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, ends[2], STDERR_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETPGROUP);
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigaddset(&signals, SIGPIPE);
	sigaddset(&signals, SIGXFSZ);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	rc = posix_spawn(&p->pid, path, &actions, &attributes, (char *const *)task->argv,
			 (char *const *)environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

/* The other end's descriptor, which the caller closes. */
static int stream_open(struct process *p, struct stream *s, size_t max, event_callback_fn on_more)
{
	int ends[2];

	if (!max) {
		s->fd = memory_file(NULL);
		return s->fd < 0 ? -1 : fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	s->fd = ends[0];
	s->max = max;
	s->text = xmalloc(max + 1);
	s->event = event_new(p->base, s->fd, EV_READ | EV_PERSIST, on_more, p);
	/* Ours alone: the program's end waits, as pipes do. */
	if (fcntl(s->fd, F_SETFL, O_NONBLOCK) < 0) {
		close(ends[1]);
		return -1;
	}
	event_add(s->event, NULL);
	return ends[1];
}

static int start(struct process *p, const char *path, const struct process_task *task)
{
	size_t max = task->output_max;
	auto_close int input = memory_file(task->input);
	auto_close int output = stream_open(p, &p->output, max, on_output);
	auto_close int error = stream_open(p, &p->error, max ? ERROR_MAX : 0, on_error);
	const int ends[3] = { input, output, error };

	if (input < 0 || output < 0 || error < 0)
		return -errno;
	return spawn(p, path, task, ends);
}

int process_run(struct event_base *base, const struct process_task *task, process_done_fn *done,
		void *arg, struct process **ret, struct err *e)
{
	struct timeval timeout = { task->timeout_ms / 1000, task->timeout_ms % 1000 * 1000 };
	const char *name = task->argv[0];
	const char *slash = strrchr(name, '/');
	auto_free char *path = child_find(name);
	struct process *p;
	int rc;

	if (!path)
		return err_set(e, -ENOENT, "there is no program %s", name);
	p = xcalloc(1, sizeof(*p));
	*p = (struct process){ .base = base, .pid_fd = -1, .done = done, .arg = arg };
	p->output.fd = p->error.fd = -1;
	snprintf(p->name, sizeof(p->name), "%s", slash ? slash + 1 : name);
	rc = start(p, path, task);
	if (rc < 0) {
		process_free(p);
		return err_sys(e, rc, "%s", name);
	}
	p->pid_fd = pidfd_open(p->pid, 0);
	if (p->pid_fd < 0) {
		rc = -errno;
		process_cancel(p);
		return err_sys(e, rc, "%s", name);
	}
	p->event = event_new(base, p->pid_fd, EV_READ, on_event, p);
	event_add(p->event, &timeout);
	*ret = p;
	return 0;
}

int process_start(struct event_base *base, const char *const argv[], const char *input,
		  int64_t timeout_ms, process_done_fn *done, void *arg, struct process **ret,
		  struct err *e)
{
	const struct process_task task = { .argv = argv, .input = input, .timeout_ms = timeout_ms };

	return process_run(base, &task, done, arg, ret, e);
}

void process_cancel(struct process *p)
{
	if (p)
		kill_and_forget(p);
}
