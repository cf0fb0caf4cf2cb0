"""The job board of clusterapp, on several instances that share one database."""

import concurrent.futures
import os
import signal
import unittest
import urllib.parse

from app_people import AccountsTestCase, OnServers

NOBODY = "0193545e-1111-7222-8333-444444444444"


class Jobs(AccountsTestCase):
    def job(self, app, token, **more):
        answer = app.post("/api/jobs", {"title": "Cook", "company": "Inn"} | more, token=token)
        data = self.granted(answer, 201)
        self.assertEqual(answer.headers["location"], f"/api/jobs/{data['id']}")
        return data

    def shown(self, app, job, **want):
        """The job once it looks as it must: everybody may read it, so a replica may be asked."""
        def look():
            found = app.get(f"/api/jobs/{job['id']}").json["data"]
            return all(found[name] == value for name, value in want.items()) and found
        return self.wait_for(look, what=f"a job with {want}")

    def listed(self, app, **query):
        answer = app.get("/api/jobs?" + urllib.parse.urlencode(query))
        return self.granted(answer)

    def titles(self, app, **query):
        return [job["title"] for job in self.listed(app, **query)["items"]]

    def test_what_one_instance_takes_the_others_show(self):
        one, two, three = self.instances(3)
        boss = self.person(one, "boss@example.com")
        job = self.job(one, boss, location="Ulm", description="Früh\nauf", maxApplications=2)
        self.assertEqual(two.get(f"/api/jobs/{job['id']}").json["data"], job)
        ada = self.person(two, "ada@example.com")
        path = f"/api/jobs/{job['id']}/apply"
        applied = self.granted(three.post(path, {"coverLetter": "Ich kann's.\n☕"}, token=ada), 201)
        self.refused(one.post(path, {}, token=ada), 409, "ALREADY_APPLIED")
        self.assertEqual(one.get("/api/users/me/applications", token=ada).json["data"]["items"],
                         [applied])
        self.shown(two, job, applications=1)
        bob = self.person(three, "bob@example.com")
        self.assertEqual(two.post(path, token=bob).status, 201)
        self.shown(one, job, status="closed", applications=2)
        self.refused(one.post(path, {}, token=boss), 409, "JOB_CLOSED")

    def test_a_rush_for_few_places_fills_exactly_those(self):
        apps = self.instances(3)
        job = self.job(apps[0], self.person(apps[0], "boss@example.com"), maxApplications=5)
        tokens = [self.person(apps[n % 3], f"p{n}@example.com") for n in range(18)]
        path = f"/api/jobs/{job['id']}/apply"
        with concurrent.futures.ThreadPoolExecutor(18) as pool:
            answers = list(pool.map(lambda n: apps[n % 3].post(path, {}, token=tokens[n // 2]),
                                    range(36)))  # everybody twice
        taken = [answer for answer in answers if answer.status == 201]
        self.assertEqual(len(taken), 5, answers)
        self.assertLessEqual({answer.status for answer in answers}, {201, 409})
        self.shown(apps[1], job, status="closed", applications=5)
        own = [len(apps[0].get("/api/users/me/applications", token=token).json["data"]["items"])
               for token in tokens]
        self.assertEqual(sum(own), 5)
        self.assertLessEqual(set(own), {0, 1})

    def test_kills_leave_no_application_half_done(self):
        """An application is in the job's count if and only if it is in the applicant's list."""
        one, two = self.instances(2)
        job = self.job(one, self.person(one, "boss@example.com"))
        tokens = [self.person(one, f"p{n}@example.com") for n in range(30)]
        path = f"/api/jobs/{job['id']}/apply"

        def apply(token):
            try:
                return two.post(path, {}, token=token).status
            except OSError:
                return None  # it was killed
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = [pool.submit(apply, token) for token in tokens]
            self.wait_for(lambda: sum(answer.done() for answer in answers) > 8, what="some of them")
            os.kill(two.pid, signal.SIGKILL)
            statuses = [answer.result() for answer in answers]

        def agreed():
            # What the killed one had sent to a server of a database may be done after its end.
            own = [len(one.get("/api/users/me/applications", token=token).json["data"]["items"])
                   for token in tokens]
            count = one.get(f"/api/jobs/{job['id']}").json["data"]["applications"]
            return count == sum(own) and own
        own = self.wait_for(agreed, what="a count that is that of the lists")
        for status, count in zip(statuses, own):
            if status is not None:
                self.assertEqual((status, count), (201, 1))

    def test_lists_are_searched_and_come_in_pages(self):
        one, two = self.instances(2)
        boss = self.person(one, "boss@example.com")
        for number in range(7):
            self.job(one, boss, title=f"Köchin {number}", location="Ulm" if number % 2 else "Bonn")
        self.job(one, boss, title="100% Koch_kunst", description="it's \"fine\" \\ nice")
        self.wait_for(lambda: self.listed(two)["total"] == 8, what="all of them")
        self.assertEqual(self.titles(two, limit=3),
                         ["100% Koch_kunst", "Köchin 6", "Köchin 5"])
        page = self.listed(two, limit=3, page=3)
        self.assertEqual((page["total"], page["pages"], page["page"], page["limit"]), (8, 3, 3, 3))
        self.assertEqual([job["title"] for job in page["items"]], ["Köchin 1", "Köchin 0"])
        self.assertEqual(self.titles(two, page=9), [])
        self.assertEqual(self.titles(two, search="KÖCHIN ulm"),
                         ["Köchin 5", "Köchin 3", "Köchin 1"])
        for marks in "%", "_", "'", '"', "\\", "100% koch_":
            with self.subTest(marks):
                self.assertEqual(self.titles(two, search=marks), ["100% Koch_kunst"])
        self.assertEqual(self.titles(two, search="' OR 1=1 --"), [])
        self.assertEqual(self.titles(two, status="closed"), [])
        self.assertEqual(len(self.titles(two, status="open")), 8)

    def test_what_is_wrong_with_a_request_is_told(self):
        [app] = self.instances(1)
        token = self.person(app, "ada@example.com")
        for query in "page=0", "limit=101", "status=odd", "page=1&limit=-3":
            self.refused(app.get(f"/api/jobs?{query}"), 400, "VALIDATION")
        for job in "1", NOBODY, "%2e%2e", "%27", "x" * 500:
            self.refused(app.get(f"/api/jobs/{job}"), 404, "JOB_NOT_FOUND")
            self.refused(app.post(f"/api/jobs/{job}/apply", {}, token=token), 404, "JOB_NOT_FOUND")
        self.refused(app.post("/api/jobs", {}, token=token), 400, "VALIDATION")
        self.refused(app.post("/api/jobs", {"title": "a", "company": "b"}), 401, "UNAUTHORIZED")
        for query in "search=%FF%FE", "page=%00":
            self.assertEqual(app.get(f"/api/jobs?{query}").status, 400)


class JobsOnServers(OnServers, Jobs):
    pass


if __name__ == "__main__":
    unittest.main()
