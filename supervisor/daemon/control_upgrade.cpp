// Control, going on with another program.
#include "supervisor/daemon/control.hpp"

#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;
using ipc::RpcError;

/// Of the program that runs here; where it was replaced, of the one that took its place.
std::string own_path(ipc::System& system)
{
    constexpr std::string_view kReplaced = " (deleted)"; // man 5 proc, /proc/pid/exe
    std::string path = system.readlink("/proc/self/exe").value_or("");
    if (path.ends_with(kReplaced)) path.resize(path.size() - kReplaced.size());
    return path;
}

} // namespace

Control::Outcome Control::upgrade(const SessionPtr& session, const ipc::Request& request)
{
    const json given = request.params.value("binary", json(own_path(supervisor_.system())));
    const std::string* program = given.get_ptr<const std::string*>();
    if (!program || !program->starts_with('/'))
        return ipc::invalid_param("/binary", "an absolute path", given);
    EnvironmentNumbers numbers;
    upgrader_.begin(
        *program, state_text(supervisor_, under_way(), numbers),
        [session, request, program = *program](const auto& begun) {
            if (begun) {
                return session->respond(
                    request,
                    json{{"serial", begun->serial}, {"from", begun->from}, {"to", begun->to}});
            }
            session->respond(
                request, RpcError{.code = ipc::kFailed,
                                  .message = "cannot go on with " + program + ": " + begun.error(),
                                  .data = {{"binary", program}}});
        });
    return {};
}

} // namespace cluster::supervisor
