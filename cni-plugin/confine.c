/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/confine.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/util.h"

/* The leak sanitizer looks into its own process with ptrace, at the end. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0 /* no filter: system call numbers are not known to be these */
#endif

#define BIT(capability) (1ull << (capability))

/*
 * Keeps those of the capabilities that we have at all. Without any right to change them there is
 * nothing to give up.
 */
static void keep_capabilities(uint64_t kept)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data) < 0)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
		uint32_t mask = (uint32_t)(kept >> (32 * i));

		data[i].permitted &= mask;
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	syscall(SYS_capset, &header, data);
}

void confine_process(void)
{
	const struct rlimit none = { 0 };
	sigset_t empty;
	int fd;

	/* Whatever is missing of the three must not become the descriptor of a file of ours. */
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	close_range(STDERR_FILENO + 1, ~0U, 0);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	umask(022);
	setrlimit(RLIMIT_CORE, &none);
	keep_capabilities(BIT(CAP_NET_ADMIN) | BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_PTRACE) |
			  BIT(CAP_DAC_OVERRIDE));
}

void confine_to_network(void)
{
	keep_capabilities(BIT(CAP_NET_ADMIN) | BIT(CAP_SYS_ADMIN) | BIT(CAP_DAC_OVERRIDE));
}

void confine_to_self(void)
{
	static const uint32_t refused[] = {
		SYS_execve,
		SYS_execveat,
		SYS_ptrace,
		SYS_process_vm_readv,
		SYS_process_vm_writev,
		SYS_mount,
		SYS_umount2,
		SYS_pivot_root,
		SYS_chroot,
		SYS_init_module,
		SYS_finit_module,
		SYS_delete_module,
		SYS_kexec_load,
		SYS_bpf,
		SYS_perf_event_open,
		SYS_open_by_handle_at,
		SYS_keyctl,
		SYS_add_key,
		SYS_request_key,
		SYS_reboot,
		SYS_unshare,
		SYS_userfaultfd,
	};
	const struct sock_filter head[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_filter filter[ARRAY_LEN(head) + ARRAY_LEN(refused) + 2];
	struct sock_fprog program = { .filter = filter };
	unsigned len = 0;

	if (SANITIZED || !ARCHITECTURE)
		return;
	for (; len < ARRAY_LEN(head); len++)
		filter[len] = head[len];
	for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
		/*
		 * To the last instruction, over what is left of the list and the one that allows.
		 */
		uint8_t distance = (uint8_t)(ARRAY_LEN(refused) - i);

		filter[len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refused[i],
							     distance, 0);
	}
	filter[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	program.len = (unsigned short)len;
	/* Where the filter cannot be had the work is done without. */
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
