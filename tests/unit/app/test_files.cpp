#include "app/files/digest.hpp"
#include "app/files/links.hpp"
#include "app/files/options.hpp"
#include "app/files/range.hpp"
#include "app/files/routes.hpp"
#include "app/files/s3_wire.hpp"
#include "app/files/signature.hpp"

#include <doctest/doctest.h>

using namespace cluster::app;
using namespace std::chrono_literals;

TEST_CASE("digests: what the standards say they are")
{
    CHECK(hex(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    // RFC 4231, test case 2.
    CHECK(hex(hmac_sha256("Jefe", "what do ya want for nothing?")) ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    CHECK(hex(std::string_view{"\x00\xff\x1a", 3}) == "00ff1a");
}

// docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and
// sigv4-query-string-auth.html: the examples there, 24 May 2013.
namespace {

const S3Signer kExample{
    .credentials = {.access_key = "AKIAIOSFODNN7EXAMPLE",
                    .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
    .region = "us-east-1",
};
constexpr std::int64_t kThen = 1'369'353'600;

std::string signature_in(const S3Fields& fields)
{
    for (const auto& [name, value] : fields)
        if (name == "authorization") return value.substr(value.find("Signature=") + 10);
    return "";
}

} // namespace

TEST_CASE("signature: the examples of the specification")
{
    const std::string empty = hex(sha256(""));
    const std::string host = "examplebucket.s3.amazonaws.com";
    CHECK(signature_in(kExample.sign({.method = "GET",
                                      .host = host,
                                      .path = "/test.txt",
                                      .headers = {{"range", "bytes=0-9"}}},
                                     empty, kThen)) ==
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    CHECK(signature_in(kExample.sign({.method = "PUT",
                                      .host = host,
                                      .path = "/test%24file.text",
                                      .headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                                  {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}},
                                     hex(sha256("Welcome to Amazon S3.")), kThen)) ==
          "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    CHECK(signature_in(kExample.sign(
              {.method = "GET", .host = host, .path = "/", .query = {{"lifecycle", ""}}}, empty,
              kThen)) == "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    CHECK(signature_in(kExample.sign({.method = "GET",
                                      .host = host,
                                      .path = "/",
                                      .query = {{"prefix", "J"}, {"max-keys", "2"}}},
                                     empty, kThen)) ==
          "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    CHECK(kExample.presign({.method = "GET", .host = host, .path = "/test.txt"}, 86400s, kThen) ==
          "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
          "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
          "X-Amz-SignedHeaders=host&X-Amz-Signature="
          "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST_CASE("links: only what we signed, and only for its time")
{
    const FileLink link{.key = "k", .name = "a b.pdf", .expires_s = 1000};
    const std::string url = sign_link("secret", link);
    CHECK(url.starts_with("/api/files/k?expires=1000&name=a%20b.pdf&signature="));
    const std::string signature = url.substr(url.size() - 64);
    CHECK(is_valid_link("secret", link, signature, 999));
    CHECK_FALSE(is_valid_link("secret", link, signature, 1000));
    CHECK_FALSE(is_valid_link("Secret", link, signature, 999));
    CHECK_FALSE(is_valid_link("secret", link, "", 999));
    for (const FileLink& other : {FileLink{"l", "a b.pdf", 1000}, FileLink{"k", "b.pdf", 1000},
                                  FileLink{"k", "a b.pdf", 1001}})
        CHECK_FALSE(is_valid_link("secret", other, signature, 999));
    CHECK(derive_link_secret("x").size() == 64);
    CHECK(derive_link_secret("x") != derive_link_secret("y"));
}

TEST_CASE("range: each row is one header")
{
    using What = ByteRange::What;
    const struct {
        const char* header;
        std::uint64_t size;
        ByteRange want;
    } rows[] = {
        {"", 10, {What::whole, 0, 10}},
        {"bytes=0-3", 10, {What::part, 0, 4}},
        {"bytes=9-9", 10, {What::part, 9, 1}},
        {"bytes=4-", 10, {What::part, 4, 6}},
        {"bytes=4-99", 10, {What::part, 4, 6}},
        {"bytes=-3", 10, {What::part, 7, 3}},
        {"bytes=-99", 10, {What::part, 0, 10}},
        {"bytes=10-", 10, {What::outside}},
        {"bytes=-0", 10, {What::outside}},
        {"bytes=0-", 0, {What::outside}},
        {"bytes=-5", 0, {What::outside}},
        {"bytes=5-4", 10, {What::whole, 0, 10}},
        {"bytes=-", 10, {What::whole, 0, 10}},
        {"bytes=0-1,3-4", 10, {What::whole, 0, 10}},
        {"lines=0-1", 10, {What::whole, 0, 10}},
        {"bytes=a-b", 10, {What::whole, 0, 10}},
        {"bytes= 0-1", 10, {What::whole, 0, 10}},
        {"bytes=99999999999999999999-", 10, {What::whole, 0, 10}},
        {"bytes=0-18446744073709551615", 10, {What::part, 0, 10}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.header);
        CHECK(parse_range(row.header, row.size) == row.want);
    }
}

TEST_CASE("files: a key leads nowhere else")
{
    for (const char* good : {"a", "0190-ab", "A.b_c-9", "x.pdf"})
        CHECK(is_file_key(good));
    for (const char* bad : {"", ".", "..", ".a", "a/b", "a\\b", "-a", "a b", "ä", "a%2F"})
        CHECK_FALSE(is_file_key(bad));
    CHECK_FALSE(is_file_key(std::string(129, 'a')));
    CHECK_FALSE(is_file_key(std::string_view{"a\0b", 3}));
}

TEST_CASE("content disposition: a name can break nothing")
{
    CHECK(content_disposition("attachment", "") == "attachment");
    CHECK(content_disposition("attachment", "a b.pdf") ==
          "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf");
    CHECK(content_disposition("attachment", "a\"\r\nX: y\\ä%41/") ==
          "attachment; filename=\"a___X: y____41_\"; "
          "filename*=UTF-8''a%22%0D%0AX%3A%20y%5C%C3%A4%2541%2F");
}

TEST_CASE("s3: addresses in both styles")
{
    S3Options options{.bucket = "b", .scheme = "https", .host = "s3.eu.example", .prefix = "p/ä "};
    auto request = object_request(options, "GET", "key");
    CHECK(request.host == "b.s3.eu.example");
    CHECK(address_of(options, request, "") == "https://b.s3.eu.example/p/%C3%A4%20key");
    options.path_style = true;
    request = object_request(options, "GET", "key");
    CHECK(address_of(options, request, "a=1") == "https://s3.eu.example/b/p/%C3%A4%20key?a=1");
}

TEST_CASE("s3: what stands in XML")
{
    CHECK(xml_text("<R><UploadId>a&amp;b&lt;c</UploadId></R>", "UploadId") == "a&b<c");
    CHECK(xml_text("<R><A>1</A><A>2</A></R>", "A") == "1");
    for (const char* odd : {"", "<A>", "<A", "</A>", "<AB>x</AB>", "<A/>"})
        CHECK(xml_text(odd, "A") == "");
    CHECK(complete_body({"\"t1\"", "<&>"}) ==
          "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;t1&quot;</ETag>"
          "</Part><Part><PartNumber>2</PartNumber><ETag>&lt;&amp;></ETag></Part>"
          "</CompleteMultipartUpload>");
}

TEST_CASE("s3: what tells of a file goes there and back")
{
    const NewFile file{
        .key = "k", .name = "Bericht ä%41.pdf", .content_type = "a/b", .owner = "u 1"};
    S3Answer answer{.status = 200,
                    .headers = {{"etag", "\"abc\""},
                                {"content-length", "17"},
                                {"last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"}}};
    for (const auto& [name, value] : describe(file))
        answer.headers[name] = value;
    const FileInfo info = read_info("k", answer);
    CHECK(info.name == file.name);
    CHECK(info.owner == "u 1");
    CHECK(info.content_type == "a/b");
    CHECK(info.tag == "abc");
    CHECK(info.size == 17);
    CHECK(info.changed_ms == 784'111'777'000);
    const FileInfo bare = read_info("k", {});
    CHECK(bare.size == 0);
    CHECK(bare.changed_ms == 0);
    CHECK(read_info("k", {.headers = {{"x-amz-meta-name", "a%4"}}}).name == "a%4");
    CHECK(read_info("k", {.headers = {{"x-amz-meta-name", "%"}}}).name == "%");
}

TEST_CASE("s3: failures and what they mean")
{
    const struct {
        int status;
        bool passing;
    } rows[] = {{500, true},  {503, true},  {429, true},  {408, true},
                {400, false}, {403, false}, {404, false}, {302, false}};
    for (const auto& row : rows) {
        const S3Answer answer{.status = row.status, .body = "<Code>C</Code><Message>m</Message>"};
        CHECK(is_passing(answer) == row.passing);
        const auto error = failure_of(answer, "put k").error();
        CHECK(kind_of(error) == (row.passing ? Trouble::unavailable : Trouble::refused));
        CHECK(error.what == "s3: put k: status " + std::to_string(row.status) + " C, m");
    }
}

TEST_CASE("s3: parts grow, so that 10,000 of them hold a large file")
{
    CHECK(part_size(8, 0) == 8);
    CHECK(part_size(8, 999) == 8);
    CHECK(part_size(8, 1000) == 16);
    CHECK(part_size(8, 9999) == 512);
    std::uint64_t sum = 0;
    for (std::size_t part = 0; part < 10'000; ++part)
        sum += part_size(8ULL << 20U, part);
    CHECK(sum > (1ULL << 40U)); // more than a terabyte
}

TEST_CASE("files: settings of S3")
{
    Environment fine{{{"AWS_S3_BUCKET", "my-bucket"},
                      {"AWS_S3_REGION", "eu-central-1"},
                      {"AWS_ACCESS_KEY_ID", "a"},
                      {"AWS_SECRET_ACCESS_KEY", "b"}}};
    FileOptions options = read_file_options(fine);
    CHECK(fine.faults().empty());
    CHECK(options.s3.enabled());
    CHECK(options.s3.scheme == "https");
    CHECK(options.s3.host == "s3.eu-central-1.amazonaws.com");
    CHECK_FALSE(options.s3.path_style);

    const struct {
        const char* endpoint;
        const char* scheme;
        const char* host; ///< "": a fault
    } rows[] = {
        {"http://localhost:9000", "http", "localhost:9000"},
        {"http://localhost:9000/", "http", "localhost:9000"},
        {"https://minio.example:443", "https", "minio.example"},
        {"http://minio.example:80", "http", "minio.example"},
        {"http://[::1]:9000", "http", "[::1]:9000"},
        {"localhost:9000", "", ""},
        {"ftp://x", "", ""},
        {"https://", "", ""},
        {"https://a/b", "", ""},
        {"https://user@a", "", ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.endpoint);
        Environment environment{{{"AWS_S3_BUCKET", "my-bucket"},
                                 {"S3_ENDPOINT", row.endpoint},
                                 {"AWS_ACCESS_KEY_ID", "a"},
                                 {"AWS_SECRET_ACCESS_KEY", "b"}}};
        options = read_file_options(environment);
        CHECK(environment.faults().empty() == !std::string_view{row.host}.empty());
        if (!environment.faults().empty()) continue;
        CHECK(options.s3.scheme == row.scheme);
        CHECK(options.s3.host == row.host);
        CHECK(options.s3.path_style);
    }
}

TEST_CASE("files: faults of settings show no secret")
{
    Environment environment{{{"AWS_S3_BUCKET", "NO"},
                             {"AWS_SECRET_ACCESS_KEY", "hush"},
                             {"S3_PART_BYTES", "1"},
                             {"FILES_LINK_SECRET", "hush hush"},
                             {"FILES_LINK_EXPIRATION", "8d"}}};
    static_cast<void>(read_file_options(environment));
    CHECK(environment.faults().size() == 5);
    for (const std::string& fault : environment.faults())
        CHECK_FALSE(fault.contains("hush"));
}
