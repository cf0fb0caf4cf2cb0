#include "app/request_figures.hpp"

#include <boost/beast/http/verb.hpp>

#include <string>
#include <vector>

namespace cluster::app {
namespace {

std::vector<HttpFigures::RouteName> names_of(const Router& router)
{
    std::vector<HttpFigures::RouteName> names;
    for (const Route& route : router.routes())
        names.emplace_back(std::string{http::to_string(route.method)}, route.pattern);
    return names;
}

} // namespace

RequestFigures::RequestFigures(Metrics& metrics, const Router& router)
    : figures_{metrics, names_of(router)}
{
}

void RequestFigures::request_finished(const Finished& finished)
{
    const double seconds = std::chrono::duration<double>(finished.duration).count();
    figures_.ended(finished.method, finished.route, finished.status, seconds);
}

} // namespace cluster::app
