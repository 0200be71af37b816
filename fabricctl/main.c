/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl: reads the command line, runs the command, and sees that its answer has reached the
 * reader.
 */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "fabricctl/arguments.h"
#include "fabricctl/command.h"
#include "lib/log.h"

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value;
}

/* Conventions: https://no-color.org and https://bixense.com/clicolors */
static bool wants_color(const struct ctl *c)
{
	const char *when = c->options.color ? c->options.color : "auto";
	const char *force = getenv("CLICOLOR_FORCE");

	if (strcmp(when, "auto") != 0)
		return strcmp(when, "always") == 0;
	if (is_set("NO_COLOR"))
		return false;
	if (force && *force && strcmp(force, "0") != 0)
		return true;
	return c->tty;
}

static void look_at_terminal(struct ctl *c)
{
	const char *term = getenv("TERM");

	setlocale(LC_CTYPE, "");
	c->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	c->tty = isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

/* The other end of a pipe is closed. */
static bool reader_has_gone(FILE *out)
{
	struct pollfd p = { .fd = fileno(out), .events = POLLOUT };

	return poll(&p, 1, 0) > 0 && p.revents & POLLERR;
}

/* A reader who has seen enough is no error; a full disk is. */
static int finish(const struct ctl *c, int status)
{
	errno = 0;
	if ((fflush(c->out) == 0 && !ferror(c->out)) || errno == EPIPE || reader_has_gone(c->out))
		return status;
	/* The reason is known unless the writing failed long before. */
	return ctl_fail(c, status ? status : CTL_FAILED, errno ? strerror(errno) : NULL, NULL,
			"the answer could not be written");
}

int main(int argc, char **argv)
{
	struct ctl c = { .out = stdout, .err = stderr };
	int status;

	/* Sockets and pipes report EPIPE instead, files that may not grow EFBIG. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	look_at_terminal(&c);
	status = arguments_read(&c, argc, argv);
	c.color = wants_color(&c);
	if (status == CTL_OK)
		status = command_run(&c);
	status = finish(&c, status);
	arguments_fini(&c);
	return status;
}
