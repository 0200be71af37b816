/* SPDX-License-Identifier: Apache-2.0 */
/* stores/kube/kube_config: which server, and who we are to it. */
#include "tests/unit/test.h"

#include <errno.h>

#include "lib/file.h"
#include "lib/secret.h"
#include "stores/kube/kube_config.h"

/* "-----BEGIN X-----" */
#define PEM64 "LS0tLS1CRUdJTiBYLS0tLS0="

#define HEAD                                                                                       \
	"apiVersion: v1\nkind: Config\ncurrent-context: here\n"                                    \
	"contexts:\n- name: there\n  context: {cluster: b, user: b}\n"                             \
	"- name: here\n  context: {cluster: a, user: u, namespace: kube-flannel}\n"
#define CLUSTER "clusters:\n- name: a\n  cluster:\n    server: https://192.0.2.1:6443/\n"
#define USER    "users:\n- name: u\n  user:\n"

static char directory[] = "/tmp/test-kube-XXXXXX";

static struct kube_access good(const char *text)
{
	struct kube_access a = { 0 };
	struct err e = { 0 };

	if (kube_config_parse(text, strlen(text), "/etc/k", &a, &e) < 0)
		fail_msg("%s", e.text);
	return a;
}

static void test_inline(void **state)
{
	struct kube_access a =
		good(HEAD CLUSTER "    certificate-authority: no.crt\n"
				  "    certificate-authority-data: " PEM64 "\n" USER
				  "    client-certificate-data: " PEM64 "\n"
				  "    client-key-data: " PEM64 "\n    token: sesame\n");

	(void)state;
	assert_string_equal(a.server, "https://192.0.2.1:6443");
	assert_string_equal(a.ca_pem, "-----BEGIN X-----");
	assert_null(a.ca_file);
	assert_string_equal(a.cert_pem, "-----BEGIN X-----");
	assert_string_equal(a.key_pem, "-----BEGIN X-----");
	assert_string_equal(a.token, "sesame");
	kube_access_fini(&a);
}

static void test_files(void **state)
{
	struct kube_access a = good(HEAD CLUSTER "    certificate-authority: pki/ca.crt\n" USER
						 "    client-certificate: /abs/c.crt\n"
						 "    client-key: c.key\n    tokenFile: token\n");

	(void)state;
	assert_string_equal(a.ca_file, "/etc/k/pki/ca.crt");
	assert_string_equal(a.cert_file, "/abs/c.crt");
	assert_string_equal(a.key_file, "/etc/k/c.key");
	assert_string_equal(a.token_file, "/etc/k/token");
	assert_null(a.token);
	kube_access_fini(&a);
}

/* kubectl writes JSON with -o json; anchors are YAML's. */
static void test_other_forms(void **state)
{
	struct kube_access a =
		good("{\"current-context\":\"c\",\"contexts\":[{\"name\":\"c\","
		     "\"context\":{\"cluster\":\"k\"}}],\"clusters\":[{\"name\":\"k\","
		     "\"cluster\":{\"server\":\"http://[::1]:8080\","
		     "\"insecure-skip-tls-verify\":false}}],\"users\":null}");

	(void)state;
	assert_string_equal(a.server, "http://[::1]:8080");
	assert_null(a.token);
	kube_access_fini(&a);
	a = good("current-context: &n x\ncontexts: [{name: *n, context: {cluster: *n}}]\n"
		 "clusters: [{name: *n, cluster: {server: 'https://k/p/'}}]\n");
	assert_string_equal(a.server, "https://k/p");
	kube_access_fini(&a);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		const char *error;
	} rows[] = {
		{ "", "empty" },
		{ "- a\n", "not a mapping" },
		{ "a: [\n", "not YAML" },
		{ "kind: Config\n", "current-context is not set" },
		{ "current-context: x\n", "contexts has no item named \"x\"" },
		{ "current-context: x\ncurrent-context: y\n",
		  "line 2: current-context is given twice" },
		{ "current-context: x\ncontexts: {}\n", "contexts must be a list" },
		{ "current-context: [x]\n", "current-context must be a text" },
		{ "current-context: x\ncontexts: [{name: x}]\n", "names no cluster" },
		{ HEAD, "clusters has no item named \"a\"" },
		{ HEAD CLUSTER, "users has no item named \"u\"" },
		{ HEAD "clusters: [{name: a, cluster: {}}]\n" USER "    {}\n", "has no server" },
		{ HEAD "clusters: [{name: a, cluster: {server: 'ftp://x'}}]\n" USER "    {}\n",
		  "must be http://" },
		{ HEAD "clusters: [{name: a, cluster: {server: 'https://'}}]\n" USER "    {}\n",
		  "must be http://" },
		{ HEAD "clusters: [{name: a, cluster: {server: 'https://u:p@x'}}]\n" USER
		       "    {}\n",
		  "0x40" },
		{ HEAD CLUSTER "    insecure-skip-tls-verify: true\n" USER "    {}\n",
		  "insecure-skip-tls-verify is not supported" },
		{ HEAD CLUSTER "    proxy-url: http://p\n" USER "    {}\n", "proxy-url" },
		{ HEAD CLUSTER USER "    exec: {command: aws}\n", "exec is not supported" },
		{ HEAD CLUSTER USER "    auth-provider: {name: gcp}\n",
		  "auth-provider is not supported" },
		{ HEAD CLUSTER USER "    username: sesame\n", "username is not supported" },
		{ HEAD CLUSTER USER "    client-certificate: x\n", "go together" },
		{ HEAD CLUSTER USER "    client-key-data: sesame\n", "client-key-data is not" },
		{ HEAD CLUSTER USER "    client-key-data: c2VzYW1l\n",
		  "client-key-data is not PEM" },
		{ HEAD CLUSTER USER "    token: \"sesame\\nx\"\n", "token has more than one line" },
		{ HEAD CLUSTER USER "    token: \"sesame\\0x\"\n", "token has a NUL" },
		{ HEAD CLUSTER USER "    token: \"sesame\n", "not YAML" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kube_access a = { .server = (char *)"untouched" };
		struct err e = { 0 };

		assert_row(kube_config_parse(rows[i].text, strlen(rows[i].text), "/", &a, &e) ==
				   -EINVAL,
			   rows[i].text);
		assert_contains(e.text, rows[i].error);
		assert_null(strstr(e.text, "sesame"));
		assert_string_equal(a.server, "untouched");
	}
}

static void put(const char *name, const char *text)
{
	auto_free char *path = xasprintf("%s/%s", directory, name);

	assert_int_equal(file_replace(path, text, strlen(text), 0600, NULL), 0);
}

static void drop(const char *name)
{
	auto_free char *path = xasprintf("%s/%s", directory, name);

	assert_int_equal(unlink(path), 0);
}

static void token_is(struct kube_access *a, const char *expected)
{
	auto_secret char *token = NULL;

	assert_int_equal(kube_access_token(a, &token, NULL), 0);
	assert_string_equal(token, expected);
}

static void test_pod(void **state)
{
	auto_secret char *token = NULL;
	struct kube_access a = { 0 };
	struct err e;

	(void)state;
	unsetenv("KUBERNETES_SERVICE_HOST");
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_int_equal(kube_access_in_cluster(directory, &a, &e), -ENOENT);
	assert_contains(e.text, "this is no pod");
	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	assert_int_equal(kube_access_in_cluster(directory, &a, &e), -ENOENT);
	assert_contains(e.text, "ca.crt");
	put("ca.crt", "x");
	put("token", "one\n");
	assert_int_equal(kube_access_in_cluster(directory, &a, &e), 0);
	assert_string_equal(a.server, "https://[fd00::1]:443");
	/* It is replaced every hour; while it is not there the one before serves. */
	token_is(&a, "one");
	put("token", "two");
	token_is(&a, "two");
	drop("token");
	token_is(&a, "two");
	kube_access_fini(&a);
	drop("ca.crt");
	a.token_file = xasprintf("%s/token", directory);
	assert_int_equal(kube_access_token(&a, &token, &e), -ENOENT);
	assert_contains(e.text, a.token_file);
	kube_access_fini(&a);
}

static void test_options(void **state)
{
	auto_free char *path = xasprintf("%s/config", directory);
	struct kube_access a = { 0 };
	struct err e;

	(void)state;
	put("config", HEAD CLUSTER USER "    tokenFile: t\n");
	assert_int_equal(kube_access_open("", path, &a, &e), 0);
	assert_string_equal(a.server, "https://192.0.2.1:6443");
	assert_contains(a.token_file, directory);
	kube_access_fini(&a);
	assert_int_equal(kube_access_open("https://other:1/", path, &a, &e), 0);
	assert_string_equal(a.server, "https://other:1");
	kube_access_fini(&a);
	assert_int_equal(kube_access_open("http://127.0.0.1:8080", "", &a, &e), 0);
	assert_null(a.token_file);
	kube_access_fini(&a);
	assert_int_equal(kube_access_open("other:1", "", &a, &e), -EINVAL);
	assert_contains(e.text, "kube-api-url");
	put("config", "kind: Config\n");
	assert_int_equal(kube_access_open("", path, &a, &e), -EINVAL);
	assert_contains(e.text, path);
	drop("config");
	assert_int_equal(kube_access_open("", path, &a, &e), -ENOENT);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inline),      cmocka_unit_test(test_files),
		cmocka_unit_test(test_other_forms), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_pod),         cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
