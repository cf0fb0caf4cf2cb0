// Writes lines of 100 bytes to stdout, 8 KB at a time as a program with a buffer does: argv[1] MB
// of them, once the FIFO that argv[2] names has a reader.
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

int main(int argc, char** argv)
{
    if (argc < 3) return 1;
    const int go = ::open(argv[2], O_WRONLY | O_CLOEXEC);
    char block[8000];
    std::memset(block, 'x', sizeof block);
    for (std::size_t end = 99; end < sizeof block; end += 100)
        block[end] = '\n';
    for (long left = std::atol(argv[1]) * 1'000'000 / 8000; left > 0; --left)
        for (std::size_t sent = 0; sent < sizeof block;) {
            const ssize_t size = ::write(1, block + sent, sizeof block - sent);
            if (size <= 0) return 1;
            sent += static_cast<std::size_t>(size);
        }
    ::close(go);
    for (;;)
        ::pause();
}
