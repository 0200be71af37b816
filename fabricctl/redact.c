/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/redact.h"

#include <ctype.h>
#include <string.h>

#include "lib/buffer.h"
#include "lib/json.h"
#include "lib/secret.h"
#include "lib/util.h"

#define NAME_MAX_SIZE 64
#define TOKEN_MIN     8  /* after Basic, which is a word too */
#define JWT_MIN       30 /* of a JSON Web Token; the shortest has more */

/* In lower case, without '-' and '_'. */
static const char *const sounds[] = { "psk",       "password",   "passwd",       "passphrase",
				      "secret",    "token",      "privatekey",   "apikey",
				      "accesskey", "credential", "presharedkey", "authorization" };

struct scan {
	const struct redactor *r;
	struct buffer out;
	size_t left_out;
};

void redact_add_value(struct redactor *r, const char *value)
{
	if (value && strlen(value) >= REDACT_SHORTEST && r->values_len < REDACT_VALUES_MAX)
		r->values[r->values_len++] = xstrdup(value);
}

void redact_add_name(struct redactor *r, const char *name)
{
	if (r->names_len < REDACT_NAMES_MAX)
		r->names[r->names_len++] = name;
}

void redact_fini(struct redactor *r)
{
	for (size_t i = 0; i < r->values_len; i++)
		secret_free(r->values[i]);
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool is_quote(char c)
{
	return c == '"' || c == '\'';
}

static size_t word_size(const char *p)
{
	size_t size = 0;

	while (is_word(p[size]))
		size++;
	return size;
}

static bool is_name(const struct redactor *r, const char *word, size_t size)
{
	char name[NAME_MAX_SIZE];
	size_t len = 0;

	for (size_t i = 0; i < r->names_len; i++) {
		if (strlen(r->names[i]) == size && memcmp(r->names[i], word, size) == 0)
			return true;
	}
	/* Of a longer one the end says what it is. */
	if (size >= sizeof(name)) {
		word += size - sizeof(name) + 1;
		size = sizeof(name) - 1;
	}
	for (size_t i = 0; i < size; i++) {
		if (word[i] != '-' && word[i] != '_')
			name[len++] = (char)tolower((unsigned char)word[i]);
	}
	name[len] = '\0';
	if (len >= 4 && strcmp(name + len - 4, "file") == 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(sounds); i++) {
		if (strstr(name, sounds[i]))
			return true;
	}
	return false;
}

static void leave_out(struct scan *s)
{
	buffer_puts(&s->out, REDACT_LEFT_OUT);
	s->left_out++;
}

/* `size` bytes, unless there is nothing to be left out. */
static void leave_out_value(struct scan *s, const char *value, size_t size)
{
	if (size == 0)
		return;
	if (size == strlen(REDACT_LEFT_OUT) && memcmp(value, REDACT_LEFT_OUT, size) == 0)
		buffer_puts(&s->out, REDACT_LEFT_OUT);
	else
		leave_out(s);
}

/*
 * Whether a quote with `before` backslashes before it ends a string that one with `own` has begun, or
 * one around that. Each level of JSON within JSON doubles them and adds one: 0, 1, 3, 7; pairs
 * that double with them are backslashes of the text. *ret_own is how many are the quote's.
 */
static bool ends_string(size_t before, size_t own, size_t *ret_own)
{
	for (size_t level = own;; level = (level - 1) / 2) {
		*ret_own = level;
		if (before % (2 * (level + 1)) == level)
			return true;
		if (level == 0)
			return false;
	}
}

/* Up to the end of the string that a quote with so many backslashes before it has begun. */
static size_t quoted_size(const char *p, char quote, size_t backslashes)
{
	size_t before = 0;
	size_t own;

	for (size_t i = 0; p[i]; i++) {
		if (p[i] == quote && ends_string(before, backslashes, &own))
			return i - own;
		before = p[i] == '\\' ? before + 1 : 0;
	}
	return strlen(p);
}

static size_t bare_size(const char *p)
{
	return strcspn(p, " \t\r\n,;&\"'})]\\");
}

static bool says(const char *p, const char *word)
{
	size_t size = strlen(word);

	return strncasecmp(p, word, size) == 0 && p[size] == ' ';
}

/* "Bearer xyz" is one value. */
static size_t bare_value_size(const char *p)
{
	size_t size = bare_size(p);

	if (says(p, "bearer") || says(p, "basic") || says(p, "token"))
		size += 1 + bare_size(p + size + 1);
	return size;
}

/* Of a number of JSON's; 0: it is none. */
static size_t number_size(const char *p)
{
	return strspn(p, "0123456789-+.eE");
}

/* Nothing but space, or a '#', stands before it in its line. */
static bool begins_line(const char *text, const char *p)
{
	while (p > text && (p[-1] == ' ' || p[-1] == '\t' || p[-1] == '#'))
		p--;
	return p == text || p[-1] == '\n';
}

/*
 * Behind a name that sounds like a secret's: what separates it from its value is copied, the value
 * left out. Returns what comes then; `p` if there is no value.
 */
static const char *scan_value(struct scan *s, const char *text, const char *name, const char *p)
{
	const char *begin = p;
	bool name_quoted;
	size_t backslashes = 0;
	size_t size;
	char separator = ' ';

	while (is_quote(*p) || *p == '\\')
		p++;
	name_quoted = p > begin;
	p += strspn(p, " \t");
	if (*p == ':' || *p == '=')
		separator = *p++;
	else if (*name != '-' || name_quoted || p == begin)
		return begin;
	p += strspn(p, " \t");
	while (*p == '\\') {
		p++;
		backslashes++;
	}
	if (is_quote(*p)) {
		size = quoted_size(p + 1, *p, backslashes);
		p++;
	} else if (separator == ':' && name_quoted && number_size(p) < REDACT_SHORTEST) {
		return begin; /* JSON's true, a count, an object */
	} else {
		p -= backslashes;
		size = separator == '=' && begins_line(text, name) ? strcspn(p, "\r\n")
								   : bare_value_size(p);
	}
	buffer_put(&s->out, begin, (size_t)(p - begin));
	leave_out_value(s, p, size);
	return p + size;
}

/* "user:password@" behind "://". */
static const char *scan_url(struct scan *s, const char *p)
{
	size_t size = strcspn(p, "/?# \t\r\n\"'\\<>,");
	const char *at = memrchr(p, '@', size);

	if (!at)
		return p;
	leave_out_value(s, p, (size_t)(at - p));
	return at;
}

/* A block of PEM, from its first line on; the end of the string or text that it is in ends it too. */
static const char *scan_pem(struct scan *s, const char *p)
{
	size_t size = strcspn(p, "\"");
	const char *end = memmem(p, size, "-----END", 8);

	leave_out(s);
	return end ? end + strcspn(end, "\r\n\"") : p + size;
}

static bool is_private_pem(const char *p)
{
	size_t line = strcspn(p, "\r\n\\\"");

	return strncmp(p, "-----BEGIN", 10) == 0 && memmem(p, line, "PRIVATE KEY", 11);
}

static bool is_jwt(const char *word, size_t size)
{
	return size >= JWT_MIN && memcmp(word, "eyJ", 3) == 0 && memchr(word, '.', size);
}

/* A word has begun: copies it, or leaves out what it is or announces. Returns what comes then. */
static const char *scan_word(struct scan *s, const char *text, const char *p)
{
	size_t size = word_size(p);
	const char *next = p + size;

	if (is_jwt(p, size)) {
		leave_out(s);
		return next;
	}
	buffer_put(&s->out, p, size);
	if (is_name(s->r, p, size))
		return scan_value(s, text, p, next);
	if ((size == 6 && says(p, "bearer")) ||
	    (size == 5 && says(p, "basic") && bare_size(next + 1) >= TOKEN_MIN) ||
	    ((says(p, "-u") || says(p, "--user")) && memchr(next + 1, ':', bare_size(next + 1)))) {
		size_t value = bare_size(next + 1);

		buffer_putc(&s->out, ' ');
		leave_out_value(s, next + 1, value);
		return next + 1 + value;
	}
	return next;
}

static char *leave_out_values(struct scan *s, const char *text)
{
	char *all = xstrdup(text);

	for (size_t i = 0; i < s->r->values_len; i++) {
		auto_free char *before = all;
		const char *value = s->r->values[i];
		struct buffer out = { 0 };
		const char *p = before;
		const char *found;

		while ((found = strstr(p, value))) {
			buffer_put(&out, p, (size_t)(found - p));
			buffer_puts(&out, REDACT_LEFT_OUT);
			s->left_out++;
			p = found + strlen(value);
		}
		buffer_puts(&out, p);
		all = buffer_steal(&out);
	}
	return all;
}

/* Line by line, whatever it is. Caller frees. */
static char *scan_text(const struct redactor *r, const char *text, size_t *left_out)
{
	struct scan s = { .r = r };
	auto_free char *known = leave_out_values(&s, text);
	const char *p = known;

	buffer_puts(&s.out, "");
	while (*p) {
		if (is_private_pem(p)) {
			p = scan_pem(&s, p);
		} else if (strncmp(p, "://", 3) == 0) {
			buffer_puts(&s.out, "://");
			p = scan_url(&s, p + 3);
		} else if (*p == '\\' && p[1]) {
			/* An escape of JSON's, of which the letter is no beginning of a word. */
			buffer_put(&s.out, p, 2);
			p += 2;
		} else if (is_word(*p)) {
			p = scan_word(&s, known, p);
		} else {
			buffer_putc(&s.out, *p++);
		}
	}
	*left_out += s.left_out;
	return buffer_steal(&s.out);
}

/* ---- JSON, by what it says and not by how that is written ---- */

static json_t *safe_value(const struct redactor *r, const json_t *value, size_t *left_out);

/* One of its words does. */
static bool names_secret(const struct redactor *r, const char *key)
{
	for (const char *p = key; *p;) {
		size_t size = word_size(p);

		if (size && is_name(r, p, size))
			return true;
		p += size ? size : 1;
	}
	return false;
}

/* A text of which all is JSON stays so. Caller frees; NULL: it is not. */
static char *scan_json(const struct redactor *r, const char *text, size_t *left_out)
{
	/* As it was, more or less. */
	size_t flags = strchr(text, '\n') ? JSON_INDENT(2) : JSON_COMPACT;
	auto_json json_t *document = NULL;
	auto_json json_t *safe = NULL;
	size_t n = 0;

	if (json_parse_object(text, strlen(text), &document, NULL) < 0)
		return NULL;
	safe = safe_value(r, document, &n);
	*left_out += n;
	return n ? json_dumps(safe, flags) : xstrdup(text);
}

/* Somebody has left out the quotes. Shorter ones count something. */
static bool is_secret_number(const json_t *value)
{
	auto_free char *text = json_is_number(value) ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

	return text && strlen(text) >= REDACT_SHORTEST;
}

/* What stands under the name of a secret, or each item of a list. */
static json_t *secret_value(const struct redactor *r, const json_t *value, size_t *left_out)
{
	const char *text = json_string_value(value);
	const json_t *item;
	json_t *safe;
	size_t i;

	if (is_secret_number(value) || (text && *text && strcmp(text, REDACT_LEFT_OUT) != 0)) {
		++*left_out;
		return json_string(REDACT_LEFT_OUT);
	}
	if (!json_is_array(value))
		return safe_value(r, value, left_out);
	safe = json_array();
	json_array_foreach (value, i, item)
		json_array_append_new(safe, secret_value(r, item, left_out));
	return safe;
}

static json_t *safe_object(const struct redactor *r, const json_t *object, size_t *left_out)
{
	json_t *safe = json_object();
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)object, key, value) {
		auto_free char *safe_key = scan_text(r, key, left_out);

		json_object_set_new(safe, safe_key,
				    names_secret(r, key) ? secret_value(r, value, left_out)
							 : safe_value(r, value, left_out));
	}
	return safe;
}

/* The caller owns what is returned. */
static json_t *safe_value(const struct redactor *r, const json_t *value, size_t *left_out)
{
	json_t *safe;
	json_t *item;
	size_t i;

	if (json_is_object(value))
		return safe_object(r, value, left_out);
	if (json_is_string(value)) {
		auto_free char *text = scan_json(r, json_string_value(value), left_out);

		if (!text)
			text = scan_text(r, json_string_value(value), left_out);
		return json_text(text);
	}
	if (!json_is_array(value))
		return json_incref((json_t *)value);
	safe = json_array();
	json_array_foreach (value, i, item)
		json_array_append_new(safe, safe_value(r, item, left_out));
	return safe;
}

char *redact_text(const struct redactor *r, const char *text, size_t *ret_left_out)
{
	char *safe;

	*ret_left_out = 0;
	safe = scan_json(r, text, ret_left_out);
	return safe ? safe : scan_text(r, text, ret_left_out);
}
