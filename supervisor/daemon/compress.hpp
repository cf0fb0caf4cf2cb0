// `clusterd --compress FILE --as zstd|gzip`: makes FILE.zst or FILE.gz of a log file that was set
// aside, and removes FILE. A process of its own, of the lowest priority, that ends with the daemon
// that has started it. Killed at any instruction it leaves FILE whole, and at most half a
// FILE.zst.tmp, which the next one overwrites.
//
// The content is cut into pieces of 4 MiB, each a frame (a member, for gzip) of its own with its
// size in front: `zstd -d` and `gzip -d` take the file as it is, and whoever wants the end of a log
// need not unpack its beginning.
#pragma once

#include "ipc/base/home.hpp"
#include "ipc/base/result.hpp"
#include "ipc/base/system.hpp"
#include "ipc/wire/app_spec.hpp"

#include <string>

namespace cluster::supervisor {

/// Ends with its parent from now on, and leaves CPU and disk to everybody else.
void become_background();

/// Does it. The new file has owner, mode and time of the old one, and its index. That somebody else
/// is at it, or that FILE is gone, is no error.
ipc::Result<void> compress_log(ipc::System& system, const ipc::HomePaths& paths,
                               const std::string& file, ipc::Compression as);

} // namespace cluster::supervisor
