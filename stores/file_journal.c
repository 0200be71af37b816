/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/file_journal.h"

#include <errno.h>

#include "lib/json.h"

#define FORMAT 1
/* Beyond this a revision, or a time in milliseconds, could overflow where it is reckoned with. */
#define NUMBER_MAX (INT64_MAX / 4)

static const char *const step_names[] = { "put", "delete", "grant", "revoke", "alive" };

void file_journal_init(struct file_journal *j)
{
	*j = (struct file_journal){ .db = mem_db_new() };
}

void file_journal_fini(struct file_journal *j)
{
	mem_db_free(j->db);
	j->db = NULL;
}

void file_journal_restart(struct file_journal *j)
{
	mem_db_free(j->db);
	j->db = mem_db_new();
	j->lines = j->steps = 0;
	j->other_boot = false;
}

/* ---- lines out ---- */

static void put_line(FILE *out, json_t *object)
{
	json_dumpf(object, out, JSON_COMPACT);
	fputc('\n', out);
	json_decref(object);
}

static json_t *step_to_json(const struct mem_op *op)
{
	json_t *j = json_pack("{s:s}", "step", step_names[op->type]);

	if (op->key)
		json_object_set_new(j, "key", json_string(op->key));
	if (op->value)
		json_object_set_new(j, "value", json_stringn(op->value, op->size));
	if (op->handle)
		json_object_set_new(j, "handle", json_integer(op->handle));
	if (op->ttl_s)
		json_object_set_new(j, "ttl", json_integer(op->ttl_s));
	if (op->at_ms)
		json_object_set_new(j, "at", json_integer(op->at_ms));
	return j;
}

void file_journal_put_step(FILE *out, const struct mem_op *op)
{
	put_line(out, step_to_json(op));
}

static void write_key(void *arg, const struct mem_entry *entry)
{
	put_line(arg,
		 json_pack("{s:s, s:o, s:I, s:I, s:I}", "key", entry->key, "value",
			   json_stringn(entry->value, entry->value_size), "create",
			   (json_int_t)entry->create_revision, "mod",
			   (json_int_t)entry->mod_revision, "handle", (json_int_t)entry->handle));
}

static void write_handle(void *arg, int64_t handle, int64_t ttl_s, int64_t expires_ms)
{
	file_journal_put_step(arg, &(struct mem_op){ .type = MEM_GRANT,
						     .handle = handle,
						     .ttl_s = ttl_s,
						     .at_ms = expires_ms - ttl_s * 1000 });
}

char *file_journal_present(const struct file_journal *j, size_t *ret_size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_size);

	if (!out)
		abort();
	put_line(out, json_pack("{s:i, s:s, s:I}", "format", FORMAT, "boot", j->boot_id, "revision",
				(json_int_t)mem_db_revision(j->db)));
	mem_db_each(j->db, write_key, out);
	mem_db_each_handle(j->db, write_handle, out);
	if (fclose(out) != 0)
		abort();
	return text;
}

/* ---- lines in ---- */

/* A member that is no number from min to max is -EINVAL; absent is 0. */
static int read_number(const json_t *object, const char *key, int64_t min, int64_t max,
		       int64_t *ret, struct err *e)
{
	const json_t *v = json_object_get(object, key);
	int64_t n = json_integer_value(v);

	if (v && (!json_is_integer(v) || n < min || n > max))
		return err_set(e, -EINVAL, "%s is no number that it can be", key);
	*ret = n;
	return 0;
}

static int read_step(struct mem_db *db, const json_t *j, const char *name, struct err *e)
{
	const json_t *value = json_object_get(j, "value");
	struct mem_op op = {
		.key = json_string_value(json_object_get(j, "key")),
		.value = json_string_value(value),
		.size = json_string_length(value),
	};
	size_t type = 0;

	while (type < ARRAY_LEN(step_names) && strcmp(name, step_names[type]) != 0)
		type++;
	if (type == ARRAY_LEN(step_names))
		return err_set(e, -EINVAL, "no step of a store");
	op.type = (enum mem_op_type)type;
	if ((op.type == MEM_PUT && (!op.key || !op.value)) || (op.type == MEM_DELETE && !op.key))
		return err_set(e, -EINVAL, "a step without its key or value");
	if (read_number(j, "handle", INT64_MIN, INT64_MAX, &op.handle, e) < 0 ||
	    read_number(j, "ttl", INT64_MIN, STORE_TTL_MAX_S, &op.ttl_s, e) < 0 ||
	    read_number(j, "at", -NUMBER_MAX, NUMBER_MAX, &op.at_ms, e) < 0)
		return e->code;
	op.ttl_s = MAX(op.ttl_s, (int64_t)0);
	mem_db_apply(db, &op);
	return 0;
}

static int read_header(struct file_journal *j, const json_t *object, struct err *e)
{
	const char *boot = json_string_value(json_object_get(object, "boot"));
	int64_t format;
	int64_t revision;

	if (read_number(object, "format", FORMAT, FORMAT, &format, e) < 0 ||
	    read_number(object, "revision", 0, NUMBER_MAX, &revision, e) < 0)
		return e->code;
	j->other_boot = !boot || strcmp(boot, j->boot_id) != 0;
	mem_db_load_revision(j->db, (uint64_t)revision);
	return 0;
}

static int read_key(struct mem_db *db, const json_t *object, struct err *e)
{
	const char *key = json_string_value(json_object_get(object, "key"));
	const json_t *value = json_object_get(object, "value");
	int64_t created;
	int64_t modified;
	int64_t handle;

	if (!key || !json_is_string(value))
		return err_set(e, -EINVAL, "no line of a journal");
	if (mem_db_get(db, key))
		return err_set(e, -EINVAL, "a key that is there already");
	if (read_number(object, "create", 0, NUMBER_MAX, &created, e) < 0 ||
	    read_number(object, "mod", 0, NUMBER_MAX, &modified, e) < 0 ||
	    read_number(object, "handle", INT64_MIN, INT64_MAX, &handle, e) < 0)
		return e->code;
	mem_db_load_key(db, key, json_string_value(value), json_string_length(value),
			(uint64_t)created, (uint64_t)modified, handle);
	return 0;
}

/* `salvaging`: the first line may be missing. */
static int read_line(struct file_journal *j, const char *line, size_t size, bool salvaging,
		     struct err *e)
{
	auto_json json_t *object = NULL;
	const char *step;

	if (json_parse_object(line, size, &object, e) < 0)
		return e->code;
	step = json_string_value(json_object_get(object, "step"));
	if (json_object_get(object, "format"))
		return j->lines == 0
			       ? read_header(j, object, e)
			       : err_set(e, -EINVAL, "the first line of a journal, not there");
	if (j->lines == 0 && !salvaging)
		return err_set(e, -EINVAL, "not the first line of a journal");
	if (step && read_step(j->db, object, step, e) < 0)
		return e->code;
	if (step)
		j->steps++;
	else if (j->steps > 0 && !salvaging)
		return err_set(e, -EINVAL, "a key behind the steps");
	return step ? 0 : read_key(j->db, object, e);
}

int file_journal_read(struct file_journal *j, const char *text, size_t size, size_t *ret_used,
		      struct err *e)
{
	const char *newline;

	*ret_used = 0;
	while ((newline = memchr(text + *ret_used, '\n', size - *ret_used))) {
		const char *line = text + *ret_used;

		if (read_line(j, line, (size_t)(newline - line), false, e) < 0) {
			err_wrap(e, "line %zu", j->lines + 1);
			return e->code = -EBADMSG;
		}
		j->lines++;
		*ret_used = (size_t)(newline - text) + 1;
	}
	return 0;
}

/* ---- what is left of a damaged one ---- */

static void find_newest(void *arg, const struct mem_entry *e)
{
	uint64_t *newest = arg;

	*newest = MAX(*newest, e->mod_revision);
}

void file_journal_salvage(struct file_journal *j, const char *text, size_t size,
			  struct file_journal_fault **ret_faults, size_t *ret_len)
{
	struct file_journal_fault *faults = NULL;
	uint64_t newest = 0;
	size_t len = 0;
	size_t cap = 0;
	const char *newline;

	for (size_t at = 0; (newline = memchr(text + at, '\n', size - at));
	     at = (size_t)(newline - text) + 1) {
		size_t line_size = (size_t)(newline - text) - at;
		struct err e;

		if (read_line(j, text + at, line_size, true, &e) < 0) {
			GROW(faults, len, cap);
			faults[len++] = (struct file_journal_fault){ j->lines + 1, at, line_size,
								     xstrdup(e.text) };
		}
		j->lines++;
	}
	mem_db_each(j->db, find_newest, &newest);
	/* Nobody's watch may find the store in its past. */
	mem_db_load_revision(j->db, MAX(newest, mem_db_revision(j->db)) + len + 1);
	*ret_faults = faults;
	*ret_len = len;
}
