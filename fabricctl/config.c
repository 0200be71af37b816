/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl config: whether a network configuration is valid and what it means; which one is in
 * use. Writing one is config_set.c's.
 */
#include "fabricctl/config.h"

#include <errno.h>
#include <string.h>

#include "backends/backend.h"
#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/session.h"
#include "fabricctl/text.h"
#include "lib/file.h"
#include "lib/json.h"

#define ANSWER_TIMEOUT_MS 5000

static char *describe_backend(const struct network_config *config)
{
	struct backend *backend = NULL;
	char text[160];

	if (backend_create(config, &backend, NULL) < 0)
		return xstrdup(backend_type_name(config));
	backend->type->describe(backend, text, sizeof(text));
	backend_free(backend);
	return xstrdup(text);
}

static char *format_count(u128 count)
{
	/* More than anybody will ever hand out. */
	if (count > UINT32_MAX)
		return xstrdup("more than 4294967295");
	return xasprintf("%llu", (unsigned long long)count);
}

static char *describe_family(const struct network_family *f)
{
	auto_free char *hosts = format_count(network_family_capacity(f));
	char net[IP_NET_TEXT];

	return xasprintf("%s, /%u each, %s hosts, ", ip_net_format(&f->network, net), f->subnet_len,
			 hosts);
}

char *config_describe(const struct network_config *config)
{
	auto_free char *backend = describe_backend(config);
	auto_free char *v4 = config->v4.enabled ? describe_family(&config->v4) : xstrdup("");
	auto_free char *v6 = config->v6.enabled ? describe_family(&config->v6) : xstrdup("");

	return xasprintf("%s%s%s", v4, v6, backend);
}

static json_t *family_json(const struct network_family *f)
{
	char net[IP_NET_TEXT];
	char min[IP_ADDR_TEXT];
	char max[IP_ADDR_TEXT];

	if (!f->enabled)
		return json_null();
	return json_pack("{s:s,s:i,s:s,s:s}", "network", ip_net_format(&f->network, net),
			 "subnetLen", f->subnet_len, "subnetMin",
			 ip_addr_format(&f->subnet_min, min), "subnetMax",
			 ip_addr_format(&f->subnet_max, max));
}

int config_validate(const char *text, size_t size, struct network_config *ret, struct err *e)
{
	struct backend *backend = NULL;
	int rc = network_config_parse(text, size, ret, e);

	if (rc < 0)
		return rc;
	rc = backend_create(ret, &backend, e);
	backend_free(backend);
	if (rc < 0)
		network_config_fini(ret);
	return rc;
}

/* Adds what a document means, or what is wrong with it. */
static void add_verdict(json_t *document, const struct network_config *config, const struct err *e)
{
	auto_free char *summary = config ? config_describe(config) : NULL;

	json_object_set_new(document, "valid", json_boolean(config));
	json_object_set_new(document, "error", config ? json_null() : json_string(e->text));
	if (!config)
		return;
	json_object_set_new(document, "summary", json_string(summary));
	json_object_set_new(document, "ipv4", family_json(&config->v4));
	json_object_set_new(document, "ipv6", family_json(&config->v6));
	json_object_set_new(document, "backendType", json_string(backend_type_name(config)));
	json_object_set(document, "backend", config->backend);
}

/* ---- check ---- */

int config_read(const struct ctl *c, const char *name, char **ret, size_t *ret_size)
{
	bool is_stdin = strcmp(name, "-") == 0;
	struct err e;
	int rc = is_stdin ? file_read_stdin(NETWORK_CONFIG_MAX_SIZE, ret, ret_size, &e)
			  : file_read(name, NETWORK_CONFIG_MAX_SIZE, ret, ret_size, &e);

	if (rc == -EACCES || rc == -EPERM)
		return ctl_fail(c, CTL_DENIED, NULL, NULL, "%s", e.text);
	if (rc == -ENOENT || rc == -ENOTDIR)
		return ctl_fail(c, CTL_NOT_FOUND, NULL, "fabricctl config check - < FILE", "%s",
				e.text);
	if (rc == -EFBIG)
		return ctl_fail(c, CTL_FOUND, e.text, NULL, "%s is no valid network configuration",
				is_stdin ? "standard input" : name);
	if (rc < 0)
		return ctl_fail(c, CTL_FAILED, NULL, NULL, "%s", e.text);
	return CTL_OK;
}

int config_fail(const struct ctl *c, const char *name, const struct err *e)
{
	return ctl_fail(c, CTL_FOUND, e->text, "correct it and check again",
			"%s is no valid network configuration",
			strcmp(name, "-") == 0 ? "standard input" : name);
}

static int check(struct ctl *c, const char *name)
{
	struct network_config config;
	auto_json json_t *warnings = NULL;
	auto_free char *text = NULL;
	size_t size = 0;
	bool valid;
	struct err e;
	int status = config_read(c, name, &text, &size);

	if (status)
		return status;
	valid = config_validate(text, size, &config, &e) == 0;
	if (valid)
		warnings = config_warnings(text, size, &config);
	if (document_is_wanted(c)) {
		json_t *document = ctl_document("ConfigCheck");

		add_verdict(document, valid ? &config : NULL, &e);
		json_object_set(document, "warnings", warnings ? warnings : json_null());
		document_print(c, document);
	} else if (valid) {
		auto_free char *summary = config_describe(&config);

		config_warn(c, warnings);
		fprintf(c->out, "config ok: %s\n", summary);
	} else {
		config_fail(c, name, &e);
	}
	if (valid)
		network_config_fini(&config);
	return valid ? CTL_OK : CTL_FOUND;
}

/* ---- show ---- */

/* Line by line, so that the document stays readable and nothing in it reaches the terminal as an
 * order. */
static void print_document(const struct ctl *c, const char *text)
{
	auto_free char *copy = xstrdup(text);
	char *rest = copy;

	while (rest) {
		char *line = strsep(&rest, "\n");
		const char *tabs = line + strspn(line, "\t ");
		auto_free char *safe = text_escape(tabs, c->utf8);

		/* Backslashes are JSON's own here, and none is added to them. */
		if (*line || rest)
			fprintf(c->out, "%.*s%s\n", (int)(tabs - line), line, safe);
	}
}

static int show_from_store(struct ctl *c)
{
	auto_session struct session s;
	struct store_reply reply = { 0 };
	struct network_config config;
	bool valid;
	struct err e;
	int status = session_open(c, &s);

	if (status)
		return status;
	session_ask(&s, &(struct store_request){ .op = STORE_CONFIG }, &reply);
	if (reply.status != STORE_OK) {
		status = session_fail(c, &s, &reply);
		store_reply_fini(&reply);
		return status;
	}
	valid = config_validate(reply.config, reply.config_size, &config, &e) == 0;
	if (c->format == FORMAT_RAW) {
		fwrite(reply.config, 1, reply.config_size, c->out);
	} else if (document_is_wanted(c)) {
		json_t *document = ctl_document("NetworkConfig");
		auto_free char *printable = xstrdup(reply.config);
		json_t *text = json_string(reply.config);

		util_make_printable(printable);
		json_object_set_new(document, "source", json_string("store"));
		json_object_set_new(
			document, "revision",
			json_sprintf("%llu", (unsigned long long)reply.config_revision));
		json_object_set_new(document, "document", text ? text : json_string(printable));
		add_verdict(document, valid ? &config : NULL, &e);
		document_print(c, document);
	} else {
		print_document(c, reply.config);
		if (valid) {
			auto_free char *summary = config_describe(&config);

			fprintf(c->out, "config ok: %s\n", summary);
		}
	}
	if (!valid)
		ctl_fail(c, CTL_FOUND, e.text, "fabricctl config set FILE",
			 "the network configuration in the store is not valid");
	if (valid)
		network_config_fini(&config);
	store_reply_fini(&reply);
	return valid ? CTL_OK : CTL_FOUND;
}

static void print_family(const struct ctl *c, const char *name, const json_t *family)
{
	auto_free char *network = NULL;
	auto_free char *min = NULL;
	auto_free char *max = NULL;
	const char *text = ctl_text(family, "network");

	if (!text)
		return;
	network = text_escape(text, c->utf8);
	text = ctl_text(family, "subnetMin");
	min = text_escape(text ? text : "-", c->utf8);
	text = ctl_text(family, "subnetMax");
	max = text_escape(text ? text : "-", c->utf8);
	fprintf(c->out, "%-9s %s, /%d each, from %s to %s\n", name, network,
		(int)ctl_int(family, "subnetLen", 0), min, max);
}

static int show_from_daemon(struct ctl *c)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *document = NULL;
	auto_free char *backend = NULL;
	auto_free char *safe_backend = NULL;
	const char *type;
	struct err e;
	int status = settings_read(c, false, &settings);

	if (status)
		return status;
	if (client_get(settings.socket, "/v1/config", "NetworkConfig", ANSWER_TIMEOUT_MS, &document,
		       &e) < 0)
		return client_fail(c, settings.socket, &e, "fabricctl config show --store");
	type = ctl_text(document, "backendType");
	if (document_is_wanted(c)) {
		document_print(c, json_incref(document));
		return type ? CTL_OK : CTL_NOT_FOUND;
	}
	if (!type)
		return ctl_fail(c, CTL_NOT_FOUND, "it waits for one in the store",
				"fabricctl config show --store",
				"flanneld has no network configuration yet");
	if (c->format == FORMAT_RAW) {
		backend = json_dumps(document, JSON_COMPACT);
		fprintf(c->out, "%s\n", backend);
		return CTL_OK;
	}
	print_family(c, "ipv4", json_object_get(document, "ipv4"));
	print_family(c, "ipv6", json_object_get(document, "ipv6"));
	backend = json_dumps(json_object_get(document, "backend"), JSON_COMPACT);
	safe_backend = text_escape(backend ? backend : "{}", c->utf8);
	fprintf(c->out, "%-9s %s\n", "backend", safe_backend);
	if (json_is_true(json_object_get(document, "changedInStore")))
		fprintf(c->out, "%sthe store has another one: restart flanneld to use it%s\n",
			ctl_color_on(c, COLOR_WARN), ctl_color_off(c, COLOR_WARN));
	return CTL_OK;
}

int config_run(struct ctl *c)
{
	const char *verb = c->operands_len > 0 ? c->operands[0] : "";

	if (strcmp(verb, "set") == 0 && c->operands_len == 2) {
		if (c->format == FORMAT_RAW)
			return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
					"fabricctl config set has no --output raw");
		return config_set(c, c->operands[1]);
	}
	if (c->options.dry_run || c->options.yes)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"only fabricctl config set has --%s",
				c->options.yes ? "yes" : "dry-run");
	if (strcmp(verb, "check") == 0 && c->operands_len == 2) {
		if (c->format == FORMAT_RAW || c->options.store)
			return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
					"fabricctl config check has no %s",
					c->options.store ? "--store" : "--output raw");
		return check(c, c->operands[1]);
	}
	if (strcmp(verb, "show") == 0 && c->operands_len == 1)
		return c->options.store ? show_from_store(c) : show_from_daemon(c);
	return ctl_fail(c, CTL_USAGE,
			strcmp(verb, "check") == 0 || strcmp(verb, "set") == 0
				? "name one file, or - for standard input"
				: NULL,
			command_help_hint(c->command),
			"usage: fabricctl config check|set FILE, or fabricctl config show");
}
