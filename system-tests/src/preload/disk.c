/* Put in front of a process's C library (LD_PRELOAD): while the first eight bytes of the file DISK_FULL_FILE are not zero, no file
   grows, as on a disk without room. What was allocated before can be written again. This is how Postgres writes its tables and
   its WAL; its log goes through write(), which is left alone. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const volatile long *full;

__attribute__((constructor)) static void look(void)
{
    const char *file = getenv("DISK_FULL_FILE");
    int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    void *seen = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *full, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (seen != MAP_FAILED)
        full = seen;
}

static int would_grow(int fd, off_t end)
{
    struct stat now;
    return full && *full && !fstat(fd, &now) && S_ISREG(now.st_mode) && end > now.st_size;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define PWRITE(name)                                                      \
    ssize_t name(int fd, const void *bytes, size_t count, off_t at)       \
    {                                                                     \
        if (would_grow(fd, at + (off_t)count)) {                          \
            errno = ENOSPC;                                               \
            return -1;                                                    \
        }                                                                 \
        return REAL(name)(fd, bytes, count, at);                          \
    }

#define PWRITEV(name)                                                     \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t at)  \
    {                                                                     \
        off_t end = at;                                                   \
        for (int part = 0; part < count; part++)                          \
            end += (off_t)parts[part].iov_len;                            \
        if (would_grow(fd, end)) {                                        \
            errno = ENOSPC;                                               \
            return -1;                                                    \
        }                                                                 \
        return REAL(name)(fd, parts, count, at);                          \
    }

#define FALLOCATE(name)                                                   \
    int name(int fd, off_t at, off_t count)                               \
    {                                                                     \
        return would_grow(fd, at + count) ? ENOSPC : REAL(name)(fd, at, count); \
    }

PWRITE(pwrite)
PWRITE(pwrite64)
PWRITEV(pwritev)
PWRITEV(pwritev64)
FALLOCATE(posix_fallocate)
FALLOCATE(posix_fallocate64)
