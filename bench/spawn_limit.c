/* The machine's limit: starts a command repeatedly, as cheaply as possible, and reads its output.

   usage: spawn_limit RUNS AT_ONCE COMMAND [WORD]...

   AT_ONCE threads each start the command with posix_spawn(3) and a pipe for its output, read the pipe to its end, and
   wait for the process: what every scheduler that keeps output must do for a run, and nothing else. Prints the seconds
   that all runs took. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static atomic_long left;
static char **command;

static void fail(const char *what, int number) {
    fprintf(stderr, "spawn_limit: %s: %s\n", what, strerror(number));
    exit(1);
}

static void run(void) {
    posix_spawn_file_actions_t actions;
    char output[65536];
    int ends[2], error, status;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC))
        fail("pipe2", errno);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    error = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
    if (error)
        fail(command[0], error);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    while (read(ends[0], output, sizeof output) > 0)
        ;
    close(ends[0]);
    if (waitpid(pid, &status, 0) < 0)
        fail("waitpid", errno);
    if (status)
        fail(command[0], ECHILD);
}

static void *work(void *unused) {
    while (atomic_fetch_sub(&left, 1) > 0)
        run();
    return unused;
}

int main(int count, char **words) {
    struct timespec start, end;
    pthread_t threads[64];
    long at_once;

    if (count < 4 || (left = atol(words[1])) < 1 || (at_once = atol(words[2])) < 1 || at_once > 64) {
        fprintf(stderr, "usage: spawn_limit RUNS AT_ONCE COMMAND [WORD]...   (at most 64 at once)\n");
        return 2;
    }
    command = words + 3;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long number = 0; number < at_once; number++)
        if (pthread_create(&threads[number], NULL, work, NULL))
            fail("pthread_create", EAGAIN);
    for (long number = 0; number < at_once; number++)
        pthread_join(threads[number], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.6f\n", (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    return 0;
}
