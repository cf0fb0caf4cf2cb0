// A worker that says when it came up: the first thing main does is to take the time, the second to
// write "PID NANOSECONDS" (CLOCK_MONOTONIC) into the FIFO named by its argument. Then it waits,
// with the FIFO open, so that its end can be seen too. With a second argument it ends at once.
#include <cstdio>
#include <ctime>

#include <fcntl.h>
#include <unistd.h>

int main(int argc, char** argv)
{
    timespec now = {};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const int fifo = argc > 1 ? ::open(argv[1], O_WRONLY | O_CLOEXEC) : -1;
    if (fifo < 0) return 1;
    ::dprintf(fifo, "%d %lld\n", ::getpid(), now.tv_sec * 1'000'000'000LL + now.tv_nsec);
    if (argc > 2) return 0;
    for (;;)
        ::pause();
}
