// Where an HTTP/1.1 answer ends (RFC 9112, section 6), and what of it a prober wants to know. Bytes
// in, state out; an answer to GET.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cluster::cli {

class AnswerReader {
public:
    enum class State {
        head,     ///< the status line and headers are not all there
        body,     ///< nor is the body
        complete, ///< all of it is there
        broken,   ///< this is no HTTP
    };

    void push(std::string_view bytes);
    /// The peer closed cleanly: the end of a body that has no length.
    void end();

    [[nodiscard]] State state() const { return state_; }
    /// Some byte of it came.
    [[nodiscard]] bool begun() const { return begun_; }
    /// 0 while the head is not there.
    [[nodiscard]] int status() const { return status_; }
    /// A complete answer after which the connection takes another request.
    [[nodiscard]] bool reusable() const;

private:
    enum class Body { none, counted, chunked, until_close };
    enum class Chunk { size, data, trailer };

    void step();
    bool read_head();
    bool read_status_line(std::string_view line);
    void read_header(std::string_view line);
    bool read_counted();
    bool read_chunk();
    bool fail();

    State state_ = State::head;
    Body body_ = Body::until_close;
    Chunk chunk_ = Chunk::size;
    std::string held_; ///< what is not understood yet
    std::size_t left_ = 0;
    int status_ = 0;
    bool begun_ = false;
    bool keeps_alive_ = true;
};

} // namespace cluster::cli
