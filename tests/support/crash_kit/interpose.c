/* Stands between a driver and its disk: numbers every changing call below the roots, and breaks it on demand.
 *
 * Loaded with LD_PRELOAD by the crash tests. What it does is read from the environment at the first call that
 * finds CRASH_ROOTS set, so that a forked child can be told apart from its parent:
 *
 *   CRASH_ROOTS       directories, joined by ':'; calls on paths below them are numbered from 1
 *   CRASH_LOG         file, outside of the roots, that gets one line for each numbered call
 *   CRASH_KILL        N:before, N:after or N:torn (half of a write, then the end): SIGKILL at call N;
 *                     N:stop: SIGSTOP after it
 *   CRASH_KILL_CALL   name: N counts only calls of that name
 *   CRASH_FAIL        N:ERRNO:COUNT: calls N to N + COUNT - 1 fail
 *   CRASH_FAIL_WHILE  FILE:ERRNO:PREFIX: every numbered call on a path starting with PREFIX fails while FILE exists;
 *                     several, joined by ','
 *   CRASH_SPARE       folder whose calls are numbered but never made to fail
 *   CRASH_SHORT       N: call N, if it is a write, writes half and says so
 *   CRASH_ANSWER      text; a socket write that holds it is logged as "sent", without a number
 *
 * Log line: seq, call, errno, inode, path, second path, offset, open flags, bytes in hex, joined by tabs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define REAL(name) ((__typeof__(name) *)real(#name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int ready, kill_now, log_fd = -1;
static long seq, kill_seq, kill_at, fail_at, fail_end, short_at;
static int fail_errno, whiles;
static char *roots, *kill_how = "", *answer, *spare, *kill_call;

static struct { int error; char *file, *prefix; } standing[8];

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static char *copy_of(const char *name) {
    char *value = getenv(name);
    return value && *value ? strdup(value) : NULL;
}

static int active(void) {
    if (ready) return 1;
    if (!getenv("CRASH_ROOTS")) return 0;
    pthread_mutex_lock(&lock);
    if (!ready) {
        char *text;
        roots = copy_of("CRASH_ROOTS");
        answer = copy_of("CRASH_ANSWER");
        spare = copy_of("CRASH_SPARE");
        kill_call = copy_of("CRASH_KILL_CALL");
        if ((text = copy_of("CRASH_KILL"))) { kill_at = strtol(text, &kill_how, 10); kill_how++; }
        if ((text = copy_of("CRASH_FAIL"))) sscanf(text, "%ld:%d:%ld", &fail_at, &fail_errno, &fail_end);
        if ((text = copy_of("CRASH_SHORT"))) short_at = atol(text);
        if ((text = copy_of("CRASH_FAIL_WHILE"))) {
            for (char *part = strtok(text, ":"); part && whiles < 8; part = strtok(NULL, ":"), whiles++) {
                standing[whiles].file = part;
                standing[whiles].error = atoi(strtok(NULL, ":"));
                standing[whiles].prefix = strtok(NULL, ",");
            }
        }
        if ((text = getenv("CRASH_LOG"))) log_fd = syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        ready = 1;
    }
    pthread_mutex_unlock(&lock);
    return 1;
}

static int below_roots(const char *path) {
    for (const char *root = roots; root && *path == '/';) {
        size_t length = strcspn(root, ":");
        if (!strncmp(path, root, length) && (path[length] == '/' || !path[length])) return 1;
        root = root[length] ? root + length + 1 : NULL;
    }
    return 0;
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_SIZE - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below_roots(path);
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

struct call {
    const char *name, *path, *path2;
    int fd, flags;
    off_t offset;
    const char *data;
    size_t size;
};

static void note(long number, const struct call *c, int failed, size_t size) {
    struct stat status = {0};
    if (c->fd >= 0) fstat(c->fd, &status);
    char *line = malloc(2 * PATH_SIZE + 256 + 2 * size);
    int end = sprintf(line, "%ld\t%s\t%d\t%lu\t%s\t%s\t%ld\t%d\t", number, c->name, failed, (unsigned long)status.st_ino,
                      c->path, c->path2 ? c->path2 : "", (long)c->offset, c->flags);
    for (size_t i = 0; i < size; i++) end += sprintf(line + end, "%02x", (unsigned char)c->data[i]);
    line[end++] = '\n';
    if (log_fd >= 0) syscall(SYS_write, log_fd, line, end);
    free(line);
}

/* Begin a numbered call, with the lock held until finish(): returns the errno it must fail with, or 0. */
static int begin(const struct call *c) {
    pthread_mutex_lock(&lock);
    seq++;
    kill_now = (!kill_call || !strcmp(c->name, kill_call)) && ++kill_seq == kill_at;
    if (kill_now && !strcmp(kill_how, "before")) die();
    if (spare && !strncmp(c->path, spare, strlen(spare))) return 0;
    int injected = fail_at && seq >= fail_at && seq < fail_at + fail_end ? fail_errno : 0;
    for (int i = 0; i < whiles && !injected; i++)
        if (!strncmp(c->path, standing[i].prefix, strlen(standing[i].prefix)) &&
            !syscall(SYS_faccessat, AT_FDCWD, standing[i].file, F_OK))
            injected = standing[i].error;
    return injected;
}

static long finish(const struct call *c, long result, int injected) {
    int failed = injected ? injected : result < 0 ? errno : 0;
    note(seq, c, failed, failed || !c->data ? 0 : (size_t)result);
    if (kill_now && !strcmp(kill_how, "stop")) raise(SIGSTOP);
    else if (kill_now) die();
    pthread_mutex_unlock(&lock);
    if (failed) errno = failed;
    return failed ? -1 : result;
}

static size_t wanted(size_t size) {
    int halved = seq == short_at || (kill_now && !strcmp(kill_how, "torn"));
    return halved && size > 1 ? size / 2 : size;
}

ssize_t write(int fd, const void *data, size_t size) {
    char path[PATH_SIZE];
    if (!active() || !path_of(fd, path)) return syscall(SYS_write, fd, data, size);
    struct call c = {"write", path, NULL, fd, 0, lseek(fd, 0, SEEK_CUR), data, size};
    int injected = begin(&c);
    return finish(&c, injected ? -1 : syscall(SYS_write, fd, data, wanted(size)), injected);
}

static ssize_t pwrite_any(int fd, const void *data, size_t size, off_t offset) {
    char path[PATH_SIZE];
    if (!active() || !path_of(fd, path)) return syscall(SYS_pwrite64, fd, data, size, offset);
    struct call c = {"pwrite", path, NULL, fd, 0, offset, data, size};
    int injected = begin(&c);
    return finish(&c, injected ? -1 : syscall(SYS_pwrite64, fd, data, wanted(size), offset), injected);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite_any(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return pwrite_any(fd, data, size, offset); }

static int on_fd(const char *name, int fd, long number, long argument) {
    char path[PATH_SIZE];
    if (!active() || !path_of(fd, path)) return syscall(number, fd, argument);
    struct call c = {name, path, NULL, fd, 0, argument, NULL, 0};
    int injected = begin(&c);
    return finish(&c, injected ? -1 : syscall(number, fd, argument), injected);
}
int fsync(int fd) { return on_fd("fsync", fd, SYS_fsync, 0); }
int fdatasync(int fd) { return on_fd("fdatasync", fd, SYS_fdatasync, 0); }
int ftruncate(int fd, off_t length) { return on_fd("ftruncate", fd, SYS_ftruncate, length); }
int ftruncate64(int fd, off_t length) { return on_fd("ftruncate", fd, SYS_ftruncate, length); }

static int on_paths(const char *name, const char *path, const char *path2, int mode) {
    struct call c = {name, path, path2, -1, mode, 0, NULL, 0};
    int injected = begin(&c);
    long result = -1;
    if (!injected) {
        if (!strcmp(name, "rename")) result = syscall(SYS_renameat, AT_FDCWD, path, AT_FDCWD, path2);
        if (!strcmp(name, "link")) result = syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, path2, 0);
        if (!strcmp(name, "unlink")) result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
        if (!strcmp(name, "mkdir")) result = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    }
    return finish(&c, result, injected);
}
int rename(const char *from, const char *to) {
    return active() && below_roots(to) ? on_paths("rename", from, to, 0) : REAL(rename)(from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
    return active() && below_roots(to) ? on_paths("rename", from, to, 0) : REAL(renameat)(a, from, b, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    return active() && below_roots(to) ? on_paths("rename", from, to, 0) : REAL(renameat2)(a, from, b, to, flags);
}
int link(const char *from, const char *to) {
    return active() && below_roots(to) ? on_paths("link", from, to, 0) : REAL(link)(from, to);
}
int linkat(int a, const char *from, int b, const char *to, int flags) {
    return active() && below_roots(to) ? on_paths("link", from, to, 0) : REAL(linkat)(a, from, b, to, flags);
}
int unlink(const char *path) {
    return active() && below_roots(path) ? on_paths("unlink", path, NULL, 0) : REAL(unlink)(path);
}
int unlinkat(int at, const char *path, int flags) {
    return active() && !flags && below_roots(path) ? on_paths("unlink", path, NULL, 0) : REAL(unlinkat)(at, path, flags);
}
int mkdir(const char *path, mode_t mode) {
    return active() && below_roots(path) ? on_paths("mkdir", path, NULL, mode) : REAL(mkdir)(path, mode);
}
int mkdirat(int at, const char *path, mode_t mode) {
    return active() && below_roots(path) ? on_paths("mkdir", path, NULL, mode) : REAL(mkdirat)(at, path, mode);
}

static int open_any(int at, const char *path, int flags, mode_t mode) {
    if (!active() || !(flags & (O_CREAT | O_TRUNC)) || !below_roots(path)) return syscall(SYS_openat, at, path, flags, mode);
    struct call c = {"open", path, NULL, -1, flags, 0, NULL, 0};
    int injected = begin(&c);
    int fd = injected ? -1 : syscall(SYS_openat, at, path, flags, mode);
    c.fd = fd;
    return finish(&c, fd, injected);
}
#define OPEN(at)                                        \
    va_list rest;                                       \
    va_start(rest, flags);                              \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                       \
    return open_any(at, path, flags, mode);
int open(const char *path, int flags, ...) { OPEN(AT_FDCWD) }
int open64(const char *path, int flags, ...) { OPEN(AT_FDCWD) }
int openat(int at, const char *path, int flags, ...) { OPEN(at) }
int openat64(int at, const char *path, int flags, ...) { OPEN(at) }

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (active() && answer)
        for (size_t i = 0; i < message->msg_iovlen; i++)
            if (memmem(message->msg_iov[i].iov_base, message->msg_iov[i].iov_len, answer, strlen(answer))) {
                struct call c = {"sent", "", NULL, -1, 0, 0, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len};
                pthread_mutex_lock(&lock);
                note(0, &c, 0, c.size);
                pthread_mutex_unlock(&lock);
            }
    return syscall(SYS_sendmsg, fd, message, flags);
}
