/*
 * The few System V calls that dbench makes, for kernels that are built without them (User-mode Linux): preloaded, for a process and its children.
 * One semaphore, by which all of them start at once, and memory that they share. Waiting is polling: it is over before the measurement begins.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#define SEGMENTS 8

static struct semaphore {
	int value;
	int waiting_for_zero;
} *semaphore;
static void *segments[SEGMENTS];
static int segment_count;

static void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

int semget(key_t key, int count, int flags)
{
	if (count != 1 || semaphore) {
		errno = ENOSPC;
		return -1;
	}
	semaphore = shared(sizeof *semaphore);
	return semaphore ? 1 : -1; /* dbench takes 0 for a failure */
}

int semop(int id, struct sembuf *operations, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int change = operations[i].sem_op;
		if (change == 0) {
			__atomic_fetch_add(&semaphore->waiting_for_zero, 1, __ATOMIC_SEQ_CST);
			while (__atomic_load_n(&semaphore->value, __ATOMIC_SEQ_CST) != 0)
				usleep(1000);
			__atomic_fetch_sub(&semaphore->waiting_for_zero, 1, __ATOMIC_SEQ_CST);
			continue;
		}
		int value = __atomic_load_n(&semaphore->value, __ATOMIC_SEQ_CST);
		for (;;) {
			if (value + change < 0) {
				usleep(1000);
				value = __atomic_load_n(&semaphore->value, __ATOMIC_SEQ_CST);
			} else if (__atomic_compare_exchange_n(&semaphore->value, &value, value + change, 0, __ATOMIC_SEQ_CST,
							      __ATOMIC_SEQ_CST))
				break;
		}
	}
	return 0;
}

int semctl(int id, int number, int command, ...)
{
	switch (command) {
	case IPC_RMID:
		return 0;
	case GETVAL:
		return __atomic_load_n(&semaphore->value, __ATOMIC_SEQ_CST);
	case GETZCNT:
		return __atomic_load_n(&semaphore->waiting_for_zero, __ATOMIC_SEQ_CST);
	}
	errno = EINVAL;
	return -1;
}

int shmget(key_t key, size_t size, int flags)
{
	if (segment_count == SEGMENTS || !(segments[segment_count] = shared(size))) {
		errno = ENOSPC;
		return -1;
	}
	return segment_count++;
}

void *shmat(int id, const void *address, int flags)
{
	return segments[id];
}

int shmctl(int id, int command, struct shmid_ds *status)
{
	return 0;
}
