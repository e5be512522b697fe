/* Makes calls that the default profile decides, and prints "name errno" for each. Built and run by live.rs.
   Where it can be, the arguments are such that the kernel itself gives another error, so that the filter's
   answer is told from the kernel's. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRY(name, ...)                                             \
	do {                                                       \
		errno = 0;                                         \
		long got = syscall(__VA_ARGS__);                   \
		printf("%s %d\n", name, got < 0 ? errno : 0);      \
	} while (0)

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "i386")) {
#ifdef __x86_64__
		long pid;
		__asm__ volatile("int $0x80" : "=a"(pid) : "a"(20) : "memory");
		return pid > 0 ? 0 : 3;
#endif
	}
	if (argc > 1 && !strcmp(argv[1], "x32"))
		return syscall(0x40000000 + SYS_getpid) > 0 ? 0 : 3;
	TRY("getpid", SYS_getpid);
	TRY("unshare", SYS_unshare, 0);
	TRY("setns", SYS_setns, -1, 0);
	TRY("umount2", SYS_umount2, "/", -1);
	TRY("clone-newuser", SYS_clone, 0x10000000L | 0x200, 0, 0, 0, 0); /* CLONE_NEWUSER|CLONE_FS: EINVAL */
	TRY("clone3", SYS_clone3, 0, 0);
	TRY("io_uring_setup", SYS_io_uring_setup, 0, 0);
	TRY("keyctl", SYS_keyctl, -1);
	TRY("bpf", SYS_bpf, -1, 0, 0);
	TRY("perf_event_open", SYS_perf_event_open, 0, 0, 0, 0, 0);
	TRY("process_vm_readv", SYS_process_vm_readv, getpid(), 0, 0, 0, 0, 1);
	TRY("personality", SYS_personality, 0x0100000);
	TRY("socket-unknown-family", SYS_socket, 63, 1, 0);
	TRY("socket-alg", SYS_socket, 38, 5, 0);
	TRY("socket-packet-by-type", SYS_socket, 2, 10, 0);
	TRY("socket-unix", SYS_socket, 1, 1, 0);
	TRY("socket-route", SYS_socket, 16, 3, 0);
	TRY("socketpair-inet", SYS_socketpair, 2, 1, 0, 0);
	TRY("tiocsti", SYS_ioctl, -1, 0x5412UL, 0);
	TRY("tiocsti-high-bits", SYS_ioctl, -1, 0xdead00005412UL, 0);
	TRY("tioclinux", SYS_ioctl, -1, 0x541cUL, 0);
	TRY("tiocgwinsz", SYS_ioctl, -1, 0x5413UL, 0);
	TRY("newer-than-the-profile", 900);
	return 0;
}
