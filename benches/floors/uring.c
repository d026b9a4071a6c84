/*
 * As epoll.c, by io_uring: one system call for all connections that are ready, and none for each of them.
 *
 *     cc -O2 -o uring uring.c -luring && ./uring 8000
 *
 * Needs Linux 6.1.
 */

#include "floor.h"

#include <errno.h>
#include <liburing.h>

enum operation { ACCEPTED, RECEIVED, SENT, OPERATIONS };

static struct io_uring ring;

static struct io_uring_sqe *submission(void)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    if (!entry) { /* the queue is full: the kernel takes what is in it */
        io_uring_submit(&ring);
        entry = io_uring_get_sqe(&ring);
    }
    return entry;
}

/* After the entry has been prepared, which may clear it. */
static void name(struct io_uring_sqe *entry, int descriptor, enum operation operation)
{
    entry->user_data = (__u64)descriptor * OPERATIONS + operation;
}

static void accept_next(int listener)
{
    struct io_uring_sqe *entry = submission();
    io_uring_prep_accept(entry, listener, NULL, NULL, 0);
    name(entry, listener, ACCEPTED);
}

/* Waits for the socket instead of trying first: the next request is never there yet. */
static void receive_next(int connection)
{
    struct io_uring_sqe *entry = submission();
    io_uring_prep_recv(entry, connection, request, sizeof request, 0);
    entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
    name(entry, connection, RECEIVED);
}

static void answer(int connection)
{
    struct io_uring_sqe *entry = submission();
    io_uring_prep_send(entry, connection, ANSWER, ANSWER_BYTES, MSG_NOSIGNAL);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    name(entry, connection, SENT);
}

static void completed(int descriptor, enum operation operation, int result)
{
    if (operation == ACCEPTED) {
        accept_next(descriptor);
        if (result >= 0) {
            without_delay(result);
            receive_next(result);
        }
    } else if (operation == RECEIVED && result > 0) {
        answer(descriptor);
        receive_next(descriptor);
    } else if (operation == RECEIVED) {
        close(descriptor);
    } else { /* only a send that failed is told: its receive ends with the connection */
        shutdown(descriptor, SHUT_RDWR);
    }
}

int main(int count, char **arguments)
{
    int listener = listen_on(count, arguments, SOCK_STREAM);
    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int refused = io_uring_queue_init_params(MOST_EVENTS, &ring, &parameters);
    if (refused) {
        errno = -refused;
        fail("io_uring");
    }
    accept_next(listener);
    for (;;) {
        io_uring_submit_and_wait(&ring, 1);
        struct io_uring_cqe *completion;
        unsigned head, many = 0;
        io_uring_for_each_cqe(&ring, head, completion) {
            completed(completion->user_data / OPERATIONS, completion->user_data % OPERATIONS, completion->res);
            many++;
        }
        io_uring_cq_advance(&ring, many);
    }
}
