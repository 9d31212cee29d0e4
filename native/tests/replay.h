/* replay.h - gives every file of a corpus to a fuzz target once; a target that is not content aborts. */
#ifndef SIXTUPLE_REPLAY_H
#define SIXTUPLE_REPLAY_H

#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *replay_path; /* of the file being replayed */

/* With abort_on_error every kind of failure comes by here. */
static inline void replay_name_culprit(int signal)
{
    (void)signal;
    if (write(STDERR_FILENO, replay_path, strlen(replay_path)) < 0 || write(STDERR_FILENO, " failed\n", 8) < 0)
        _exit(1);
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "abort_on_error=1";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
    return "abort_on_error=1";
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static inline int replay_file(const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    replay_path = path;
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        abort();
    for (size_t i = 0; i < size; i++)
        exact[i] = bytes[i];
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

static inline int replay_folder(const char *folder)
{
    unsigned passed = 0, failed = 0;
    char path[1024];
    DIR *directory = opendir(folder);
    if (!directory) {
        perror(folder);
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        *(replay_file(path) ? &failed : &passed) += 1;
    }
    closedir(directory);
    if (!passed)
        fprintf(stderr, "%s holds nothing to replay\n", folder);
    printf("%u passed, %u failed\n", passed, failed);
    return failed || !passed;
}

/* Files or folders as arguments, else the folder. */
static inline int replay(int argc, char **argv, const char *folder)
{
    signal(SIGABRT, replay_name_culprit);
    int failed = argc < 2 ? replay_folder(folder) : 0;
    for (int i = 1; i < argc; i++)
        failed |= replay_file(argv[i]);
    return failed;
}

#endif
