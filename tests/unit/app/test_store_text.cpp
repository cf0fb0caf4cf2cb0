#include "app/store/rows.hpp"
#include "app/store/text.hpp"

#include <doctest/doctest.h>

using namespace cluster::app;
using namespace std::string_literals;

TEST_CASE("sound text is UTF-8 without NUL, whatever came in")
{
    CHECK(sound_text("plain ü 漢 😀") == "plain ü 漢 😀");
    CHECK(sound_text("a\0b"s) == "a\uFFFDb");
    CHECK(sound_text("\xff") == "\uFFFD");
    CHECK(sound_text("\xc3") == "\uFFFD");                               // cut off
    CHECK(sound_text("\xc0\xaf") == "\uFFFD\uFFFD");                     // overlong
    CHECK(sound_text("\xed\xa0\x80") == "\uFFFD\uFFFD\uFFFD");           // a surrogate
    CHECK(sound_text("\xf4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD"); // past the last
    CHECK(sound_text("\xe2\x82(") == "\uFFFD\uFFFD(");
    CHECK(sound_text("\xef\xbf\xbf\xf0\x90\x80\x80") == "\xef\xbf\xbf\xf0\x90\x80\x80");
    CHECK(sound_text("").empty());
}

TEST_CASE("letters fold one by one, in every alphabet")
{
    CHECK(fold_case("ABC xyz 123") == "abc xyz 123");
    CHECK(fold_case("ÄÖÜ ÉÈ ŁÓDŹ") == "äöü éè łódź");
    CHECK(fold_case("ΑΒΓ ДОМ") == "αβγ дом");
    CHECK(fold_case("straße 😀") == "straße 😀");
    CHECK(fold_case("A\0\xff"s) == "a\uFFFD\uFFFD");
}

TEST_CASE("a search is words, and none of their characters is a wildcard")
{
    using Words = std::vector<std::string>;
    CHECK(search_patterns("") == Words{});
    CHECK(search_patterns(" \t\n ") == Words{});
    CHECK(search_patterns("Rust  ENGINEER") == Words{"%rust%", "%engineer%"});
    CHECK(search_patterns("50% a_b c\\d") == Words{"%50\\%%", "%a\\_b%", "%c\\\\d%"});
    CHECK(search_patterns("1 2 3 4 5 6 7 8 9 10").size() == kMaxSearchWords);
    CHECK(search_text({"Ä", "b C"}) == "ä\nb c\n");
}

TEST_CASE("what becomes of an application")
{
    CHECK(decide({}) == Applied::no_such_job);
    CHECK(decide({.job_found = true, .status = "closed"}) == Applied::closed);
    CHECK(decide({.job_found = true, .applied_before = true, .status = "closed"}) ==
          Applied::already);
    CHECK(decide({.job_found = true, .applied_before = true, .status = "open"}) ==
          Applied::already);
    CHECK(decide({.job_found = true,
                  .same_application = true,
                  .applied_before = true,
                  .status = "closed"}) == Applied::done);
    CHECK(!decide({.job_found = true, .status = "open"}));
}
