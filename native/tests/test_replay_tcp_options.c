/* Every input of the fuzz corpus, what once failed included; or the files given. Run in the checkout. */
#include "fuzz_tcp_options.c"
#include "replay.h"

int main(int argc, char **argv)
{
    return replay(argc, argv, "native/tests/corpus/tcp_options");
}
