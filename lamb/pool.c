/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads for what may wait for a disk: see pool.h.
 */
#include "lamb/pool.h"

#include "ipc/log.h"
#include "lamb/lamb.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define POOL_THREADS_MAX 64

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct request *first, **last; /* to run */
	struct request *ended;         /* to hand back, newest first */
	bool stopping;
	int wake; /* eventfd: ended is not empty */
	struct event *event;
	void (*after)(void *argument);
	void *argument;
	unsigned nr_threads;
	pthread_t threads[POOL_THREADS_MAX];
};

static void wake_loop(struct pool *pool)
{
	uint64_t one = 1;

	while (write(pool->wake, &one, sizeof one) < 0)
		if (errno != EINTR)
			bug("the pool's eventfd refused a write: errno %d", errno);
}

static void *thread_main(void *argument)
{
	struct pool *pool = argument;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct request *request = pool->first;

		if (!request) {
			if (pool->stopping)
				break;
			pthread_cond_wait(&pool->work, &pool->lock);
			continue;
		}
		pool->first = request->next;
		if (!pool->first)
			pool->last = &pool->first;
		pthread_mutex_unlock(&pool->lock);
		request->work(request);
		pthread_mutex_lock(&pool->lock);
		request->next = pool->ended;
		pool->ended = request;
		if (!request->next)
			wake_loop(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static void on_wake(evutil_socket_t fd, short what, void *argument)
{
	struct pool *pool = argument;
	struct request *ended, *first = NULL;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR)
		bug("the pool's eventfd refused a read: errno %d", errno);
	pthread_mutex_lock(&pool->lock);
	ended = pool->ended;
	pool->ended = NULL;
	pthread_mutex_unlock(&pool->lock);
	while (ended) { /* oldest first */
		struct request *next = ended->next;

		ended->next = first;
		first = ended;
		ended = next;
	}
	while (first) {
		struct request *request = first;

		first = request->next;
		request->done(request);
	}
	pool->after(pool->argument);
}

int pool_start(struct event_base *base, unsigned threads, void (*after)(void *argument),
    void *argument, struct pool **result)
{
	struct pool *pool = calloc(1, sizeof *pool);
	sigset_t all, old;
	int error = 0;

	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pool->last = &pool->first;
	pool->after = after;
	pool->argument = argument;
	pool->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->wake < 0)
		fatal("eventfd: errno %d", errno);
	pool->event = event_new(base, pool->wake, EV_READ | EV_PERSIST, on_wake, pool);
	if (!pool->event || event_add(pool->event, NULL))
		fatal("out of memory");
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (!error && pool->nr_threads < threads && pool->nr_threads < POOL_THREADS_MAX) {
		error = pthread_create(&pool->threads[pool->nr_threads], NULL, thread_main, pool);
		pool->nr_threads += !error;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	*result = pool;
	return -error;
}

void pool_run(struct pool *pool, struct request *request)
{
	request->next = NULL;
	pthread_mutex_lock(&pool->lock);
	*pool->last = request;
	pool->last = &request->next;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}

void pool_stop(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->nr_threads; i++)
		pthread_join(pool->threads[i], NULL);
	event_free(pool->event);
	close(pool->wake);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->work);
	free(pool);
}
