/* Stands between a program and its disk: loaded before libc (LD_PRELOAD), for paths below DISK_ROOT only.
 *
 * DISK_STATE names a file of four 64-bit numbers that is shared with whoever watches: how many calls were
 * made, the first and the last that are to fail, and the errno they fail with.
 * DISK_JOURNAL names a file that gets one record for every call that changes something or makes it lasting:
 * numbers (what, length of the path, offset, length of the data), the path, the data. What changes something
 * is noted before it is done, what makes it lasting afterwards.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE, CREATE, RENAME, UNLINK, SYNC, SYNC_FOLDER, MKDIR, EXTEND, LINK };

struct state { uint64_t count, first, last; int64_t error; };

static struct state *state;
static const char *root;
static size_t root_length;
static int journal = -1;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int real_open(const char *path, int flags, mode_t mode) {
    REAL(open64);
    return real(path, flags, mode);
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_STATE");
    root = getenv("DISK_ROOT");
    if (!root || !path) return;
    root_length = strlen(root);
    int descriptor = real_open(path, O_RDWR | O_CLOEXEC, 0);
    if (descriptor >= 0) {
        void *place = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
        if (place != MAP_FAILED) state = place;
        close(descriptor);
    }
    if ((path = getenv("DISK_JOURNAL")))
        journal = real_open(path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
}

static int ours(const char *path) {
    return state && path && !strncmp(path, root, root_length) && !strstr(path, "-shm");
}

static int named(int descriptor, char *path) {
    char link[64];
    if (!state) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, 4095);
    path[length < 0 ? 0 : length] = 0;
    return ours(path);
}

static int at(int folder, const char *name, char *path) {
    if (!state || !name) return 0;
    if (name[0] == '/') {
        snprintf(path, 4096, "%s", name);
        return ours(path);
    }
    if (folder == AT_FDCWD) return 0;
    if (!named(folder, path)) return 0;
    size_t length = strlen(path);
    snprintf(path + length, 4096 - length, "/%s", name);
    return 1;
}

static int fails(void) {
    uint64_t number = __atomic_add_fetch(&state->count, 1, __ATOMIC_SEQ_CST);
    if (number < state->first || number > state->last || !state->error) return 0;
    errno = (int)state->error;
    return 1;
}

static void note(int what, const char *path, uint64_t offset, const struct iovec *data, int parts) {
    REAL(writev);
    if (journal < 0) return;
    uint64_t length = 0;
    struct iovec all[2 + 1024];
    for (int i = 0; i < parts; i++) { length += data[i].iov_len; all[2 + i] = data[i]; }
    uint64_t head[4] = {(uint64_t)what, strlen(path), offset, length};
    all[0] = (struct iovec){head, sizeof head};
    all[1] = (struct iovec){(void *)path, strlen(path)};
    int saved = errno;
    if (real(journal, all, 2 + parts) < 0) abort();
    errno = saved;
}

static int opened(const char *path, int flags, mode_t mode) {
    if (!ours(path)) return real_open(path, flags, mode);
    if (fails()) return -1;
    int fresh = (flags & O_CREAT) && access(path, F_OK) && errno == ENOENT;
    int descriptor = real_open(path, flags, mode);
    if (descriptor >= 0 && fresh) note(CREATE, path, 0, NULL, 0);
    else if (descriptor >= 0 && (flags & O_TRUNC)) note(TRUNCATE, path, 0, NULL, 0);
    return descriptor;
}

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        return opened(path, flags, mode); \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name) \
    int name(int folder, const char *given, int flags, ...) { \
        REAL(name); \
        char path[4096]; \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        if (!at(folder, given, path)) return real(folder, given, flags, mode); \
        return opened(path, flags, mode); \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

static uint64_t place(int descriptor) {
    struct stat status;
    if (fcntl(descriptor, F_GETFL) & O_APPEND)
        return fstat(descriptor, &status) ? 0 : (uint64_t)status.st_size;
    off_t offset = lseek(descriptor, 0, SEEK_CUR);
    return offset < 0 ? 0 : (uint64_t)offset;
}

ssize_t write(int descriptor, const void *data, size_t length) {
    REAL(write);
    char path[4096];
    if (named(descriptor, path)) {
        if (fails()) return -1;
        note(WRITE, path, place(descriptor), &(struct iovec){(void *)data, length}, 1);
    }
    return real(descriptor, data, length);
}

#define WRITES(name) \
    ssize_t name(int descriptor, const void *data, size_t length, off64_t offset) { \
        REAL(name); \
        char path[4096]; \
        if (named(descriptor, path)) { \
            if (fails()) return -1; \
            note(WRITE, path, (uint64_t)offset, &(struct iovec){(void *)data, length}, 1); \
        } \
        return real(descriptor, data, length, offset); \
    }
WRITES(pwrite)
WRITES(pwrite64)

#define WRITES_PARTS(name, extra, pass) \
    ssize_t name(int descriptor, const struct iovec *data, int parts, off64_t offset extra) { \
        REAL(name); \
        char path[4096]; \
        if (named(descriptor, path)) { \
            if (fails()) return -1; \
            note(WRITE, path, (uint64_t)offset, data, parts); \
        } \
        return real(descriptor, data, parts, offset pass); \
    }
#define NOTHING
#define COMMA ,
WRITES_PARTS(pwritev, NOTHING, NOTHING)
WRITES_PARTS(pwritev64, NOTHING, NOTHING)
WRITES_PARTS(pwritev2, COMMA int flags, COMMA flags)
WRITES_PARTS(pwritev64v2, COMMA int flags, COMMA flags)

#define SYNCS(name) \
    int name(int descriptor) { \
        REAL(name); \
        char path[4096]; \
        struct stat status; \
        int mine = named(descriptor, path); \
        if (mine && fails()) return -1; \
        if (!mine) return real(descriptor); /* the real disk is not asked: nothing here is to last */ \
        if (!fstat(descriptor, &status)) \
            note(S_ISDIR(status.st_mode) ? SYNC_FOLDER : SYNC, path, 0, NULL, 0); \
        return 0; \
    }
SYNCS(fsync)
SYNCS(fdatasync)

#define CUTS(name) \
    int name(int descriptor, off64_t length) { \
        REAL(name); \
        char path[4096]; \
        if (named(descriptor, path)) { \
            if (fails()) return -1; \
            note(TRUNCATE, path, (uint64_t)length, NULL, 0); \
        } \
        return real(descriptor, length); \
    }
CUTS(ftruncate)
CUTS(ftruncate64)

#define EXTENDS(name) \
    int name(int descriptor, off64_t offset, off64_t length) { \
        REAL(name); \
        char path[4096]; \
        if (named(descriptor, path)) { \
            if (fails()) return errno; \
            note(EXTEND, path, (uint64_t)(offset + length), NULL, 0); \
        } \
        return real(descriptor, offset, length); \
    }
EXTENDS(posix_fallocate)
EXTENDS(posix_fallocate64)

static int renamed(const char *from, const char *to) {
    if (fails()) return -1;
    note(RENAME, from, 0, &(struct iovec){(void *)to, strlen(to)}, 1);
    return 0;
}

int rename(const char *from, const char *to) {
    REAL(rename);
    if (ours(from) && renamed(from, to)) return -1;
    return real(from, to);
}

int renameat(int one, const char *from, int other, const char *to) {
    REAL(renameat);
    char source[4096], target[4096];
    if (at(one, from, source) && at(other, to, target) && renamed(source, target)) return -1;
    return real(one, from, other, to);
}

int link(const char *from, const char *to) {
    REAL(link);
    if (ours(from)) {
        if (fails()) return -1;
        note(LINK, from, 0, &(struct iovec){(void *)to, strlen(to)}, 1);
    }
    return real(from, to);
}

int linkat(int one, const char *from, int other, const char *to, int flags) {
    REAL(linkat);
    char source[4096], target[4096];
    int mine = (one == AT_FDCWD ? ours(from) && snprintf(source, 4096, "%s", from) : at(one, from, source)) &&
               (other == AT_FDCWD ? ours(to) && snprintf(target, 4096, "%s", to) : at(other, to, target));
    if (mine) {
        if (fails()) return -1;
        note(LINK, source, 0, &(struct iovec){target, strlen(target)}, 1);
    }
    return real(one, from, other, to, flags);
}

int unlink(const char *path) {
    REAL(unlink);
    if (ours(path)) {
        if (fails()) return -1;
        if (!access(path, F_OK)) note(UNLINK, path, 0, NULL, 0);
    }
    return real(path);
}

int unlinkat(int folder, const char *given, int flags) {
    REAL(unlinkat);
    char path[4096];
    if (at(folder, given, path)) {
        if (fails()) return -1;
        note(UNLINK, path, 0, NULL, 0);
    }
    return real(folder, given, flags);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    if (!ours(path)) return real(path, mode);
    if (fails()) return -1;
    int done = real(path, mode);
    if (!done) note(MKDIR, path, 0, NULL, 0);
    return done;
}
