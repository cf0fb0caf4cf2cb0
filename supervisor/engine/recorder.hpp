// Is told of everything that a manager which comes after us has to know, so that it stands written
// down before it has an effect that cannot be taken back.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace cluster::supervisor {

struct Worker;

class Recorder {
public:
    virtual ~Recorder() = default;
    /// Something of the row has changed, or it is new.
    virtual void row(const Worker& worker) = 0;
    virtual void removed(std::uint64_t key) = 0;
    /// The sockets of declared addresses are others, or others are live.
    virtual void listeners() = 0;
    /// The sockets of an app in Node's cluster mode are others, or others are live.
    virtual void node_handles() = 0;
    /// Writes down what was told so far.
    virtual void flush() = 0;
    /// A row knows how this process of somebody else's has ended.
    virtual void end_known(pid_t pid, std::uint64_t start_time) = 0;
};

/// Writes nothing down.
class NoRecorder : public Recorder {
public:
    void row(const Worker& /*worker*/) override {}
    void removed(std::uint64_t /*key*/) override {}
    void listeners() override {}
    void node_handles() override {}
    void flush() override {}
    void end_known(pid_t /*pid*/, std::uint64_t /*start_time*/) override {}
};

} // namespace cluster::supervisor
