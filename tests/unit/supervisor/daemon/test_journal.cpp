#include "tests/unit/supervisor/daemon/journaled.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace std::chrono_literals;
using cluster::tests::Journaled;

namespace {

ipc::AppSpec app(std::string name = "api")
{
    return Journaled::app(std::move(name));
}

/// Something that users or the kernel do, by chance. False: there was nobody to do it to.
bool something(Journaled& m, std::minstd_rand& chance)
{
    const auto any = [&](std::size_t below) { return chance() % below; };
    const auto rows = m.supervisor.rows();
    const auto act = any(12);
    if (rows.empty() || (act == 0 && rows.size() < 12)) {
        auto spec = app("app" + std::to_string(any(4)));
        if (any(4) == 0) spec.listen = {{.text = "127.0.0.1:0", .name = "x"}};
        if (any(3) == 0) spec.autorestart = false;
        if (any(3) == 0) spec.restart_delay = 1h;
        m.add(spec);
        return true;
    }
    Worker& worker = *rows[any(rows.size())];
    const bool shown_row = m.supervisor.is_shown(worker);
    switch (act) {
    case 1:
        m.supervisor.ask(worker, Event::stop_asked, "stop " + std::to_string(any(100)));
        return true;
    case 2:
        m.supervisor.ask(worker, Event::restart_asked, "restart");
        return true;
    case 3:
        m.supervisor.ask(worker, Event::delete_asked, "delete");
        return true;
    case 4:
        if (!worker.alive()) return false;
        m.launcher.end(worker.pid, {.code = static_cast<int>(any(3)), .signal = 0});
        return true;
    case 5:
        if (!shown_row || std::ranges::count(rows, worker.id, &Worker::id) > 1) return false;
        m.supervisor.add_successor(worker, worker.app);
        return true;
    case 6:
        if (shown_row || !m.supervisor.find(worker.id)) return false;
        m.supervisor.promote(worker);
        return true;
    case 7:
        m.supervisor.reset(worker);
        return true;
    case 8: {
        auto changed = worker.spec();
        changed.kill_timeout += 1ms;
        m.supervisor.change(worker, m.supervisor.declare(changed, worker.app->inherited).value());
        return true;
    }
    case 9: {
        // None with sockets: those of an app that only an order has go without a word, and whoever
        // reads of them has no app that wants them.
        m.under_way = {};
        if (any(2) == 0)
            m.under_way.reloads.push_back(
                {.name = "app0",
                 .ids = {1, 2},
                 .app = worker.spec().listen.empty() ? worker.app : nullptr,
                 .cause = "reload",
                 .on_step = {},
                 .on_done = {}});
        if (any(2) == 0)
            m.under_way.held = {
                {.key = worker.key, .event = Event::stop_asked, .cause = "x", .before = {}}};
        m.journal->under_way();
        return true;
    }
    case 10:
        m.launcher.failure = any(2) == 0 ? "no such program" : "";
        return false; // that alone changes nothing
    default:
        m.supervisor.ask(worker, Event::start_asked, "start");
        return true;
    }
}

} // namespace

TEST_CASE("journal: before the first snapshot nothing is written, and then all of it")
{
    Journaled m;
    m.add(app());
    m.turn();
    m.hear();
    CHECK(m.journals == 0);
    m.begin();
    REQUIRE(m.journals == 1);
    CHECK(m.written() == m.now());
    CHECK(m.written()["rows"].size() == 1);
}

TEST_CASE("journal: all that one turn of the loop changes is one line, at its end")
{
    Journaled m;
    m.begin();
    const std::string before = m.text();
    Worker& one = m.add(app());
    m.add(app());
    one.cause = "x";
    CHECK(m.text() == before);
    m.turn();
    const std::string after = m.text();
    REQUIRE(after.starts_with(before));
    CHECK(std::ranges::count(after, '\n') == std::ranges::count(before, '\n') + 1);
    CHECK(m.written() == m.now());
    m.turn();
    CHECK(m.text() == after); // nothing has changed
    CHECK(m.journals == 1);
}

TEST_CASE("journal: what is flushed is there at once")
{
    Journaled m;
    m.begin();
    m.add(app());
    m.journal->flush();
    CHECK(m.written()["rows"].size() == 1);
}

TEST_CASE("journal: a process is launched only when its row says how it will be found")
{
    Journaled m;
    m.begin();
    Worker& worker = m.add(app());
    nlohmann::json at_launch;
    m.launcher.on_launch = [&] { at_launch = m.written()["rows"][std::to_string(worker.key)]; };
    m.supervisor.ask(worker, Event::start_asked, "test");
    REQUIRE(m.until(worker, State::online));
    CHECK(at_launch["record"]["life"]["state"] == "launching");
    CHECK(at_launch["record"]["unique_id"] == worker.unique_id);
    CHECK(at_launch["out"] == worker.out->inode());
    CHECK(at_launch["err"] == worker.err->inode());
}

TEST_CASE("journal: of all that is asked to end at once, none is told before all is written down")
{
    Journaled m;
    std::vector<Worker*> workers;
    for (int count = 0; count < 3; ++count)
        workers.push_back(&m.add(app()));
    m.begin();
    for (Worker* worker : workers) {
        m.supervisor.ask(*worker, Event::start_asked, "test");
        REQUIRE(m.until(*worker, State::online));
    }
    m.turn();
    std::vector<std::string> at_first_kill;
    m.system.on_kill = [&] {
        if (!at_first_kill.empty()) return;
        for (const auto& [key, row] : m.written()["rows"].items())
            at_first_kill.push_back(row["record"]["life"]["state"]);
    };
    for (Worker* worker : workers)
        m.supervisor.ask(*worker, Event::restart_asked, "test");
    CHECK(m.system.kills.empty());
    m.turn();
    CHECK(m.system.kills.size() == 3);
    CHECK(at_first_kill == std::vector<std::string>(3, "stopping"));
}

TEST_CASE("journal: an end is written down before it is acknowledged or reaped")
{
    Journaled m;
    auto spec = app();
    spec.autorestart = false;
    Worker& worker = m.add(spec);
    m.begin();
    m.supervisor.ask(worker, Event::start_asked, "test");
    REQUIRE(m.until(worker, State::online));
    m.turn();
    nlohmann::json at_reaping;
    m.system.on_wait = [&](pid_t) {
        at_reaping = m.written()["rows"][std::to_string(worker.key)]["record"];
    };
    m.launcher.end(worker.pid, {.code = 3, .signal = 0});
    REQUIRE(m.until(worker, State::stopped));
    m.turn();
    CHECK(m.written() == m.now());
    REQUIRE(at_reaping.is_object());
    CHECK(at_reaping["pid"] == 0);
    CHECK(at_reaping["last_status"] == nlohmann::json{3, 0});

    // And of a process that somebody else has waited for: before that one may forget it.
    const EndedProcess ended{.pid = 7, .start_time = 8, .status = {}};
    bool told = false;
    m.link->start({.on_ended = [&](const EndedProcess&) { told = true; },
                   .on_guardian_gone = {},
                   .on_hand_over = {},
                   .on_outcome = {}});
    REQUIRE(send_message(m.guardian.get(), encode_ended(Verb::ended, {&ended, 1})));
    REQUIRE(m.until([&] { return told; }));
    worker.cause = "another";
    m.journal->row(worker);
    m.journal->end_known(7, 8);
    CHECK(m.written()["rows"][std::to_string(worker.key)]["record"]["cause"] == "another");
    CHECK(m.acknowledged == 1);
}

TEST_CASE("journal: at any moment it says what a snapshot would say")
{
    const unsigned seed = std::random_device{}();
    std::minstd_rand chance{seed};
    for (int run = 0; run < 8; ++run) {
        Journaled m;
        m.begin();
        std::string acts;
        for (int round = 0; round < 150; ++round) {
            CAPTURE(seed);
            CAPTURE(run);
            CAPTURE(round);
            something(m, chance);
            m.clock.advance(ipc::milliseconds{chance() % 3000});
            m.turn();
            const auto written = m.written();
            CAPTURE(nlohmann::json::diff(written, m.now()).dump());
            const bool same = written == m.now();
            REQUIRE(same);
        }
        CHECK(m.log.lines.size() > 20); // transitions: there was something to be written
        CHECK_FALSE(m.removed.empty());
    }
}

TEST_CASE("journal: it lies in the home, as one whole file at any moment")
{
    Journaled m;
    m.add(app());
    m.begin();
    REQUIRE(m.system.files.contains(Journaled::kPath));
    CHECK_FALSE(m.system.files.contains(Journaled::kPath + ".new"));
    const std::string first = m.system.files[Journaled::kPath];
    m.add(app());
    m.turn();
    CHECK(m.system.files[Journaled::kPath].starts_with(first));
    CHECK(m.system.files[Journaled::kPath].size() > first.size());
    m.journal->end();
    m.add(app());
    m.turn();
    CHECK_FALSE(m.system.files.contains(Journaled::kPath));
}

TEST_CASE("journal: where the disk takes nothing it lies in memory, until the disk does again")
{
    Journaled m;
    m.add(app());
    m.begin();
    m.system.fail_always("open " + Journaled::kPath + ".new", ENOSPC);
    m.system.fail_always("write", ENOSPC);
    m.add(app());
    m.turn();
    // An old file there would be taken for the truth when both daemons are killed.
    CHECK_FALSE(m.system.files.contains(Journaled::kPath));
    CHECK(std::ranges::count_if(m.log.lines, [](const std::string& line) {
              return line.contains("journal") && line.contains("no space left");
          }) > 0);
    m.system.fail_always("write", 0);
    m.begin();
    CHECK_FALSE(m.system.files.contains(Journaled::kPath));
    CHECK(m.written() == m.now());

    m.system.fail_always("open " + Journaled::kPath + ".new", 0);
    m.add(app());
    m.turn();
    CHECK_FALSE(m.system.files.contains(Journaled::kPath)); // it is not tried for each line
    CHECK(m.written() == m.now());
    m.clock.advance(ipc::milliseconds{1000});
    m.add(app());
    m.turn();
    CHECK(m.system.files.contains(Journaled::kPath));
    CHECK(m.written() == m.now());
}

TEST_CASE("journal: a name makes that memory outlive the guardian, too")
{
    const std::string memory = "/dev/shm/clusterd-0-1-2-journal";
    Journaled m;
    m.journal->set_memory_path(memory);
    m.add(app());
    m.begin();
    CHECK_FALSE(m.system.files.contains(memory));
    CHECK(m.journal->left_behind() == std::vector{Journaled::kPath});

    m.system.fail_always("open " + Journaled::kPath + ".new", ENOSPC);
    m.begin();
    m.add(app());
    m.turn();
    REQUIRE(m.system.files.contains(memory));
    CHECK_FALSE(m.system.files.contains(memory + ".new"));
    CHECK_FALSE(m.system.files.contains(Journaled::kPath));
    const auto state = supervisor::parse_state(m.system.files[memory]);
    REQUIRE(state);
    CHECK(tests::shown(*state) == m.now());
    CHECK(m.journal->left_behind() == std::vector{memory, Journaled::kPath});
    // Anybody may make one of that name.
    m.system.rights[memory] = {::geteuid() + 1, 0600};
    CHECK(m.journal->left_behind() == std::vector{Journaled::kPath});
    m.system.rights[memory] = {::geteuid(), 0622};
    CHECK(m.journal->left_behind() == std::vector{Journaled::kPath});

    SUBCASE("until the disk takes it again")
    {
        m.system.fail_always("open " + Journaled::kPath + ".new", 0);
        m.begin();
        CHECK(m.system.files.contains(Journaled::kPath));
    }
    SUBCASE("until the end")
    {
        m.journal->end();
    }
    SUBCASE("or until it is full, too")
    {
        m.system.fail_always("open " + memory, ENOSPC);
        m.begin();
        CHECK(m.written() == m.now()); // what the guardian keeps
    }
    CHECK_FALSE(m.system.files.contains(memory));
}

TEST_CASE("journal: whichever call fails, it says what a snapshot would say")
{
    for (int nth = 1;; ++nth) {
        CAPTURE(nth);
        Journaled m;
        m.begin();
        m.system.fail_nth(nth, ENOSPC);
        for (int round = 0; round < 4; ++round) {
            m.add(app());
            m.journal->flush();
            if (round % 2 == 1) m.begin();
            CHECK(m.written() == m.now());
        }
        if (!m.system.has_failed()) {
            CHECK(nth > 8); // two files were opened, written and renamed, and four lines written
            break;
        }
    }
}

TEST_CASE("journal: one that has grown begins anew, and the guardian gets the new one")
{
    Journaled m;
    Worker& worker = m.add(app());
    m.begin();
    const std::size_t first = m.text().size();
    std::size_t longest = first;
    worker.cause = std::string(1000, 'x');
    for (int round = 0; round < 1000; ++round) {
        m.journal->row(worker);
        m.journal->flush();
        m.hear();
        longest = std::max(longest, m.text().size());
    }
    CHECK(m.journals >= 3);
    CHECK(m.journals < 10);
    CHECK(longest < (512UL << 10U));
    CHECK(longest > (128UL << 10U)); // most of the time a line is all that is written
    CHECK(m.written() == m.now());
}
