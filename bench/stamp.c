/* Reports when a job was started, independently of the scheduler's records.

   usage: stamp FILE DUE     (DUE in microseconds since 1970)

   Appends two numbers to FILE, in one write: DUE, and the microseconds since then. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words) {
    struct timespec now;
    char line[64];
    int file, length;

    clock_gettime(CLOCK_REALTIME, &now);
    if (count != 3) {
        fprintf(stderr, "usage: stamp FILE DUE\n");
        return 2;
    }
    long long due = atoll(words[2]);
    length = snprintf(line, sizeof line, "%lld %lld\n", due, now.tv_sec * 1000000LL + now.tv_nsec / 1000 - due);
    file = open(words[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || write(file, line, length) != length) {
        perror("stamp");
        return 1;
    }
    return 0;
}
