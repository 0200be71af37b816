/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cni-plugin/error.h"

#define OUTPUT_SIZE_MAX (4u * 1024 * 1024)
#define ENVIRONMENT_LEN 16
#define SAFE_PATH       "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Under another name too: a link. */
static bool is_this_program(const struct stat *st)
{
	struct stat self;

	return stat("/proc/self/exe", &self) == 0 && self.st_dev == st->st_dev &&
	       self.st_ino == st->st_ino;
}

int exec_find(const struct cni_env *env, const char *type, char **ret, struct err *e)
{
	auto_free char *dirs = xstrdup(env->path);
	char *save = NULL;

	if (!type[0] || strchr(type, '/') || strcmp(type, ".") == 0 || strcmp(type, "..") == 0)
		return cni_error(e, CNI_CONFIG, "plugin type \"%.80s\" is not a plain file name",
				 type);
	if (!dirs[0])
		return cni_error(e, CNI_ENVIRONMENT,
				 "plugin %.80s has to be executed, which needs environment "
				 "variables: CNI_PATH",
				 type);
	for (char *dir = strtok_r(dirs, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
		auto_free char *path = xasprintf("%s/%s", dir, type);
		struct stat st;

		if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK) < 0)
			continue;
		/* It would wait for the locks that we hold. */
		if (is_this_program(&st))
			return cni_error(e, CNI_CONFIG,
					 "plugin type \"%.80s\" is this plugin itself", type);
		*ret = STEAL(path);
		return 0;
	}
	return cni_error(e, CNI_DELEGATE, "failed to find plugin \"%.80s\" in path [%.200s]", type,
			 env->path);
}

/*
 * The protocol's variables, and nothing of our own environment. Strings are freed with the
 * array's owner.
 */
struct environment {
	char *items[ENVIRONMENT_LEN];
	size_t len;
};

static void environment_fini(struct environment *env)
{
	for (size_t i = 0; i < env->len; i++)
		free(env->items[i]);
}

static void make_environment(const struct cni_env *env, enum cni_command command,
			     struct environment *ret)
{
	const struct {
		const char *name;
		const char *value;
	} passed[] = {
		{ "CNI_COMMAND", cni_command_name(command) },
		{ "CNI_CONTAINERID", env->container_id },
		{ "CNI_NETNS", env->netns },
		{ "CNI_IFNAME", env->ifname },
		{ "CNI_ARGS", env->args_text },
		{ "CNI_PATH", env->path },
		{ "CNI_NETNS_OVERRIDE", env->netns_override ? "1" : "" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(passed); i++) {
		if (passed[i].value[0])
			ret->items[ret->len++] =
				xasprintf("%s=%s", passed[i].name, passed[i].value);
	}
	ret->items[ret->len++] = xstrdup(SAFE_PATH);
	ret->items[ret->len] = NULL;
}

/* In the child, after fork: only calls that are safe there. */
static void run_child(const char *path, char **environment, int in_fd, int out_fd)
{
	char *argv[] = { (char *)path, NULL };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (dup2(in_fd, STDIN_FILENO) >= 0 && dup2(out_fd, STDOUT_FILENO) >= 0)
		execve(path, argv, environment);
	_exit(127);
}

struct exchange {
	int to_fd;
	int from_fd;
	const char *input;
	size_t input_size;
	char *output;
	size_t output_size;
	size_t output_room;
};

/* False at the end of the output. */
static bool receive(struct exchange *x)
{
	ssize_t n;

	if (x->output_size + 1 >= x->output_room) {
		x->output_room = x->output_room ? x->output_room * 2 : 4096;
		x->output = xrealloc(x->output, x->output_room);
	}
	n = read(x->from_fd, x->output + x->output_size, x->output_room - x->output_size - 1);
	if (n > 0)
		x->output_size += (size_t)n;
	return n > 0 || (n < 0 && errno == EINTR);
}

/*
 * Writes and reads by turns, so that a plugin that answers before it has read everything cannot
 * block us.
 */
static int converse(struct exchange *x, struct err *e)
{
	for (;;) {
		struct pollfd fds[] = { { .fd = x->from_fd, .events = POLLIN },
					{ .fd = x->to_fd, .events = POLLOUT } };

		if (poll(fds, x->to_fd >= 0 ? 2 : 1, -1) < 0 && errno != EINTR)
			return err_sys(e, -errno, "poll");
		if (x->to_fd >= 0 && fds[1].revents) {
			ssize_t n = write(x->to_fd, x->input, x->input_size);

			if (n > 0) {
				x->input += n;
				x->input_size -= (size_t)n;
			}
			if (x->input_size == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
				close(x->to_fd);
				x->to_fd = -1;
			}
		}
		if (fds[0].revents && !receive(x))
			return 0;
		if (x->output_size > OUTPUT_SIZE_MAX)
			return err_set(e, -EFBIG, "prints more than %u bytes", OUTPUT_SIZE_MAX);
	}
}

static int start(const struct cni_env *env, const char *path, enum cni_command command,
		 struct exchange *x, pid_t *ret, struct err *e)
{
	__attribute__((cleanup(environment_fini))) struct environment environment = { 0 };
	int in[2];
	int out[2];
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	if (pipe2(out, O_CLOEXEC) < 0) {
		close(in[0]);
		close(in[1]);
		return err_sys(e, -errno, "pipe");
	}
	make_environment(env, command, &environment);
	pid = fork();
	if (pid == 0)
		run_child(path, environment.items, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	x->to_fd = in[1];
	x->from_fd = out[0];
	if (pid < 0)
		return err_sys(e, -errno, "fork");
	fcntl(x->to_fd, F_SETFL, O_NONBLOCK);
	*ret = pid;
	return 0;
}

/* What a plugin that failed said about it. */
static int read_failure(const char *type, const json_t *output, int status, struct err *e)
{
	json_int_t code = json_integer_value(json_get_any_case(output, "code"));
	const char *msg = json_string_value(json_get_any_case(output, "msg"));
	const char *details = json_string_value(json_get_any_case(output, "details"));

	if (!msg)
		return cni_error(e, CNI_DELEGATE, "plugin %.80s: failed (%s %d) without an error",
				 type, WIFSIGNALED(status) ? "signal" : "status",
				 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return cni_error(e, code > 0 && code < 5000 ? (unsigned)code : CNI_DELEGATE,
			 "plugin %.80s: %s%s%s", type, msg, details && details[0] ? "; " : "",
			 details ? details : "");
}

static int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
}

int exec_plugin(const struct cni_env *env, const char *type, enum cni_command command,
		const json_t *config, json_t **ret_result, struct err *e)
{
	auto_free char *input = json_dumps(config, JSON_COMPACT);
	struct exchange x = { .to_fd = -1, .from_fd = -1, .input = input };
	auto_free char *path = NULL;
	auto_json json_t *output = NULL;
	pid_t pid = -1;
	int status = 0;
	int rc;

	if (exec_find(env, type, &path, e) < 0)
		return e->code;
	x.input_size = strlen(input);
	rc = start(env, path, command, &x, &pid, e);
	if (rc == 0)
		rc = converse(&x, e);
	util_close(&x.to_fd);
	util_close(&x.from_fd);
	if (pid > 0)
		status = wait_for(pid);
	if (rc < 0) {
		free(x.output);
		err_wrap(e, "plugin %.80s", type);
		return cni_classify(e, CNI_DELEGATE);
	}
	if (x.output_size)
		output = json_loadb(x.output, x.output_size, 0, NULL);
	free(x.output);
	if (status != 0)
		return read_failure(type, output, status, e);
	if (!ret_result)
		return 0;
	if (x.output_size && !json_is_object(output))
		return cni_error(e, CNI_DECODING, "plugin %.80s: its answer is not JSON", type);
	*ret_result = STEAL(output);
	return 0;
}
