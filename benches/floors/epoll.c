/*
 * The floor of the `hello` row: what a request costs if all that is done is to receive it and to send the answer.
 *
 *     cc -O2 -o epoll epoll.c && ./epoll 8000
 *
 * One epoll_wait for all connections that are ready, one recv and one send for each of them. Nothing is parsed:
 * whatever arrives is taken for one whole request. That holds for a load generator which sends a small request in
 * one piece and waits for the answer, and for nobody else: this is not a server.
 */

#include "floor.h"

#include <sys/epoll.h>

static int poll_descriptor;

static void watch(int descriptor, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = descriptor};
    if (epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, descriptor, &event) < 0)
        fail("epoll_ctl");
}

static void accept_all(int listener)
{
    int connection;
    while ((connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        without_delay(connection);
        /* The interest that Tokio registers: edges of all kinds, once for the life of the connection. */
        watch(connection, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
}

static void answer(int connection)
{
    if (recv(connection, request, sizeof request, 0) <= 0 ||
        send(connection, ANSWER, ANSWER_BYTES, MSG_NOSIGNAL) != ANSWER_BYTES)
        close(connection);
}

int main(int count, char **arguments)
{
    int listener = listen_on(count, arguments, SOCK_STREAM | SOCK_NONBLOCK);
    poll_descriptor = epoll_create1(0);
    if (poll_descriptor < 0)
        fail("epoll_create1");
    watch(listener, EPOLLIN);
    for (;;) {
        struct epoll_event ready[MOST_EVENTS];
        int many = epoll_wait(poll_descriptor, ready, MOST_EVENTS, -1);
        for (int i = 0; i < many; i++) {
            if (ready[i].data.fd == listener)
                accept_all(listener);
            else if (ready[i].events & (EPOLLIN | EPOLLHUP)) /* the first edge says only that it can be written */
                answer(ready[i].data.fd);
        }
    }
}
