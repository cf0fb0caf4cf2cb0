// Times as text by a pattern, as in PM2's log_date_format: the tokens of dayjs
// (https://day.js.org/docs/en/display/format) in the local time zone. A pattern is compiled once; a
// line of a log costs a copy while its second is that of the line before.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::ipc {

enum class DateToken : unsigned char;

/// `YYYY YY MMMM MMM MM M DD D dddd ddd dd d HH H hh h mm m ss s SSS ZZ Z A a`; text in [brackets]
/// as it stands, without them; all other text is copied. Each letter run is cut from its left into
/// the longest tokens, as dayjs does. Not for two threads at once: `append` remembers the second.
class DateFormat {
public:
    explicit DateFormat(std::string_view pattern);

    /// `wall_ms`: milliseconds since 1970.
    void append(std::int64_t wall_ms, std::string& out);
    [[nodiscard]] std::string text(std::int64_t wall_ms);

    [[nodiscard]] bool empty() const { return pieces_.empty(); }

private:
    struct Piece {
        DateToken token;
        std::string text; ///< of DateToken::literal
    };

    void add_literal(std::string_view text);
    void append_piece(const Piece& piece, int milliseconds, std::string& out) const;
    void render(std::int64_t second, int milliseconds);

    std::vector<Piece> pieces_;
    std::int64_t second_ = 0; ///< that `time_` belongs to
    std::tm time_{};          ///< local
    bool has_second_ = false;
    int milliseconds_ = -1;     ///< that `rendered_` belongs to
    bool has_fraction_ = false; ///< the text changes within a second
    std::string rendered_;
};

} // namespace cluster::ipc
