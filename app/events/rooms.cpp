#include "app/events/rooms.hpp"

#include <utility>

namespace cluster::app {

void RoomTable::add(std::string id)
{
    sockets_.try_emplace(std::move(id));
}

void RoomTable::remove(const std::string& id)
{
    const auto found = sockets_.find(id);
    if (found == sockets_.end()) return;
    for (const std::string& room : found->second)
        drop(found->first, room);
    sockets_.erase(found);
}

void RoomTable::join(const std::string& id, std::string room)
{
    const auto found = sockets_.find(id);
    if (found == sockets_.end() || room == id) return;
    rooms_[room].insert(found->first);
    found->second.insert(std::move(room));
}

void RoomTable::leave(const std::string& id, const std::string& room)
{
    const auto found = sockets_.find(id);
    if (found == sockets_.end() || found->second.erase(room) == 0) return;
    drop(found->first, room);
}

void RoomTable::drop(std::string_view id, const std::string& room)
{
    const auto found = rooms_.find(room);
    if (found == rooms_.end()) return;
    found->second.erase(id);
    if (found->second.empty()) rooms_.erase(found);
}

bool RoomTable::is_in(const std::string& id, const std::string& room) const
{
    const auto found = sockets_.find(id);
    return found != sockets_.end() && (room == id || found->second.contains(room));
}

std::vector<std::string> RoomTable::rooms_of(const std::string& id) const
{
    const auto found = sockets_.find(id);
    if (found == sockets_.end()) return {};
    std::vector<std::string> rooms{id};
    rooms.insert(rooms.end(), found->second.begin(), found->second.end());
    return rooms;
}

bool RoomTable::has_room(const std::string& room) const
{
    return sockets_.contains(room) || rooms_.contains(room);
}

std::vector<std::string> RoomTable::rooms() const
{
    std::vector<std::string> names;
    for (const auto& [id, joined] : sockets_)
        names.push_back(id);
    for (const auto& [name, members] : rooms_)
        names.push_back(name);
    return names;
}

std::vector<std::string> RoomTable::select(const Audience& audience) const
{
    const auto members_of = [this](const std::vector<std::string>& names) {
        Members members;
        for (const std::string& name : names) {
            if (const auto room = rooms_.find(name); room != rooms_.end())
                members.insert(room->second.begin(), room->second.end());
            if (const auto own = sockets_.find(name); own != sockets_.end())
                members.insert(own->first);
        }
        return members;
    };
    const Members except = members_of(audience.except);
    std::vector<std::string> ids;
    const auto take = [&](std::string_view id) {
        if (!except.contains(id)) ids.emplace_back(id);
    };
    if (audience.rooms.empty())
        for (const auto& [id, joined] : sockets_)
            take(id);
    else
        for (const std::string_view id : members_of(audience.rooms))
            take(id);
    return ids;
}

} // namespace cluster::app
