/* check.h - the least a test program needs: CHECK what should hold, and `return check_report()` from main. */
#ifndef SIXTUPLE_CHECK_H
#define SIXTUPLE_CHECK_H

#include <stdbool.h>
#include <stdio.h>

static unsigned checks_passed, checks_failed;

static inline bool check_one(bool holds, const char *text, const char *file, int line)
{
    if (holds) {
        checks_passed++;
        return true;
    }
    if (++checks_failed <= 20) /* the first failures say enough */
        fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
    return false;
}

#define CHECK(condition) check_one((condition), #condition, __FILE__, __LINE__)

static inline int check_report(void)
{
    printf("%u passed, %u failed\n", checks_passed, checks_failed);
    return checks_failed != 0;
}

#endif
