/*
 * Logs what one process does to the files below a folder: each operation that changes them, in exactly the order in
 * which they happen. On demand, operations fail. Loaded with LD_PRELOAD; disk.py reads the log and describes its format.
 *
 *   DISK_FOLDER   the folder, as an absolute path without symbolic links
 *   DISK_LOG      the file that the log is appended to, outside the folder
 *   DISK_FAULTS   a file of 4096 bytes: zeros, or a 1 and then lines such as `sync *.db-wal 5` (operation, files, errno)
 *
 * The variables are removed from the environment at once, so child processes are not watched. Between vfork and exec, a
 * child shares this memory: its calls are passed on, and change nothing here. SQLite's -shm file is not logged: it is
 * written through mmap, and the first process that opens the database creates it again.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 65536
#define CONTROL 4096

struct record {
	uint64_t number; /* an offset, a size, flags, or the number of a sync */
	uint32_t handle;
	uint32_t length; /* of what follows: data or paths */
	char operation;
	char unused[7];
};

static char folder[PATH_MAX];
static size_t folder_length;
static char log_path[PATH_MAX];
static int log_file = -1;
static volatile const char *control;
static pid_t owner;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t handles[DESCRIPTORS];
static char *paths[DESCRIPTORS];
static uint32_t last_handle;
static uint64_t last_sync;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_sendfile)(int, int, off_t *, size_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_mkdir)(const char *, mode_t);

static void *real(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);
	if (!found)
		abort();
	return found;
}

static void take(const char *name, char *value)
{
	const char *given = getenv(name);
	if (given && strlen(given) < PATH_MAX)
		strcpy(value, given);
	unsetenv(name);
}

/* Runs before the process's own code, but perhaps not before another library's first open. */
__attribute__((constructor)) static void begin(void)
{
	char faults[PATH_MAX] = "";
	if (real_open)
		return;
	real_openat = real("openat64");
	real_close = real("close");
	real_read = real("read");
	real_pread = real("pread64");
	real_write = real("write");
	real_pwrite = real("pwrite64");
	real_writev = real("writev");
	real_sendfile = real("sendfile64");
	real_ftruncate = real("ftruncate64");
	real_fsync = real("fsync");
	real_fdatasync = real("fdatasync");
	real_rename = real("rename");
	real_unlinkat = real("unlinkat");
	real_mkdir = real("mkdir");
	real_open = real("open64");
	take("DISK_FOLDER", folder);
	take("DISK_LOG", log_path);
	take("DISK_FAULTS", faults);
	unsetenv("LD_PRELOAD");
	folder_length = strlen(folder);
	if (faults[0]) {
		int file = real_open(faults, O_RDONLY | O_CLOEXEC);
		void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, CONTROL, PROT_READ, MAP_SHARED, file, 0);
		if (mapped == MAP_FAILED)
			abort();
		control = mapped;
		real_close(file);
	}
	owner = getpid();
}

static int is_below(const char *path)
{
	size_t length = strlen(path);
	if (!folder_length || strncmp(path, folder, folder_length) || (path[folder_length] && path[folder_length] != '/'))
		return 0;
	return length < 4 || strcmp(path + length - 4, "-shm");
}

/* Returns the absolute path if it is watched and this is the watched process, otherwise NULL. */
static const char *watched_path(int base, const char *path, char *buffer)
{
	char place[64];
	ssize_t length = 0;
	if (!real_open)
		begin();
	if (path[0] != '/') {
		snprintf(place, sizeof place, base == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", base);
		length = readlink(place, buffer, PATH_MAX - 1);
		if (length < 0)
			return NULL;
		buffer[length++] = '/';
	}
	if (length + strlen(path) >= PATH_MAX)
		return NULL;
	strcpy(buffer + length, path);
	return is_below(buffer) && getpid() == owner ? buffer : NULL;
}

static int is_watched(int file)
{
	if (!real_open)
		begin();
	return file >= 0 && file < DESCRIPTORS && handles[file] && getpid() == owner;
}

/* The following functions are called with the lock held. */

static void tell(char operation, uint32_t handle, uint64_t number, const void *data, size_t length)
{
	struct record record = {number, handle, (uint32_t)length, operation, {0}};
	struct iovec parts[] = {{&record, sizeof record}, {(void *)data, length}};
	int error = errno;
	if (log_file < 0) {
		/* Opened late because a daemon closes all open file descriptors when it starts. */
		struct record start = {0, 0, 0, 'B', {0}};
		int file = real_open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		log_file = fcntl(file, F_DUPFD_CLOEXEC, 900);
		real_close(file);
		if (log_file < 0 || real_write(log_file, &start, sizeof start) != sizeof start)
			abort();
	}
	if (real_writev(log_file, parts, 2) != (ssize_t)(sizeof record + length))
		abort();
	errno = error;
}

/* Returns the errno with which this operation is to fail, or 0. */
static int fault(const char *operation, const char *path)
{
	char text[CONTROL], name[16], pattern[PATH_MAX];
	int error;
	if (!control || !control[0])
		return 0;
	memcpy(text, (const char *)control + 1, CONTROL - 1);
	text[CONTROL - 1] = 0;
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
		if (sscanf(line, "%15s %4095s %d", name, pattern, &error) == 3 && !strcmp(name, operation) &&
		    !fnmatch(pattern, path[folder_length] ? path + folder_length + 1 : "", 0)) {
			tell('X', 0, (uint64_t)error, path, strlen(path));
			return error;
		}
	return 0;
}

static int fails(const char *operation, const char *path)
{
	int error = fault(operation, path);
	if (error)
		errno = error;
	return error;
}

static void forget(int file)
{
	handles[file] = 0;
	free(paths[file]);
	paths[file] = NULL;
}

static int opened(int base, const char *given, int flags, mode_t mode)
{
	char buffer[PATH_MAX];
	struct stat before;
	const char *path = watched_path(base, given, buffer);
	int file, was_there;
	if (!path)
		return real_openat(base, given, flags, mode);
	pthread_mutex_lock(&lock);
	if (fails("open", path)) {
		pthread_mutex_unlock(&lock);
		return -1;
	}
	was_there = !stat(path, &before);
	file = real_openat(base, given, flags, mode);
	if (file >= DESCRIPTORS)
		abort();
	if (file >= 0) {
		forget(file); /* closed by a call that is not intercepted */
		handles[file] = ++last_handle;
		paths[file] = strdup(path);
		tell('O', last_handle, !was_there ? 1 : flags & O_TRUNC ? 2 : 0, path, strlen(path));
	}
	pthread_mutex_unlock(&lock);
	return file;
}

static mode_t mode_of(int flags, va_list arguments)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                               \
	int name(const char *path, int flags, ...)               \
	{                                                        \
		va_list arguments;                               \
		va_start(arguments, flags);                      \
		mode_t mode = mode_of(flags, arguments);         \
		va_end(arguments);                               \
		return opened(AT_FDCWD, path, flags, mode);      \
	}
#define OPENAT(name)                                             \
	int name(int base, const char *path, int flags, ...)     \
	{                                                        \
		va_list arguments;                               \
		va_start(arguments, flags);                      \
		mode_t mode = mode_of(flags, arguments);         \
		va_end(arguments);                               \
		return opened(base, path, flags, mode);          \
	}
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int close(int file)
{
	if (is_watched(file)) {
		pthread_mutex_lock(&lock);
		forget(file);
		pthread_mutex_unlock(&lock);
	}
	return real_close(file);
}

static int read_fails(int file)
{
	int error;
	if (!control || !control[0] || !is_watched(file))
		return 0;
	pthread_mutex_lock(&lock);
	error = fails("read", paths[file]);
	pthread_mutex_unlock(&lock);
	return error;
}

ssize_t read(int file, void *data, size_t count)
{
	return read_fails(file) ? -1 : real_read(file, data, count);
}

ssize_t pread(int file, void *data, size_t count, off_t offset)
{
	return read_fails(file) ? -1 : real_pread(file, data, count, offset);
}

ssize_t pread64(int file, void *data, size_t count, off_t offset) __attribute__((alias("pread")));

ssize_t write(int file, const void *data, size_t count)
{
	ssize_t done = -1;
	if (!is_watched(file))
		return real_write(file, data, count);
	pthread_mutex_lock(&lock);
	if (!fails("write", paths[file]) && (done = real_write(file, data, count)) > 0)
		tell('W', handles[file], (uint64_t)(lseek(file, 0, SEEK_CUR) - done), data, (size_t)done);
	pthread_mutex_unlock(&lock);
	return done;
}

ssize_t pwrite(int file, const void *data, size_t count, off_t offset)
{
	ssize_t done = -1;
	if (!is_watched(file))
		return real_pwrite(file, data, count, offset);
	pthread_mutex_lock(&lock);
	if (!fails("write", paths[file]) && (done = real_pwrite(file, data, count, offset)) > 0)
		tell('W', handles[file], (uint64_t)offset, data, (size_t)done);
	pthread_mutex_unlock(&lock);
	return done;
}

ssize_t pwrite64(int file, const void *data, size_t count, off_t offset) __attribute__((alias("pwrite")));

/* Writes the first non-empty buffer only: a short count is always allowed. */
ssize_t writev(int file, const struct iovec *parts, int count)
{
	if (!is_watched(file))
		return real_writev(file, parts, count);
	while (count > 1 && !parts->iov_len)
		parts++, count--;
	return write(file, parts->iov_base, parts->iov_len);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t count)
{
	ssize_t done = -1;
	if (!is_watched(to))
		return real_sendfile(to, from, offset, count);
	pthread_mutex_lock(&lock);
	if (!fails("write", paths[to])) {
		off_t start = offset ? *offset : lseek(from, 0, SEEK_CUR);
		if ((done = real_sendfile(to, from, offset, count)) > 0) {
			char *data = malloc((size_t)done);
			if (!data || real_pread(from, data, (size_t)done, start) != done)
				abort();
			tell('W', handles[to], (uint64_t)(lseek(to, 0, SEEK_CUR) - done), data, (size_t)done);
			free(data);
		}
	}
	pthread_mutex_unlock(&lock);
	return done;
}

ssize_t sendfile64(int to, int from, off_t *offset, size_t count) __attribute__((alias("sendfile")));

int ftruncate(int file, off_t size)
{
	int result = -1;
	if (!is_watched(file))
		return real_ftruncate(file, size);
	pthread_mutex_lock(&lock);
	if (!fails("truncate", paths[file]) && !(result = real_ftruncate(file, size)))
		tell('T', handles[file], (uint64_t)size, NULL, 0);
	pthread_mutex_unlock(&lock);
	return result;
}

int ftruncate64(int file, off_t size) __attribute__((alias("ftruncate")));

/* Other threads may write during a sync, so its begin and its end are logged. */
static int synced(int file, int (*sync)(int), uint64_t is_full)
{
	uint64_t number;
	uint32_t handle;
	int error, result;
	pthread_mutex_lock(&lock);
	number = ++last_sync << 1 | is_full;
	handle = handles[file];
	tell('S', handle, number, NULL, 0);
	error = fault("sync", paths[file]);
	pthread_mutex_unlock(&lock);
	result = error ? -1 : sync(file);
	error = error ? error : errno;
	pthread_mutex_lock(&lock);
	tell(result ? 'F' : 'E', handle, number, NULL, 0);
	pthread_mutex_unlock(&lock);
	errno = error;
	return result;
}

int fsync(int file)
{
	return is_watched(file) ? synced(file, real_fsync, 1) : real_fsync(file);
}

int fdatasync(int file)
{
	return is_watched(file) ? synced(file, real_fdatasync, 0) : real_fdatasync(file);
}

int rename(const char *from, const char *to)
{
	char pair[2 * PATH_MAX], other[PATH_MAX];
	const char *old = watched_path(AT_FDCWD, from, pair), *new = watched_path(AT_FDCWD, to, other);
	int result = -1;
	if (!old && !new)
		return real_rename(from, to);
	if (!old || !new)
		abort(); /* Kala moves no files into the folder or out of it */
	pthread_mutex_lock(&lock);
	if (!fails("rename", old) && !(result = real_rename(from, to))) {
		for (int file = 0; file < DESCRIPTORS; file++)
			if (handles[file] && !strcmp(paths[file], old)) {
				free(paths[file]);
				paths[file] = strdup(new);
			}
		size_t length = strlen(old) + 1;
		strcpy(pair + length, new);
		tell('R', 0, 0, pair, length + strlen(new));
	}
	pthread_mutex_unlock(&lock);
	return result;
}

int unlinkat(int base, const char *given, int flags)
{
	char buffer[PATH_MAX];
	const char *path = watched_path(base, given, buffer);
	int result = -1;
	if (!path)
		return real_unlinkat(base, given, flags);
	pthread_mutex_lock(&lock);
	if (!fails("unlink", path) && !(result = real_unlinkat(base, given, flags)))
		tell('U', 0, 0, path, strlen(path));
	pthread_mutex_unlock(&lock);
	return result;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdir(const char *given, mode_t mode)
{
	char buffer[PATH_MAX];
	const char *path = watched_path(AT_FDCWD, given, buffer);
	int result = -1;
	if (!path)
		return real_mkdir(given, mode);
	pthread_mutex_lock(&lock);
	if (!fails("mkdir", path) && !(result = real_mkdir(given, mode)))
		tell('M', 0, 0, path, strlen(path));
	pthread_mutex_unlock(&lock);
	return result;
}
