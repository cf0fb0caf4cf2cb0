// What `monit` and the daemon say to each other, on one connection that never waits: what comes
// goes into the model. `list` once a second, every event, the log of the selected process alone. A
// connection that is lost is made again.
#pragma once

#include "cli/context.hpp"
#include "cli/monit_model.hpp"
#include "ipc/net/client.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cluster::cli {

class MonitLink {
public:
    MonitLink(MonitModel& model, Context& context) : model_{model}, context_{context} {}

    /// Connects again, asks what is due, follows the log of whoever is selected now.
    /// True when there is something else to be seen.
    bool tick();
    /// Milliseconds until `tick` has something to do by itself.
    [[nodiscard]] int time_left() const;

    /// To be read from when it is readable; -1 without a connection.
    [[nodiscard]] int fd() const { return client_ ? client_->fd() : -1; }
    /// Reads once; returns false when nothing of it is to be seen.
    bool read();

    /// Asks the daemon for what the user wants; the outcome becomes a note.
    void ask(const MonitIntent& intent);

private:
    enum class Asked { list, events, follow, describe, log_files, barrier, action, other };
    struct Request {
        Asked what = Asked::other;
        int tap = 0;         ///< generation of the log that it belongs to
        bool sample = false; ///< a list whose figures go into the history
        std::string doing{}; ///< by an action
    };
    struct Came {
        bool error = false;
        std::string text;
    };
    /// A log file of the selected process: its end as it was read.
    struct File {
        std::string path;
        bool out = false; ///< who writes into it
        bool err = false;
        std::int64_t written_at = 0; ///< nanoseconds
        std::vector<std::string> lines{};
    };

    void connect();
    void ask_what_is_due();
    void lose(const std::string& why);
    void post(Request request, std::string_view method, const json& params);
    [[nodiscard]] bool waits_for(Asked what) const;

    bool hear(const json& message);
    bool hear_notification(const std::string& method, const json& params);
    void hear_answer(const Request& request, const json& message);
    void hear_outcome(const Request& request, const json& message);
    void hear_details(const Request& request, const json& result);
    bool hear_lines(const json& params);
    void hear_event(const json& params);

    void tap_selected();
    void untap();
    void read_files(const json& process);
    void show_history();
    void show_line(const Came& line);

    MonitModel& model_;
    Context& context_;
    std::optional<ipc::Client> client_;
    std::map<int, Request> requests_; ///< by id
    ipc::milliseconds next_try_{0};
    ipc::milliseconds next_list_{0};
    ipc::milliseconds next_sample_{0};
    ipc::milliseconds next_describe_{0};
    bool list_soon_ = false; ///< an event says that it has changed

    // The log that is followed. Its generation tells late answers and lines from those of now.
    int tap_ = 0;
    std::optional<std::int64_t> tapped_; ///< id of the process
    std::optional<int> subscription_;
    bool live_ = false; ///< the history stands in the pane: what comes goes there too
    std::vector<File> files_;
    std::vector<Came> pending_; ///< what came before that
};

} // namespace cluster::cli
