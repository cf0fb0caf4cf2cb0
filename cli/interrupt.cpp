#include "cli/interrupt.hpp"

#include "cli/context.hpp"

#include <unistd.h>

#include <atomic>
#include <utility>

namespace cluster::cli {
namespace {

std::atomic<const char*> note{nullptr}; ///< for the handler, which gets no argument

/// Async-signal-safe calls only (man 7 signal-safety).
extern "C" void say_and_leave(int)
{
    if (const char* text = note.load()) {
        std::size_t size = 0;
        while (text[size] != '\0')
            ++size;
        [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, size);
    }
    ::_exit(kInterrupted);
}

} // namespace

InterruptNote::InterruptNote(std::string message) : message_{std::move(message)}
{
    note = message_.c_str();
    struct sigaction action{};
    action.sa_handler = say_and_leave;
    ::sigaction(SIGINT, &action, &before_);
    // A caller that ignores SIGINT (nohup, a script's background job) is not to be interrupted.
    if (before_.sa_handler == SIG_IGN) ::sigaction(SIGINT, &before_, nullptr);
}

InterruptNote::~InterruptNote()
{
    ::sigaction(SIGINT, &before_, nullptr);
    note = nullptr;
}

} // namespace cluster::cli
