/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/kube/kube_config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "lib/base64.h"
#include "lib/file.h"
#include "lib/secret.h"

#define NAME_SHOWN_MAX 80

struct reading {
	yaml_document_t document;
	const char *directory;
	struct err *e;
};

/* ---- YAML ---- */

/* NULL, -EINVAL in r->e: it is there twice. NULL, no error: it is not there, or null. */
static int find(struct reading *r, yaml_node_t *map, const char *key, yaml_node_t **ret)
{
	yaml_node_t *found = NULL;

	*ret = NULL;
	if (!map)
		return 0;
	if (map->type != YAML_MAPPING_NODE)
		return err_set(r->e, -EINVAL, "line %zu: not a mapping, where %s may stand",
			       map->start_mark.line + 1, key);
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
	     p++) {
		yaml_node_t *k = yaml_document_get_node(&r->document, p->key);

		if (!k || k->type != YAML_SCALAR_NODE ||
		    strcmp((const char *)k->data.scalar.value, key) != 0)
			continue;
		if (found)
			return err_set(r->e, -EINVAL, "line %zu: %s is given twice",
				       k->start_mark.line + 1, key);
		found = yaml_document_get_node(&r->document, p->value);
	}
	if (found && found->type == YAML_SCALAR_NODE &&
	    found->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    (!*found->data.scalar.value ||
	     strcmp((const char *)found->data.scalar.value, "null") == 0 ||
	     strcmp((const char *)found->data.scalar.value, "~") == 0))
		found = NULL;
	*ret = found;
	return 0;
}

/* Borrowed; NULL if absent or empty. */
static int find_text(struct reading *r, yaml_node_t *map, const char *key, const char **ret)
{
	yaml_node_t *n;
	int rc = find(r, map, key, &n);

	*ret = NULL;
	if (rc < 0 || !n)
		return rc;
	if (n->type != YAML_SCALAR_NODE)
		return err_set(r->e, -EINVAL, "line %zu: %s must be a text", n->start_mark.line + 1,
			       key);
	if (strlen((const char *)n->data.scalar.value) != n->data.scalar.length)
		return err_set(r->e, -EINVAL, "line %zu: %s has a NUL in it",
			       n->start_mark.line + 1, key);
	*ret = n->data.scalar.length ? (const char *)n->data.scalar.value : NULL;
	return 0;
}

/* Of the items {name: NAME, MEMBER: {...}} of `list` the MEMBER of this name. */
static int find_named(struct reading *r, const char *list, const char *name, const char *member,
		      yaml_node_t **ret)
{
	yaml_node_t *items;
	int rc = find(r, yaml_document_get_root_node(&r->document), list, &items);

	*ret = NULL;
	if (rc < 0)
		return rc;
	if (items && items->type != YAML_SEQUENCE_NODE)
		return err_set(r->e, -EINVAL, "line %zu: %s must be a list",
			       items->start_mark.line + 1, list);
	for (yaml_node_item_t *i = items ? items->data.sequence.items.start : NULL;
	     i && i < items->data.sequence.items.top; i++) {
		yaml_node_t *item = yaml_document_get_node(&r->document, *i);
		const char *its = NULL;

		rc = find_text(r, item, "name", &its);
		if (rc < 0)
			return rc;
		/* The first of a name counts, as for kubectl. */
		if (its && strcmp(its, name) == 0)
			return find(r, item, member, ret);
	}
	return err_set(r->e, -EINVAL, "%s has no item named \"%.*s\"", list, NAME_SHOWN_MAX, name);
}

/* ---- what it means ---- */

static char *path_of(const struct reading *r, const char *path)
{
	return *path == '/' ? xstrdup(path) : xasprintf("%s/%s", r->directory, path);
}

static int check_pem(const char *what, const char *pem, size_t size, struct err *e)
{
	if (strlen(pem) == size && strstr(pem, "-----BEGIN "))
		return 0;
	return err_set(e, -EINVAL, "%s is not PEM", what);
}

/* NAME-data, in base64, goes before NAME, a file. */
static int read_pem(struct reading *r, yaml_node_t *map, const char *name, char **ret_file,
		    char **ret_pem)
{
	const char *file = NULL;
	const char *data = NULL;
	char key[64];
	size_t size;
	int rc;

	snprintf(key, sizeof(key), "%s-data", name);
	rc = find_text(r, map, name, &file);
	if (rc == 0)
		rc = find_text(r, map, key, &data);
	if (rc < 0)
		return rc;
	if (data) {
		auto_secret char *pem = NULL;

		rc = base64_decode(data, strlen(data), &pem, &size, r->e);
		if (rc < 0)
			return err_set(r->e, -EINVAL, "%s is not base64", key);
		rc = check_pem(key, pem, size, r->e);
		if (rc == 0)
			*ret_pem = STEAL(pem);
	} else if (file) {
		*ret_file = path_of(r, file);
	}
	return rc;
}

static int refuse(struct reading *r, yaml_node_t *map, const char *const (*keys)[2])
{
	for (; (*keys)[0]; keys++) {
		yaml_node_t *n;
		int rc = find(r, map, (*keys)[0], &n);

		if (rc < 0)
			return rc;
		if (n && !(n->type == YAML_SCALAR_NODE &&
			   (n->data.scalar.length == 0 ||
			    strcmp((const char *)n->data.scalar.value, "false") == 0)))
			return err_set(r->e, -EINVAL, "line %zu: %s is not supported: %s",
				       n->start_mark.line + 1, (*keys)[0], (*keys)[1]);
	}
	return 0;
}

/* "https://host:port/path" without slashes at its end. */
static int take_server(const char *what, const char *text, char **ret, struct err *e)
{
	size_t scheme = strncasecmp(text, "https://", 8) == 0  ? 8
			: strncasecmp(text, "http://", 7) == 0 ? 7
							       : 0;
	size_t size = strlen(text);

	while (size > scheme && text[size - 1] == '/')
		size--;
	if (scheme == 0 || size == scheme || text[scheme] == '/' || text[scheme] == ':')
		return err_set(e, -EINVAL,
			       "%s is \"%.*s\", must be http://HOST:PORT or https://HOST:PORT",
			       what, NAME_SHOWN_MAX, text);
	/* Before an @ would stand a password; after ? or # none of our paths could. */
	for (size_t i = 0; i < size; i++) {
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f || strchr("@?#\"\\", text[i]))
			return err_set(e, -EINVAL, "%s: character 0x%02x is not allowed in it",
				       what, (unsigned char)text[i]);
	}
	free(*ret);
	*ret = xstrndup(text, size);
	return 0;
}

static int read_cluster(struct reading *r, yaml_node_t *cluster, struct kube_access *a)
{
	static const char *const refused[][2] = {
		{ "insecure-skip-tls-verify", "the server is always verified, give its "
					      "certificate-authority" },
		{ "tls-server-name", "the certificate must be of the server's address" },
		{ "proxy-url", "the server must be reached directly" },
		{ NULL, NULL },
	};
	const char *server = NULL;
	int rc = refuse(r, cluster, refused);

	if (rc == 0)
		rc = find_text(r, cluster, "server", &server);
	if (rc == 0 && server)
		rc = take_server("server", server, &a->server, r->e);
	if (rc == 0)
		rc = read_pem(r, cluster, "certificate-authority", &a->ca_file, &a->ca_pem);
	return rc;
}

static int read_user(struct reading *r, yaml_node_t *user, struct kube_access *a)
{
	static const char *const refused[][2] = {
		{ "exec", "no program is run to get a token, write it to a tokenFile" },
		{ "auth-provider", "nothing is asked for a token, write it to a tokenFile" },
		{ "username", "API servers have no passwords any more, use a token or a "
			      "client certificate" },
		{ "password", "API servers have no passwords any more, use a token or a "
			      "client certificate" },
		{ "as", "nobody is impersonated" },
		{ NULL, NULL },
	};
	const char *token = NULL;
	const char *token_file = NULL;
	int rc = refuse(r, user, refused);

	if (rc == 0)
		rc = read_pem(r, user, "client-certificate", &a->cert_file, &a->cert_pem);
	if (rc == 0)
		rc = read_pem(r, user, "client-key", &a->key_file, &a->key_pem);
	if (rc == 0)
		rc = find_text(r, user, "token", &token);
	if (rc == 0)
		rc = find_text(r, user, "tokenFile", &token_file);
	if (rc < 0)
		return rc;
	if (!(a->cert_file || a->cert_pem) != !(a->key_file || a->key_pem))
		return err_set(r->e, -EINVAL,
			       "client-certificate and client-key go together, one is missing");
	/* It becomes a line of HTTP. */
	if (token && token[strcspn(token, "\r\n")])
		return err_set(r->e, -EINVAL, "token has more than one line");
	if (token)
		a->token = xstrdup(token);
	if (token_file)
		a->token_file = path_of(r, token_file);
	return 0;
}

static int read_document(struct reading *r, struct kube_access *a)
{
	yaml_node_t *root = yaml_document_get_root_node(&r->document);
	yaml_node_t *context = NULL;
	yaml_node_t *cluster = NULL;
	yaml_node_t *user = NULL;
	const char *context_name = NULL;
	const char *cluster_name = NULL;
	const char *user_name = NULL;
	int rc = root ? 0 : err_set(r->e, -EINVAL, "it is empty");

	if (rc == 0)
		rc = find_text(r, root, "current-context", &context_name);
	if (rc == 0 && !context_name)
		rc = err_set(r->e, -EINVAL, "current-context is not set");
	if (rc == 0)
		rc = find_named(r, "contexts", context_name, "context", &context);
	if (rc == 0)
		rc = find_text(r, context, "cluster", &cluster_name);
	if (rc == 0)
		rc = find_text(r, context, "user", &user_name);
	if (rc == 0 && !cluster_name)
		rc = err_set(r->e, -EINVAL, "context \"%.*s\" names no cluster", NAME_SHOWN_MAX,
			     context_name);
	if (rc == 0)
		rc = find_named(r, "clusters", cluster_name, "cluster", &cluster);
	if (rc == 0 && user_name)
		rc = find_named(r, "users", user_name, "user", &user);
	if (rc == 0)
		rc = read_cluster(r, cluster, a);
	if (rc == 0 && !a->server)
		rc = err_set(r->e, -EINVAL, "cluster \"%.*s\" has no server", NAME_SHOWN_MAX,
			     cluster_name);
	if (rc == 0)
		rc = read_user(r, user, a);
	return rc;
}

int kube_config_parse(const char *text, size_t size, const char *directory, struct kube_access *ret,
		      struct err *e)
{
	struct reading r = { .directory = directory, .e = e };
	struct kube_access a = { 0 };
	yaml_parser_t parser;
	int rc;

	if (size > KUBE_CONFIG_MAX_SIZE)
		return err_set(e, -EFBIG, "larger than %d bytes", KUBE_CONFIG_MAX_SIZE);
	if (!yaml_parser_initialize(&parser))
		abort();
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	/* libyaml's text may point at a token: its own words only, and the line. */
	if (!yaml_parser_load(&parser, &r.document)) {
		rc = err_set(e, -EINVAL, "line %zu: not YAML: %s", parser.problem_mark.line + 1,
			     parser.problem ? parser.problem : "unreadable");
		yaml_parser_delete(&parser);
		return rc;
	}
	rc = read_document(&r, &a);
	yaml_document_delete(&r.document);
	yaml_parser_delete(&parser);
	if (rc < 0)
		kube_access_fini(&a);
	else
		*ret = a;
	return rc;
}

/* ---- where it comes from ---- */

static int read_config(const char *path, struct kube_access *ret, struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *directory =
		slash ? xstrndup(path, MAX((size_t)(slash - path), (size_t)1)) : xstrdup(".");
	auto_secret char *text = NULL;
	size_t size;
	int rc = file_read(path, KUBE_CONFIG_MAX_SIZE, &text, &size, e);

	if (rc < 0)
		return rc;
	rc = kube_config_parse(text, size, directory, ret, e);
	return rc < 0 ? err_wrap(e, "%s", path) : 0;
}

int kube_access_in_cluster(const char *directory, struct kube_access *ret, struct err *e)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	struct kube_access a = { 0 };
	auto_free char *url = NULL;
	struct in6_addr v6;
	int rc;

	if (!host || !*host || !port || !*port)
		return err_set(e, -ENOENT,
			       "this is no pod, KUBERNETES_SERVICE_HOST and "
			       "KUBERNETES_SERVICE_PORT are not set: kubeconfig-file or "
			       "kube-api-url must be given");
	url = xasprintf(inet_pton(AF_INET6, host, &v6) == 1 ? "https://[%s]:%s" : "https://%s:%s",
			host, port);
	rc = take_server("KUBERNETES_SERVICE_HOST", url, &a.server, e);
	a.token_file = xasprintf("%s/token", directory);
	a.ca_file = xasprintf("%s/ca.crt", directory);
	if (rc == 0 && access(a.ca_file, R_OK) < 0)
		rc = err_sys(e, -errno, "%s", a.ca_file);
	if (rc == 0 && access(a.token_file, R_OK) < 0)
		rc = err_sys(e, -errno, "%s", a.token_file);
	if (rc < 0)
		kube_access_fini(&a);
	else
		*ret = a;
	return rc;
}

int kube_access_open(const char *url, const char *path, struct kube_access *ret, struct err *e)
{
	struct kube_access a = { 0 };
	int rc = 0;

	if (*path)
		rc = read_config(path, &a, e);
	else if (!*url)
		rc = kube_access_in_cluster(KUBE_SERVICE_ACCOUNT, &a, e);
	if (rc == 0 && *url)
		rc = take_server("kube-api-url", url, &a.server, e);
	if (rc < 0)
		kube_access_fini(&a);
	else
		*ret = a;
	return rc;
}

int kube_access_token(struct kube_access *access, char **ret, struct err *e)
{
	struct err why;
	char *fresh = NULL;
	int rc = 0;

	if (access->token_file) {
		rc = secret_read(access->token_file, SECRET_GIVEN, &fresh, &why);
		if (rc == 0) {
			secret_free(access->token);
			access->token = fresh;
		} else if (!access->token) {
			return err_set(e, why.code, "%s", why.text);
		}
	}
	*ret = access->token ? xstrdup(access->token) : NULL;
	return 0;
}

void kube_access_fini(struct kube_access *access)
{
	free(access->server);
	free(access->ca_file);
	free(access->ca_pem);
	free(access->cert_file);
	free(access->cert_pem);
	free(access->key_file);
	secret_free(access->key_pem);
	free(access->token_file);
	secret_free(access->token);
	*access = (struct kube_access){ 0 };
}
