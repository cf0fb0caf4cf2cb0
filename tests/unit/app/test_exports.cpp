#include "app/exports/document.hpp"
#include "app/exports/export_job.hpp"
#include "app/exports/export_maker.hpp"
#include "app/exports/pdf.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace cluster::app;

TEST_CASE("document: slides of an object")
{
    const Document document = read_document("T", R"({"theme": "dark", "slides": [
        {"title": "One", "bullets": ["a", "b"], "notes": {"by": "me", "n": 2}},
        {"name": "Two", "text": "x\ny"},
        "three", 4, null,
        {"layout": "wide", "items": [{"deep": [true]}]}]})");
    CHECK(document.title == "T");
    REQUIRE(document.slides.size() == 6);
    CHECK(document.slides[0] == Slide{"One", {"a", "b", "notes: ", "  by: me", "  n: 2"}});
    CHECK(document.slides[1] == Slide{"Two", {"x", "y"}});
    CHECK(document.slides[2] == Slide{"Slide 3", {"three"}});
    CHECK(document.slides[3] == Slide{"Slide 4", {"4"}});
    CHECK(document.slides[4] == Slide{"Slide 5", {}});
    CHECK(document.slides[5] == Slide{"Slide 6", {"layout: wide", "deep: ", "  true"}});
}

TEST_CASE("document: anything else is shown as well")
{
    CHECK(read_document("T", "[1, {\"title\": \"x\"}]").slides ==
          std::vector<Slide>{{"Slide 1", {"1"}}, {"x", {}}});
    CHECK(read_document("T", R"({"a": 1})").slides == std::vector<Slide>{{"Slide 1", {"a: 1"}}});
    CHECK(read_document("T", R"({"slides": 7})").slides ==
          std::vector<Slide>{{"Slide 1", {"slides: 7"}}});
    CHECK(read_document("T", "\"text\"").slides == std::vector<Slide>{{"Slide 1", {"text"}}});
    CHECK(read_document("T", "no\njson").slides == std::vector<Slide>{{"T", {"no", "json"}}});
    CHECK(read_document("T", "").slides == std::vector<Slide>{{"T", {""}}});
    CHECK(read_document("T", "{\"slides\": []}").slides.empty());
}

TEST_CASE("document: nothing makes it grow without bound")
{
    std::string many = "[0";
    for (int i = 0; i < 2000; ++i)
        many += ",0";
    CHECK(read_document("T", many + "]").slides.size() == kMaxSlides);

    std::string lines = "{\"slides\": [";
    for (int slide = 0; slide < 30; ++slide) {
        lines += (slide == 0 ? "" : ",") + std::string{"{\"lines\": [0"};
        for (int i = 0; i < 3000; ++i)
            lines += ",0";
        lines += "]}";
    }
    const Document document = read_document("T", lines + "]}");
    CHECK(document.slides.front().lines.size() == kMaxLines);
    CHECK(document.slides.size() == kMaxAllLines / kMaxLines + 1);

    const std::string deep = std::string(200, '[') + std::string(200, ']');
    CHECK(read_document("T", deep).slides.size() == 1);
    const std::string wide = "\"" + std::string(100'000, 'x') + "\"";
    CHECK(read_document("T", wide).slides[0].lines[0].size() == kMaxLineBytes);
}

TEST_CASE("document: text becomes printable")
{
    const struct {
        std::string_view text;
        const char* want;
    } rows[] = {
        {"plain äöü€", "plain äöü€"},
        {"a\tb\rc\x7f", "a    bc"},
        {{"a\0b", 3}, "ab"},
        {"😀", "?"},
        {"\xff\xfe", "??"},
        {"\xc3", "?"},
        {"\xc0\xaf", "??"},           // overlong
        {"\xed\xa0\x80", "???"},      // half of a surrogate pair
        {"\xf4\x90\x80\x80", "????"}, // beyond Unicode
        {"\xe2\x82", "??"},
        {"\xc2\x85"
         "x",
         "x"}, // NEL, a control character
    };
    for (const auto& row : rows)
        CHECK(printable(row.text) == row.want);
    CHECK(to_winansi("aä€Žž–Ł中") == "a\xe4\x80\x8e\x9e\x96??");
}

TEST_CASE("export job: orders and results go there and back")
{
    const ExportOrder order{.project_id = "p", .user_id = "u"};
    CHECK(read_order(write_order(order)) == order);
    for (const char* odd :
         {"", "{}", "[]", "7", R"({"projectId": "p"})", R"({"projectId": 1, "userId": "u"})"})
        CHECK_FALSE(read_order(odd));
    const ExportResult result{.file_key = "f", .file_name = "n\xff", .size = 12};
    CHECK(read_result(write_result(result))->size == 12);
    for (const char* odd : {"", "{}", "[]", "null", R"({"file": ""})"})
        CHECK_FALSE(read_result(odd));
    CHECK(read_result(R"({"file": "f", "size": -1})")->size == 0);
}

TEST_CASE("export job: a title as the name of a file")
{
    CHECK(export_file_name("Q3 report") == "Q3 report.pdf");
    CHECK(export_file_name("../../etc/passwd") == "_.._etc_passwd.pdf");
    CHECK(export_file_name("a/b\\c:d\"e\n") == "a_b_c_d_e.pdf");
    CHECK(export_file_name("") == "export.pdf");
    CHECK(export_file_name(" . ") == "export.pdf");
    const std::string name = export_file_name(std::string(119, 'x') + "ää");
    CHECK(name == std::string(119, 'x') + ".pdf");
}

TEST_CASE("export job: states for people")
{
    CHECK(export_status(QueueState::waiting) == "pending");
    CHECK(export_status(QueueState::delayed) == "pending");
    CHECK(export_status(QueueState::active) == "processing");
    CHECK(export_status(QueueState::done) == "completed");
    CHECK(export_status(QueueState::dead) == "failed");
}

namespace {

std::string pdf_of(Document document, const std::string& font)
{
    auto writer = PdfWriter::begin(std::move(document), font);
    REQUIRE_MESSAGE(writer, (writer ? "" : writer.error().text()));
    while (true) {
        const auto more = writer->write_slides(3);
        REQUIRE_MESSAGE(more, (more ? "" : more.error().text()));
        if (!*more) break;
    }
    CHECK(writer->written() == writer->total());
    const auto bytes = writer->finish();
    REQUIRE_MESSAGE(bytes, (bytes ? "" : bytes.error().text()));
    return *bytes;
}

} // namespace

TEST_CASE("pdf: odd content in every font is a PDF")
{
    std::mt19937 generator{11};
    for (const std::string& font : {std::string{}, find_font(), std::string{"/etc/hostname"}}) {
        CAPTURE(font);
        for (int round = 0; round < 20; ++round) {
            std::string text(generator() % 3000, '\0');
            for (char& letter : text)
                letter = static_cast<char>(generator());
            const std::string bytes = pdf_of(read_document(text.substr(0, 50), text), font);
            CHECK(bytes.starts_with("%PDF-"));
            CHECK(bytes.contains("%%EOF"));
        }
        CHECK(pdf_of({}, font).starts_with("%PDF-"));
    }
}

TEST_CASE("export font: one that is not there is a fault")
{
    Environment wrong{{{"EXPORT_FONT", "/nonexistent.ttf"}}};
    static_cast<void>(read_export_font(wrong));
    REQUIRE(wrong.faults().size() == 1);
    CHECK(wrong.faults()[0].contains("/nonexistent.ttf"));
    Environment none{{}};
    CHECK(read_export_font(none) == find_font());
    CHECK(none.faults().empty());
}
