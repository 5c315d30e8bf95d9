/* Records, in order, what a process writes below one directory, and makes chosen calls fail.
 *
 * RECORDER_ROOT   only files below it count
 * RECORDER_LOG    where records go: op, path length, data length, offset, then path and data
 * RECORDER_FAIL   "write:N:ERRNO" or "sync:N:ERRNO": the N-th such call on the database fails, and all later ones
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -2;
static long counts[2], fail_at;
static int fail_kind = -1, fail_errno;

static ssize_t (*real_write)(int, const void *, size_t);

static void start(void) {
  real_write = dlsym(RTLD_NEXT, "write");
  const char *log = getenv("RECORDER_LOG");
  log_fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
  const char *fail = getenv("RECORDER_FAIL");
  char kind[16];
  if (fail && sscanf(fail, "%15[a-z]:%ld:%d", kind, &fail_at, &fail_errno) == 3)
    fail_kind = strcmp(kind, "sync") == 0;
}

static int below_root(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  const char *root = getenv("RECORDER_ROOT");
  if (length < 0 || !root) return 0;
  path[length] = 0;
  return strncmp(path, root, strlen(root)) == 0;
}

static void record(char op, const char *path, int64_t offset, const void *data, uint32_t length) {
  struct __attribute__((packed)) { char op; uint32_t path, data; int64_t offset; } head = {
      op, (uint32_t)strlen(path), length, offset};
  if (log_fd < 0) return;
  if (real_write(log_fd, &head, sizeof head) < 0 || real_write(log_fd, path, head.path) < 0) abort();
  if (length && real_write(log_fd, data, length) < 0) abort();
}

static int fails(int kind, const char *path) {
  if (!strstr(path, "consensus.db") || ++counts[kind] < fail_at || kind != fail_kind) return 0;
  errno = fail_errno;
  return 1;
}

#define GUARDED(kind, op, at, data, length, call)                   \
  do {                                                              \
    char path[PATH_MAX];                                            \
    pthread_mutex_lock(&lock);                                      \
    if (log_fd == -2) start();                                      \
    if (!below_root(fd, path)) {                                    \
      pthread_mutex_unlock(&lock);                                  \
      return call;                                                  \
    }                                                               \
    if (fails(kind, path)) {                                           \
      pthread_mutex_unlock(&lock);                                  \
      return -1;                                                    \
    }                                                               \
    int64_t offset = at;                                            \
    long done = call;                                               \
    int saved = errno;                                              \
    if (done >= 0) record(op, path, offset, data, length);          \
    pthread_mutex_unlock(&lock);                                    \
    errno = saved;                                                  \
    return done;                                                    \
  } while (0)

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) {
  ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite64");
  GUARDED(0, 'w', at, data, (uint32_t)done, real(fd, data, size, at));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

ssize_t write(int fd, const void *data, size_t size) {
  GUARDED(0, 'w', lseek(fd, 0, SEEK_CUR), data, (uint32_t)done, real_write(fd, data, size));
}

int ftruncate64(int fd, off_t size) {
  int (*real)(int, off_t) = dlsym(RTLD_NEXT, "ftruncate64");
  GUARDED(0, 't', size, "", 0, real(fd, size));
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fsync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
  GUARDED(1, 's', 0, "", 0, real(fd));
}

int fdatasync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
  GUARDED(1, 's', 0, "", 0, real(fd));
}

int rename(const char *from, const char *to) {
  int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
  const char *root = getenv("RECORDER_ROOT");
  int done = real(from, to);
  if (done == 0 && root && strncmp(to, root, strlen(root)) == 0) {
    pthread_mutex_lock(&lock);
    if (log_fd == -2) start();
    record('r', from, 0, to, (uint32_t)strlen(to));
    pthread_mutex_unlock(&lock);
  }
  return done;
}
