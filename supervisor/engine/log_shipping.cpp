#include "supervisor/engine/log_shipping.hpp"

#include "supervisor/core/sink_message.hpp"
#include "supervisor/engine/worker.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <array>
#include <utility>

namespace cluster::supervisor {
namespace {

constexpr std::size_t kLongestLine = 64U << 10U;

std::string own_host_name()
{
    std::array<char, 256> name{}; // man 7 hostname: at most 64 bytes on Linux
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

} // namespace

Shipment::Shipment(LogShipping& shipping, const Worker& worker)
    : shipping_{shipping}, worker_{worker}, names_{worker.spec().log_sinks}
{
    for (const std::string& name : names_)
        to_.push_back(shipping_.take(name));
}

Shipment::~Shipment()
{
    for (const std::string& name : names_)
        shipping_.give_back(name);
}

void Shipment::write(StreamKind kind, std::string_view bytes)
{
    std::string& held = unfinished_[static_cast<std::size_t>(kind)];
    while (!bytes.empty()) {
        const auto newline = bytes.find('\n');
        const std::string_view piece = bytes.substr(0, newline);
        const bool whole = newline != std::string_view::npos;
        bytes.remove_prefix(whole ? newline + 1 : bytes.size());
        if (whole && held.empty()) {
            send(kind, piece);
            continue;
        }
        held += piece;
        if (!whole && held.size() < kLongestLine) return;
        send(kind, held);
        held.clear();
    }
}

void Shipment::end_lines()
{
    for (const StreamKind kind : {StreamKind::out, StreamKind::err}) {
        const std::string held = std::exchange(unfinished_[static_cast<std::size_t>(kind)], {});
        if (!held.empty()) send(kind, held);
    }
}

void Shipment::send(StreamKind kind, std::string_view line)
{
    const SinkLine about{.app = worker_.spec().name,
                         .name_space = worker_.spec().name_space,
                         .host = shipping_.host_,
                         .id = worker_.id,
                         .instance = worker_.instance,
                         .pid = worker_.pid,
                         .error = kind == StreamKind::err,
                         .wall_ms = shipping_.clock_.wall_ms(),
                         .text = line};
    for (const auto& connection : to_) {
        message_.clear();
        append_sink_message(message_, connection->address(), about);
        connection->send(message_);
    }
}

LogShipping::LogShipping(boost::asio::io_context& loop, const ipc::Clock& clock, Log& log)
    : loop_{loop}, clock_{clock}, log_{log}
{
}

LogShipping::~LogShipping()
{
    for (auto& [name, sink] : sinks_)
        sink.connection->close();
}

void LogShipping::attach(Worker& worker)
{
    const std::vector<std::string>& wanted = worker.spec().log_sinks;
    const bool same = worker.shipment ? worker.shipment->names() == wanted : wanted.empty();
    if (!same) {
        auto shipment = wanted.empty() ? nullptr : std::make_unique<Shipment>(*this, worker);
        worker.shipment = std::move(shipment); // the old one last: a sink of both stays open
    }
    for (LogStream* stream : {worker.out.get(), worker.err.get()}) {
        if (!stream) continue;
        if (!worker.shipment)
            stream->set_shipment({});
        else
            stream->set_shipment([&shipment = *worker.shipment, kind = stream->kind()](
                                     std::string_view bytes) { shipment.write(kind, bytes); });
    }
}

std::shared_ptr<SinkConnection> LogShipping::take(const std::string& name)
{
    InUse& sink = sinks_[name];
    ++sink.users;
    if (sink.connection) return sink.connection;
    if (host_.empty()) host_ = own_host_name();
    // The attribute was checked when the app was declared.
    const ipc::SinkAddress address = ipc::parse_sink(name).value_or(ipc::SinkAddress{});
    const auto tell = [this, address](std::uint64_t lost) {
        std::string message;
        append_sink_message(message, address,
                            {.app = "clusterd",
                             .name_space = "",
                             .host = host_,
                             .id = -1,
                             .instance = 0,
                             .pid = ::getpid(),
                             .error = true,
                             .wall_ms = clock_.wall_ms(),
                             .text = fmt::format("{} lines were lost on their way here", lost)});
        return message;
    };
    return sink.connection = std::make_shared<SinkConnection>(loop_, log_, name, address, tell);
}

void LogShipping::give_back(const std::string& name)
{
    const auto found = sinks_.find(name);
    if (found == sinks_.end() || --found->second.users > 0) return;
    found->second.connection->finish();
    sinks_.erase(found);
}

void LogShipping::flush()
{
    for (auto& [name, sink] : sinks_)
        sink.connection->flush();
}

std::vector<std::pair<std::string, SinkConnection::Figures>> LogShipping::figures() const
{
    std::vector<std::pair<std::string, SinkConnection::Figures>> all;
    for (const auto& [name, sink] : sinks_)
        all.emplace_back(name, sink.connection->figures());
    return all;
}

} // namespace cluster::supervisor
