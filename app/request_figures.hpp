// Counts for the metrics what the connections tell of.
#pragma once

#include "app/http/observer.hpp"
#include "app/http/router.hpp"
#include "app/metrics/http_figures.hpp"

namespace cluster::app {

class RequestFigures final : public Observer {
public:
    /// Declares a series per route that `router` has by now.
    RequestFigures(Metrics& metrics, const Router& router);

    void connection_opened() override { figures_.connected(); }
    void connection_closed() override { figures_.disconnected(); }
    void request_began() override { figures_.began(); }
    void request_finished(const Finished& finished) override;
    void rate_limited() override { figures_.rate_limited(); }

    [[nodiscard]] HttpFigures& figures() { return figures_; }

private:
    HttpFigures figures_;
};

} // namespace cluster::app
