/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a Kubernetes API server is reached and who we are to it: from a kubeconfig file (YAML, or the
 * JSON that is YAML too), or from what a pod is given, its service account.
 *
 * What a kubeconfig can say and we do not follow is refused with a sentence, not passed over: a
 * program that is to make the token, a proxy, a certificate that nobody verifies.
 *
 * Source: the kubeconfig (v1) reference and "Accessing the API from a Pod", kubernetes.io.
 */
#ifndef STORES_KUBE_KUBE_CONFIG_H
#define STORES_KUBE_KUBE_CONFIG_H

#include "lib/err.h"
#include "lib/util.h"

#define KUBE_CONFIG_MAX_SIZE (1024 * 1024)
/* Where every pod has its service account. */
#define KUBE_SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

/* All texts are owned, NULL if not given. Of a file and the same inline only one is there. */
struct kube_access {
	char *server;  /* http(s)://host[:port][/path], no slash at its end */
	char *ca_file; /* neither: the system's authorities */
	char *ca_pem;
	char *cert_file; /* ours */
	char *cert_pem;
	char *key_file;
	char *key_pem;
	char *token_file; /* goes before `token`, as long as it can be read */
	char *token;
};

/*
 * The current context of a kubeconfig: its cluster and its user. Paths in it that do not begin with
 * a slash are of `directory`. No file is read. On error *ret is untouched; no error text has a secret in it.
 * -EINVAL names what is missing, wrong or of a kind that is not supported.
 */
int kube_config_parse(const char *text, size_t size, const char *directory, struct kube_access *ret,
		      struct err *e) MUST_CHECK;

/*
 * What the daemon's options say: both empty: this is a pod. `url` alone: nobody in particular.
 * `url` goes before the server of `path`. Blocks on the disk. Errors of kube_config_parse and
 * file_read; -ENOENT: this is no pod either.
 */
int kube_access_open(const char *url, const char *path, struct kube_access *ret,
		     struct err *e) MUST_CHECK;

/*
 * A pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT in the environment, and token and
 * ca.crt in `directory`. -ENOENT if one is missing.
 */
int kube_access_in_cluster(const char *directory, struct kube_access *ret,
			   struct err *e) MUST_CHECK;

/*
 * The token to be sent now, for secret_free(); NULL if there is none. A file is read each time, since
 * it is replaced while it is still valid. While it cannot be read the last one read serves, and if
 * there is none that is the error.
 */
int kube_access_token(struct kube_access *access, char **ret, struct err *e) MUST_CHECK;

void kube_access_fini(struct kube_access *access);

#endif
