/* What both floors of the `hello` row have in common. */

#ifndef FLOOR_H
#define FLOOR_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* As long as what lowmem-serve sends for benches/apps/hello.py, with the same fields. */
static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\n"
    "date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    "server: bare-sockets\r\n"
    "content-type: text/plain\r\n"
    "content-length: 13\r\n"
    "\r\n"
    "Hello, world!";

enum {
    ANSWER_BYTES = sizeof ANSWER - 1,
    BACKLOG = 2048,
    MOST_EVENTS = 1024,
    REQUEST_BYTES = 16384,
};

/* What is received goes over what was received before: nobody reads it. */
static char request[REQUEST_BYTES];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* A socket that listens on 127.0.0.1, on the port that is the only argument. `type` may have flags. */
static int listen_on(int count, char **arguments, int type)
{
    if (count != 2) {
        fprintf(stderr, "usage: %s PORT\n", arguments[0]);
        exit(2);
    }
    int listener = socket(AF_INET, type, 0), on = 1;
    if (listener < 0)
        fail("socket");
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((in_port_t)atoi(arguments[1])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0)
        fail("bind");
    if (listen(listener, BACKLOG) < 0)
        fail("listen");
    return listener;
}

static void without_delay(int connection)
{
    int on = 1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

#endif
