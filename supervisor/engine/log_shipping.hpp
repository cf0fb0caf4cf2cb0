// Lines of workers to their sinks (attribute `log_sinks`). The files are the record, and the
// workers wait for them alone; a sink gets each line as soon as it has been read, and what it
// cannot take is counted (sink_connection.hpp). A daemon that is killed loses for the sinks what
// waited for them; the next one goes on with the next byte.
#pragma once

#include "ipc/base/clock.hpp"
#include "supervisor/engine/log_pump.hpp"
#include "supervisor/engine/sink_connection.hpp"

#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::supervisor {

struct Worker;
class LogShipping;

/// The output of one worker on its way to all its sinks: cut into lines, a longer one than 64 KiB
/// into parts.
class Shipment {
public:
    Shipment(LogShipping& shipping, const Worker& worker);
    ~Shipment();
    Shipment(const Shipment&) = delete;
    Shipment& operator=(const Shipment&) = delete;

    void write(StreamKind kind, std::string_view bytes);
    /// Its process has ended: what it left unfinished is a line.
    void end_lines();
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

private:
    void send(StreamKind kind, std::string_view line);

    LogShipping& shipping_;
    const Worker& worker_;
    std::vector<std::string> names_;
    std::vector<std::shared_ptr<SinkConnection>> to_;
    std::array<std::string, 2> unfinished_;
    std::string message_; ///< room for one, kept
};

class LogShipping {
public:
    LogShipping(boost::asio::io_context& loop, const ipc::Clock& clock, Log& log);
    ~LogShipping();
    LogShipping(const LogShipping&) = delete;
    LogShipping& operator=(const LogShipping&) = delete;

    /// Connects the streams of a worker that has them with the sinks of its app, or takes them
    /// away.
    void attach(Worker& worker);
    /// Tries to send what waits, once: before the daemon ends.
    void flush();

    /// Of each sink in use, by the name that apps give it.
    [[nodiscard]] std::vector<std::pair<std::string, SinkConnection::Figures>> figures() const;

private:
    friend class Shipment;
    struct InUse {
        std::shared_ptr<SinkConnection> connection;
        int users = 0;
    };
    std::shared_ptr<SinkConnection> take(const std::string& name);
    void give_back(const std::string& name);

    boost::asio::io_context& loop_;
    const ipc::Clock& clock_;
    Log& log_;
    std::string host_; ///< our name, for the messages; asked when first needed
    std::map<std::string, InUse> sinks_;
};

} // namespace cluster::supervisor
