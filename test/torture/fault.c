/*
 * test/torture/fault.c
 *
 * Preloaded into a server, lets one call of one kind fail in the processes of one kind, so that the
 * product needs no hooks. What is to fail stands in a file that GPT_FAULT_FILE names, shared by all
 * processes and rewritten by the test:
 *
 *   | call: int32 | action: int32 | k: int64 | count: int64 | injected: int64 | error: int32 |
 * process: 60 bytes |
 *
 * Calls of that kind are counted in processes whose background worker's name begins with, or whose
 * application_name is, `process`; the k-th fails with `error`. Files are those of jobs and
 * temporary ones.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum Call
{
	CALL_NONE,
	CALL_OPEN,
	CALL_WRITE,
	CALL_FSYNC,
	CALL_RENAME,
	CALL_MMAP,
	CALL_THREAD,
	CALL_MALLOC,
};

enum Action
{
	ACTION_FAIL,
	ACTION_CRASH,
	ACTION_SHORT, /* a write that writes half */
	ACTION_FAIL_FROM, /* also all later ones */
};

typedef struct Control
{
	volatile int32_t call;
	volatile int32_t action;
	volatile int64_t k;
	volatile int64_t count;
	volatile int64_t injected;
	volatile int32_t error;
	char process[60];
} Control;

static Control *control;
static bool reporting; /* what backtrace allocates is not counted */
static char **application_name;
static char **background_worker; /* MyBgworkerEntry: its first member is the name */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

__attribute__((constructor)) static void
start(void)
{
	const char *path = getenv("GPT_FAULT_FILE");
	int file = path != NULL ? (int) syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
	void *base;

	application_name = dlsym(RTLD_DEFAULT, "application_name");
	background_worker = dlsym(RTLD_DEFAULT, "MyBgworkerEntry");
	if (file < 0 || application_name == NULL || background_worker == NULL)
		return;
	base = (void *) syscall(SYS_mmap, NULL, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED,
							file, 0);
	close(file);
	if (base != MAP_FAILED)
		control = base;
}

static bool
is_armed(enum Call call)
{
	if (control == NULL || control->call != (int32_t) call || reporting)
		return false;
	if (*background_worker != NULL &&
		strncmp(*background_worker, control->process, strlen(control->process)) == 0)
		return true;
	return *application_name != NULL && strcmp(*application_name, control->process) == 0;
}

/* To the server's log: which call fails. */
static void
report(void)
{
	void *frames[32];

	reporting = true;
	backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
	reporting = false;
}

/* Counts a call; true when it has to fail, with errno set. */
static bool
hit(void)
{
	int64_t count = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);

	if (count != control->k && !(control->action == ACTION_FAIL_FROM && count > control->k))
		return false;
	__atomic_add_fetch(&control->injected, 1, __ATOMIC_SEQ_CST);
	report();
	if (control->action == ACTION_CRASH)
		raise(SIGSEGV);
	errno = control->error;
	return true;
}

static bool
is_ours(const char *path)
{
	return strncmp(path, "gpt/", 4) == 0 || strcmp(path, "gpt") == 0 ||
		   strstr(path, "/gpt/") != NULL || strstr(path, "pgsql_tmp") != NULL;
}

static bool
is_our_file(int file)
{
	char link[64];
	char path[1024];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	return is_ours(path) || (n > 4 && strcmp(path + n - 4, "/gpt") == 0);
}

#define NEXT(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

/* ---- Files
 * ----------------------------------------------------------------------------------------- */

static int
open_mode(const char *path, int flags, int mode)
{
	if (is_armed(CALL_OPEN) && is_ours(path) && hit())
		return -1;
	return (int) syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define OPEN(name)                                                         \
	int name(const char *path, int flags, ...)                             \
	{                                                                      \
		va_list arguments;                                                 \
		int mode;                                                          \
                                                                           \
		va_start(arguments, flags);                                        \
		mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0; \
		va_end(arguments);                                                 \
		return open_mode(path, flags, mode);                               \
	}

OPEN(open)
OPEN(open64)

/* -1: fails; otherwise how much is to be written. */
static ssize_t
to_write(int file, size_t size)
{
	if (!is_armed(CALL_WRITE) || !is_our_file(file) || !hit())
		return (ssize_t) size;
	return control->action == ACTION_SHORT && size > 1 ? (ssize_t) (size / 2) : -1;
}

ssize_t
pwrite(int file, const void *data, size_t size, off_t offset)
{
	ssize_t n = to_write(file, size);

	return n < 0 ? -1 : syscall(SYS_pwrite64, file, data, n, offset);
}

ssize_t
pwrite64(int file, const void *data, size_t size, off_t offset)
{
	return pwrite(file, data, size, offset);
}

ssize_t
write(int file, const void *data, size_t size)
{
	ssize_t n = to_write(file, size);

	return n < 0 ? -1 : syscall(SYS_write, file, data, n);
}

int
fsync(int file)
{
	if (is_armed(CALL_FSYNC) && is_our_file(file) && hit())
		return -1;
	return (int) syscall(SYS_fsync, file);
}

int
fdatasync(int file)
{
	if (is_armed(CALL_FSYNC) && is_our_file(file) && hit())
		return -1;
	return (int) syscall(SYS_fdatasync, file);
}

int
rename(const char *from, const char *to)
{
	if (is_armed(CALL_RENAME) && is_ours(to) && hit())
		return -1;
	return (int) syscall(SYS_rename, from, to);
}

/* ---- Memory and threads
 * ---------------------------------------------------------------------------- */

void *
mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
	if (is_armed(CALL_MMAP) && hit())
		return MAP_FAILED;
	return (void *) syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

void *
mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
	return mmap(address, size, protection, flags, file, offset);
}

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			   void *argument)
{
	if (is_armed(CALL_THREAD) && hit())
		return control->error;
	return NEXT(pthread_create)(thread, attributes, run, argument);
}

void *
malloc(size_t size)
{
	return is_armed(CALL_MALLOC) && hit() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return is_armed(CALL_MALLOC) && hit() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *block, size_t size)
{
	return is_armed(CALL_MALLOC) && hit() ? NULL : __libc_realloc(block, size);
}

int
posix_memalign(void **block, size_t alignment, size_t size)
{
	if (is_armed(CALL_MALLOC) && hit())
		return control->error;
	*block = __libc_memalign(alignment, size);
	return *block != NULL ? 0 : ENOMEM;
}
