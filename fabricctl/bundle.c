/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl bundle: an archive for somebody who helps, without secrets. */
#include "fabricctl/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/table.h"
#include "fabricctl/tar.h"
#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/secret.h"

#define ANSWER_TIMEOUT_MS  5000
#define CONTENTS           "CONTENTS"
#define HOST_NAME_MAX_SIZE 64

/* ---- its files ---- */

void bundle_add(struct bundle *b, const char *name, const char *text, const char *error)
{
	size_t left_out = 0;
	size_t error_left_out = 0;
	char *safe = redact_text(&b->redactor, text ? text : "", &left_out);
	auto_free char *safe_error = redact_text(&b->redactor, error ? error : "", &error_left_out);
	size_t size = strlen(safe);
	size_t room = MIN(BUNDLE_FILE_MAX, BUNDLE_TOTAL_MAX - b->total);
	size_t cut = size > room ? size - room : 0;

	if (cut)
		memmove(safe, safe + cut, size - cut + 1);
	GROW(b->texts, b->texts_len, b->texts_cap);
	b->texts[b->texts_len++] = safe;
	b->total += size - cut;
	json_array_append_new(b->items, json_pack("{s:s,s:I,s:I,s:I,s:o}", "name", name,
						  "sizeBytes", (json_int_t)(size - cut), "leftOut",
						  (json_int_t)(left_out + error_left_out),
						  "cutBytes", (json_int_t)cut, "error",
						  error ? json_text(safe_error) : json_null()));
}

static void bundle_fini(struct bundle *b)
{
	for (size_t i = 0; i < b->texts_len; i++)
		free(b->texts[i]);
	free(b->texts);
	json_decref(b->items);
	redact_fini(&b->redactor);
}

/* ---- secrets that are known ---- */

static int add_secret_name(const struct option_spec *spec, void *value UNUSED, void *arg)
{
	if (spec->secret)
		redact_add_name(arg, spec->name);
	return 0;
}

static void add_secret_file(struct redactor *r, const char *path)
{
	auto_secret char *secret = NULL;
	struct err ignored;

	if (path && *path && secret_read(path, SECRET_GIVEN, &secret, &ignored) == 0)
		redact_add_value(r, secret);
}

static void learn_secrets(struct bundle *b)
{
	static const char *const own[] = { "wireguard.key", "wireguard.psk" };
	const struct etcd_options *etcd = &b->settings->store.etcd;
	struct store_options nowhere;

	options_each(store_option_specs, &nowhere, add_secret_name, &b->redactor);
	redact_add_value(&b->redactor, etcd->password);
	add_secret_file(&b->redactor, etcd->password_file);
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		auto_free char *path = xasprintf("%s/%s", b->settings->state_dir, own[i]);

		add_secret_file(&b->redactor, path);
	}
}

/* ---- the archive ---- */

/* "fabric-web-1-20261130T063000Z.tar". Caller frees. */
static char *default_name(void)
{
	char host[HOST_NAME_MAX_SIZE + 1] = "";
	char when[CLOCK_TEXT];
	char stamp[CLOCK_TEXT];
	size_t len = 0;

	clock_format_utc(clock_wall_ms(), when);
	for (const char *p = when; *p && *p != '.'; p++) {
		if (*p != '-' && *p != ':')
			stamp[len++] = *p;
	}
	stamp[len] = '\0';
	if (gethostname(host, HOST_NAME_MAX_SIZE) < 0 || strchr(host, '/') || !*host)
		snprintf(host, sizeof(host), "host");
	return xasprintf("fabric-%s-%sZ.tar", host, stamp);
}

/* What is in it and what was left out, as a file of it. Caller frees. */
static char *contents(const struct bundle *b)
{
	struct buffer out = { 0 };
	json_t *item;
	size_t i;

	buffer_puts(&out, "size\tleft out\tcut\tname\terror\n");
	json_array_foreach (b->items, i, item) {
		const char *error = ctl_text(item, "error");

		buffer_printf(&out, "%lld\t%lld\t%lld\t%s\t%s\n",
			      (long long)ctl_int(item, "sizeBytes", 0),
			      (long long)ctl_int(item, "leftOut", 0),
			      (long long)ctl_int(item, "cutBytes", 0), ctl_text(item, "name"),
			      error ? error : "");
	}
	return buffer_steal(&out);
}

static void write_archive(const struct bundle *b, const char *directory, FILE *out)
{
	auto_free char *list = contents(b);
	int64_t now_s = clock_wall_ms() / 1000;
	auto_free char *first = xasprintf("%s/" CONTENTS, directory);
	json_t *item;
	size_t i;

	tar_add(out, first, list, strlen(list), now_s);
	json_array_foreach (b->items, i, item) {
		auto_free char *name = xasprintf("%s/%s", directory, ctl_text(item, "name"));

		tar_add(out, name, b->texts[i], strlen(b->texts[i]), now_s);
	}
	tar_end(out);
}

/* A new file, for its owner alone. */
static int write_file(const struct bundle *b, const char *directory, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	bool failed;

	if (!out)
		return ctl_fail(b->c, errno == EACCES ? CTL_DENIED : CTL_FAILED, strerror(errno),
				errno == EEXIST ? "another name" : NULL, "%s cannot be made", path);
	write_archive(b, directory, out);
	failed = ferror(out);
	if (fclose(out) || failed) {
		int status = ctl_fail(b->c, CTL_FAILED, strerror(errno), NULL,
				      "%s cannot be written", path);

		unlink(path);
		return status;
	}
	return CTL_OK;
}

/* ---- the answer ---- */

static int print_list(const struct bundle *b, const struct ctl *c, const char *path)
{
	static const struct table_column columns[] = {
		{ "NAME", .key = "name" },
		{ "SIZE", .right = true, .key = "sizeBytes" },
		{ "LEFT OUT", .right = true, .key = "leftOut" },
		{ "CUT", .right = true, .key = "cutBytes" },
		{ "ERROR", .shrinks = true, .key = "error" },
	};
	auto_table struct table *table = table_new(columns, ARRAY_LEN(columns));
	json_t *item;
	size_t i;

	if (document_is_wanted(c)) {
		json_t *document = ctl_document("Bundle");

		json_object_set_new(document, "file", json_text(path));
		json_object_set(document, "items", b->items);
		document_print(c, document);
		return CTL_OK;
	}
	json_array_foreach (b->items, i, item) {
		table_add_row(table);
		for (size_t n = 0; n < ARRAY_LEN(columns); n++) {
			const json_t *value = json_object_get(item, columns[n].key);
			auto_free char *text =
				json_is_integer(value) && json_integer_value(value)
					? xasprintf("%lld", (long long)json_integer_value(value))
					: NULL;

			table_set(table, n, text ? text : json_string_value(value), COLOR_NONE);
		}
	}
	return table_print(table, c);
}

static int write_bundle(const struct bundle *b, const char *path)
{
	auto_free char *directory = NULL;
	struct ctl list = *b->c;
	const char *base = strrchr(path, '/');
	bool to_stdout = strcmp(path, "-") == 0;
	int status;

	base = base ? base + 1 : path;
	directory =
		to_stdout ? xstrdup("fabric") : xstrndup(base, MIN(strcspn(base, "."), (size_t)48));
	if (to_stdout)
		list.out = b->c->err;
	/* What goes in is said before it is written, so that who sends it knows. */
	status = print_list(b, &list, path);
	if (status)
		return status;
	if (to_stdout) {
		write_archive(b, *directory ? directory : "fabric", b->c->out);
		return CTL_OK;
	}
	status = write_file(b, *directory ? directory : "fabric", path);
	if (status == CTL_OK && !document_is_wanted(b->c) && b->c->format != FORMAT_RAW)
		fprintf(b->c->out, "wrote %s\n", path);
	return status;
}

int bundle_run(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	struct bundle b = { .c = c, .settings = &settings, .items = json_array() };
	auto_free char *name = c->operands_len ? xstrdup(c->operands[0]) : default_name();
	auto_json json_t *document = NULL;
	int status = settings_read(c, false, &settings);
	struct err e;

	if (status == CTL_OK) {
		learn_secrets(&b);
		b.daemon_answers = client_get(settings.socket, "/v1/status", "Status",
					      ANSWER_TIMEOUT_MS, &document, &e) == 0;
		bundle_gather(&b);
		status = write_bundle(&b, name);
	}
	bundle_fini(&b);
	return status;
}
