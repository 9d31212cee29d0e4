/* require.h - what a fuzz target demands; where it does not hold, the target says so and ends. */
#ifndef SIXTUPLE_REQUIRE_H
#define SIXTUPLE_REQUIRE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static inline void require_at(bool holds, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d does not hold\n", file, line);
        abort();
    }
}

#define require(holds) require_at(holds, __FILE__, __LINE__)

#endif
