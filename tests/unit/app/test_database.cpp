#include "app/sqlite/database.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

using namespace cluster::app;

namespace {

/// A folder that goes with the test. What SQLite does with files is what is tested, so they are
/// real.
struct Folder {
    Folder()
    {
        std::string path = std::filesystem::temp_directory_path() / "database.XXXXXX";
        REQUIRE(::mkdtemp(path.data()) != nullptr);
        name = path;
    }
    ~Folder() { std::filesystem::remove_all(name); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::string name;
};

Database open(const std::string& path, Durability durability = Durability::lasting)
{
    auto database = Database::open(path, durability);
    if (!database) FAIL(database.error().text());
    return std::move(*database);
}

} // namespace

TEST_CASE("a database file is made for its owner alone, its log too")
{
    const Folder folder;
    Database database = open(folder.name + "/a.db");
    REQUIRE(database.script("CREATE TABLE t (a)"));
    for (const char* const name : {"/a.db", "/a.db-wal", "/a.db-shm"}) {
        struct stat info{};
        REQUIRE(::stat((folder.name + name).c_str(), &info) == 0);
        CHECK((info.st_mode & 0777U) == 0600);
    }
    const auto missing = Database::open(folder.name + "/no/a.db", Durability::lasting);
    REQUIRE(!missing);
    CHECK(missing.error().text().contains("/no/a.db"));
}

TEST_CASE("a file that is no database is told by its name")
{
    const Folder folder;
    const std::string path = folder.name + "/a.db";
    FILE* const file = std::fopen(path.c_str(), "w");
    std::fputs(std::string(8192, 'x').c_str(), file);
    std::fclose(file);
    const auto database = Database::open(path, Durability::lasting);
    REQUIRE(!database);
    CHECK(database.error().text().contains(path));
    CHECK(database.error().text().contains("not a database"));
}

TEST_CASE("values come back as they were bound")
{
    const Folder folder;
    Database database = open(folder.name + "/a.db");
    REQUIRE(database.script("CREATE TABLE t (a, b, c, d, e)"));
    const std::string bytes{"x\0y", 3};
    CHECK(database
              .run("INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5)",
                   {nullptr, std::int64_t{-5'000'000'000}, 1.5, bytes, std::string_view{}})
              .value() == 1);
    const auto rows = database.query("SELECT a, b, c, d, e FROM t");
    REQUIRE(rows);
    const SqlRow& row = rows->at(0);
    CHECK(row.is_null(0));
    CHECK(row.number(1) == -5'000'000'000);
    CHECK(row.text(3) == bytes);
    CHECK(!row.is_null(4));
    CHECK(row.text(4).empty());
    CHECK(row.text(1).empty()); // a number is no text
    CHECK(row.number(3) == 0);
    const std::array<SqlValue, 1> values{bytes};
    CHECK(database.query("SELECT 1 FROM t WHERE d = ?1", values)->size() == 1);
    CHECK(database.query("SELECT ?1")->at(0).is_null(0)); // what was bound before is forgotten
}

TEST_CASE("what fails says of which kind it is, and the connection goes on")
{
    const Folder folder;
    Database database = open(folder.name + "/a.db");
    REQUIRE(database.script("CREATE TABLE t (a INTEGER PRIMARY KEY)"));
    REQUIRE(database.run("INSERT INTO t VALUES (?1)", {std::int64_t{1}}));
    const auto twice = database.run("INSERT INTO t VALUES (?1)", {std::int64_t{1}});
    REQUIRE(!twice);
    CHECK(kind_of(twice.error()) == Trouble::conflict);
    CHECK(twice.error().text().contains("UNIQUE"));
    const auto wrong = database.query("SELEKT 1");
    REQUIRE(!wrong);
    CHECK(kind_of(wrong.error()) == Trouble::refused);
    CHECK(database.query("SELECT a FROM t")->size() == 1);
}

TEST_CASE("a transaction that fails leaves nothing behind")
{
    const Folder folder;
    Database database = open(folder.name + "/a.db");
    REQUIRE(database.script("CREATE TABLE t (a INTEGER PRIMARY KEY)"));
    const auto insert = [&](std::int64_t n) {
        return database.run("INSERT INTO t VALUES (?1)", {n});
    };
    const auto outcome = database.transaction([&]() -> cluster::ipc::Result<void> {
        if (!insert(1)) return trouble(Trouble::refused, "unexpected");
        if (auto second = insert(1); !second) return std::unexpected(second.error());
        return {};
    });
    REQUIRE(!outcome);
    CHECK(kind_of(outcome.error()) == Trouble::conflict);
    CHECK(database.query("SELECT a FROM t")->empty());
    CHECK(database.transaction([&] { return insert(2); }).value() == 1);
    CHECK(database.query("SELECT a FROM t")->size() == 1);
}

TEST_CASE("a reader sees what another connection committed, and nothing before")
{
    const Folder folder;
    Database writer = open(folder.name + "/a.db");
    REQUIRE(writer.script("CREATE TABLE t (a)"));
    Database reader = open(folder.name + "/a.db", Durability::passing);
    const auto seen = [&] { return reader.query("SELECT a FROM t")->size(); };
    const auto done = writer.transaction([&]() -> cluster::ipc::Result<std::int64_t> {
        const auto inserted = writer.run("INSERT INTO t VALUES (1)");
        CHECK(seen() == 0);
        return inserted;
    });
    REQUIRE(done);
    CHECK(seen() == 1);
}
