#include "cli/startup_plan.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace cluster::cli;

namespace {

StartupFacts facts_of_root()
{
    return {.root = true,
            .booted = true,
            .caller = "root",
            .caller_home = "/root",
            .cluster_home = "/root/.clusterctl",
            .config_folder = "/root/.config",
            .path = "/opt/node/bin:relative:/usr/bin",
            .clusterd = "/usr/bin/clusterd",
            .clusterctl = "/usr/bin/clusterctl"};
}

StartupFacts facts_of_alice()
{
    StartupFacts facts = facts_of_root();
    facts.root = false;
    facts.caller = "alice";
    facts.caller_home = "/home/alice";
    facts.cluster_home = "/home/alice/.clusterctl";
    facts.config_folder = "/home/alice/.config";
    return facts;
}

std::vector<std::string> steps_of(const StartupPlan& plan)
{
    std::vector<std::string> texts;
    for (const Step& step : plan.steps)
        texts.push_back(step_text(step));
    return texts;
}

using Texts = std::vector<std::string>;

} // namespace

TEST_CASE("startup: root prepares the system for a user")
{
    const auto plan =
        plan_startup(facts_of_root(), {.user = "deploy", .user_home = "/home/deploy"});
    REQUIRE(plan);
    CHECK(plan->path == "/etc/systemd/system/clusterctl-deploy.service");
    CHECK(plan->home == "/home/deploy/.clusterctl");
    CHECK(plan->text.contains("\nUser=deploy\n"));
    CHECK(steps_of(*plan) == Texts{"write /etc/systemd/system/clusterctl-deploy.service",
                                   "systemctl daemon-reload",
                                   "systemctl enable clusterctl-deploy.service",
                                   "systemctl start clusterctl-deploy.service"});
}

TEST_CASE("startup: folders of PATH that mean nothing to a service are left out")
{
    const auto plan = plan_startup(facts_of_root(), {});
    REQUIRE(plan);
    CHECK(plan->text.contains(R"(Environment="PATH=/opt/node/bin:/usr/bin:/usr/local/sbin:)"));
    CHECK_FALSE(plan->text.contains("relative"));
}

TEST_CASE("startup: an ordinary user gets a unit of his own and the line for root")
{
    const auto plan = plan_startup(facts_of_alice(), {});
    REQUIRE(plan);
    CHECK(plan->scope == Scope::user);
    CHECK(steps_of(*plan) == Texts{"loginctl enable-linger alice",
                                   "write /home/alice/.config/systemd/user/clusterctl.service",
                                   "systemctl --user daemon-reload",
                                   "systemctl --user enable clusterctl.service",
                                   "systemctl --user start clusterctl.service"});
    CHECK(plan->steps.front().hint.contains("sudo loginctl enable-linger alice"));
    REQUIRE(plan->notes.size() == 1);
    CHECK(plan->notes[0].contains(
        "sudo env \"PATH=$PATH\" /usr/bin/clusterctl startup -u alice --hp /home/alice"));
}

TEST_CASE("startup: where no systemd runs, root prepares the next boot and nobody else can")
{
    StartupFacts facts = facts_of_root();
    facts.booted = false;
    const auto plan = plan_startup(facts, {});
    REQUIRE(plan);
    CHECK(steps_of(*plan) == Texts{"write /etc/systemd/system/clusterctl-root.service",
                                   "systemctl enable clusterctl-root.service"});
    facts = facts_of_alice();
    facts.booted = false;
    CHECK_FALSE(plan_startup(facts, {}));
}

TEST_CASE("startup: what cannot be done is said with what to do instead")
{
    const struct {
        StartupWords words;
        bool root;
        const char* says;
    } rows[] = {
        {{.platform = "upstart"}, true, "'upstart' is not supported"},
        {{.platform = "upstart"}, true, "clusterd --foreground"},
        {{.user = "bob", .user_home = "/home/bob"}, false, "startup -u bob --hp /home/bob"},
        {{.user = "nobdy"}, true, "no user 'nobdy'"},
        {{.service_name = "a b"}, true, "cannot be the name of a service"},
        {{.user = "bob", .user_home = "home"}, true, "absolute path"},
        {{.user = "bob", .user_home = "/home/\nbob"}, true, "control characters"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.says);
        const auto plan = plan_startup(row.root ? facts_of_root() : facts_of_alice(), row.words);
        REQUIRE_FALSE(plan);
        CHECK(plan.error().contains(row.says));
    }
    StartupFacts without = facts_of_root();
    without.clusterd.clear();
    CHECK_FALSE(plan_startup(without, {}));
    CHECK(plan_startup(facts_of_root(), {.platform = "systemd"}));
    CHECK(plan_startup(facts_of_root(), {.platform = "ubuntu"}));
}

TEST_CASE("unstartup: everything is undone, in the opposite order")
{
    const auto plan = plan_unstartup(facts_of_root(), {.service_name = "mine"});
    REQUIRE(plan);
    CHECK(steps_of(*plan) == Texts{"systemctl stop mine.service", "systemctl disable mine.service",
                                   "remove /etc/systemd/system/mine.service",
                                   "systemctl daemon-reload"});
    const auto own = plan_unstartup(facts_of_alice(), {});
    REQUIRE(own);
    CHECK(own->steps.front().words[1] == "--user");
}

TEST_CASE("startup: a step is shown as a shell takes it")
{
    CHECK(step_text({.words = {"loginctl", "enable-linger", "o'brien"}}) ==
          "loginctl enable-linger 'o'\\''brien'");
}
