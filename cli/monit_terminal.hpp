// The terminal of `monit`, by ncurses: frames go out, keys come in. It is as it was before on every
// way out: the destructor restores it, and a handler does for a signal that ends us in the middle
// (SIGSEGV, SIGABRT, …). One at a time. Decides nothing.
#pragma once

#include "cli/monit_frame.hpp"
#include "cli/monit_keys.hpp"

#include <cstdio>
#include <expected>
#include <memory>
#include <string>
#include <vector>

namespace cluster::cli {

class Terminal {
public:
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    using File = std::unique_ptr<std::FILE, Close>;

    /// Takes stdin and stdout, which are a terminal. Error: a sentence, when $TERM says nothing
    /// that is known, or names a terminal that has no cursor.
    static std::expected<std::unique_ptr<Terminal>, std::string> open(bool colour);
    ~Terminal();
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    [[nodiscard]] Size size() const;
    [[nodiscard]] bool utf8() const { return utf8_; }

    /// What has been typed and clicked since; does not wait.
    [[nodiscard]] std::vector<Key> keys();
    /// Shows a frame; only the cells that differ from the last one are written.
    void put(const Frame& frame);

    /// SIGWINCH: asks for the size.
    void resize();
    /// Gives the terminal back for a while (SIGTSTP), and takes it again (SIGCONT).
    void leave();
    void resume();

private:
    explicit Terminal(bool utf8) : utf8_{utf8} {}

    File keyboard_; ///< what ncurses reads from, when it is not stdin
    bool utf8_;
    bool colour_ = false;
};

} // namespace cluster::cli
