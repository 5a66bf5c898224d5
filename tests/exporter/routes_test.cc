#include "exporter/routes.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

Route Make(std::vector<std::string> methods, std::string pattern) {
  Route route;
  route.methods = std::move(methods);
  route.pattern = std::move(pattern);
  route.handler = AnswerAtOnce([](const HttpRequest&) { return HttpResponse(); });
  return route;
}

TEST(RouterTest, PicksTheMostSpecific) {
  Router router;
  for (const char* pattern : {"/*", "/a/{id}", "/a/b", "/a/*", "/", "/a/{id}/c", "/sp ace"}) {
    ASSERT_TRUE(router.Add(Make({}, pattern)).ok()) << pattern;
  }
  const auto pattern = [&](std::string_view path) { return router.Find("GET", path).pattern; };
  EXPECT_EQ(pattern("/"), "/");
  EXPECT_EQ(pattern("/a/b"), "/a/b");
  EXPECT_EQ(pattern("/a/x"), "/a/{id}");
  EXPECT_EQ(pattern("/a/x/c"), "/a/{id}/c");
  EXPECT_EQ(pattern("/a/x/d"), "/a/*");
  EXPECT_EQ(pattern("/a/"), "/a/*");
  EXPECT_EQ(pattern("/a"), "/*");
  EXPECT_EQ(pattern("/sp%20ace"), "/sp ace");
  EXPECT_EQ(pattern("/%61/b"), "/a/b");
}

TEST(RouterTest, CapturesAreDecodedAfterSplitting) {
  Router router;
  ASSERT_TRUE(router.Add(Make({"GET"}, "/t/{id}/{what}")).ok());
  ASSERT_TRUE(router.Add(Make({"GET"}, "/static/*")).ok());
  const Router::Match match = router.Find("GET", "/t/a%2Fb/c%20d");
  ASSERT_EQ(match.captures.size(), 2u);
  EXPECT_EQ(match.captures[0].name, "id");
  EXPECT_EQ(match.captures[0].value, "a/b");
  EXPECT_EQ(match.captures[1].value, "c d");
  EXPECT_EQ(router.Find("GET", "/static/x/y%20z").captures.at(0).value, "x/y z");
  EXPECT_EQ(router.Find("GET", "/static/").captures.at(0).value, "");
  EXPECT_EQ(router.Find("GET", "/t//x").status, 404);
  EXPECT_EQ(router.Find("GET", "/static").status, 404);
}

TEST(RouterTest, UnknownPathsAndMethods) {
  Router router;
  ASSERT_TRUE(router.Add(Make({"GET"}, "/x")).ok());
  ASSERT_TRUE(router.Add(Make({"POST", "PUT"}, "/x")).ok());
  ASSERT_TRUE(router.Add(Make({"DELETE"}, "/*")).ok());
  EXPECT_EQ(router.Find("GET", "/x").status, 200);
  EXPECT_EQ(router.Find("HEAD", "/x").status, 200);
  EXPECT_EQ(router.Find("PUT", "/x").status, 200);
  const Router::Match refused = router.Find("DELETE", "/x");
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.allow, "GET, HEAD, POST, PUT");
  EXPECT_EQ(refused.pattern, "/x");
  EXPECT_EQ(router.Find("get", "/x").status, 405);
  EXPECT_EQ(router.Find("DELETE", "/y").status, 200);

  const Router empty;
  EXPECT_EQ(empty.Find("GET", "/y").status, 404);
  EXPECT_EQ(empty.Find("GET", "/y").pattern, "other");
  EXPECT_EQ(empty.Find("OPTIONS", "*").status, 404);
}

TEST(RouterTest, RefusesBadTables) {
  Router router;
  ASSERT_TRUE(router.Add(Make({"GET"}, "/x")).ok());
  EXPECT_EQ(router.Add(Make({"GET"}, "/x")).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(router.Add(Make({}, "/x")).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(router.Add(Make({"HEAD"}, "/x")).code(), absl::StatusCode::kAlreadyExists);
  for (const char* bad : {"", "x", "/a*", "/*/b", "/{}", "/a{id}"}) {
    EXPECT_EQ(router.Add(Make({}, bad)).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(router.Add(Make({"G T"}, "/y")).ok());
  Route no_handler;
  no_handler.pattern = "/z";
  EXPECT_FALSE(router.Add(std::move(no_handler)).ok());
}

TEST(RouterTest, ManySlashesAreBounded) {
  Router router;
  ASSERT_TRUE(router.Add(Make({}, "/a/*")).ok());
  EXPECT_EQ(router.Find("GET", "/a" + std::string(10'000, '/')).status, 200);
  EXPECT_EQ(router.Find("GET", std::string(10'000, '/')).status, 404);
}

}  // namespace
}  // namespace sonde
