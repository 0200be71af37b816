/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define ERROR_MAX 4096

char *child_find(const char *name)
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

/* stdout, stderr: descriptors; variable: beside the fixed environment, or NULL. */
static int spawn(const char *path, const char *const argv[], const char *variable, int out,
		 int error, pid_t *ret)
{
	const char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
					    variable, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t signals;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETSID);
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigaddset(&signals, SIGPIPE);
	sigaddset(&signals, SIGXFSZ);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	rc = posix_spawn(ret, path, &actions, &attributes, (char *const *)argv,
			 (char *const *)environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

/* The first line in words: one of a box does not begin in ASCII. If all are such, the first. */
static const char *sentence(char *text)
{
	const char *first = NULL;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		line += strspn(line, " \t");
		if (*line && (unsigned char)*line < 0x80)
			return line;
		if (*line && !first)
			first = line;
	}
	return first ? first : "";
}

int child_outcome(const char *name, int status, char *said, struct err *e)
{
	if (WIFSIGNALED(status))
		return err_set(e, -EIO, "%s was ended by signal %d", name, WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return err_set(e, -EIO, "%s: exit status %d: %s", name, WEXITSTATUS(status),
			       sentence(said));
	return 0;
}

/* One that is killed may take its time to end, and is not waited for. */
static int wait_for(const char *name, pid_t pid, int pid_fd, int error, int timeout_ms,
		    struct err *e)
{
	struct pollfd ended = { .fd = pid_fd, .events = POLLIN };
	bool in_time = poll(&ended, 1, timeout_ms) > 0;
	char said[ERROR_MAX + 1];
	ssize_t size;
	int status = 0;

	if (!in_time)
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, in_time ? 0 : WNOHANG) < 0)
		return err_sys(e, -errno, "%s", name);
	if (!in_time)
		return err_set(e, -ETIMEDOUT, "%s did not end in time", name);
	size = pread(error, said, ERROR_MAX, 0);
	said[MAX(size, 0)] = '\0';
	return child_outcome(name, status, said, e);
}

int child_run(const char *const argv[], int timeout_ms, struct err *e)
{
	auto_close int error = memfd_create("flanneld", MFD_CLOEXEC);
	auto_close int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	auto_free char *path = child_find(argv[0]);
	auto_close int pid_fd = -1;
	pid_t pid = 0;
	int rc;

	if (!path)
		return err_set(e, -ENOENT, "there is no program %s", argv[0]);
	rc = error < 0 || nowhere < 0 ? -errno : spawn(path, argv, NULL, nowhere, error, &pid);
	if (rc < 0)
		return err_sys(e, rc, "%s", argv[0]);
	pid_fd = pidfd_open(pid, 0);
	return wait_for(argv[0], pid, pid_fd, error, timeout_ms, e);
}

int child_start(const char *const argv[], const char *variable, pid_t *ret_pid, struct err *e)
{
	auto_free char *path = child_find(argv[0]);
	int rc;

	if (!path)
		return err_set(e, -ENOENT, "there is no program %s", argv[0]);
	rc = spawn(path, argv, variable, STDERR_FILENO, STDERR_FILENO, ret_pid);
	return rc < 0 ? err_sys(e, rc, "%s", argv[0]) : 0;
}
