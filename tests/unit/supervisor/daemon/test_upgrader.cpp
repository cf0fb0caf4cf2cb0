#include "supervisor/daemon/upgrader.hpp"

#include <doctest/doctest.h>

#include <csignal>

using namespace cluster;
using namespace cluster::supervisor;

TEST_CASE("upgrader: what a program says when it is asked whether it can read the state")
{
    const struct {
        ipc::ExitStatus status;
        std::string output;
        std::string version; ///< "": refused
        std::string reason;
    } rows[] = {
        {{}, "0.1.1\n", "0.1.1", ""},
        {{}, "12.0.0-rc1\nmore", "12.0.0-rc1", ""},
        {{}, "", "", "it is no clusterd: asked for its version it said \"\""},
        {{}, "hello\n", "", "it is no clusterd: asked for its version it said \"hello\""},
        {{},
         "0.1 and more\n",
         "",
         "it is no clusterd: asked for its version it said \"0.1 and more\""},
        {{.code = 1},
         "its version is 9, this daemon reads 2\n",
         "",
         "its version is 9, this daemon reads 2"},
        {{.code = 127}, "", "", "it exited with code 127"},
        {{.signal = SIGSEGV}, "", "", "it was ended by signal 11"},
        {{.signal = SIGKILL}, "0.1.1\n", "", "0.1.1"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.output);
        const auto said = version_said(row.status, row.output);
        CHECK(said.value_or("") == row.version);
        CHECK((said ? "" : said.error()) == row.reason);
    }
}
