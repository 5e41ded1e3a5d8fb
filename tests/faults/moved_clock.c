/* Moves the clocks of a program while it runs: loaded before libc (LD_PRELOAD).
 *
 * MOVED_CLOCK names a file of two 64-bit numbers that is shared with whoever moves them: microseconds to add to the
 * wall clock, and to add to the clocks that only ever grow. A deadline of such a clock that is given to the kernel is
 * moved back, since the kernel knows nothing of this.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct moved { volatile int64_t wall, growing; };

static struct moved nothing, *moved = &nothing;
static int (*real_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("MOVED_CLOCK");
	int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	real_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	if (file < 0)
		return;
	void *found = mmap(NULL, sizeof *moved, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (found != MAP_FAILED)
		moved = found;
	close(file);
}

static int64_t of(clockid_t clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
		return moved->wall;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_BOOTTIME:
		return moved->growing;
	default:
		return 0;
	}
}

static struct timespec later(struct timespec time, int64_t microseconds)
{
	int64_t nanoseconds = time.tv_nsec + microseconds % 1000000 * 1000;

	time.tv_sec += microseconds / 1000000;
	if (nanoseconds < 0)
		time.tv_sec--, nanoseconds += 1000000000;
	else if (nanoseconds >= 1000000000)
		time.tv_sec++, nanoseconds -= 1000000000;
	time.tv_nsec = nanoseconds;
	return time;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	if (!real_gettime)
		begin();
	int result = real_gettime(clock, time);
	if (!result)
		*time = later(*time, of(clock));
	return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	time->tv_sec = now.tv_sec;
	time->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *result)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (result)
		*result = now.tv_sec;
	return now.tv_sec;
}

int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *deadline)
{
	static int (*real)(sem_t *, clockid_t, const struct timespec *);
	struct timespec theirs = later(*deadline, -of(clock));

	if (!real)
		real = (int (*)(sem_t *, clockid_t, const struct timespec *))dlsym(RTLD_NEXT, "sem_clockwait");
	return real(semaphore, clock, &theirs);
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline)
{
	/* Python and libuv make their conditions with CLOCK_MONOTONIC. */
	static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
	struct timespec theirs = later(*deadline, -moved->growing);

	if (!real) {
		/* Where there are two, the one without a version is another function for another structure. */
		void *found = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
		real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))(
			found ? found : dlsym(RTLD_NEXT, "pthread_cond_timedwait"));
	}
	return real(condition, mutex, &theirs);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *asked, struct timespec *left)
{
	static int (*real)(clockid_t, int, const struct timespec *, struct timespec *);
	struct timespec theirs = flags & TIMER_ABSTIME ? later(*asked, -of(clock)) : *asked;

	if (!real)
		real = (int (*)(clockid_t, int, const struct timespec *, struct timespec *))dlsym(
			RTLD_NEXT, "clock_nanosleep");
	return real(clock, flags, &theirs, left);
}
