// A worker as a daemon before us left it: what it wrote down of the row, and by which inodes its
// descriptors are found. See adopting.cpp.
#pragma once

#include "supervisor/engine/worker.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace cluster::supervisor {

struct KnownWorker {
    WorkerRecord record;
    bool hidden = false; ///< a half of a reload
    std::uint64_t out = 0, err = 0, probe = 0;
    std::vector<std::uint64_t> sockets; ///< in the order of `listen`; 0 none
    nlohmann::json node;                ///< NodeMember::saved
    nlohmann::json serving;             ///< Serving::saved
};

struct KnownListener {
    struct Socket {
        std::uint64_t inode = 0;
        bool live = false;
    };
    std::string address;         ///< as declared
    std::vector<Socket> sockets; ///< in the kernel's order
};

} // namespace cluster::supervisor
