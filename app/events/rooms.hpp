// Which socket is in which room of a namespace, on this instance. Each socket is in the room of its
// own id. Pure.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cluster::app {

/// Whom something is for: who is in one of `rooms` (all when there is none) and in none of
/// `except`.
struct Audience {
    std::vector<std::string> rooms{};
    std::vector<std::string> except{};
};

class RoomTable {
public:
    void add(std::string id);
    /// Out of every room.
    void remove(const std::string& id);
    [[nodiscard]] bool has(const std::string& id) const { return sockets_.contains(id); }

    void join(const std::string& id, std::string room);
    void leave(const std::string& id, const std::string& room);
    [[nodiscard]] bool is_in(const std::string& id, const std::string& room) const;
    /// Its own room first.
    [[nodiscard]] std::vector<std::string> rooms_of(const std::string& id) const;

    [[nodiscard]] bool has_room(const std::string& room) const;
    [[nodiscard]] std::vector<std::string> rooms() const;
    /// Each socket once.
    [[nodiscard]] std::vector<std::string> select(const Audience& audience) const;
    [[nodiscard]] std::size_t size() const { return sockets_.size(); }

private:
    using Members = std::set<std::string_view>; ///< ids, which are keys of `sockets_`

    void drop(std::string_view id, const std::string& room);

    /// The rooms that it has joined; its own is not among them, so that an idle one costs little.
    std::unordered_map<std::string, std::set<std::string>> sockets_;
    std::unordered_map<std::string, Members> rooms_;
};

} // namespace cluster::app
