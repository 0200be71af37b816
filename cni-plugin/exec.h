/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executing another plugin, as the specification's section 4 has it: same environment,
 * configuration on stdin.
 */
#ifndef CNI_PLUGIN_EXEC_H
#define CNI_PLUGIN_EXEC_H

#include "cni-plugin/env.h"
#include "lib/json.h"

/*
 * Finds the plugin in the directories of CNI_PATH. A type is a plain file name: one with a slash is
 * CNI_CONFIG, and so is our own. No executable file of that name: CNI_DELEGATE. Caller frees *ret.
 */
int exec_find(const struct cni_env *env, const char *type, char **ret, struct err *e) MUST_CHECK;

/*
 * Runs plugin `type` with `command` and waits for it. It gets the CNI_ variables that we got, a
 * fixed PATH, and nothing else; its stderr is ours. *ret_result (may be NULL) is what it printed,
 * NULL if nothing; caller owns it. An error keeps the code that the plugin gave, or is
 * CNI_DELEGATE.
 */
int exec_plugin(const struct cni_env *env, const char *type, enum cni_command command,
		const json_t *config, json_t **ret_result, struct err *e) MUST_CHECK;

#endif
