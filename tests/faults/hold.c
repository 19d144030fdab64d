/* Preloaded into the program by the fault harness: every line of its trace waits until the harness has seen it.
 *
 * The program writes its trace in the thread that does the work. So a thread that says what it is about to do is held right
 * there, and the harness can kill the process, or break something around it, at exactly that point. Nothing else changes. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static int harness(void) {
    static int fd = -2;
    if (fd == -2) {
        const char* number = getenv("QKD_FAULTS_FD");
        fd = number != NULL ? atoi(number) : -1;
    }
    return fd;
}

ssize_t write(int fd, const void* data, size_t size) {
    static const char start[] = "{\"time\":";
    if (fd > 2 && size > sizeof start && memcmp(data, start, sizeof start - 1) == 0) {
        char go;
        pthread_mutex_lock(&one_at_a_time);
        if (harness() >= 0 && send(harness(), data, size, MSG_NOSIGNAL) == (ssize_t)size) {
            if (recv(harness(), &go, 1, 0) < 0) { /* the harness has gone: nothing holds us any more */
            }
        }
        pthread_mutex_unlock(&one_at_a_time);
    }
    return syscall(SYS_write, fd, data, size);
}
