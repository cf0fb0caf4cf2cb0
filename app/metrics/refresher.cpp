#include "app/metrics/refresher.hpp"

namespace cluster::app {

void Refresher::start()
{
    if (stopped_) return;
    registry_.refresh();
    timer_.expires_after(every_);
    timer_.async_wait([this](const boost::system::error_code& code) {
        if (!code) start();
    });
}

void Refresher::stop()
{
    stopped_ = true;
    timer_.cancel();
}

} // namespace cluster::app
