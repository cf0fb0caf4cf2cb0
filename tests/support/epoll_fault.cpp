// Preloaded into a daemon (tests/integration/test_epoll_faults.py): its n-th epoll_ctl, counted over
// all of its processes, fails once. $EPOLL_FAULT is a file of two numbers, as bytes of an int each:
// the calls so far, and which one fails.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace {

struct Shared {
    std::atomic<int> calls;
    int fails_at;
};

Shared* shared()
{
    static Shared* const found = []() -> Shared* {
        const char* const path = std::getenv("EPOLL_FAULT");
        if (!path || std::strcmp(program_invocation_short_name, "clusterd") != 0) return nullptr;
        const int file = ::open(path, O_RDWR | O_CLOEXEC);
        if (file < 0) return nullptr;
        void* const memory =
            ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        ::close(file);
        return memory == MAP_FAILED ? nullptr : static_cast<Shared*>(memory);
    }();
    return found;
}

} // namespace

extern "C" int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept
{
    using Call = int (*)(int, int, int, epoll_event*);
    static const auto real = reinterpret_cast<Call>(::dlsym(RTLD_NEXT, "epoll_ctl"));
    // What is removed needs no memory.
    if (operation != EPOLL_CTL_DEL) {
        if (Shared* const count = shared(); count && ++count->calls == count->fails_at) {
            errno = ENOMEM;
            return -1;
        }
    }
    return real(epoll, operation, fd, event);
}
