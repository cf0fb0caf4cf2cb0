#include "cli/monit_terminal.hpp"

#include "cli/output.hpp"

#include <fcntl.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

// Last: it defines names that others use.
#define NCURSES_NOMACROS 1
#define NCURSES_WIDECHAR 1
#include <curses.h>

namespace cluster::cli {
namespace {

constexpr int kEscapeMs = 25; ///< a lone Esc is not the beginning of a key after that time

// What the handler of a crash needs, which must not allocate or ask ncurses.
constexpr std::array kCrashes{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
std::array<struct sigaction, kCrashes.size()> before_crash;
std::array<char, 512> restoring;
std::size_t restoring_size = 0;
termios shell_mode{};

/// Async-signal-safe calls only (man 7 signal-safety).
extern "C" void restore_and_die(int signal)
{
    [[maybe_unused]] const ssize_t written =
        ::write(STDOUT_FILENO, restoring.data(), restoring_size);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &shell_mode);
    for (std::size_t at = 0; at < kCrashes.size(); ++at)
        if (kCrashes[at] == signal) ::sigaction(signal, &before_crash[at], nullptr);
    ::raise(signal); // comes when this handler has returned
}

/// A capability of the terminal; "" when it has none of that name.
std::string_view capability(const char* name)
{
    const char* text = ::tigetstr(const_cast<char*>(name));
    // man 3 tigetstr: -1 for a name that is none; ours are.
    return text == nullptr ? "" : text;
}

void guard_against_crashes()
{
    std::string all;
    if (!capability("kmous").empty()) all += "\x1b[?1000l\x1b[?1002l\x1b[?1006l";
    for (const char* name : {"sgr0", "rmkx", "cnorm", "rmcup"})
        all += capability(name);
    restoring_size = std::min(all.size(), restoring.size());
    std::memcpy(restoring.data(), all.data(), restoring_size);
    struct sigaction action{};
    action.sa_handler = restore_and_die;
    for (std::size_t at = 0; at < kCrashes.size(); ++at)
        ::sigaction(kCrashes[at], &action, &before_crash[at]);
}

void end_guard()
{
    for (std::size_t at = 0; at < kCrashes.size(); ++at)
        ::sigaction(kCrashes[at], &before_crash[at], nullptr);
}

/// Whether characters beyond ASCII can be shown. The locale that is asked for may not be installed,
/// and then its characters are UTF-8 all the same.
bool set_locale()
{
    if (std::setlocale(LC_CTYPE, "") == nullptr && locale_is_utf8())
        std::setlocale(LC_CTYPE, "C.UTF-8");
    return std::string_view{::nl_langinfo(CODESET)} == "UTF-8";
}

/// The terminal once more, to be read without waiting: ncurses reads on after half a key and after
/// mouse events of no interest. The flag must not be set on stdin, which our shell shares. Null
/// where it cannot be opened (it is another user's, after `su`): then stdin has to do.
Terminal::File open_keyboard()
{
    const int fd = ::open("/proc/self/fd/0", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return Terminal::File{fd < 0 ? nullptr : ::fdopen(fd, "r")};
}

void define_colours()
{
    ::start_color();
    ::use_default_colors();
    constexpr short kForeground[] = {-1, -1, COLOR_RED, COLOR_GREEN, COLOR_YELLOW, COLOR_CYAN};
    for (short at = 2; at < 6; ++at)
        ::init_pair(at, kForeground[at], -1);
    constexpr short kBrightBlack = 8;
    ::init_pair(6, COLORS >= 16 ? kBrightBlack : short{-1}, -1);
}

attr_t attributes_of(const Paint& paint, bool colour)
{
    attr_t set = A_NORMAL;
    if (paint.bold || paint.colour == Colour::bold) set |= A_BOLD;
    if (paint.reverse) set |= A_REVERSE;
    if (paint.colour == Colour::grey && (!colour || COLORS < 16)) set |= A_DIM;
    return set;
}

std::string utf8_of(wint_t character)
{
    const auto value = static_cast<unsigned>(character);
    const auto byte = [](unsigned bits) { return static_cast<char>(bits); };
    if (value < 0x80) return {byte(value)};
    if (value < 0x800) return {byte(0xC0 | (value >> 6U)), byte(0x80 | (value & 0x3FU))};
    if (value < 0x10000)
        return {byte(0xE0 | (value >> 12U)), byte(0x80 | ((value >> 6U) & 0x3FU)),
                byte(0x80 | (value & 0x3FU))};
    return {byte(0xF0 | (value >> 18U)), byte(0x80 | ((value >> 12U) & 0x3FU)),
            byte(0x80 | ((value >> 6U) & 0x3FU)), byte(0x80 | (value & 0x3FU))};
}

std::optional<Key> mouse_key()
{
    MEVENT event{};
    if (::getmouse(&event) != OK) return std::nullopt;
    Key key{.name = KeyName::click, .x = event.x, .y = event.y};
    // A press and its release that are read together are one click, two of them a double one.
    const auto has = [&](mmask_t pressed, mmask_t clicked) {
        return (event.bstate & (pressed | clicked)) != 0;
    };
    constexpr mmask_t kClicks = BUTTON1_CLICKED | BUTTON1_DOUBLE_CLICKED | BUTTON1_TRIPLE_CLICKED;
    if (has(BUTTON4_PRESSED, BUTTON4_CLICKED))
        key.name = KeyName::wheel_up;
    else if (has(BUTTON5_PRESSED, BUTTON5_CLICKED))
        key.name = KeyName::wheel_down;
    else if (!has(BUTTON1_PRESSED, kClicks))
        return std::nullopt;
    return key;
}

std::optional<Key> function_key(wint_t code)
{
    switch (code) {
    case KEY_UP:
    case KEY_SR: // Shift
        return Key{.name = KeyName::up};
    case KEY_DOWN:
    case KEY_SF:
        return Key{.name = KeyName::down};
    case KEY_PPAGE:
        return Key{.name = KeyName::page_up};
    case KEY_NPAGE:
        return Key{.name = KeyName::page_down};
    case KEY_HOME:
        return Key{.name = KeyName::home};
    case KEY_END:
        return Key{.name = KeyName::end};
    case KEY_ENTER:
        return Key{.name = KeyName::enter};
    case KEY_BACKSPACE:
    case KEY_DC:
        return Key{.name = KeyName::backspace};
    case KEY_BTAB:
        return Key{.name = KeyName::back_tab};
    default:
        return std::nullopt;
    }
}

std::optional<Key> character_key(wint_t character)
{
    switch (character) {
    case '\n':
    case '\r':
        return Key{.name = KeyName::enter};
    case 0x1B:
        return Key{.name = KeyName::escape};
    case 0x08:
    case 0x7F:
        return Key{.name = KeyName::backspace};
    case '\t':
        return Key{.name = KeyName::tab};
    default:
        break;
    }
    if (character < 0x20) return std::nullopt;
    return Key{.text = utf8_of(character)};
}

/// What ncurses has read: a key that it knows, or a character.
struct Typed {
    bool known = false;
    wint_t value = 0;
};

/// A key that the terminal type does not know (ESC [ … or ESC O …, ECMA-48 section 5.4), or one
/// with Alt, beginning at `at`, which is an ESC: arrows are understood, the rest is no key, and no
/// Esc either. Moves `at` to its last character.
std::optional<Key> sequence_key(const std::vector<Typed>& all, std::size_t& at)
{
    const auto introducer = all[++at].value;
    if (introducer != '[' && introducer != 'O') return std::nullopt;
    const auto is_final = [](wint_t value) { return value >= 0x40 && value <= 0x7E; };
    do
        ++at;
    while (at + 1 < all.size() && !is_final(all[at].value));
    if (at == all.size()) --at; // it is not whole
    switch (all[at].value) {
    case 'A':
        return Key{.name = KeyName::up};
    case 'B':
        return Key{.name = KeyName::down};
    case 'H':
        return Key{.name = KeyName::home};
    case 'F':
        return Key{.name = KeyName::end};
    default:
        return std::nullopt;
    }
}

} // namespace

std::expected<std::unique_ptr<Terminal>, std::string> Terminal::open(bool colour)
{
    const bool utf8 = set_locale();
    ::tcgetattr(STDIN_FILENO, &shell_mode);
    auto keyboard = open_keyboard();
    const SCREEN* screen = ::newterm(nullptr, stdout, keyboard ? keyboard.get() : stdin);
    const char* given = std::getenv("TERM");
    const std::string kind = given == nullptr ? "" : escape_controls(given);
    if (screen == nullptr)
        return std::unexpected("the terminal type '" + kind + "' ($TERM) is not known here; try " +
                               "TERM=xterm clusterctl monit");
    auto terminal = std::unique_ptr<Terminal>{new Terminal{utf8}};
    terminal->keyboard_ = std::move(keyboard);
    if (capability("cup").empty())
        return std::unexpected("the terminal type '" + kind + "' ($TERM) cannot place its cursor");
    guard_against_crashes();
    ::cbreak(); // Ctrl-C and Ctrl-Z stay signals
    ::noecho();
    ::nonl();
    ::curs_set(0);
    ::nodelay(stdscr, TRUE);
    ::keypad(stdscr, TRUE);
    ::set_escdelay(kEscapeMs);
    ::mousemask(ALL_MOUSE_EVENTS, nullptr);
    ::mouseinterval(0); // a press counts at once, it is not waited for a second one
    terminal->colour_ = colour && ::has_colors();
    if (terminal->colour_) define_colours();
    return terminal;
}

Terminal::~Terminal()
{
    ::endwin();
    end_guard();
}

Size Terminal::size() const
{
    return {.width = getmaxx(stdscr), .height = getmaxy(stdscr)};
}

std::vector<Key> Terminal::keys()
{
    constexpr wint_t kEscape = 0x1B;
    std::vector<Typed> typed;
    std::vector<Key> all;
    wint_t code = 0;
    for (int kind = ::get_wch(&code); kind != ERR; kind = ::get_wch(&code)) {
        // The mouse is asked for now, its events do not wait.
        const bool mouse = kind == KEY_CODE_YES && code == KEY_MOUSE;
        if (auto key = mouse ? mouse_key() : std::nullopt) all.push_back(std::move(*key));
        if (!mouse) typed.push_back({.known = kind == KEY_CODE_YES, .value = code});
    }
    for (std::size_t at = 0; at < typed.size(); ++at) {
        const bool last = at + 1 == typed.size();
        auto key = typed[at].known                       ? function_key(typed[at].value)
                   : typed[at].value == kEscape && !last ? sequence_key(typed, at)
                                                         : character_key(typed[at].value);
        if (key) all.push_back(std::move(*key));
    }
    return all;
}

void Terminal::put(const Frame& frame)
{
    for (std::size_t y = 0; y < frame.lines.size(); ++y) {
        int x = 0;
        for (const Span& span : frame.lines[y]) {
            const auto pair = colour_ ? static_cast<short>(span.paint.colour) : short{0};
            ::attr_set(attributes_of(span.paint, colour_), pair >= 2 ? pair : short{0}, nullptr);
            // Each in its place: one whose width the terminal sees otherwise moves nothing else.
            ::mvaddnstr(static_cast<int>(y), x, span.text.data(),
                        static_cast<int>(span.text.size()));
            x += static_cast<int>(display_width(span.text));
        }
    }
    ::refresh();
}

void Terminal::resize()
{
    winsize now{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) != 0 || now.ws_col == 0) return;
    ::resizeterm(now.ws_row, now.ws_col);
    ::clearok(curscr, TRUE); // the terminal may have moved what stood on it
}

void Terminal::leave()
{
    ::endwin();
}

void Terminal::resume()
{
    ::reset_prog_mode();
    ::keypad(stdscr, TRUE); // endwin has switched it off
    resize();
    ::refresh();
}

} // namespace cluster::cli
