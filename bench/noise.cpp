// Writes lines of 100 bytes to stdout: argv[1] MB of them in writes of about argv[3] bytes, once
// the FIFO that argv[2] names has a reader; the end of that FIFO says that all is written.
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

int main(int argc, char** argv)
{
    if (argc < 4) return 1;
    const int go = ::open(argv[2], O_WRONLY | O_CLOEXEC);
    static char block[65500];
    std::memset(block, 'x', sizeof block);
    for (std::size_t end = 99; end < sizeof block; end += 100)
        block[end] = '\n';
    std::size_t size = std::strtoul(argv[3], nullptr, 10);
    if (size < 100 || size > sizeof block) size = sizeof block;
    size -= size % 100;
    for (long left = std::atol(argv[1]) * 1'000'000; left > 0; left -= static_cast<long>(size))
        for (std::size_t sent = 0; sent < size;) {
            const ssize_t written = ::write(1, block + sent, size - sent);
            if (written <= 0) return 1;
            sent += static_cast<std::size_t>(written);
        }
    ::close(go);
    for (;;)
        ::pause();
}
