/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, the tables behind it, and the daemon's settings that come from three places. */
#include "tests/unit/test.h"

#include "fabricctl/arguments.h"
#include "fabricctl/command.h"
#include "fabricctl/settings.h"

#define MAX_WORDS 16

struct fixture {
	struct ctl c;
	char *out;
	char *err;
	size_t out_size;
	size_t err_size;
	char *argv[MAX_WORDS + 1];
	char *line;
	int argc;
};

/* Splits `line` at spaces; '_' stands for an empty word. */
static int read_line(struct fixture *f, const char *line)
{
	char *rest;
	char *word;

	*f = (struct fixture){ 0 };
	f->c.out = open_memstream(&f->out, &f->out_size);
	f->c.err = open_memstream(&f->err, &f->err_size);
	f->line = xasprintf("fabricctl %s", line);
	rest = f->line;
	while ((word = strsep(&rest, " "))) {
		if (strcmp(word, "_") == 0)
			*word = '\0';
		else if (!*word)
			continue;
		assert_true(f->argc < MAX_WORDS);
		f->argv[f->argc++] = word;
	}
	return arguments_read(&f->c, f->argc, f->argv);
}

static const char *said(struct fixture *f)
{
	fflush(f->c.err);
	return f->err;
}

static void done(struct fixture *f)
{
	arguments_fini(&f->c);
	fclose(f->c.out);
	fclose(f->c.err);
	free(f->out);
	free(f->err);
	free(f->line);
}

static void test_options_in_every_spelling_and_place(void **state UNUSED)
{
	static const char *const lines[] = {
		"subnets -o wide -w",
		"subnets -owide -w",
		"subnets -wo wide",
		"subnets -w --output=wide",
		"-w -o wide subnets",
		"--watch subnets --output wide",
		"subnets -wowide",
		"-o wide subnets -watch",
		"subnets -output wide --watch",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct fixture f;

		assert_row(read_line(&f, lines[i]) == CTL_OK, lines[i]);
		assert_string_equal(f.c.command->name, "subnets");
		assert_row(f.c.format == FORMAT_WIDE, lines[i]);
		assert_row(f.c.options.watch, lines[i]);
		assert_row(f.c.operands_len == 0, lines[i]);
		done(&f);
	}
}

static void test_operands(void **state UNUSED)
{
	struct fixture f;

	assert_int_equal(read_line(&f, "config check -"), CTL_OK);
	assert_int_equal(f.c.operands_len, 2);
	assert_string_equal(f.c.operands[1], "-");
	done(&f);

	assert_int_equal(read_line(&f, "config check -o json -- --odd"), CTL_OK);
	assert_int_equal(f.c.operands_len, 2);
	assert_string_equal(f.c.operands[1], "--odd");
	assert_int_equal(f.c.format, FORMAT_JSON);
	done(&f);
}

static void test_values_may_be_empty_or_look_like_options(void **state UNUSED)
{
	struct fixture f;

	assert_int_equal(read_line(&f, "subnets --sort -node --filter _ --columns=a=b"), CTL_OK);
	assert_string_equal(f.c.options.sort, "-node");
	assert_int_equal(f.c.options.filters_len, 1);
	assert_string_equal(f.c.options.filters[0], "");
	assert_string_equal(f.c.options.columns, "a=b");
	done(&f);
}

static void test_what_is_wrong_is_named(void **state UNUSED)
{
	static const struct {
		const char *line;
		const char *says;
		const char *also;
	} rows[] = {
		{ "subnet", "there is no command \"subnet\"", "the nearest is \"subnets\"" },
		{ "stauts", "there is no command", "try: fabricctl status" },
		{ "sub", "there is no command", "the nearest is \"subnets\"" },
		{ "frobnicate", "there is no command \"frobnicate\"", "try: fabricctl help" },
		{ "subnets --colum a", "there is no option --colum", "the nearest is --columns" },
		{ "subnets -x", "there is no option -x", "fabricctl help subnets" },
		{ "-x", "there is no option -x", "fabricctl help" },
		{ "subnets --columns", "option --columns needs a value", "" },
		{ "subnets -o", "option -o needs a value", "" },
		{ "subnets --watch=yes", "option --watch takes no value", "" },
		{ "subnets -o xml", "--output is \"xml\", must be one of: table, wide, json", "" },
		{ "status -o wide", "must be one of: table, json", "fabricctl help status" },
		{ "status --watch", "fabricctl status has no option --watch", "" },
		{ "version --store", "fabricctl version has no option --store", "" },
		{ "help -o json", "fabricctl help has no option --output", "" },
		{ "subnets --color=maybe", "must be one of: auto, always, never", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture f;

		assert_row(read_line(&f, rows[i].line) == CTL_USAGE, rows[i].line);
		assert_contains(said(&f), rows[i].says);
		assert_contains(said(&f), rows[i].also);
		assert_row(strncmp(said(&f), "fabricctl: ", 11) == 0, rows[i].line);
		done(&f);
	}
}

static void test_errors_do_not_repeat_what_harms_a_terminal(void **state UNUSED)
{
	struct fixture f;

	assert_int_equal(read_line(&f, "\033[2J\xff"), CTL_USAGE);
	assert_contains(said(&f), "\\033[2J\\377");
	assert_null(strchr(said(&f), '\033'));
	done(&f);
}

static void test_seventeen_filters_are_too_many(void **state UNUSED)
{
	struct ctl c = { .out = stdout };
	char *argv[2 + CTL_FILTERS_MAX + 1];
	char program[] = "fabricctl";
	char command[] = "subnets";
	char filter[] = "--filter=node=a";
	char *text = NULL;
	size_t size;
	int argc = 0;

	c.err = open_memstream(&text, &size);
	argv[argc++] = program;
	argv[argc++] = command;
	for (int i = 0; i <= CTL_FILTERS_MAX; i++)
		argv[argc++] = filter;
	assert_int_equal(arguments_read(&c, argc, argv), CTL_USAGE);
	arguments_fini(&c);
	fclose(c.err);
	assert_contains(text, "more than 16 filters");
	free(text);
}

/*
 * Every command has help, every option of it is named there, and nothing in the tables is doubled.
 */
static void test_tables_are_whole(void **state UNUSED)
{
	for (const struct command *command = commands; command->name; command++) {
		auto_free char *text = NULL;
		size_t size;
		FILE *out = open_memstream(&text, &size);

		command_print_help(out, command);
		fclose(out);
		assert_non_null(command->run);
		assert_true(command->formats & FORMAT_BIT(FORMAT_TABLE));
		assert_contains(text, command->help);
		for (const struct ctl_option *o = arguments_table(); o->name; o++) {
			auto_free char *name = xasprintf("--%s", o->name);

			if (o->groups & (command->options | GROUP_ALL))
				assert_contains(text, name);
		}
		assert_ptr_equal(command_find(command->name), command);
	}
	for (const struct ctl_option *a = arguments_table(); a->name; a++) {
		for (const struct ctl_option *b = a + 1; b->name; b++) {
			assert_string_not_equal(a->name, b->name);
			assert_true(!a->letter || a->letter != b->letter);
		}
	}
}

/* ---- settings ---- */

static const char *const variables[] = { "FLANNELD_SOCKET", "FLANNELD_ETCD_PREFIX",
					 "FLANNELD_ETCD_ENDPOINTS", "FLANNELD_CONFIG_FILE",
					 "FLANNELD_ETCD_USERNAME" };

static int clear_environment(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		unsetenv(variables[i]);
	return 0;
}

static char *write_file(const char *text)
{
	char *path = xstrdup("/tmp/test-fabricctl-XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

static void test_settings_file_environment_command_line(void **state UNUSED)
{
	auto_free char *path = write_file("# the daemon's\n"
					  "iface = eth7\n"
					  "a line that is none\n"
					  "socket=/from/file\n"
					  "  etcd-prefix =  /file \r\n"
					  "etcd-username = file\n"
					  "v = 99\n"
					  "etcd-endpoints = http://file:1");
	auto_free char *line =
		xasprintf("subnets --config-file %s --etcd-endpoints http://line:1", path);
	struct settings s = { 0 };
	struct fixture f;

	setenv("FLANNELD_ETCD_PREFIX", "/environment", 1);
	setenv("FLANNELD_ETCD_ENDPOINTS", "http://environment:1", 1);
	assert_int_equal(read_line(&f, line), CTL_OK);
	assert_int_equal(settings_read(&f.c, true, &s), CTL_OK);
	assert_string_equal(s.socket, "/from/file");
	assert_string_equal(s.store.etcd.prefix, "/environment");
	assert_string_equal(s.store.etcd.endpoints, "http://line:1");
	assert_string_equal(s.store.etcd.username, "file");
	assert_string_equal(s.state_dir, "/var/lib/flannel");
	settings_fini(&s);
	done(&f);
	unlink(path);
}

static void test_settings_file_named_by_the_environment(void **state UNUSED)
{
	auto_free char *path = write_file("socket = /named\n");
	struct settings s = { 0 };
	struct fixture f;

	setenv("FLANNELD_CONFIG_FILE", path, 1);
	assert_int_equal(read_line(&f, "status"), CTL_OK);
	assert_int_equal(settings_read(&f.c, false, &s), CTL_OK);
	assert_string_equal(s.socket, "/named");
	settings_fini(&s);
	done(&f);
	unlink(path);
}

static void test_settings_file_that_is_not_there(void **state UNUSED)
{
	struct settings s = { 0 };
	struct fixture f;

	assert_int_equal(read_line(&f, "status --config-file /nowhere/at/all"), CTL_OK);
	assert_int_equal(settings_read(&f.c, false, &s), CTL_USAGE);
	assert_contains(said(&f), "/nowhere/at/all: No such file or directory");
	settings_fini(&s);
	done(&f);
}

static void test_settings_password_is_the_first_line(void **state UNUSED)
{
	auto_free char *path = write_file("secret word\nnot this\n");
	auto_free char *line =
		xasprintf("subnets --store --config-file /dev/null --etcd-password-file %s", path);
	struct settings s = { 0 };
	struct fixture f;

	assert_int_equal(read_line(&f, line), CTL_OK);
	assert_int_equal(settings_read(&f.c, true, &s), CTL_OK);
	assert_string_equal(s.store.etcd.password, "secret word");
	settings_fini(&s);
	unlink(path);
	memset(&s, 0, sizeof(s));
	assert_int_equal(settings_read(&f.c, true, &s), CTL_USAGE);
	assert_contains(said(&f), "etcd-password-file: ");
	settings_fini(&s);
	done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_in_every_spelling_and_place),
		cmocka_unit_test(test_operands),
		cmocka_unit_test(test_values_may_be_empty_or_look_like_options),
		cmocka_unit_test(test_what_is_wrong_is_named),
		cmocka_unit_test(test_errors_do_not_repeat_what_harms_a_terminal),
		cmocka_unit_test(test_seventeen_filters_are_too_many),
		cmocka_unit_test(test_tables_are_whole),
		cmocka_unit_test_setup(test_settings_file_environment_command_line,
				       clear_environment),
		cmocka_unit_test_setup(test_settings_file_named_by_the_environment,
				       clear_environment),
		cmocka_unit_test_setup(test_settings_file_that_is_not_there, clear_environment),
		cmocka_unit_test_setup(test_settings_password_is_the_first_line, clear_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
